"""`signmag plan`: give every matrix a width, and write the plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from signmag_jax import measure as room
from signmag_jax.evidence.files import check_folder, writable_folder
from signmag_jax.export.plan import PLAN_FILE
from signmag_jax.measure.registry import PLAN

from . import measure
from .derive import example_of, passing_on

DEFAULTS = {"calibration": 4}


@passing_on(room.plan)
def plan(
    model: Any, calibration: Any, evaluation: Any, *, out: Path | None = Path("signmag-plan"), **options: Any
) -> room.Plan:
    """Give every matrix a width by the damage predicted of it, within a size, and measure what that costs.

    Calibration windows choose, by two backward passes each and trials of the costliest choices; the windows
    after them score the plan beside one width everywhere, of the same size. Writes plan.json, of which
    signmag export makes the options of llama.cpp, GPTQModel, llm-compressor and torchao.

    Args:
      out: folder for plan.json.

    Example: signmag plan --bits 4.5 --out signmag-plan
    """
    result = room.plan(model, calibration, evaluation, **options)
    if out is not None:
        result.write(writable_folder(out) / PLAN_FILE)
    return result


def _check_files(out: Path) -> None:
    check_folder(out, "--out", (PLAN_FILE,))


def command() -> Any:
    """The verb."""
    return measure.command("plan", PLAN.of(plan, _check_files), example_of(plan), DEFAULTS)
