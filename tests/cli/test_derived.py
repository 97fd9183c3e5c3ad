"""Sub-commands and options as they follow from the functions that are called."""

import inspect
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from test_cli import call, options_in

from signmag_jax import simulate, theory
from signmag_jax.cli import derive, measure
from signmag_jax.cli.law_arguments import flags
from signmag_jax.cli.shared import flag
from signmag_jax.evidence import Result
from signmag_jax.measure import Options
from signmag_jax.measure.measurement import Measurement
from signmag_jax.measure.registry import MEASUREMENTS
from signmag_jax.perturb import SignFlip

if TYPE_CHECKING:
    from signmag_jax.perturb import Perturbation

GROUPS = {"law": theory.LAWS, "simulate": simulate.EXPERIMENTS, "measure": MEASUREMENTS}
EVERY = [(verb, name) for verb, names in GROUPS.items() for name in names]
OUTPUT = {"json", "seed", "quiet", "plot"}
READS = {
    "model",
    "revision",
    "file",
    "text",
    "window",
    "windows",
    "dtype",
    "mesh",
    "device",
    "distributed",
    "dry-run",
}


@dataclass(frozen=True)
class Found(Result):
    """What the measurement below was given."""

    given: Mapping[str, Any]


def dummy(
    model: Any,
    tokens: Any,
    *,
    rates: Sequence[float] = (0.1, 0.2),
    draws: int | Sequence[int] = 3,
    kind: Literal["a", "b", 4] = "a",
    scales: Sequence[str | int] = ("row",),
    perturbation: "Perturbation" = SignFlip(0.01),  # noqa: B008
    strict: bool = True,
    loose: bool = False,
    where: Path | None = None,
    profile: "Profile | None" = None,
    source: Mapping[str, Any] | None = None,
) -> Found:
    """Measure nothing.

    Args:
      rates: parts of the pool,
        in (0, 1].
      draws, kind: what each is.
    """
    return Found({"rates": rates})


@pytest.fixture
def measurement(monkeypatch):
    def named(function):
        # What is parsed is seen by the check, before any model is opened.
        seen = {}
        check = derive.with_parameters(
            lambda **options: seen.update(options), list(inspect.signature(function).parameters.values())
        )
        found = Measurement(function, lambda **_: 1, check=check)
        monkeypatch.setattr(measure, "_measurements", lambda: {"dummy": found})
        return seen

    return named


def test_a_keyword_argument_of_a_measurement_is_an_option(capsys, measurement):
    measurement(dummy)
    code, out, _ = call(capsys, "measure", "dummy", "--help")
    assert code == 0
    own = {"rates", "draws", "kind", "scales", "perturbation", "strict", "loose", "where"}
    # No picture and no table; an argument that nobody can type is left out.
    assert set(options_in(out)) == own | (OUTPUT - {"plot"}) | READS | {"help"}
    text = " ".join(out.split())
    assert "--rates NUMBER,… Parts of the pool, in (0, 1]. [default: 0.1,0.2]" in text
    assert "--draws INTEGER[,…] What each is. [default: 3]" in text
    assert "--kind a|b|4 What each is. [default: a]" in text
    assert "[default: flip:0.01]" in text
    assert "--strict / --no-strict [default: on]" in text

    def wider(model: Any, tokens: Any, *, novel: float = 2.5, source: Any = None) -> Found:
        """Measure more.

        Args:
          novel: a new argument, in nats.
        """
        return Found({})

    measurement(wider)
    _, out, _ = call(capsys, "measure", "dummy", "--help")
    assert "--novel NUMBER A new argument, in nats. [default: 2.5]" in " ".join(out.split())


def test_what_is_typed_reaches_the_function_with_its_type(capsys, measurement):
    seen = measurement(dummy)
    typed = (
        "--rates .5 --draws 2,3 --kind 4 --scales row,32 --perturbation sign --no-strict --loose --where a/b"
    )
    assert call(capsys, "measure", "dummy", "--dry-run", *typed.split())[0] == 0
    assert seen["rates"] == (0.5,)
    assert (seen["draws"], seen["kind"], seen["scales"]) == ([2, 3], 4, ("row", 32))
    assert (type(seen["perturbation"]).__name__, seen["where"]) == ("SignQuantize", Path("a/b"))
    assert (seen["strict"], seen["loose"]) == (False, True)
    call(capsys, "measure", "dummy", "--dry-run", "--draws", "2")
    assert (seen["draws"], seen["kind"], seen["strict"]) == (2, "a", True)
    again = "--rates .5,.25 --rates .1 --draws 2 --draws 3 --scales row --scales 32 --kind a --kind b"
    assert call(capsys, "measure", "dummy", "--dry-run", *again.split())[0] == 0
    # What takes a list takes it in pieces; of anything else the last one counts.
    assert (seen["rates"], seen["draws"], seen["scales"]) == ((0.5, 0.25, 0.1), [2, 3], ("row", 32))
    assert seen["kind"] == "b"
    code, _, err = call(capsys, "measure", "dummy", "--kind", "c")
    assert (code, err.count("\n")) == (2, 1)
    assert "it takes a or b or 4, not 'c'" in err


