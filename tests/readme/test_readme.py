"""The README says what the commands print."""

import json
import os
import re
import shlex
from pathlib import Path

import pytest

from signmag_jax.cli import run
from signmag_jax.report.numbers import evidence

README = (Path(__file__).parents[2] / "README.md").read_text()
SESSIONS = re.findall(r"```console\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [
    (command, output.strip())
    for session in SESSIONS
    for command, output in re.findall(
        r"^\$ signmag (.*?)\n(.*?)(?=^\$ |\Z)", session, flags=re.MULTILINE | re.DOTALL
    )
]


def test_there_is_something_to_check():
    assert len(COMMANDS) >= 3


@pytest.mark.parametrize(("command", "output"), COMMANDS)
def test_commands_print_what_the_readme_shows(capsys, command, output):
    assert run(shlex.split(command)) == 0
    assert capsys.readouterr().out.strip() == output


@pytest.mark.parametrize("command", re.findall(r"^\| `signmag (\w+)", README, flags=re.MULTILINE))
def test_verbs_of_the_readme_exist(capsys, command):
    assert run([command, "--help"]) == 0
    capsys.readouterr()


@pytest.mark.skipif("SIGNMAG_LEDGER" not in os.environ, reason="needs a run folder of the default level")
def test_the_table_is_that_of_a_run():
    """Rows of the README against a ledger: exact cells equal, sampled ones within five standard errors."""
    path = Path(os.environ["SIGNMAG_LEDGER"]) / "ledger.json"
    rows = {row["name"]: row for row in json.loads(path.read_text())["rows"]}
    shown = re.findall(r"^\| `([\w.=]+)` \|(.*)\|$", README, flags=re.MULTILINE)
    assert len(shown) > 20
    for name, rest in shown:
        *cells, verdict = (cell.strip() for cell in rest.split("|"))
        assert verdict == rows[name]["verdict"], name
        for route, cell in zip(("published", "predicted", "simulated", "measured"), cells, strict=True):
            found = rows[name][route]
            if found is None or "status" in found:
                assert cell == evidence(found), (name, route)
                continue
            value = float(re.match(r"-?[\d.]+", cell).group())
            slack = 5 * 2**0.5 * found["standard_error"] + 1e-6 * abs(found["value"])
            assert abs(value - found["value"]) <= slack, (name, route)
