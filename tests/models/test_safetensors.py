"""Safetensors: every damage of a header, an index or a set of shards ends in one line that names it."""

import json
import struct
import time

import numpy as np
import oracle
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from signmag_jax.evidence import InvalidInput, MissingResource, SignmagError
from signmag_jax.models.config_hub import config_from_hub
from signmag_jax.models.gguf_file import GGUFFile
from signmag_jax.models.sources import SafetensorsSource, safetensors_in
from signmag_jax.models.tokenizer import tokenizer_from_hub
from signmag_jax.models.weights import load_parameters

EMBED, HEAD = "model.embed_tokens.weight", "lm_head.weight"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny Llama of one layer, not to be changed."""
    model = oracle.oracle("llama", {"num_hidden_layers": 1})
    return oracle.save(model, tmp_path_factory.mktemp("hub"))


@pytest.fixture(scope="module")
def config(folder):
    return config_from_hub(folder)


@pytest.fixture(scope="module")
def sound(folder):
    """The bytes of the weights."""
    return (folder / "model.safetensors").read_bytes()


def line_of(path, content, config):
    """The one line that loading these bytes ends in; empty if they load."""
    path.write_bytes(content)
    line = ""
    try:
        load_parameters(config, SafetensorsSource([path]))
    except SignmagError as error:
        line = str(error)
    assert "\n" not in line
    return line


def header(whole):
    """The header's length and its JSON as an object."""
    length = struct.unpack("<Q", whole[:8])[0]
    return length, json.loads(whole[8 : 8 + length])


def with_header(whole, change):
    """The bytes with their header edited."""
    length, plain = header(whole)
    change(plain)
    text = json.dumps(plain).encode()
    return struct.pack("<Q", len(text)) + text + whole[8 + length :]


