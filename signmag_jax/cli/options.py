"""Options that the verbs share, and what they do to the process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars and no remarks.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Root seed of everything random.")]
UnusedSeed = Annotated[
    int, typer.Option("--seed", min=0, help="Accepted for uniformity: nothing here is random.")
]
Device = Annotated[str, typer.Option("--device", help="cpu, gpu, tpu or auto (the best there is).")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what it would cost, and stop.")]
Resume = Annotated[
    Path | None,
    typer.Option("--resume", help="Folder of records: finished pieces are read, new ones are added."),
]
Plot = Annotated[
    Path | None, typer.Option("--plot", help="Write a picture to this file (.svg, .png or .pdf).")
]
Model = Annotated[
    str | None,
    typer.Option("--model", help="Hub name, folder or .gguf file; default: the embedded SmolLM2-135M."),
]
Text = Annotated[
    str | None,
    typer.Option(
        "--text", help="File, - for standard input, or wikitext-2; default: Python's own documentation."
    ),
]

_PLATFORMS = {"cpu": "cpu", "gpu": "cuda", "tpu": "tpu"}


def prepare(*, quiet: bool, device: str | None = None) -> None:
    """Apply `--quiet` and `--device` to this process, before anything is computed."""
    from signmag_jax.evidence import MissingResource, invalid
    from signmag_jax.evidence.progress import set_quiet

    set_quiet(quiet)
    if device is None:
        return
    if device not in {*_PLATFORMS, "auto"}:
        raise invalid("--device in cpu, gpu, tpu, auto", device, "name one of them")
    # XLA writes its start-up remarks to standard error; a user's terminal is not the place for them.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import jax

    if device != "auto":
        jax.config.update("jax_platforms", _PLATFORMS[device])
    try:
        jax.devices()
    # What JAX raises for a platform that is not there differs between versions and platforms.
    except (RuntimeError, AssertionError, ValueError):
        raise MissingResource(
            f"no {device} is visible to JAX: run `signmag doctor`, or use --device auto"
        ) from None


def emit(plain: Any) -> None:
    """Write strict JSON to standard output."""
    from signmag_jax.evidence.files import strict_json

    sys.stdout.write(strict_json(plain))


def say(text: str = "") -> None:
    """Write a line to standard output."""
    sys.stdout.write(text + "\n")


def remark(text: str, *, quiet: bool) -> None:
    """Write a line to standard error unless quiet."""
    if not quiet:
        sys.stderr.write(text + "\n")


def numbers(option: str, raw: str | None, kind: Callable[[str], Any]) -> Any:
    """The values of a comma-separated option, or None where it was not given."""
    if raw is None:
        return None
    try:
        values = tuple(kind(part.strip()) for part in raw.split(",") if part.strip())
    except ValueError:
        values = ()
    if not values:
        raise typer.BadParameter(f"{option} takes numbers separated by commas, not {raw!r}")
    return values
