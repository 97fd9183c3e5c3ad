"""What every verb states before it starts: from a config alone, and against the memory of the run."""

import json
from pathlib import Path

import benchmark_scripts
import pytest
from measure_verbs import MEASUREMENTS, refused

from signmag_jax.cli import run
from signmag_jax.measure.registry import PLAN, PROTECT
from signmag_jax.models.sources import SafetensorsSource

SEVEN = {
    "model_type": "llama",
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "hidden_act": "silu",
}
"""Of Llama 2 7B."""
WEIGHTS = 6_738_415_616
VERBS = [*(["measure", name] for name in MEASUREMENTS), ["protect"], ["plan"], ["reproduce"]]
GIB = 2**30


@pytest.fixture
def seven(tmp_path):
    folder = tmp_path / "seven"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(SEVEN))
    return folder


def stated(capsys, *call):
    assert run([*call, "--dry-run", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_states_memory_and_time_of_a_7b_model_from_its_config_alone(
    monkeypatch, capsys, tmp_path, seven, verb
):
    monkeypatch.chdir(tmp_path)
    half, full = (
        stated(capsys, *verb, "--model", str(seven), "--dtype", dtype) for dtype in ("bfloat16", "float32")
    )
    assert 2 * WEIGHTS / GIB < half["peak_memory_gib"] < full["peak_memory_gib"]
    assert full["peak_memory_gib"] > 4 * WEIGHTS / GIB
    # A pass of 2,048 tokens is 28 Tflop: more than two minutes of two cores.
    assert half["minutes_on_two_cores"] >= 2 * half["forward_passes_of_2048_tokens"]
    assert not list(Path.cwd().glob("signmag-*"))


def test_a_verb_that_takes_derivatives_states_more_than_one_that_reads(capsys, seven):
    peaks = {
        name: stated(capsys, *name.split(), "--model", str(seven))["peak_memory_gib"]
        for name in ("measure nll", "measure columns", "protect")
    }
    assert peaks["measure nll"] * 1.5 < peaks["measure columns"]
    assert peaks["measure nll"] * 1.5 < peaks["protect"]


def test_longer_windows_and_more_of_them_take_more_of_both(capsys, seven):
    model = ("protect", "--model", str(seven))
    few, more = (
        stated(capsys, *model, "--window", w, "--windows", n) for w, n in (("64", "8"), ("512", "16"))
    )
    for name in ("peak_memory_gib", "minutes_on_two_cores"):
        assert few[name] < more[name]


def test_a_config_alone_is_no_model_to_run(capsys, seven):
    call = ["measure", "nll", "--model", str(seven)]
    assert "config.json alone" in stated(capsys, *call)["model_is_described_by"]
    refused(capsys, call, "holds no model.safetensors")
    refused(capsys, [*call, "--window", "5000", "--dry-run"], "window <= 4096")
    refused(capsys, [*call[:1], "columns", *call[2:], "--layers", "32", "--dry-run"], "layers in 0..31")


def test_a_broken_config_alone_is_refused(capsys, seven):
    (seven / "config.json").write_text(json.dumps(SEVEN | {"hidden_size": "wide"}))
    refused(capsys, ["protect", "--model", str(seven), "--dry-run"], "hidden_size")


def test_a_dry_run_reads_no_weights(capsys, hub_folder, monkeypatch):
    monkeypatch.setattr(SafetensorsSource, "read", lambda *_: pytest.fail("a tensor was read"))
    found = stated(capsys, "measure", "columns", "--model", str(hub_folder), "--window", "16")
    assert found["model_is_described_by"] == "its files"


def test_export_states_what_reading_the_model_takes(capsys, seven, tmp_path):
    mask = {"schema": "signmag.protect/1", "quantizer": "ternary", "scale": "tensor"}
    mask |= {"columns": [], "weights": [], "matrices": []}
    (tmp_path / "mask.json").write_text(json.dumps(mask))
    call = ["export", str(tmp_path / "mask.json"), "--format", "imatrix", "--out", str(tmp_path / "out")]
    found = stated(capsys, *call, "--model", str(seven))
    assert found["peak_memory_gib"] > 4 * WEIGHTS / GIB
    assert found["minutes_on_two_cores"] > 0
    assert not (tmp_path / "out").exists()


def test_the_verbs_of_bigger_models_are_registered():
    assert PROTECT.arrays + PROTECT.float32_arrays > MEASUREMENTS["columns"].arrays
    assert PLAN.arrays > MEASUREMENTS["columns"].arrays > MEASUREMENTS["nll"].arrays


SMALLER = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 4, "vocab_size": 8000}


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["columns", "protect", "quantization-report"])
def test_the_memory_that_is_stated_is_the_memory_of_the_run(tmp_path, verb):
    bigger = benchmark_scripts.imported("bigger_models")
    folder = tmp_path / "model"
    bigger.write(folder, bigger.TINYLLAMA | SMALLER)
    found = bigger.measured(verb, folder, "bfloat16", 16)
    print(found)
    assert found["peak_gib"] < 1.1 * found["stated_gib"]
    assert found["stated_gib"] < 2 * found["peak_gib"]
