"""Every measurement by name, on a tiny model in hub format: lines, JSON, picture, table, mask, records."""

import json
import sys
import types

import numpy as np
import pytest
from measure_verbs import FAST, ONCE, VERBS, arguments
from texts import write_words

from signmag_jax.cli import INTERRUPTED, run
from signmag_jax.evidence import records


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return write_words(tmp_path_factory.mktemp("text") / "text.txt")


def by_cost(names):
    return [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in names]


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


@pytest.mark.parametrize("name", by_cost(VERBS))
def test_every_measurement_runs_by_name(monkeypatch, capsys, tmp_path, hub_folder, text, tables, name):
    monkeypatch.chdir(tmp_path)
    saved = ["--plot", "picture.svg", "--parquet", "table.parquet", "--quiet"]
    assert run([*arguments(name, hub_folder, text), *saved]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert VERBS[name][1] in out
    assert (tmp_path / "picture.svg").read_text().startswith("<svg")
    if "mask.json" in VERBS[name][0]:
        assert json.loads((tmp_path / "mask.json").read_text())["schema"] == "signmag.protect/1"
    (columns,) = tables
    assert len({len(values) for values in columns.values()}) == 1
    assert all(isinstance(value, int | float | str | None) for values in columns.values() for value in values)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("name", by_cost(name for name in VERBS if name not in ONCE))
def test_an_interrupted_sweep_resumes_with_an_identical_result(
    monkeypatch, capsys, tmp_path, hub_folder, text, name
):
    monkeypatch.chdir(tmp_path)
    call = [*arguments(name, hub_folder, text), "--json"]
    assert run(call) == 0
    whole = capsys.readouterr().out
    with monkeypatch.context() as patched:
        patched.setattr(records.Records, "write", interrupted_after(2))
        assert run([*call, "--resume", "kept"]) == 130
    assert capsys.readouterr() == ("", "signmag: " + INTERRUPTED + "\n")
    assert len(list((tmp_path / "kept").rglob("record-*.json"))) == 2
    assert run([*call, "--resume", "kept"]) == 0
    assert capsys.readouterr().out == whole
    # The control: another configuration neither takes these records nor mixes with them.
    other = ["--seed", "1"] if name == "trained-chain" else ["--windows", "9"]
    before = {path: path.read_bytes() for path in (tmp_path / "kept").rglob("*.json")}
    assert run([*call, *other, "--resume", "kept"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "holds the records of another run (different: " in err
    assert {path: path.read_bytes() for path in (tmp_path / "kept").rglob("*.json")} == before


def interrupted_after(count):
    """Records that keep so many pieces, and then Ctrl-C."""
    write, left = records.Records.write, [count]

    def kept(self, index, payload):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        write(self, index, payload)

    return kept


def test_json_holds_the_predictions_beside_the_measured_numbers(capsys, hub_folder, text):
    common = ["--model", str(hub_folder), "--text", str(text), "--window", "16"]
    place = ["--quantizers", "sign", "--layers", "0", "--matrices", "o_proj"]
    assert run(["measure", "quantization-report", *common, *place, "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["entries"]
    assert entry["predicted"]["cosine_squared_gaussian"] == pytest.approx(2 / np.pi)
    assert entry["predicted"]["output_radial_fraction_gaussian"] == pytest.approx(1 - 2 / np.pi)
    own = entry["predicted"]["output_error_own_moments"]
    assert own == pytest.approx(entry["v"] + 1 - 2 * entry["c"])


def test_without_pyarrow_a_table_is_refused_before_the_work(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    target = tmp_path / "table.parquet"
    assert run(["measure", "metrics", "--model", "./none", "--parquet", str(target)]) == 2
    assert "pip install pyarrow" in capsys.readouterr().err
    assert not target.exists()
