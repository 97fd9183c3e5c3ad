"""What `signmag protect` leaves in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from signmag_jax import measure
from signmag_jax.evidence.files import strict_json, writable_folder, write_atomic
from signmag_jax.report import plots, style

from .derive import passing_on

REPORT, PICTURE = "protect.json", "damage.svg"


@passing_on(measure.protect)
def saved(
    model: Any, calibration: Any, evaluation: Any, *, out: Path | None = None, **options: Any
) -> measure.ProtectionReport:
    """Protect, and write the masks, the numbers and the picture.

    Args:
      model: from `models.load`.
      calibration: windows that choose.
      evaluation: other windows, on which the loss is measured.
      out: folder; None writes nothing.
    """
    result = measure.protect(model, calibration, evaluation, **options)
    if out is None:
        return result
    folder = writable_folder(out)
    for mask in result.masks:
        typed = mask.budget["typed"]
        mask.write(folder / ("mask.json" if len(result.masks) == 1 else f"mask-{typed}.json"))
    write_atomic(folder / REPORT, strict_json(result.to_json()))
    style.save(plots.draw(result.picture()), folder / PICTURE)
    return result
