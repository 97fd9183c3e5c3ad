"""`signmag export`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import typer

from .options import prepare, remark, show
from .reading import ReadingOptions

Format = Literal["llama.cpp", "imatrix", "transformers", "torchao", "llm-compressor", "gptqmodel", "all"]
Ternary = Literal["nearest", "tq1_0", "tq2_0"]
FEWEST = 2
"""Windows of an imatrix."""


def export(
    source: Path,
    *,
    format: Format = "all",
    out: Path = Path("signmag-export"),
    threshold: float | None = None,
    budget: str | None = None,
    ternary: Ternary = "nearest",
    model: str | None = None,
    revision: str | None = None,
    file: str | None = None,
    text: str | None = None,
    window: int = 512,
    windows: int = 8,
    device: str = "auto",
    dry_run: bool = False,
    json: bool = False,
    quiet: bool = False,
) -> int:
    """Write a mask or a plan as options of the tools that quantise: llama.cpp, transformers and others.

    Every file says what it does not do: these options name whole matrices, not single weights. Of a mask
    whose budget holds no whole matrix, all writes the imatrix alone and says so.

    Args:
      source: a mask or a plan, or the folder of signmag plan, or of signmag protect if it had one budget.
      format: one tool's, or all.
      out: folder for the files.
      threshold: nats per token from which a matrix of a mask is kept whole; by default 0.01, and anything
        above zero where a budget limits them.
      budget: what whole matrices of a mask may take: a part of the weights such as 2%, or bits per weight
        such as 0.3b; by default the bits that the mask's own choice takes.
      ternary: llama.cpp's type of a plan's ternary widths: the nearest in bits, or one for weights that were
        trained ternary.
      model: checkpoint whose layers and shapes the file must have; for the imatrix, whose inputs are read.
      window: number of tokens in a window, for the imatrix.
      windows: number of windows, for the imatrix.

    Example: signmag export signmag-protect/mask-0.5%.json --format llama.cpp --out signmag-export
    """
    with_imatrix = format in ("imatrix", "all")
    prepare(quiet=quiet, device=device if with_imatrix else None)
    from signmag_jax import export as exports
    from signmag_jax.evidence.files import check_folder

    check_folder(out, "--out")
    wanted = exports.read(source)
    planned = isinstance(wanted, exports.Widths)
    of_mask = {"--threshold": threshold is not None, "--budget": budget is not None}
    of_plan = {"--ternary": ternary != "nearest"}
    _refuse(of_mask if planned else {}, "with a mask: a plan names every matrix")
    _refuse({} if planned and format in ("llama.cpp", "all") else of_plan, "with a plan, for llama.cpp")
    _refuse({} if with_imatrix else {"--text": text}, "with --format imatrix or all: the others read none")
    if not with_imatrix and (model or revision or file):
        from signmag_jax.models.load import open_checkpoint
        from signmag_jax.models.weights import check_names

        checkpoint = open_checkpoint(model, revision, file)
        check_names(checkpoint.config, checkpoint.source)
        exports.check_model(wanted, checkpoint.config)
    every = exports.OF_PLANS if planned else tuple(exports.FORMATS)
    formats = every if format == "all" else tuple({format} - {"imatrix"})
    # An imatrix is of the model, whatever a mask holds.
    decision, without = None, ()
    if formats:
        try:
            decision = _decision(wanted, threshold, budget, ternary)
        except exports.NothingWhole as error:
            if format != "all" or any(of_mask.values()):  # then it is what was asked for that cannot be had
                raise
            without = (_without(formats, out, str(error)),)
            remark(*without, quiet=False)
    texts = {} if decision is None else exports.contents(decision, formats)
    names = [*texts, *([exports.IMATRIX] if with_imatrix else [])]
    check_folder(out, "--out", names)
    reading = ReadingOptions(model, revision, text, window, windows, calibration=None, file=file)
    if dry_run:
        return show({"files": names, **(_cost(reading) if with_imatrix else {})}, json)
    importance = _importance(wanted, reading) if with_imatrix else None
    written = () if decision is None else exports.write(decision, out, formats)
    if importance is not None:
        written = (*written, exports.write_imatrix(importance, out))
    whole = () if decision is None else decision.whole
    notes = (exports.IMATRIX_NOTE,) if decision is None else decision.notes
    if json:
        named = [{"layer": layer, "matrix": name} for layer, name in whole]
        files = [str(path) for path in written]
        return show({"files": files, "whole_matrices": named, "notes": [*without, *notes]}, json)
    for note in notes:
        remark(note, quiet=quiet)
    return show({path.name: path for path in written}, json)


def _decision(source: Any, threshold: float | None, budget: str | None, ternary: Ternary) -> Any:
    from signmag_jax import export

    if isinstance(source, export.Widths):
        return source.decision("" if ternary == "nearest" else ternary)
    return export.decide(source, threshold, budget)


def _without(formats: tuple[str, ...], out: Path, why: str) -> str:
    """Which files are not written, and why.

    Raises:
      InvalidInput: if an earlier export left one of them, which would seem to belong to the new imatrix.
    """
    from signmag_jax.evidence import invalid
    from signmag_jax.export import Decision, contents

    if left := [name for name in contents(Decision((), ()), formats) if (out / name).exists()]:
        raise invalid("--out without files of another export", left, f"choose another folder, for {why}")
    return f"Not written: files for {', '.join(formats)}, whose options would name no matrix: {why}"


def _refuse(options: Mapping[str, Any], where: str) -> None:
    """Refuse options that would make no difference."""
    for name, given in options.items():
        if given:
            raise typer.BadParameter(f"{name} makes a difference only {where}; leave it out")


def _cost(reading: ReadingOptions) -> dict[str, Any]:
    """What reading the model for an imatrix would take."""
    from signmag_jax.measure import costs, importance
    from signmag_jax.measure.measurement import Measurement

    from .measure import stated

    reading.check(FEWEST)
    return stated(Measurement(importance, costs.once), reading, {})


def _importance(source: Any, reading: ReadingOptions) -> Any:
    """Mean squares of the inputs of the model that was measured."""
    from signmag_jax import export, measure

    reading.check(FEWEST)
    checkpoint, read = reading.open()
    export.check_model(source, checkpoint.config)
    model = checkpoint.load(reading.dtype)
    export.check_loaded(source, model)
    return measure.importance(model, read.evaluation, source={"text": read.text.source})