DAMAGES = {
    "length": (lambda w: struct.pack("<Q", 2**63) + w[8:], "damaged or truncated"),
    "longer": (lambda w: struct.pack("<Q", len(w)) + w[8:], "damaged or truncated"),
    "empty": (lambda w: b"", "damaged or truncated"),
    "cut": (lambda w: w[:-10], "damaged or truncated"),
    "no JSON": (lambda w: w[:8] + b"[" + w[9:], "damaged or truncated"),
    "offsets": (lambda w: with_header(w, lambda p: p[EMBED].update(data_offsets=[0, 2**60])), "damaged"),
    "backwards": (lambda w: with_header(w, lambda p: p[EMBED].update(data_offsets=[9, 3])), "damaged"),
    "shape": (lambda w: with_header(w, lambda p: p[EMBED].update(shape=[2**40, 2**40])), "damaged"),
    "turned": (
        lambda w: with_header(w, lambda p: p[EMBED].update(shape=[32, 97])),
        f"{EMBED} has shape (32, 97) instead of (97, 32)",
    ),
    "integers": (lambda w: with_header(w, lambda p: p[EMBED].update(dtype="I32")), f"{EMBED} (I32)"),
    "no such type": (lambda w: with_header(w, lambda p: p[EMBED].update(dtype="F31")), "damaged"),
    "renamed": (
        lambda w: with_header(w, lambda p: p.update({"model.embed.weight": p.pop(EMBED)})),
        f"missing {EMBED} (97, 32); unexpected model.embed.weight",
    ),
    "a line break": (lambda w: with_header(w, lambda p: p.update({"a\nb": p.pop(EMBED)})), "unexpected a"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damage_is_named(tmp_path, sound, config, damage):
    change, expected = DAMAGES[damage]
    assert line_of(tmp_path / "m.safetensors", sound, config) == ""
    assert expected in line_of(tmp_path / "m.safetensors", change(sound), config)


EXTREME = st.sampled_from([0, 1, 2**16, 2**31, 2**32 - 1, 2**61, 2**63, 2**64 - 1])


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_damage_to_a_header_ends_in_one_line_soon(tmp_path, sound, config, data):
    end = 8 + header(sound)[0]
    changed = bytearray(sound)
    for _ in range(data.draw(st.integers(1, 3))):
        if data.draw(st.booleans()):
            changed[data.draw(st.integers(0, end))] = data.draw(st.integers(0, 255))
        else:  # digits and quotes are where the meaning is
            place = data.draw(st.integers(8, end - 1))
            changed[place : place + 1] = data.draw(st.sampled_from([b"9", b"0", b'"', b"-", b"", b"99999"]))
    if data.draw(st.booleans()):
        struct.pack_into("<Q", changed, 0, data.draw(EXTREME))
    if data.draw(st.booleans()):
        del changed[data.draw(st.integers(0, len(changed))) :]
    start = time.process_time()
    line_of(tmp_path / "m.safetensors", bytes(changed), config)
    assert time.process_time() - start < 5


def shards(folder, parts, weight_map=None):
    """Files of those tensors by name, and an index."""
    for file, tensors in parts.items():
        save_file(tensors, folder / file)
    found = {name: file for file, tensors in parts.items() for name in tensors}
    index = {"weight_map": found if weight_map is None else weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_of_a_tensor_in_two_shards_the_last_counts_and_a_note_says_so(tmp_path, folder, config):
    tensors = load_file(folder / "model.safetensors")
    other = {EMBED: 2 * tensors[EMBED]}
    shards(tmp_path, {"a.safetensors": tensors, "b.safetensors": other})
    source = safetensors_in(tmp_path)
    # transformers reads all shards in the order of their names, and what comes later takes the place.
    np.testing.assert_array_equal(source.read(EMBED), other[EMBED])
    assert source.notes == (
        f"{EMBED} is read from b.safetensors and not from a.safetensors, as transformers does",
    )
    embed = tensors.pop(EMBED)
    shards(tmp_path, {"a.safetensors": tensors, "b.safetensors": {EMBED: embed}})
    params, ignored = load_parameters(config, safetensors_in(tmp_path))
    np.testing.assert_array_equal(params["embed"], embed)
    assert ignored == ()
    assert safetensors_in(tmp_path).notes == ()


def test_shards_may_lie_in_folders_below_their_index(tmp_path, folder, config):
    tensors = load_file(folder / "model.safetensors")
    (tmp_path / "sub").mkdir()
    parts = {"a.safetensors": {EMBED: tensors.pop(EMBED)}, "sub/a.safetensors": tensors}
    shards(tmp_path, parts)
    params, ignored = load_parameters(config, safetensors_in(tmp_path))
    np.testing.assert_array_equal(params["embed"], parts["a.safetensors"][EMBED])
    np.testing.assert_array_equal(params["head"], tensors[HEAD])
    assert ignored == ()


def test_what_is_not_the_file_itself_is_named(tmp_path, folder):
    """A clone without Git LFS; shards without their index; other files of weights."""
    names = ("model.safetensors", "tokenizer.json", "m.gguf")
    for name in names:
        (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    for read in (
        lambda: safetensors_in(tmp_path),
        lambda: tokenizer_from_hub(tmp_path),
        lambda: GGUFFile(tmp_path / "m.gguf"),
    ):
        with pytest.raises(MissingResource, match=r"pointer of Git LFS.*git lfs pull"):
            read()
    (tmp_path / "model.safetensors").unlink()
    save_file({"a": np.ones(2)}, tmp_path / "model-00001-of-00002.safetensors")
    with pytest.raises(MissingResource, match=r"holds model-00001-of-00002\.safetensors, but neither"):
        safetensors_in(tmp_path)


@pytest.mark.parametrize(
    ("weight_map", "expected"),
    [
        (
            {EMBED: "absent.safetensors", HEAD: "gone.safetensors"},
            "lacks absent.safetensors, gone.safetensors",
        ),
        ({EMBED: ["a.safetensors"]}, "damaged or truncated"),
        ({EMBED: None}, "damaged or truncated"),
        ({}, "damaged or truncated"),
        ([], "damaged or truncated"),
        ({EMBED: "../a.safetensors"}, "damaged or truncated"),
        ({EMBED: "sub/../../a.safetensors"}, "damaged or truncated"),
        ({EMBED: "/etc/passwd"}, "damaged or truncated"),
        ({EMBED: ""}, "damaged or truncated"),
        ({EMBED: "a" * 5000}, "damaged or truncated"),
        ({EMBED: "a\0b"}, "damaged or truncated"),
    ],
)
def test_an_index_that_cannot_be_followed_is_named(tmp_path, folder, weight_map, expected):
    outside = tmp_path / "a.safetensors"
    outside.write_bytes((folder / "model.safetensors").read_bytes())
    inside = tmp_path / "model"
    inside.mkdir()
    shards(inside, {"b.safetensors": {EMBED: np.ones((97, 32), np.float32)}}, weight_map)
    with pytest.raises(MissingResource, match=expected) as caught:
        safetensors_in(inside)
    assert "\n" not in str(caught.value)


def test_heads_that_are_missing_or_too_many(tmp_path, folder, config):
    tensors = load_file(folder / "model.safetensors")
    save_file({n: v for n, v in tensors.items() if n != HEAD}, tmp_path / "model.safetensors")
    with pytest.raises(InvalidInput, match=rf"missing {HEAD} \(97, 32\)"):
        load_parameters(config, safetensors_in(tmp_path))
    save_file(tensors | {"lm_head.bias": np.zeros(97, np.float32)}, tmp_path / "model.safetensors")
    params, ignored = load_parameters(config, safetensors_in(tmp_path))
    np.testing.assert_array_equal(params["head"], tensors[HEAD])
    assert ignored == ("lm_head.bias",)
