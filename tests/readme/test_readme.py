"""The README says what the commands print."""

import json
import os
import re
from pathlib import Path

import pytest

from signmag_jax.cli import run
from signmag_jax.report.numbers import evidence

CHECKOUT = Path(__file__).parents[2]
README = (CHECKOUT / "README.md").read_text()
VERBS = sorted(set(re.findall(r"`signmag (\w+)", README)))
ROUTES = ("published", "predicted", "simulated", "measured")
# The excerpt of the ledger: the row's name, its cells, whose claim it is, its verdict.
TABLE = [
    (name, dict(zip(ROUTES, cells, strict=True)), {"claimant": whose, "verdict": verdict})
    for name, line in re.findall(r"^\| `([\w.=]+)` \| (.*) \|$", README, flags=re.MULTILINE)
    for whose, *cells, verdict in [line.split(" | ")]
]


def test_it_is_short_and_there_is_something_to_check():
    assert README.count("\n") <= 150
    assert len(TABLE) == 5
    assert len(VERBS) >= 8


@pytest.mark.parametrize("command", VERBS)
def test_verbs_of_the_readme_exist(capsys, command):
    assert run([command, "--help"]) == 0
    capsys.readouterr()


def counts():
    """The README's count of verdicts, below the table."""
    line = re.search(r"^In all: (.*)\.$", README, flags=re.MULTILINE).group(1)
    return {word: int(count) for word, count in re.findall(r"([^,]+?) (\d+)(?:, |$)", line)}


def stale(ledger):
    """What the README shows otherwise than the ledger of a run.

    The run draws what the README's run drew: other processors may round differently, which moves a sampled
    number by far less than its standard error.
    """
    rows = {row["name"]: row for row in ledger["rows"]}
    for name, cells, words in TABLE:
        row = rows.get(name, {})
        if {key: row.get(key) for key in words} != words:
            yield f"{name}: {words}"
            continue
        yield from (f"{name}: {cells[route]}" for route in ROUTES if not shows(cells[route], row[route]))
    if ledger["summary"] != counts():
        yield "In all"


def shows(cell, found):
    """Whether a cell shows a route's result: its text, or a number within a fifth of its standard error."""
    if cell == evidence(found):
        return True
    number = re.match(r"-?[\d.]+", cell)
    if number is None or found is None or found.get("standard_error", 0) == 0:
        return False
    return abs(float(number.group()) - found["value"]) <= 0.2 * found["standard_error"]


def ledger_of_a_run():
    """The ledger that SIGNMAG_LEDGER names, or that of a run of the default level in this checkout."""
    named = os.environ.get("SIGNMAG_LEDGER")
    path = CHECKOUT / (named or "signmag-run") / "ledger.json"
    if not named and not path.exists():
        pytest.skip("needs a run of the README's main command")
    ledger = json.loads(path.read_text())
    default = ledger["level"]["name"] == "default" and ledger["provenance"]["seed"] == 0
    if not named and not (default and ledger["provenance"]["model"]["source"]["kind"] == "embedded"):
        pytest.skip("signmag-run holds another run than that of the README's main command")
    return ledger


def test_the_table_is_that_of_a_run():
    assert list(stale(ledger_of_a_run())) == []


def read(cell):
    """What `evidence` wrote."""
    if cell == "–":
        return None
    if not (number := re.fullmatch(r"(-?\d+)\.?(\d*)(?:\((?:(\d+\.\d+)|(\d+))\))?", cell)):
        return {"status": cell, "estimate": None}
    whole, decimals, error, last_digits = number.groups()
    error = float(error or int(last_digits or 0) / 10 ** len(decimals))
    number = {"value": float(f"{whole}.{decimals or 0}"), "standard_error": error}
    return number if error else number | {"provenance": {"printed_decimals": len(decimals)}}


@pytest.fixture
def shown_ledger():
    """The ledger that the README shows."""
    rows = [
        {"name": name} | words | {route: read(cell) for route, cell in cells.items()}
        for name, cells, words in TABLE
    ]
    return {"rows": rows, "summary": counts()}


def test_a_stale_table_is_noticed(shown_ledger):
    """Control: each cell, verdict, count and row that changed in the ledger is reported, and nothing else."""
    assert list(stale(shown_ledger)) == []
    for row in shown_ledger["rows"]:
        for key in ("verdict", "claimant", *ROUTES):
            with pytest.MonkeyPatch.context() as patch:
                patch.setitem(row, key, changed(row[key]))
                (only,) = stale(shown_ledger)
            assert only.startswith(f"{row['name']}: "), key
    shown_ledger["summary"]["PROVED"] += 1
    del shown_ledger["rows"][0]
    assert len(list(stale(shown_ledger))) == 2


def changed(content):
    """Another verdict or result; a number half a standard error away, or one unit of its last decimal."""
    if content is None or isinstance(content, str) or "status" in content:
        return {"value": 0.125, "standard_error": 0.0}
    unit = 0.5 * content["standard_error"] or 10.0 ** -content["provenance"]["printed_decimals"]
    return content | {"value": content["value"] + unit}
