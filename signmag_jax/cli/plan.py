"""`signmag plan`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

Aim = Literal["kl", "nll"]
FILE_NAME = "plan.json"


def plan(
    *,
    model: str | None = None,
    revision: str | None = None,
    file: str | None = None,
    text: str | None = None,
    window: int = 512,
    windows: int = 8,
    calibration: int = 4,
    bits: float = 4.5,
    widths: Sequence[str] = ("ternary", "2", "3", "4", "5", "6", "7", "8"),
    aim: Aim = "kl",
    draws: int = 2,
    layers: Sequence[int] | None = None,
    matrices: Sequence[str] | None = None,
    batch: int | None = None,
    out: Path = Path("signmag-plan"),
    plot: Path | None = None,
    parquet: Path | None = None,
    dtype: str = "float32",
    mesh: dict[str, int] | None = None,
    device: str = "auto",
    distributed: bool = False,
    resume: Path | None = None,
    seed: int = 0,
    dry_run: bool = False,
    json: bool = False,
    quiet: bool = False,
) -> int:
    """Give every matrix a width by the damage predicted of it, within a size, and measure what that costs.

    Calibration windows choose, by two backward passes each and trials of the costliest choices; the windows
    after them score the plan beside one width everywhere, of the same size. Writes plan.json, of which
    signmag export makes the options of llama.cpp, GPTQModel, llm-compressor and torchao.

    Args:
      window: number of tokens in a window.
      windows: number of windows that are scored, at least 8.
      calibration: number of windows before the scored ones, which choose.
      bits: bits a weight of all matrices together, scales included: 16 for each group of 32.
      widths: some of ternary (a byte for five weights) and 2 to 8 (bits a weight).
      aim: what is to be small: the KL divergence, or the loss (nll) on texts like the calibration text.
      draws: random mixtures of the two widths around that size, where no single width has it.
      layers: numbers of the layers that are quantised, from 0; by default all.
      matrices: names of the matrices that are quantised, such as up_proj; by default all.
      batch: number of windows that are computed at a time; by default all.
      out: folder for plan.json.
      dtype: precision of the weights: float32, bfloat16, float16, or float64 under JAX_ENABLE_X64=1.

    Example: signmag plan --bits 4.5 --out signmag-plan
    """
    given = {name: value for name, value in locals().items() if value is not None}
    from signmag_jax.evidence.files import check_folder
    from signmag_jax.measure.registry import PLAN

    from . import measure
    from .plan_file import saved

    check_folder(out, "--out")
    return measure.run("plan", PLAN.of(saved), **given)
