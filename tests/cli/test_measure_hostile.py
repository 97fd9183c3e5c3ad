"""Checkpoints and texts that are not what they should be: one clear line, exit code 2, nothing written."""

import json
import shutil

import numpy as np
import pytest
from measure_verbs import VERBS, arguments, refused
from safetensors.numpy import load_file, save_file
from texts import write_words

from signmag_jax.cli import run
from signmag_jax.models import memory
from signmag_jax.models.sources import SafetensorsSource

TEXTS = {
    "empty": (b"", "text not empty"),
    "blank": (b" \n\t\n", "text not empty"),
    "binary": (bytes(range(256)) * 20, "text in UTF-8"),
    "short": (b"ab cd", "text of at least"),
    "missing": (None, "cannot read text"),
}


@pytest.fixture
def text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_words(tmp_path / "text.txt")


@pytest.mark.parametrize("name", ["leverage", "columns", "alpha"])
@pytest.mark.parametrize("kind", TEXTS)
def test_a_text_that_is_none(capsys, hub_folder, tmp_path, text, name, kind):
    content, hint = TEXTS[kind]
    path = tmp_path / "bad.txt"
    if content is not None:
        path.write_bytes(content)
    saved = ["--plot", "picture.svg"]
    before = sorted(tmp_path.rglob("*"))
    refused(capsys, [*arguments(name, hub_folder, path), *saved], hint)
    assert sorted(tmp_path.rglob("*")) == before


def no_config(folder):
    (folder / "config.json").unlink()


def torn_config(folder):
    (folder / "config.json").write_text("{")


def no_weights(folder):
    for path in folder.glob("*.safetensors"):
        path.unlink()


def no_tokenizer(folder):
    for path in folder.glob("tokenizer*"):
        path.unlink()


def small_vocabulary(folder):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"vocab_size": 10}))


def weights(change):
    def changed(folder):
        (path,) = folder.glob("*.safetensors")
        tensors = {name: np.array(values) for name, values in load_file(path).items()}
        change(tensors)
        save_file(tensors, path, metadata={"format": "pt"})

    return changed


PLACE = "model.layers.1.self_attn.o_proj.weight"


def not_a_number(tensors):
    tensors[PLACE][2, 3] = np.nan


def infinite(tensors):
    tensors[PLACE][2, 3] = np.inf


def missing(tensors):
    del tensors[PLACE]


MODELS = {
    "no config": (no_config, "config.json"),
    "torn config": (torn_config, "config.json"),
    "no weights": (no_weights, "safetensors"),
    "no tokenizer": (no_tokenizer, "tokenizer"),
    "vocabulary": (small_vocabulary, "token ids in 0..9"),
    "NaN": (weights(not_a_number), PLACE),
    "infinity": (weights(infinite), PLACE),
    "missing tensor": (weights(missing), f"missing {PLACE}"),
}


@pytest.mark.parametrize("kind", MODELS)
def test_a_checkpoint_that_is_none(capsys, hub_folder, tmp_path, text, kind):
    change, hint = MODELS[kind]
    folder = tmp_path / "model"
    shutil.copytree(hub_folder, folder)
    change(folder)
    before = sorted(tmp_path.rglob("*"))
    saved = ["--resume", "kept", "--mask", "mask.json", "--plot", "picture.svg"]
    refused(capsys, [*arguments("quantization-report", folder, text), *saved], hint)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("option", ["--mask", "--resume", "--plot"])
def test_a_place_that_takes_no_file(capsys, hub_folder, text, option):
    # No one may write there, not even root.
    place = f"/proc/{'picture.svg' if option == '--plot' else 'nothing'}"
    call = [each for each in arguments("quantization-report", hub_folder, text) if "mask" not in each]
    refused(capsys, [*call, option, place], f"{option} '/proc")


@pytest.mark.parametrize("name", VERBS)
def test_a_model_larger_than_memory_is_refused_before_its_weights(
    monkeypatch, capsys, hub_folder, text, name
):
    monkeypatch.setattr(memory, "available_memory", lambda: 100_000)
    monkeypatch.setattr(SafetensorsSource, "read", lambda *_: pytest.fail("a tensor was read"))
    refused(capsys, arguments(name, hub_folder, text), "GiB of memory are available")


@pytest.mark.parametrize("name", ["nll", "rotation", "leverage", "error-response"])
def test_a_dry_run_states_the_weights_of_a_folder(capsys, hub_folder, text, name):
    assert run([*arguments(name, hub_folder, text), "--dry-run", "--json", "--dtype", "bfloat16"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["forward_passes_of_2048_tokens"] > 0
    (path,) = hub_folder.glob("*.safetensors")
    count = sum(values.size for values in load_file(path).values())
    assert f"{count:,} weights in bfloat16" in found["memory"]
    assert found["peak_memory_gib"] > 2 * count / 2**30