@pytest.mark.parametrize("verb", GROUPS)
def test_a_verb_alone_lists_its_names(capsys, verb):
    code, out, err = call(capsys, verb)
    assert (code, err) == (0, "")
    lines = dict(line.split(": ", 1) for line in out.splitlines())
    assert list(lines) == list(GROUPS[verb])
    assert all(lines.values())
    code, out, _ = call(capsys, verb, "--json")
    plain = json.loads(out)
    assert [one["name"] if verb == "law" else one for one in plain] == list(GROUPS[verb])
    assert call(capsys, verb, "--json", next(iter(GROUPS[verb])))[0] == 2


def own_options(verb, name):
    """The options that a function has, by its signature alone."""
    if verb == "law":
        law = theory.LAWS[name]
        shown = {max(flags(each), key=len)[2:] for each in law.arguments}
        return shown | OUTPUT | {"digits"} | ({"range"} if "rate" in law.arguments else set())
    if verb == "simulate":
        taken = {"perturbation" if one == "perturbations" else one for one in GROUPS[verb][name].arguments}
        left = taken - {"mesh"} | OUTPUT | {"device", "distributed", "dry_run"}
        return {flag(one)[2:] for one in left}
    parameters = inspect.signature(MEASUREMENTS[name].function).parameters
    taken = [*parameters, *(Options.__annotations__ if "options" in parameters else ())]
    mine = {"perturbation" if one == "errors" else flag(one)[2:] for one in taken}
    mine -= {"source", "tokens", "evaluation", "profile", "response", "transform", "options"}
    text = {"text", "window", "windows"}
    more = READS if {"tokens", "evaluation"} & set(parameters) else READS - text
    more = more | OUTPUT | {"parquet"} if name != "nll" else more | (OUTPUT - {"plot"})
    if name == "quantization-report":
        more |= {"calibration", "mask"}
    return mine - ({"columns"} if name == "leverage" else set()) | more


@pytest.mark.parametrize(("verb", "name"), EVERY)
def test_every_help_has_its_own_options_and_no_others(capsys, verb, name):
    code, out, err = call(capsys, verb, name, "--help")
    assert (code, err) == (0, "")
    listed = options_in(out)
    assert len(listed) == len(set(listed))
    shown = {"width" if verb == "law" and each == "n" else each for each in listed}
    assert shown == own_options(verb, name) | {"help"}
    (example,) = re.findall(r"Example: signmag (.*)", out)
    # The example is a command line that is understood: it fails on none of its options.
    arguments = shlex.split(example.replace("FILE", "-"))
    dry = [] if verb == "law" else ["--dry-run"]
    code, _, err = call(capsys, *arguments, *dry)
    assert (code, err) == (0, "")


def test_options_of_other_commands_are_named_with_those_that_there_are(capsys):
    code, _, err = call(capsys, "measure", "nll", "--rates", "0.1")
    assert (code, err.count("\n")) == (2, 1)
    assert "measure nll does not take --rates: it takes --model, --revision, --text" in err
    assert "(see `signmag measure nll --help`)" in err


@pytest.mark.parametrize(
    "shell", ["bash", *(pytest.param(shell, marks=pytest.mark.slow) for shell in ("zsh", "fish"))]
)
def test_a_shell_completes_verbs_and_options(shell):
    command = [sys.executable, "-m", "signmag_jax"]

    def ask(**environment):
        return subprocess.run(command + more, env=os.environ | environment, capture_output=True, text=True)

    more = ["--show-completion", shell]
    script = ask(_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert (script.returncode, script.stderr) == (0, "")
    assert "_SIGNMAG_COMPLETE" in script.stdout
    more = []
    for line, expected in (("signmag re", "reproduce"), ("signmag simulate blo", "block_fast")):
        words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1), "_TYPER_COMPLETE_ARGS": line}
        words["_TYPER_COMPLETE_FISH_ACTION"] = "get-args"
        done = ask(_SIGNMAG_COMPLETE=f"complete_{shell}", **words)
        assert expected in done.stdout
        assert "doctor" not in done.stdout
