"""What the shared options do to the process, and how its answers are written."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import typer

from . import environment


def joined(*, distributed: bool, device: str) -> tuple[int, int]:
    """Index of this process and number of all, connected with the others where `distributed` says so."""
    if not distributed:
        return 0, 1
    from signmag_jax.evidence.distributed import start

    from . import streams

    streams.keep_from_libraries()
    if device in _PLATFORMS:  # JAX chooses its platform as soon as the processes are connected
        import jax

        jax.config.update("jax_platforms", _PLATFORMS[device])
    return start()


def check_tasks(*, shared: bool, how: str) -> None:
    """Refuse to do a whole job once in each task of a batch system's step.

    Args:
      shared: whether this task does its share of it.
      how: what the command offers instead.

    Raises:
      InvalidInput: in every task of a step of several.
    """
    from signmag_jax.evidence import InvalidInput

    for task, count in TASKS:
        index, of = os.environ.get(task, ""), os.environ.get(count, "")
        if not shared and index.isdecimal() and of.isdecimal() and int(of) > 1:
            raise InvalidInput(
                f"this is task {index} of {of} ({task}, {count}), and each would do the whole job: {how}"
            )


TASKS = (
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
)
"""Variables in which srun, Open MPI's mpirun and MPICH's say which task this is, and of how many."""
ONE_TASK = "start one task (srun -n 1)"

_PLATFORMS = {"cpu": "cpu", "gpu": "cuda", "tpu": "tpu"}
Device = Literal["cpu", "gpu", "tpu", "auto"]


def prepare(*, quiet: bool, device: str | None = None) -> None:
    """Apply `--quiet` and `--device` to this process, before anything is computed."""
    from signmag_jax.evidence import MissingResource
    from signmag_jax.evidence.progress import set_quiet

    set_quiet(quiet)
    # It remarks on a home that cannot be written, and goes on.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    if device is None:
        return
    environment.check_flags()
    import jax

    from . import programs

    programs.keep()

    if device == "auto":
        return
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

    from . import streams

    text = strict_json(plain)
    # Escapes of JSON's own, where the terminal's alphabet is narrow: a replacement would not be JSON.
    sys.stdout.write(text if streams.writes(text) else strict_json(plain, ascii_only=True))


def say(text: str = "") -> None:
    """Write a line to standard output."""
    sys.stdout.write(text + "\n")


def remark(text: str, *, quiet: bool) -> None:
    """Write a line to standard error unless quiet."""
    if not quiet:
        sys.stderr.write(text + "\n")


def show(plain: Mapping[str, Any], json: bool) -> int:
    """Print a flat object as JSON or as one line for each name; the exit code 0."""
    if json:
        emit(plain)
    else:
        for name, value in plain.items():
            say(f"{name}: {value}")
    return 0


def check_plot(path: Path | None) -> None:
    """Refuse a picture that could not be written, before anything is computed for it."""
    if path is None:
        return
    from signmag_jax.report.style import check_format

    check_format(path)
    check_file("--plot", path)


def check_file(option: str, path: Path | None) -> None:
    """Refuse a file that could not be written, before anything is computed for it."""
    if path is None:
        return
    from signmag_jax.evidence.files import check_folder

    if path.is_dir():
        raise typer.BadParameter(f"{option} {str(path)!r} is a folder: give a file")
    check_folder(path.parent, option)


def check_resume(folder: Path | None) -> None:
    """Refuse a folder of records that could not be written, before anything is computed for it."""
    if folder is not None:
        from signmag_jax.evidence.files import check_folder

        check_folder(folder, "--resume")
