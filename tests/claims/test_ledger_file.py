"""A saved ledger: what was written is read again, a damaged file is refused before anything is made of it."""

import copy
import json

import pytest

from signmag_jax.claims import ledger as ledgers
from signmag_jax.claims.claim import Claim, Missing, simulated_law
from signmag_jax.cli import run
from signmag_jax.evidence import Estimate, InvalidInput

ABSENT = object()
NO_ORIGIN = {"versions": {}, "device": {}, "threads": 2, "seed": 0, "text": {}}
POINTS = {"rate": [0.01, 0.1], "value": [2.6, 2.3], "standard_error": [0.01, 0.02]}


def number(value, error=0.0):
    return lambda: Estimate(value, error, 64 if error else 0, "1", "test", {"a": 1})


@pytest.fixture(scope="session")
def whole():
    """A ledger with a row of every kind of cell, and pictures."""
    rival = (lambda: 2.668, "infinite width")
    rows = [
        simulated_law("a.law", "A statement.", number(2.5), number(2.5, 0.01), rival, source="test"),
        Claim("a.gap", "open", "9.5", "Another.", {"measured": lambda: Missing("NOT RUN", "no model")}),
    ]
    plain = {"width": 8, "depth": [1, 2], "predicted": [2.0, 1.9]}
    depth = {"depth": [1, 2], "value": [2.0, 1.9], "standard_error": [0.1, 0.1]}
    ledger = ledgers.assemble(
        ledgers.fill(rows, {}),
        level={"name": "tiny"},
        provenance={**NO_ORIGIN, "model": {"name": "a model"}},
        pictures={
            "transverse_ratio": {
                **{"rate": [0.01, 0.1], "exact": [2.6, 2.3], "paper_formula": [2.6, 2.1], "limit": 2.75},
                **{"published": POINTS, "simulated": {"width 64": POINTS}},
            },
            "depth": {"plain": {**plain, "published": depth, "simulated": depth}},
            "geometry": {
                "rate": 0.01,
                "flip": {"radial": -0.1, "transverse": 0.2},
                "shift": {"radial": 0.2, "transverse": 0.1},
            },
            "column_slopes": {"attention_in": [[0.0, 1.0], [0.5, 2.0]]},
            "damage": {"model": "a model", "arms": {"rest": {**POINTS, "predicted": None}}},
            "leverage": None,
        },
        comparisons=1,
    )
    return json.loads(json.dumps(ledger))


def changed(value, path, new):
    value = copy.deepcopy(value)
    *way, last = path
    inner = value
    for name in way:
        inner = inner[name]
    if new is ABSENT:
        del inner[last]
    else:
        inner[last] = new
    return value


def test_what_was_written_is_read_again(whole, tmp_path):
    ledgers.save(whole, tmp_path)
    assert ledgers.read(tmp_path) == ledgers.read(tmp_path / "ledger.json") == whole


DAMAGED = {
    "rule": ("rule", "family_level"),
    "row": ("rows", 0, "verdict"),
    "cell": ("rows", 0, "predicted", "value"),
    "model": ("provenance", "model"),
    "figure": ("figures", "depth", "plain", "predicted"),
    "points": ("figures", "transverse_ratio", "published", "rate"),
}
WRONG = [ABSENT, None, float("nan"), float("inf"), "x", {}, 10**400]


def refused(folder, capsys, text):
    """Report and diff refuse the file in one line and write nothing."""
    (folder / "damaged").mkdir()
    (folder / "damaged" / "ledger.json").write_text(text)
    for verb in (["report", "damaged"], ["diff", "damaged", "sound"], ["diff", "sound", "damaged"]):
        assert run(verb) == 2, verb
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1), verb
        assert "damaged/ledger.json" in err
    assert [path.name for path in (folder / "damaged").iterdir()] == ["ledger.json"]


@pytest.fixture
def folder(whole, tmp_path, monkeypatch):
    ledgers.save(whole, tmp_path / "sound")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("place", DAMAGED)
def test_a_damaged_ledger_is_refused(whole, folder, place):
    for wrong in WRONG:
        (folder / "ledger.json").write_text(json.dumps(changed(whole, DAMAGED[place], wrong)))
        with pytest.raises(InvalidInput, match=r"damaged ledger|not a readable ledger"):
            ledgers.read(folder)


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: str(wrong)[:6])
def test_a_damaged_ledger_is_one_line(whole, folder, capsys, wrong):
    refused(folder, capsys, json.dumps(changed(whole, DAMAGED["cell"], wrong)))


def test_parts_that_do_not_fit_together_are_one_line(whole, folder, capsys):
    for path, new, why in (
        (("rows", 0, "predicted", "value"), [1.0, 2.0], "value.shape == standard_error.shape"),
        (("rows", 0, "predicted", "standard_error"), -1.0, "standard_error >= 0"),
        (("figures", "transverse_ratio", "exact"), [1.0], "differ in length"),
        (("figures", "column_slopes", "attention_in"), [[1.0], [1.0, 2.0]], "differ in length"),
        (("rows", 1), whole["rows"][0], "stands in it twice"),
        (("schema",), True, "not a ledger of schema 3"),
        (("schema",), 1, "not a ledger of schema 3"),
    ):
        (folder / "ledger.json").write_text(json.dumps(changed(whole, path, new)))
        with pytest.raises(InvalidInput, match=why):
            ledgers.read(folder)


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", "{", "[" * 100_000, '{"schema": 1}', "\x00"])
def test_what_is_no_ledger_is_one_line(folder, capsys, text):
    refused(folder, capsys, text)


def test_devices_and_impossible_paths_are_one_line(folder, capsys):
    for path in ("/dev/zero", "a" * 5000, "~no-such-user/run"):
        assert run(["report", path]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
