"""`signmag protect`: choose what to protect, write it, and measure what it saves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

Unit = Literal["weights", "columns", "matrices"]


def protect(
    *,
    model: str | None = None,
    revision: str | None = None,
    file: str | None = None,
    text: str | None = None,
    window: int = 256,
    windows: int = 8,
    calibration: int = 8,
    against: str = "ternary",
    budget: Sequence[str] = ("0.1%", "0.5%", "2%"),
    unit: Unit = "weights",
    scale: str | None = None,
    compare: Sequence[str] | None = None,
    draws: int = 2,
    layers: Sequence[int] | None = None,
    matrices: Sequence[str] | None = None,
    batch: int | None = None,
    out: Path = Path("signmag-protect"),
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
    """Choose the weights whose error costs most, keep them as they are, and measure what that saves.

    Calibration windows choose, by one backward pass and trials of single weights; the windows after them
    score everything perturbed, our choice protected, and as many weights by other criteria: at random, by
    |w|, by max|x| (LLM.int8) and mean|x| (AWQ) of their column, and by imatrix. Writes mask.json (of several
    budgets one each, mask-0.5%.json), protect.json and damage.svg.

    Args:
      window: number of tokens in a window.
      windows: number of windows that are scored, at least 8.
      calibration: number of windows before the scored ones, which choose.
      against: the error of the weights: ternary, sign, bitnet, q2 to q8 or flips:RATE.
      budget: what may be protected: parts of the weights such as 0.5%, or bits per weight such as 0.2b (a
        kept weight takes 16 bits, and a single one 32 more for its place).
      unit: what is protected: single weights, or only whole columns or matrices.
      scale: what shares one scale of a quantiser: tensor, row, or a number of neighbours in a row; by default
        tensor, and 32 for q2 to q8.
      compare: criteria beside ours: random, size, llm_int8, awq, imatrix, imatrix_weights, imatrix_error; by
        default all.
      draws: random choices, and draws of flips, which all criteria share.
      layers: numbers of the layers whose weights are perturbed, from 0; by default all.
      matrices: names of the matrices that are perturbed, such as up_proj; by default all.
      batch: number of windows that are computed at a time; by default all.
      out: folder for the masks, the numbers and the picture.
      dtype: precision of the weights: float32, bfloat16, float16, or float64 under JAX_ENABLE_X64=1.

    Example: signmag protect --budget 0.1%,0.5%,2% --against ternary --out signmag-protect
    """
    given = {name: value for name, value in locals().items() if value is not None}
    from signmag_jax.evidence.files import check_folder
    from signmag_jax.measure.registry import PROTECT

    from . import measure
    from .protection_files import saved

    check_folder(out, "--out")
    return measure.run("protect", PROTECT.of(saved), **given)
