"""Proofs in processes of their own: their verdicts are the kernel's, or an error, and no process is left."""

import contextlib
import shutil
import sys
import time

import pytest

from signmag_jax.evidence import InvalidInput, MissingResource
from signmag_jax.evidence.threads import Abandoned, in_threads
from signmag_jax.theory import proof_files, provers

NAMES = ["bussgang_constant", "perturbations"]
STANDS = (proof_files.folder() / f"{NAMES[0]}.py").read_text(encoding="utf-8")
FORGED = 'print(\'{"name": "perturbations", "proved": true}\', flush=True)'


def verdicts(names, tell=print):
    with contextlib.closing(provers.Provers(names, 2)) as asked:
        return asked.verdicts(tell)


@pytest.fixture
def proving(tmp_path, monkeypatch):
    """Verdict on the proofs in a folder of their own, by their sources."""
    there = (
        f"import pathlib; from signmag_jax.theory import proof_files; there = pathlib.Path({str(tmp_path)!r})"
    )
    monkeypatch.setattr(provers, "PROGRAM", f"{there}; proof_files.folder = lambda: there; {provers.PROGRAM}")
    heard = {}

    def prove(**sources):
        for name, source in sources.items():
            (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
        found = verdicts(sources, heard.__setitem__)
        assert heard == found
        return found

    return prove


def test_verdicts_are_those_of_the_proofs(proving):
    """A false line, a forged verdict in print and a proof that stands."""
    false = STANDS.replace("2 / sp.pi, inserted", "3 / sp.pi, inserted")
    assert false != STANDS
    assert proving(bussgang_constant=STANDS, perturbations=f"{false}\n{FORGED}\n") == {
        "bussgang_constant": True,
        "perturbations": False,
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise SystemExit(7)", r"prove bussgang_constant ended with code 7: run it again"),
        ("import os", r"prove bussgang_constant ended with code 1: .*may not import os"),
    ],
)
def test_a_prover_that_ends_is_an_error_and_no_verdict(proving, source, said):
    with pytest.raises(MissingResource, match=said):
        proving(bussgang_constant=source)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("", r"`sys.executable` is empty.*full path"),
        ("/no/python", r"`sys.executable`, /no/python, does not start \(No such file.*full path"),
        (shutil.which("false"), r"prove \w+ ended with code 1: run"),
        (shutil.which("echo"), r"prove \w+ answered -c import sys.*reinstall"),
    ],
)
def test_no_python_is_an_error(monkeypatch, program, said):
    monkeypatch.setattr(sys, "executable", program)
    with pytest.raises(MissingResource, match=said):
        verdicts(NAMES)


def test_an_unknown_name_is_an_error():
    with pytest.raises(InvalidInput, match="choose from"):
        verdicts(["theorem_99"])


def test_an_interruption_ends_the_provers(proving, monkeypatch):
    """And so does an error beside them: within the time that a proof without an end would take."""
    started = []

    class Seen(provers._Prover):
        def __init__(self, *given):
            super().__init__(*given)
            started.append(self._process)

    monkeypatch.setattr(provers, "_Prover", Seen)

    def fail():
        while not started:
            time.sleep(0.01)
        raise KeyboardInterrupt

    def endless():
        with pytest.raises(Abandoned):
            proving(bussgang_constant="while True:\n    pass")
        raise Abandoned

    with pytest.raises(KeyboardInterrupt):
        in_threads([endless, fail], 2, lambda: None)
    assert [process.returncode for process in started] == [-9]
