"""GGUF headers: types of tensors and values against other readers, and every damage named in one line."""

import struct
import time
import tracemalloc

import blocks
import decoder
import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signmag_jax import models
from signmag_jax.evidence import InvalidInput, MissingResource, SignmagError
from signmag_jax.models.gguf_file import FOREIGN_TYPES, GGUFFile, readable_types

VALUES = {
    "uint8": 200,
    "int8": -100,
    "uint16": 60000,
    "int16": -30000,
    "uint32": 4_000_000_000,
    "int32": -2_000_000_000,
    "float32": 0.5,
    "uint64": 2**63,
    "int64": -(2**62),
    "float64": 1e-300,
    "bool": True,
    "string": "naïve",
}
LISTS = {"numbers": [3, 1, 2], "words": ["a", "", "日本"], "reals": [0.5, -2.0]}


def write(path, tensors=(), architecture="qwen2", fields=()):
    """A GGUF file of those tensors (name, rows of bytes, type) and fields (name, type, value)."""
    writer = gguf.GGUFWriter(path, architecture)
    for name, kind, value in fields:
        getattr(writer, f"add_{kind}")(name, value)
    for name, packed, kind in tensors:
        writer.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_every_type_that_the_library_knows_is_read_or_refused_by_its_name(tmp_path):
    known = {"TQ1_0", "TQ2_0", "IQ4_NL", "IQ4_XS", "MXFP4", "NVFP4", "Q4_K", "IQ1_S", "IQ3_XXS"}
    assert known <= set(readable_types())
    for kind in gguf.GGMLQuantizationType:
        size, each = gguf.GGML_QUANT_SIZES[kind]
        packed = np.zeros((2, 512 // size * each), np.uint8)
        path = write(tmp_path / "m.gguf", [("x", packed, kind.name)])
        if kind.name in readable_types():
            assert GGUFFile(path).read("x").shape == (2, 512)
            assert not GGUFFile(path).read("x").any()
        else:
            with pytest.raises(InvalidInput, match=rf"x \({kind.name}\)"):
                GGUFFile(path)
    for number, name in FOREIGN_TYPES.items():
        raw = bytearray(path.read_bytes())
        at = raw.index(b"x", 24) + 1 + 4 + 16  # name, number of dimensions, dimensions
        raw[at : at + 4] = number.to_bytes(4, "little")
        path.write_bytes(raw)
        with pytest.raises(InvalidInput, match=rf"type number {number} \({name[:4]}"):
            GGUFFile(path)


@pytest.mark.parametrize("kind", readable_types())
def test_every_type_is_unpacked_as_its_layout_says(tmp_path, kind):
    rng = np.random.default_rng(3)
    values = rng.standard_normal((6, 512)).astype(np.float32)
    if kind not in (
        *decoder.BLOCKS,
        "F32",
        "F16",
        "BF16",
    ):  # read by the library, without a second route here
        size, bytes_each = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
        # Scales of half precision lie anywhere: bytes below 0x30 make no number that is not finite.
        packed = rng.integers(0, 0x30, (6, 512 // size * bytes_each), np.uint8)
        theirs = expected = gguf.quants.dequantize(packed, gguf.GGMLQuantizationType[kind])
    else:
        packed = blocks.pack(kind, values)
        theirs = gguf.quants.dequantize(packed, gguf.GGMLQuantizationType[kind])
        known = kind in decoder.BLOCKS
        expected = decoder.decode(kind, packed.tobytes(), values.shape) if known else theirs
        np.testing.assert_allclose(theirs, expected, rtol=1e-6, atol=1e-7)
    file = GGUFFile(write(tmp_path / "m.gguf", [("first", values, "F32"), ("x", packed, kind)]))
    found = file.read("x")
    assert (found.dtype, found.shape, file.dtypes["x"]) == (np.float32, values.shape, kind)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(file.read("first"), values)
    assert np.abs(expected).max() > 0
    if kind.startswith("Q") and kind in decoder.BLOCKS:
        spread = np.abs(expected).mean()
        assert spread > 1e-3
        # Blocks in another order would give other numbers.
        moved = np.roll(packed, decoder.BLOCKS[kind][1], axis=1)
        assert (
            np.nanmean(np.abs(decoder.decode(kind, moved.tobytes(), values.shape) - expected)) > 0.1 * spread
        )


@pytest.mark.parametrize("kind", ["TQ1_0", "TQ2_0"])
def test_ternary_matrices_come_back_as_they_were(tmp_path, kind):
    """What the ternary families are stored in loses nothing of a matrix of -s, 0 and s."""
    values = 0.125 * np.random.default_rng(4).integers(-1, 2, (6, 512)).astype(np.float32)
    packed = gguf.quants.quantize(values, gguf.GGMLQuantizationType[kind])
    np.testing.assert_array_equal(
        GGUFFile(write(tmp_path / "m.gguf", [("x", packed, kind)])).read("x"), values
    )


def test_a_type_that_is_not_read_is_named(tmp_path):
    packed = np.zeros((2, 256), np.int32)
    path = write(tmp_path / "m.gguf", [("blk.0.attn_q.weight", packed, "I32")])
    with pytest.raises(InvalidInput, match=r"blk\.0\.attn_q\.weight \(I32\).*another quantisation"):
        GGUFFile(path)


def split(folder, tensors, count, first=()):
    """Files of a model split into parts, each with some of the tensors; the metadata in the first."""
    paths = [folder / f"m-{number:05d}-of-{count:05d}.gguf" for number in range(1, count + 1)]
    for number, path in enumerate(paths):
        fields = [("split.no", "uint16", number), ("split.count", "uint16", count)]
        write(path, tensors[number::count], fields=[*fields, *(first if number == 0 else ())])
    return paths


def test_a_split_model_is_read_from_any_of_its_parts(tmp_path):
    rng = np.random.default_rng(5)
    tensors = [(f"t{i}", rng.standard_normal((2, 4)).astype(np.float32), "F32") for i in range(7)]
    paths = split(tmp_path, tensors, 3, [("x.only", "string", "first")])
    for path in paths:
        file = GGUFFile(path)
        assert file.files == tuple(paths)
        assert file.metadata["x.only"] == "first"
        for name, values, _ in tensors:
            np.testing.assert_array_equal(file.read(name), values)


def test_parts_that_are_missing_renamed_or_mixed_are_named(tmp_path):
    tensors = [(f"t{i}", np.ones((2, 4), np.float32), "F32") for i in range(4)]
    first, second = split(tmp_path, tensors, 2)
    elsewhere = tmp_path / "renamed.gguf"
    elsewhere.write_bytes(first.read_bytes())
    with pytest.raises(InvalidInput, match=r"ends in -0000N-of-00002\.gguf.*renamed\.gguf"):
        GGUFFile(elsewhere)
    second.write_bytes(first.read_bytes())
    with pytest.raises(InvalidInput, match=r"split\.no, split\.count = 1, 2 in m-00002-of-00002\.gguf"):
        GGUFFile(first)
    write(second, tensors, fields=[("split.no", "uint16", 1), ("split.count", "uint16", 2)])
    with pytest.raises(
        InvalidInput, match=r"each tensor stored once.*'t0'.*m-00002-of-00002\.gguf repeats it"
    ):
        GGUFFile(first)
    second.unlink()
    with pytest.raises(MissingResource, match=r"lacks m-00002-of-00002\.gguf: download every part"):
        GGUFFile(first)


def test_values_of_every_type_are_what_the_library_reads(tmp_path):
    fields = [(f"x.{kind}", kind, value) for kind, value in VALUES.items()]
    fields += [(f"x.{name}", "array", value) for name, value in LISTS.items()]
    tensors = [("a", np.ones((2, 3), np.float32), "F32"), ("b", np.ones(5, np.float32), "F32")]
    path = write(tmp_path / "m.gguf", tensors, fields=fields)
    ours, theirs = GGUFFile(path), gguf.GGUFReader(path)
    expected = {key: f.contents() for key, f in theirs.fields.items() if not key.startswith("GGUF.")}
    assert ours.metadata == expected
    assert {f"x.{name}": value for name, value in (VALUES | LISTS).items()}.items() <= ours.metadata.items()
    assert all(type(ours.metadata[key]) is type(value) for key, value in expected.items())
    for tensor in theirs.tensors:
        mine = ours.tensors[tensor.name]
        assert (mine.start, mine.stop) == (tensor.data_offset, tensor.data_offset + tensor.n_bytes)
        assert mine.shape == tuple(int(size) for size in reversed(tensor.shape))


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """The bytes of a file that loads, with arrays, strings and tensors."""
    import oracle
    import test_gguf

    path = tmp_path_factory.mktemp("gguf") / "m.gguf"
    test_gguf.write(path, oracle.oracle("llama", {"num_hidden_layers": 1}))
    models.load(path)
    return path.read_bytes()


def patched(whole, label, after, layout, *values):
    """The bytes with a number changed, that many bytes behind the end of a key or name."""
    changed = bytearray(whole)
    struct.pack_into(layout, changed, whole.index(label) + len(label) + after, *values)
    return bytes(changed)


def line_of(path, content):
    """The one line that loading these bytes ends in; empty if they load."""
    path.write_bytes(content)
    line = ""
    try:
        models.load(path)
    except SignmagError as error:
        line = str(error)
    assert "\n" not in line
    return line


TOKENS, Q, LAYERS = b"tokenizer.ggml.tokens", b"blk.0.attn_q.weight", b"llama.block_count"
DAMAGES = {
    "version 1": (lambda w: w[:4] + struct.pack("<I", 1) + w[8:], "version 1 of the format"),
    "big-endian": (lambda w: w[:4] + struct.pack(">I", 3) + w[8:], "version 50331648 of the format"),
    "tensors": (lambda w: w[:8] + struct.pack("<Q", 2**62) + w[16:], "4611686018427387904 tensors are ann"),
    "pairs": (lambda w: w[:16] + struct.pack("<Q", 2**63) + w[24:], "9223372036854775808 key-value pairs"),
    "more pairs": (lambda w: w[:16] + struct.pack("<Q", 60) + w[24:], "is damaged or truncated"),
    "key": (lambda w: w[:24] + struct.pack("<Q", 2**40) + w[32:], "1099511627776 bytes are announced"),
    # An array of numbers that the file cannot hold: reading one by one would go on for ever.
    "numbers": (lambda w: patched(w, TOKENS, 0, "<IIQ", 9, 4, 2**61), "an array of 2305843009213693952"),
    "fewer numbers": (lambda w: patched(w, TOKENS, 0, "<IIQ", 9, 11, 2**21), "16777216 bytes are announced"),
    "strings": (lambda w: patched(w, TOKENS, 0, "<IIQ", 9, 8, 2**22), "4194304 strings are announced"),
    "arrays": (lambda w: patched(w, TOKENS, 4, "<I", 9), "an array of arrays"),
    "value": (lambda w: patched(w, LAYERS, 0, "<I", 77), "a value of type number 77"),
    "text": (lambda w: w.replace(b"gpt-2", b"\xff\xfe\xfd\xfc\xfb"), "is not UTF-8"),
    "recurring key": (
        lambda w: w.replace(b"llama.context_length", b"llama.rope.freq_base"),
        "key 'llama.rope.freq_base' recurs",
    ),
    "dimensions": (lambda w: patched(w, Q, 0, "<I", 2**31), "of 2147483648 dimensions"),
    "no size": (lambda w: patched(w, Q, 4, "<Q", 0), "of shape (0, 32)"),
    "product": (lambda w: patched(w, Q, 4, "<QQ", 2**32, 2**32), "lies at bytes"),
    "type": (lambda w: patched(w, Q, 20, "<I", 99), "of type number 99, which ggml does not define"),
    "rows": (lambda w: patched(w, Q, 20, "<I", 12), "rows of 32 numbers, no multiple of 256"),
    "offset beyond": (lambda w: patched(w, Q, 24, "<Q", 2**40), "lies at bytes"),
    "offset between": (lambda w: patched(w, Q, 24, "<Q", 33), "lies at bytes"),
    "offset of another": (lambda w: patched(w, Q, 24, "<Q", 0), "lie on one another"),
    "wrong magic": (lambda w: b"GGUX" + w[4:], "is no GGUF file"),
    "layers as text": (lambda w: patched(w, LAYERS, 0, "<I", 6), "llama.block_count one number >= 1"),
    "a billion layers": (lambda w: patched(w, LAYERS, 4, "<I", 10**9), "each of 1000000000 layers"),
    "architecture": (lambda w: w.replace(b"llama", b"gemma"), "GGUF architecture in"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damage_is_named(tmp_path, sound, damage):
    change, expected = DAMAGES[damage]
    assert expected in line_of(tmp_path / "m.gguf", change(sound))


def test_a_file_cut_anywhere_is_damaged(tmp_path, sound):
    for keep in {*range(4, 200), *range(200, len(sound), 997), len(sound) - 33}:
        assert "damaged or truncated" in line_of(tmp_path / "m.gguf", sound[:keep]), keep
    for keep in range(4):
        assert "no GGUF file" in line_of(tmp_path / "m.gguf", sound[:keep])


def header_end(whole):
    """Where the header of the sound file ends and the weights begin."""
    return whole.index(b"output.weight") + 64


EXTREME = st.sampled_from([0, 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**61, 2**63, 2**64 - 1])


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_damage_to_a_header_ends_in_one_line_soon_and_without_much_memory(tmp_path, sound, data):
    end = header_end(sound)
    changed = bytearray(sound)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(4, end))
        if data.draw(st.booleans()):
            changed[place] = data.draw(st.integers(0, 255))
        else:
            struct.pack_into("<Q", changed, place, data.draw(EXTREME))
    if data.draw(st.booleans()):
        del changed[data.draw(st.integers(4, len(changed))) :]
    start = time.process_time()
    tracemalloc.start()
    try:
        line_of(tmp_path / "m.gguf", bytes(changed))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.process_time() - start < 5
    assert most < 200e6  # bytes
