"""The command line: parses, calls, prints. Each verb loads what it needs when it runs."""

from __future__ import annotations

import contextlib
import signal
import sys
from typing import Any

import typer

from . import doctor, law, ledger, measure, prove, simulate, streams

INTERRUPTED = "interrupted; nothing half-written is left, and finished records are kept"

# Typer carries click under a private name in some versions: its base error is found through a public one.
UsageProblem: Any = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
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


for _module in (ledger, prove, law, simulate, measure, doctor):
    _module.register(app)


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 a claim of ours fails, 2 bad input, 3 incomplete, 130 stopped.

    130 is for Ctrl-C and for SIGTERM, with which batch systems end what has run too long.
    """
    streams.prepare()
    # Whoever ends a run politely gets what Ctrl-C gets: no half-written file, records kept, one line.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(_flushed(run(sys.argv[1:])))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; a user's mistake is one line on standard error."""
    try:
        code = _invoke(arguments or ["--help"])
    except typer.Exit as finished:
        code = finished.exit_code
    except UsageProblem as error:
        return _complain(f"{error.format_message()} (see `signmag --help`)", 2)
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except streams.Unwritten as found:
        said = streams.fault(found)
        return 0 if said is None else _complain(said, 2)
    except Exception as error:
        # Imported here, so that --help does not wait for NumPy.
        from signmag_jax.evidence.errors import SignmagError

        if not isinstance(error, SignmagError):
            raise
        return _complain(str(error), error.exit_code)
    # Typer turns Ctrl-C into this code without a word.
    return _interrupted() if code == 130 else code or 0


def _invoke(arguments: list[str]) -> Any:
    """What Typer's own entry does, without its answer to a closed pipe: exit code 1 in silence."""
    command = typer.main.get_command(app)
    with command.make_context("signmag", list(arguments)) as context:
        return command.invoke(context)


def _flushed(code: int) -> int:
    """The exit code, once everything is written that can be."""
    try:
        sys.stdout.flush()
    except streams.Unwritten as found:
        said = streams.fault(found)
        return code if said is None else _complain(said, 2)
    return code


def _interrupted() -> int:
    return _complain(INTERRUPTED, 130)


def _complain(message: str, code: int) -> int:
    with contextlib.suppress(OSError, ValueError):  # nobody reads it: the code says it too
        if message:
            sys.stderr.write(f"signmag: {' '.join(message.split())}\n")
        sys.stderr.flush()
        return code
    streams.silence(sys.stderr)
    return code
