"""Every experiment by name, on a tiny model in hub format: lines, JSON, picture, table and mask."""

import json
import sys
import types

import numpy as np
import pytest

from signmag_jax.cli import run

SAVED = ("--mask", "mask.json", "--plot", "picture.svg")
VERBS = {
    "metrics": (["--perturbation", "flip:0.05", "--seeds", "2"], "kl"),
    "outlier-flips": (["--rates", "0.1", "--seeds", "2", "--plot", "picture.svg"], "outlier over rest"),
    "column-flips": (
        ["--columns", "5", "--layers", "1", "--matrices", "up_proj,q_proj", "--plot", "picture.svg"],
        "layer 1 q_proj, α²‖w‖²: rank correlation",
    ),
    "flip-energies": (
        ["--columns", "5", "--rates", "0.2", "--seeds", "2", "--plot", "picture.svg"],
        "normalised: rank correlation",
    ),
    "trained-chain": (["--rates", "0.05", "--seeds", "2", "--plot", "picture.svg"], "C_1..C_"),
    "quantization-report": (
        ["--quantizers", "sign", "--layers", "0", "--matrices", "o_proj", *SAVED],
        "protect 1",
    ),
}


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    rng = np.random.default_rng(0)
    path.write_text(" ".join("".join(rng.choice(list("abcdefgh"), 5)) for _ in range(600)))
    return path


@pytest.fixture
def tables(monkeypatch):
    """What would have gone into the Parquet file, whether or not pyarrow is there."""
    written = []
    fake = types.ModuleType("pyarrow")
    fake.table = lambda columns: columns  # pyright: ignore[reportAttributeAccessIssue]
    fake.parquet = types.ModuleType("pyarrow.parquet")  # pyright: ignore[reportAttributeAccessIssue]
    fake.parquet.write_table = lambda table, _: written.append(table)  # pyright: ignore
    monkeypatch.setitem(sys.modules, "pyarrow", fake)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", fake.parquet)
    return written


FAST = ("flip-energies", "trained-chain")


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in VERBS]
)
def test_every_experiment_runs_by_name(monkeypatch, capsys, tmp_path, hub_folder, text, tables, name):
    monkeypatch.chdir(tmp_path)
    options, line = VERBS[name]
    common = ["--model", str(hub_folder), "--text", str(text), "--window", "16", "--quiet"]
    assert run(["measure", name, *common, *options, "--parquet", "table.parquet"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert line in out
    if "--plot" in options:
        assert (tmp_path / "picture.svg").read_text().startswith("<svg")
    if "--mask" in options:
        assert json.loads((tmp_path / "mask.json").read_text())["schema"] == "signmag.protect/1"
    (columns,) = tables
    assert len({len(values) for values in columns.values()}) == 1
    assert all(isinstance(value, int | float | str | None) for values in columns.values() for value in values)
    assert not list(tmp_path.glob(".table*"))


CONTROLS = {
    "outlier-definitions": (["--rates", "0.4", "--seeds", "2", "--matrices", "up_proj"], "LLM.int8"),
    "rotation": (["--rates", "0.1", "--seeds", "2"], "nll rotated − trained"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CONTROLS)
def test_controls_run_by_name(capsys, hub_folder, text, name):
    options, line = CONTROLS[name]
    common = ["--model", str(hub_folder), "--text", str(text), "--window", "16", "--quiet"]
    assert run(["measure", name, *common, *options]) == 0
    assert line in capsys.readouterr().out


def test_json_holds_the_predictions_beside_the_measured_numbers(capsys, hub_folder, text):
    common = ["--model", str(hub_folder), "--text", str(text), "--window", "16"]
    place = ["--quantizers", "sign", "--layers", "0", "--matrices", "o_proj"]
    assert run(["measure", "quantization-report", *common, *place, "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["entries"]
    assert entry["predicted"]["cosine_squared_gaussian"] == pytest.approx(2 / np.pi)
    assert entry["predicted"]["output_radial_fraction_gaussian"] == pytest.approx(1 - 2 / np.pi)
    own = entry["predicted"]["output_error_own_moments"]
    assert own == pytest.approx(entry["v"] + 1 - 2 * entry["c"])


MISTAKES = {
    "two rates": (["outlier-flips", "--rates", "0.1,0.2"], "one value of --rates"),
    "large rate": (["flip-energies", "--rates", "0.7"], "0 < rate <= 0.5"),
    "chain rate": (["trained-chain", "--rates", "0.7"], "0 < rate <= 0.5"),
    "definitions, rates": (["outlier-definitions", "--rates", "0.1,0.2"], "one value of --rates"),
    "rotation, layers": (["rotation", "--layers", "1"], "--layers"),
    "two matrices": (["trained-chain", "--matrices", "q_proj,k_proj"], "one value of --matrices"),
    "seeds": (["metrics", "--seeds", "2,3"], "one value of --seeds"),
    "no seeds": (["metrics", "--seeds", "0"], "seeds >= 1"),
    "perturbation": (["metrics", "--perturbation", "bend"], "--perturbation is like"),
    "quantizer": (["quantization-report", "--quantizers", "int3"], "quantizers in"),
    "scale": (["quantization-report", "--scales", "tensor,1"], "distinct scales"),
    "columns": (["column-flips", "--columns", "3"], "--columns >= 5"),
    "foreign option": (["metrics", "--mask", "mask.json"], "--mask"),
    "no table": (["nll", "--parquet", "x.parquet"], "no table"),
    "mask on a folder": (["quantization-report", "--mask", "."], "is a folder"),
    "few windows": (["quantization-report", "--windows", "4"], "--windows >= 8"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_touches_nothing(monkeypatch, capsys, tmp_path, mistake):
    monkeypatch.chdir(tmp_path)
    arguments, hint = MISTAKES[mistake]
    assert run(["measure", *arguments, "--model", "./none", "--text", "none.txt"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert hint in err
    assert list(tmp_path.iterdir()) == []


def test_without_pyarrow_a_table_is_refused_before_the_work(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    target = tmp_path / "table.parquet"
    assert run(["measure", "metrics", "--model", "./none", "--parquet", str(target)]) == 2
    assert "pip install pyarrow" in capsys.readouterr().err
    assert not target.exists()
