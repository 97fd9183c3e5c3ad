"""`signmag plan` and `signmag protect` from the command line: no option is dropped on the way."""

import dataclasses
import inspect
import json

import pytest
from texts import write_words

from signmag_jax.cli import derive, measure, run
from signmag_jax.cli.plan import plan
from signmag_jax.cli.plan_file import saved as planned
from signmag_jax.cli.protect import protect
from signmag_jax.cli.protection_files import saved as protected
from signmag_jax.cli.reading import ReadingOptions

SHOWN = {"device", "distributed", "dry_run", "plot", "parquet", "json", "quiet"}


@pytest.mark.parametrize(("verb", "function"), [(plan, planned), (protect, protected)])
def test_every_option_reaches_the_measurement(verb, function):
    taken = {option.name for option in derive.options(function, leave=measure.FILLED)}
    read = {each.name for each in dataclasses.fields(ReadingOptions)}
    assert set(inspect.signature(verb).parameters) <= taken | read | SHOWN
    assert taken | read <= set(inspect.signature(verb).parameters)


@pytest.mark.slow
def test_a_plan_of_some_matrices_resumes(tmp_path, monkeypatch, capsys, hub_folder):
    monkeypatch.chdir(tmp_path)
    text = write_words(tmp_path / "text.txt")
    typed = ["plan", "--model", str(hub_folder), "--text", str(text), "--window", "16", "--calibration", "2"]
    typed += ["--layers", "1", "--matrices", "up_proj", "--seed", "3", "--resume", "records", "--json"]
    assert run(typed) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [(each["layer"], each["matrix"]) for each in printed["matrices"]] == [(1, "up_proj")]
    assert printed["provenance"]["seed"] == 3
    assert printed["provenance"]["family"] == "llama"
    assert printed == json.loads((tmp_path / "signmag-plan/plan.json").read_text())
    records = {path: path.stat().st_mtime_ns for path in (tmp_path / "records").glob("record-*.json")}
    assert records
    assert run(typed) == 0
    assert json.loads(capsys.readouterr().out) == printed
    assert {path: path.stat().st_mtime_ns for path in records} == records
