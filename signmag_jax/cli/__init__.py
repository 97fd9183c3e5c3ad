"""The command line: parses, calls, prints. Each verb loads what it needs when it runs."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import traceback
from typing import Any

import typer

from signmag_jax.interruption import CODE, STOPPED

from . import derive, environment, group, streams
from .doctor import doctor
from .export import export
from .law import Laws
from .ledger import diff, report, reproduce
from .measure import Measurements
from .prove import prove
from .simulate import Experiments
from .train import train

OBJECTS = 100_000
"""Python looks for garbage when so many have come to be since the last time; by default, 700."""
FAULT = 70
"""Exit code of an error that nobody foresaw: Python's own would be 1, which is a verdict here."""
INTERRUPTED = f"{STOPPED}, and finished records are kept"
UNKEPT = f"{STOPPED}, and no records were kept: --resume FOLDER keeps them"
LONG = ("reproduce", "simulate", "measure", "protect", "plan")
"""Commands that keep records when they are asked to."""

# Help is plain text: brackets are mathematics here, and no other library need be loaded for it.
app = typer.Typer(
    cls=group.Verbs,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=derive.HELP,
)


def _version(asked: bool | None) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(version("signmag_jax"))
        raise typer.Exit


@app.callback()
def root(
    version: bool | None = typer.Option(
        None, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """What does a weight error cost, when its sign is wrong and when only its size is?

    Start with: signmag reproduce
    """


for _function in (reproduce, prove):
    group.verb(app, _function)
group.add(app, "law", Laws, "Evaluate a law of the theory.", "transverse_ratio --rate 0.01")
group.add(
    app,
    "simulate",
    Experiments,
    "Simulate Gaussian networks until a standard error, a number of networks or a time is reached.",
    "block --width 256 --rate 0.02 --standard-error 0.005",
)
group.add(
    app,
    "measure",
    Measurements,
    "Measure a trained model: loss, concentration of its inputs, quantisation error, leverage of columns.",
    "nll --text FILE --window 1024 --windows 1",
)
group.later(
    app,
    "protect",
    "Choose the weights whose error costs most, keep them as they are, and measure what that saves.",
)
group.later(
    app,
    "plan",
    "Give every matrix a width by the damage predicted of it, within a size, and measure what that costs.",
)
for _function in (export, train, report, diff, doctor):
    group.verb(app, _function)


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 a claim of ours fails, 2 bad input, 3 incomplete, 130 stopped.

    70 is for an error that nobody foresaw, whose traceback is shown; 130 for Ctrl-C and for SIGTERM, with
    which batch systems end what has run too long.
    """
    # Modules, traces and programs are many objects, hardly any of them garbage.
    gc.set_threshold(OBJECTS)
    streams.prepare()
    sys.exit(_flushed(run(sys.argv[1:])))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; a user's mistake is one line on standard error."""
    # XLA writes its start-up remarks to standard error; they do not belong on a user's terminal.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # SymPy forgets all but the last thousand results by default, and proves a sixth slower.
    os.environ.setdefault("SYMPY_CACHE_SIZE", "none")
    try:
        code = _invoke(arguments or ["--help"])
    except typer.Exit as finished:
        code = finished.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted(arguments)
    except streams.Unwritten as unwritten:
        said = streams.fault(unwritten)
        return 0 if said is None else _complain(said, 2)
    except Exception as error:
        # Typer's errors are Click's or those of its own copy of Click: known by what they offer.
        if hasattr(error, "format_message"):
            return _complain(_misused(error), 2)
        return _failed(error)
    # Typer turns Ctrl-C into this code without a word.
    return _interrupted(arguments) if code == CODE else code or 0


def _failed(error: Exception) -> int:
    """The exit code of an error that is not the command line's: a user's, the environment's, or our own."""
    with contextlib.suppress(Exception):  # where JAX does not start, neither does this import
        # Imported here, so that --help does not wait for NumPy.
        from signmag_jax.evidence import distributed
        from signmag_jax.evidence.errors import SignmagError

        if isinstance(error, SignmagError):
            return _complain(str(error), error.exit_code)
        if said := distributed.fault(error):
            return _complain(said, 2)
    said = environment.fault(error)
    if said is not None:
        return _complain(said, 2)
    traceback.print_exception(error)
    return _complain("this is a fault of signmag_jax: please report it with the lines above", FAULT)


def _invoke(arguments: list[str]) -> Any:
    """The command's answer, or what a shell asks to complete it."""
    return typer.main.get_command(app).main(arguments, prog_name="signmag", standalone_mode=False)


def _misused(error: Any) -> str:
    """What was wrong with a command line, and where the right way stands."""
    context = getattr(error, "ctx", None)
    path = "signmag" if context is None else context.command_path
    said = error.format_message()
    option = getattr(error, "option_name", None)
    if context is not None and option is not None and hasattr(error, "possibilities"):
        if isinstance(context.command, group.Group):
            said = f"options stand after the name: {path} NAME {option} ..."
        else:
            named = [max(one.opts, key=len) for one in context.command.get_params(context)]
            known = ", ".join(one for one in named if one.startswith("-"))
            said = f"{path.removeprefix('signmag ')} does not take {option}: it takes {known}"
    return f"{said} (see `{path} --help`)"


def _flushed(code: int) -> int:
    """The exit code, once everything is written that can be."""
    try:
        sys.stdout.flush()
    except streams.Unwritten as unwritten:
        said = streams.fault(unwritten)
        return code if said is None else _complain(said, 2)
    return code


def _interrupted(arguments: list[str]) -> int:
    if not arguments or arguments[0] not in LONG:
        return _complain(STOPPED, CODE)
    kept = any(typed.partition("=")[0] == "--resume" for typed in arguments)
    return _complain(INTERRUPTED if kept else UNKEPT, CODE)


def _complain(message: str, code: int) -> int:
    with contextlib.suppress(OSError, ValueError):  # nobody reads it: the code says it too
        if message:
            sys.stderr.write(f"signmag: {' '.join(message.split())}\n")
        sys.stderr.flush()
        return code
    streams.silence(sys.stderr)
    return code
