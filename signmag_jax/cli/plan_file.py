"""What `signmag plan` leaves in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from signmag_jax import measure
from signmag_jax.evidence.files import writable_folder

from .derive import passing_on
from .plan import FILE_NAME


@passing_on(measure.plan)
def saved(
    model: Any, calibration: Any, evaluation: Any, *, out: Path | None = None, **options: Any
) -> measure.Plan:
    """Plan, and write the plan.

    Args:
      model: from `models.load`.
      calibration: windows that choose.
      evaluation: other windows, on which the loss is measured.
      out: folder; None writes nothing.
    """
    result = measure.plan(model, calibration, evaluation, **options)
    if out is not None:
        result.write(writable_folder(out) / FILE_NAME)
    return result
