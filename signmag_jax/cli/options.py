"""Options that the verbs share, and what they do to the process."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

LARGEST_SEED = 2**63 - 1


def filled(text: str) -> str:
    """The text of an option, which a shell's empty variable must not pass for."""
    if not text.strip():
        raise typer.BadParameter("it is empty: give a value")
    return text


def place(path: str | Path) -> Path:
    """A path (a default is one already); an empty one would mean the current folder."""
    from signmag_jax.evidence.files import user_path

    return path if isinstance(path, Path) else user_path(filled(path))


Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars and no remarks.")]
Seed = Annotated[int, typer.Option("--seed", min=0, max=LARGEST_SEED, help="Root seed of everything random.")]
UnusedSeed = Annotated[
    int,
    typer.Option("--seed", min=0, max=LARGEST_SEED, help="Accepted for uniformity: nothing here is random."),
]
Device = Annotated[str, typer.Option("--device", help="cpu, gpu, tpu or auto (the best there is).")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Check what was asked for, say what it would cost, and stop.")
]
Resume = Annotated[
    Path | None,
    typer.Option(
        "--resume",
        parser=place,
        metavar="FOLDER",
        help="Folder of records: finished pieces are read, new ones are added.",
    ),
]
Distributed = Annotated[
    bool,
    typer.Option(
        "--distributed", help="One of several processes that JAX connects (Slurm, Open MPI, JAX_* variables)."
    ),
]
Plot = Annotated[
    Path | None,
    typer.Option(
        "--plot", parser=place, metavar="FILE", help="Write a picture to this file (.svg, .png or .pdf)."
    ),
]
Parquet = Annotated[
    Path | None,
    typer.Option(
        "--parquet", parser=place, metavar="FILE", help="Write a table to this file (needs pyarrow)."
    ),
]
Mask = Annotated[
    Path | None,
    typer.Option(
        "--mask", parser=place, metavar="FILE", help="Write the columns and weights to protect, as JSON."
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        parser=filled,
        metavar="NAME",
        help="Hub name, folder or .gguf file; default: the embedded SmolLM2-135M.",
    ),
]
Revision = Annotated[
    str | None,
    typer.Option(
        "--revision", parser=filled, metavar="REF", help="Branch, tag or commit of a model on the hub."
    ),
]
MeshShape = Annotated[
    str | None,
    typer.Option(
        "--mesh",
        parser=filled,
        metavar="AXES",
        help="Devices that share the work: data=2 (windows), tensor=4 (weights) or data=2,tensor=4.",
    ),
]
Text = Annotated[
    str | None,
    typer.Option(
        "--text",
        parser=filled,
        metavar="NAME",
        help="File, - for standard input, or wikitext-2; default: Python's own documentation.",
    ),
]


def joined(*, distributed: bool, device: str) -> tuple[int, int]:
    """Index of this process and number of all, connected with the others where `distributed` says so."""
    if not distributed:
        return 0, 1
    from signmag_jax.evidence.distributed import start

    from . import streams

    streams.keep_from_libraries()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if device in _PLATFORMS:  # JAX chooses its platform as soon as the processes are connected
        import jax

        jax.config.update("jax_platforms", _PLATFORMS[device])
    return start()


_PLATFORMS = {"cpu": "cpu", "gpu": "cuda", "tpu": "tpu"}


def prepare(*, quiet: bool, device: str | None = None) -> None:
    """Apply `--quiet` and `--device` to this process, before anything is computed."""
    from signmag_jax.evidence import MissingResource, invalid
    from signmag_jax.evidence.progress import set_quiet

    set_quiet(quiet)
    # It remarks on a home that cannot be written, and goes on.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
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
    from signmag_jax.report.figures import check_format

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


def mesh_axes(raw: str | None) -> dict[str, int] | None:
    """The sizes of a mesh's axes by name, or None where none was given."""
    if raw is None:
        return None
    parts = [part.partition("=") for part in raw.split(",")]
    sizes = {name.strip(): size.strip() for name, _, size in parts}
    numbers = all(size.isdecimal() and len(size) < 7 for size in sizes.values())
    if not set(sizes) <= {"data", "tensor"} or len(sizes) < len(parts) or not numbers:
        raise typer.BadParameter(f"--mesh takes data=2, tensor=4 or data=2,tensor=4, not {raw[:80]!r}")
    return {name: int(size) for name, size in sizes.items()}


def flags(names: Iterable[str]) -> str:
    """Options as they are typed, from the names of their parameters."""
    return ", ".join("--" + name.replace("_", "-") for name in names)


def several(option: str, raw: str | None, kind: Callable[[str], Any] = str) -> Any:
    """The values of a comma-separated option, or None where it was not given."""
    if raw is None:
        return None
    what = {str: "names", int: "whole numbers"}.get(kind, "numbers")  # pyright: ignore[reportArgumentType]
    try:
        values = [kind(part) for part in map(str.strip, raw.split(",")) if filled(part)]
    except (ValueError, ZeroDivisionError, typer.BadParameter):
        raise typer.BadParameter(f"{option} takes {what} separated by commas, not {raw!r}") from None
    return tuple(values)
