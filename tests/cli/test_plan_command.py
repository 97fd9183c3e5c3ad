"""`signmag plan` and `signmag protect` from the command line: every argument is an option that is heeded."""

import importlib
import inspect
import json

import pytest
from test_cli import call, options_in
from texts import write_words

from signmag_jax import measure
from signmag_jax.cli import derive, run
from signmag_jax.measure import Options

READING = {"model", "revision", "file", "text", "window", "windows", "calibration", "dtype", "mesh"}
OUTPUT = {"device", "distributed", "dry-run", "plot", "parquet", "json", "quiet", "out", "help"}


@pytest.mark.parametrize("verb", ["plan", "protect"])
def test_options_are_the_arguments_of_the_function(capsys, verb):
    code, out, err = call(capsys, verb, "--help")
    assert (code, err) == (0, "")
    taken = set(inspect.signature(getattr(measure, verb)).parameters) | set(Options.__annotations__)
    taken -= {"model", "calibration", "evaluation", "options", "source"}
    listed = options_in(out)
    assert len(listed) == len(set(listed))
    assert set(listed) == taken | READING | OUTPUT


@pytest.mark.parametrize("verb", ["plan", "protect"])
def test_the_list_of_verbs_says_what_the_verb_says(capsys, verb):
    function = getattr(importlib.import_module(f"signmag_jax.cli.{verb}"), verb)
    summary = derive.summary_of(function)
    assert summary in " ".join(call(capsys, verb, "--help")[1].split())
    line = next(line for line in call(capsys, "--help")[1].splitlines() if line.startswith(f"  {verb} "))
    assert summary.startswith(line.removeprefix(f"  {verb} ").strip().removesuffix("..."))


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
