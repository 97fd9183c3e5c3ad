"""`signmag protect`: choose what to protect, write it, and measure what it saves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from signmag_jax import measure as room
from signmag_jax.evidence.files import check_folder, writable_folder
from signmag_jax.export.mask import MASK_FILE
from signmag_jax.measure.budget import budgets_of
from signmag_jax.measure.registry import PROTECT

from . import measure
from .derive import example_of, passing_on

REPORT, PICTURE = "protect.json", "damage.svg"
DEFAULTS = {"window": 256}


@passing_on(room.protect)
def protect(
    model: Any,
    calibration: Any,
    evaluation: Any,
    *,
    out: Path | None = Path("signmag-protect"),
    **options: Any,
) -> room.ProtectionReport:
    """Choose the weights whose error costs most, keep them as they are, and measure what that saves.

    Calibration windows choose, by one backward pass and trials of single weights; the windows after them
    score everything perturbed, our choice protected, and as many weights by other criteria: at random, by
    |w|, by max|x| (LLM.int8) and mean|x| (AWQ) of their column, and by imatrix. Writes mask.json (of several
    budgets one each, mask-0.5%.json), protect.json and damage.svg.

    Args:
      out: folder for the masks, the numbers and the picture.

    Example: signmag protect --budget 0.1%,0.5%,2% --against ternary --out signmag-protect
    """
    result = room.protect(model, calibration, evaluation, **options)
    if out is not None:
        _write(result, writable_folder(out))
    return result


def _write(result: room.ProtectionReport, folder: Path) -> None:
    from signmag_jax.report import plots, style

    names = _mask_files([each.budget["typed"] for each in result.masks])
    for mask, name in zip(result.masks, names, strict=True):
        mask.write(folder / name)
    result.write(folder / REPORT)
    style.save(plots.draw(result.picture()), folder / PICTURE)


def _mask_files(budgets: Sequence[str]) -> list[str]:
    return [MASK_FILE] if len(budgets) == 1 else [f"mask-{typed}.json" for typed in budgets]


def _check_files(budget: Sequence[str], unit: str, out: Path) -> None:
    masks = _mask_files([each.text for each in budgets_of(tuple(budget), unit)])
    check_folder(out, "--out", (*masks, REPORT, PICTURE))


def command() -> Any:
    """The verb."""
    return measure.command("protect", PROTECT.of(protect, _check_files), example_of(protect), DEFAULTS)
