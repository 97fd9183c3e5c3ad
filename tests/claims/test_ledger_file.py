"""A saved ledger: what was written is read again, a damaged file is refused before anything is made of it."""

import copy
import json
from itertools import cycle, islice

import jsonschema
import numpy as np
import pytest

from signmag_jax.claims import ledger as ledgers
from signmag_jax.claims import pictures, shape
from signmag_jax.claims.measured import Measured, not_run
from signmag_jax.cli import run
from signmag_jax.evidence import Estimate, InvalidInput

ABSENT = object()


class Simulated(dict):
    """The same estimate under every name: these tests look at the file, not at the numbers."""

    def get(self, name, default=None):
        return Estimate(2.5, 0.01, 64, "1", "test", {"a": 1})


@pytest.fixture(scope="session")
def whole(tiny_level):
    """A ledger with a few rows of every kind of cell, and every picture."""
    from signmag_jax.claims.run import declare

    measured = Measured(
        "a model",
        {
            "leverage.pool_law": Estimate(14.8, 0.1, 8, "1", "test", {"a": 1}),
            "leverage.0.005": Estimate(20.0, 3.0, 8, "1", "test", {"a": 1}),
        },
        alpha={"attention_in": {"median": [0.1, 0.2], "max": [0.3, 0.4]}},
        columns={"attention_in": [[0.0, 1.0], [0.5, 2.0]]},
    )
    claims = declare(tiny_level, Simulated(), not_run("no model in this test"))
    kept = [claim for claim in claims if claim.name.endswith(("p=0.01", "limit", "energy", "rate=0.005"))]
    provenance = {key: {} for key in ("versions", "device", "threads", "seed", "text")}
    return json.loads(
        json.dumps(
            ledgers.assemble(
                ledgers.fill(kept, {"theorem_3": True, "arccos_kernel": True, "proposition_1": True}),
                level=tiny_level.to_json(),
                provenance={**provenance, "model": {"name": "a model"}},
                figures=pictures.series(tiny_level, Simulated(), measured),
                comparisons=9,
            )
        )
    )


def places(value, path=()):
    """Every place in a JSON value; of an array's items the first two stand for all."""
    yield path
    inner = (
        value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    )
    for name, item in inner:
        yield from places(item, (*path, name))


def shortened(value):
    """The first two items of every array: what stands for all is also all that is checked again and again."""
    if isinstance(value, dict):
        return {name: shortened(item) for name, item in value.items()}
    return [shortened(item) for item in value[:2]] if isinstance(value, list) else value


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


def kinds(value):
    """One place for each kind of place: rows and points alike differ in nothing that a schema sees."""
    found = {}
    for path in places(value):
        found.setdefault(tuple("#" if isinstance(name, int) else name for name in path), path)
    return [path for path in found.values() if path]


def test_what_was_written_is_read_again(whole, tmp_path):
    ledgers.save(whole, tmp_path)
    assert ledgers.read(tmp_path) == ledgers.read(tmp_path / "ledger.json") == whole
    assert all(whole["figures"].values())


def test_the_checker_agrees_with_jsonschema_on_changes_of_every_place(whole):
    schema, verdicts = ledgers.schema(), []
    reference = jsonschema.Draft202012Validator(schema)
    assert shape.fault(whole, schema) is None
    short = shortened(whole)
    assert reference.is_valid(short)
    values = cycle((ABSENT, None, True, -1, 0, 1.5, "x", [], ["x"], {}, [[-1]]))
    for path in kinds(short):
        for new in islice(values, 3):
            broken = changed(short, path, new)
            sound = reference.is_valid(broken)
            assert (shape.fault(broken, schema) is None) == sound, (path, new)
            verdicts.append(sound)
    # Both answers are common, or the agreement would mean nothing.
    assert 0.05 < np.mean(verdicts) < 0.95


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


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: str(wrong)[:6])
@pytest.mark.parametrize("place", DAMAGED)
def test_a_damaged_ledger_is_one_line(whole, folder, capsys, place, wrong):
    refused(folder, capsys, json.dumps(changed(whole, DAMAGED[place], wrong)))


def test_parts_that_do_not_fit_together_are_one_line(whole, folder, capsys):
    for path, new, why in (
        (("rows", 0, "predicted", "value"), [1.0, 2.0], "value.shape == standard_error.shape"),
        (("rows", 0, "predicted", "standard_error"), -1.0, "standard_error >= 0"),
        (("figures", "transverse_ratio", "exact"), [1.0], "differ in length"),
        (("figures", "columns", "attention_in"), [[1.0], [1.0, 2.0]], "differ in length"),
        (("rows", 1), whole["rows"][0], "stands in it twice"),
        (("schema",), True, "not a ledger of schema 1"),
        (("schema",), 2, "not a ledger of schema 1"),
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
