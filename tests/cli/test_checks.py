"""Every option is judged before a file is read, a model opened or anything computed."""

import jax
import pytest

from signmag_jax import models
from signmag_jax.cli import run

LARGE = str(2**63)
# Fewer windows than a text has, so that nothing but the option in question is wrong.
TINY = ("--model", "tiny", "--text", "text.txt", "--window", "16")

MISTAKES = {
    "leverage, rate nan": (["measure", "leverage", *TINY, "--rates", "nan"], "0 < rate <= 1"),
    "leverage, rate inf": (["measure", "leverage", *TINY, "--rates", "inf"], "0 < rate <= 1"),
    "leverage, rate 0": (["measure", "leverage", *TINY, "--rates", "0"], "0 < rate <= 1"),
    "all columns, rate 1.7": (["measure", "all-columns", *TINY, "--rates", "1.7"], "0 < rate <= 1"),
    "rates no numbers": (
        ["measure", "leverage", *TINY, "--rates", "abc"],
        "'--rates': it takes numbers separated by commas",
    ),
    "rates empty": (
        ["measure", "leverage", *TINY, "--rates", ""],
        "'--rates': it takes numbers separated by commas",
    ),
    "rates with a gap": (
        ["measure", "leverage", *TINY, "--rates", "0.1,,0.2"],
        "'--rates': it takes numbers separated by commas",
    ),
    "rates twice": (["measure", "leverage", *TINY, "--rates", "0.1,0.1"], "distinct rates"),
    "one mask": (["measure", "leverage", *TINY, "--draws", "1"], "draws >= 2"),
    "no mask": (["measure", "all-columns", *TINY, "--draws", "0"], "draws >= 2"),
    "draws and rates": (["measure", "leverage", *TINY, "--draws", "2,3"], "one number or 3"),
    "draws no numbers": (
        ["measure", "leverage", *TINY, "--draws", "2.5"],
        "'--draws': it takes whole numbers",
    ),
    "negative layer": (["measure", "leverage", *TINY, "--layers", "-1"], "layers >= 0"),
    "layer twice": (["measure", "quantization", *TINY, "--layers", "1,1"], "distinct layers"),
    "unknown matrix": (["measure", "leverage", *TINY, "--matrices", "w"], "matrices in"),
    "matrix twice": (["measure", "leverage", *TINY, "--matrices", "q_proj,q_proj"], "distinct matrices"),
    "one calibration window": (["measure", "leverage", *TINY, "--calibration", "1"], "--calibration >= 2"),
    "no calibration window": (["measure", "leverage", *TINY, "--calibration", "0"], "--calibration >= 2"),
    "few windows": (["measure", "leverage", *TINY, "--windows", "7"], "--windows >= 8"),
    "one window, spread": (["measure", "alpha", *TINY, "--windows", "1"], "--windows >= 2"),
    "one window, cosines": (["measure", "quantization", *TINY, "--windows", "1"], "--windows >= 2"),
    "no window": (["measure", "nll", *TINY, "--windows", "0"], "--windows >= 1"),
    "short window": (["measure", "nll", *TINY[:4], "--window", "1"], "--window >= 2"),
    "dtype": (["measure", "nll", *TINY, "--dtype", "int8"], "dtype in"),
    "seed below 0": (["measure", "nll", *TINY, "--seed", "-1"], "--seed"),
    "seed too large": (["measure", "leverage", *TINY, "--seed", LARGE], "--seed"),
    "picture without one": (["measure", "nll", *TINY, "--plot", "x.svg"], "does not take --plot"),
    "picture below a file": (["measure", "alpha", *TINY, "--plot", "text.txt/x.svg"], "lies on a file"),
    "picture on a folder": (["measure", "alpha", *TINY, "--plot", "folder.svg"], "is a folder"),
    "records on a file": (["measure", "leverage", *TINY, "--resume", "text.txt"], "lies on a file"),
    "records nowhere": (["measure", "leverage", *TINY, "--resume", ""], "it is empty"),
    "model nowhere": (["measure", "nll", "--model", ""], "it is empty"),
    "text nowhere": (["measure", "nll", "--text", ""], "it is empty"),
    "device": (["measure", "nll", *TINY, "--device", "abacus"], "abacus"),
    "run dtype": (["reproduce", "--dtype", "int8"], "dtype in"),
    "run on a file": (["reproduce", "--out", "text.txt"], "lies on a file"),
    "run nowhere": (["reproduce", "--out", ""], "it is empty"),
    "run over a folder": (["reproduce", "--out", "odd"], "holds a folder named ledger.json"),
    "run records on a file": (["reproduce", "--resume", "text.txt/x"], "lies on a file"),
    "text without a model": (["reproduce", "--model", "none", "--text", "text.txt"], "--model none"),
    "run seed": (["reproduce", "--seed", LARGE], "--seed"),
    "dry run dtype": (["reproduce", "--dry-run", "--dtype", "int8"], "dtype in"),
    "dry run on a file": (["reproduce", "--dry-run", "--out", "text.txt/x"], "lies on a file"),
    "dry rate": (["simulate", "block", "--dry-run", "--rate", "nan"], "0 < rate <= 0.5"),
    "dry networks": (["simulate", "block", "--dry-run", "--networks", "0"], "networks is an integer >= 2"),
    "dry target": (["simulate", "block", "--dry-run", "--standard-error", "nan"], "0 < standard_error"),
    "dry activation": (
        ["simulate", "block", "--dry-run", "--activation", "x"],
        "'--activation': it takes relu or",
    ),
    "dry inputs": (["simulate", "block", "--dry-run", "--inputs", "-1"], "inputs is an integer >= 1"),
    "dry dtype": (
        ["simulate", "block", "--dry-run", "--dtype", "int8"],
        "'--dtype': it takes float32 or float64",
    ),
    "dry seconds": (["simulate", "depth", "--dry-run", "--seconds", "0"], "0 < seconds"),
    "dry records": (["simulate", "block", "--dry-run", "--resume", "text.txt"], "lies on a file"),
    "dry picture": (["simulate", "block", "--dry-run", "--plot", "x.gif"], ".svg"),
    "absurd width": (["simulate", "block", "--width", "99999999999"], "width <= "),
    "absurd depth": (["simulate", "depth", "--depth", "99999999999"], "depth <= "),
    "simulated picture": (["simulate", "block", "--plot", "text.txt/x.svg"], "lies on a file"),
    "no experiment": (["simulate", "--width", "8"], "options stand after the name"),
}


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder in which a model and a text seem to lie, and a program that may touch neither."""
    (tmp_path / "text.txt").write_text("abc " * 500)
    (tmp_path / "tiny").mkdir()
    (tmp_path / "folder.svg").mkdir()
    (tmp_path / "odd" / "ledger.json").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("mistake", MISTAKES)
def test_nothing_is_touched_before_the_options_are_judged(workplace, monkeypatch, capsys, mistake):
    def touched(*_, **__):
        raise AssertionError("work began before the options were judged")

    for room, name in ((models.text, "load"), (models.load.__globals__, "resolve"), (jax, "device_get")):
        if isinstance(room, dict):
            monkeypatch.setitem(room, name, touched)
        else:
            monkeypatch.setattr(room, name, touched)
    before = sorted(workplace.rglob("*"))
    arguments, hint = MISTAKES[mistake]
    code = run(arguments)
    out, err = capsys.readouterr()
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("signmag: ")
    assert hint in err
    assert sorted(workplace.rglob("*")) == before


NEEDS_THE_CONFIG = {
    "layer": (["measure", "leverage", "--layers", "0,9"], "layers in 0..2"),
    "context": (["measure", "nll", "--window", "65"], "window <= 64 tokens"),
    "length": (["measure", "nll", "--windows", "9999"], "text of at least"),
    "dry context": (["measure", "nll", "--window", "65", "--dry-run"], "window <= 64 tokens"),
    "run context": (["reproduce", "--out", "run"], "window <= 64 tokens"),
    "dry run context": (["reproduce", "--out", "run", "--dry-run"], "window <= 64 tokens"),
}


@pytest.mark.parametrize("case", NEEDS_THE_CONFIG)
def test_what_the_config_decides_is_judged_before_the_weights(
    workplace, monkeypatch, capsys, hub_folder, case
):
    monkeypatch.setattr(models.Checkpoint, "load", lambda *_: pytest.fail("the weights were read"))
    arguments, hint = NEEDS_THE_CONFIG[case]
    window = [] if {"--window", "reproduce"} & set(arguments) else ["--window", "16"]
    code = run([*arguments, *window, "--model", str(hub_folder), "--text", "text.txt"])
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert hint in err
    assert not (workplace / "run").exists()


def test_a_dry_run_fetches_nothing_and_leaves_standard_input_alone(workplace, monkeypatch, capsys):
    monkeypatch.setitem(models.load.__globals__, "resolve", lambda *_: pytest.fail("looked for a model"))
    monkeypatch.setattr("sys.stdin", None)
    for model in ([], ["--model", "someone/model"]):
        assert run(["measure", "nll", *model, "--text", "-", "--dry-run", "--json"]) == 0
    assert capsys.readouterr().err == ""


def test_an_undefined_network_ends_a_resumable_run_by_name(workplace, capsys):
    # Eight inputs at p = 0.01: most networks flip nothing, and JSON has no NaN for their ratio.
    arguments = ["simulate", "block", "--width", "8", "--networks", "2", "--resume", "records"]
    assert run(arguments) == run(arguments) == 3
    err = capsys.readouterr().err
    assert err.count("no finite ratio") == err.count("\n") == 2
