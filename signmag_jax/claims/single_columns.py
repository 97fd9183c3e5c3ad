"""Rows on single columns of a trained model: what flips do to their layer (Exp F) and to the loss (Exp G)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from signmag_jax import measure
from signmag_jax.evidence import ConfidenceInterval
from signmag_jax.measure.flip_energies import LEVELS

from .claim import Claim, Evidence, Missing
from .measured import Measured
from .model_run import ModelRun, unresolved
from .other_model import other
from .published import figures
from .supply import exact, found, printed, traced

NOTES = {
    "output": "In the mean over masks this is algebra, E‖δWx‖² = 4·rate·E x_j²‖w_j‖²: the row checks that "
    "flips do it, with α² from other text.",
    "stream": "By real flips. Behind the matrix lie attention and the residual sum, which weigh outputs "
    "unequally.",
    "normalised": "By real flips: the part along the stream is gone.",
}
PLACES = {
    "output": "the output of its matrix",
    "stream": "the residual stream before the next normalisation",
    "normalised": "the stream behind the next normalisation",
}
HALF = 0.5
FLOAT32_BYTES = 4
NAMES = (
    *(f"exp_f.{level}" for level in LEVELS),
    "exp_f.rank_correlation",
    "exp_g.slope",
    "exp_g.rank_correlation",
)


def measured(run: ModelRun) -> dict[str, Evidence]:
    """Rank correlations and slopes of logarithms; a matrix without so many columns has none, and says why."""
    if not run.level.flipped_columns:
        return run.left_out(NAMES, "Exp F and G")
    return _energies(run) | _losses(run)


def _energies(run: ModelRun) -> dict[str, Evidence]:
    """Exp F. In 16 bits the change that a small column makes drowns in rounding, and flattens the slope."""
    names = [name for name in NAMES if name.startswith("exp_f")]
    dtype = run.model.params["embed"].dtype
    if dtype.itemsize < FLOAT32_BYTES:
        reason = f"energies of single columns drown in the rounding of {dtype}: load with dtype float32"
        return dict.fromkeys(names, Missing("UNRESOLVED", reason))
    try:
        (found,) = measure.flip_energies(
            *run.windows, columns=run.level.flipped_columns, **run.options("flip_energies")
        ).results
    except measure.Unmeasurable as error:
        return unresolved(names, error)
    slopes = found.association
    return {
        "exp_f.rank_correlation": _found(slopes["output"].rank_correlation, "", found.provenance),
        **{
            f"exp_f.{level}": _found(slopes[level].slope, slopes[level].reason, found.provenance)
            for level in LEVELS
        },
    }


def _losses(run: ModelRun) -> dict[str, Evidence]:
    """Exp G. Whole columns: nothing is drawn."""
    options = run.options("column_flips")
    del options["seed"]
    try:
        (found,) = measure.column_flips(*run.windows, columns=run.level.flipped_columns, **options).results
    except measure.Unmeasurable as error:
        return unresolved([name for name in NAMES if name.startswith("exp_g")], error)
    return {
        "exp_g.rank_correlation": _found(found.association.rank_correlation, "", found.provenance),
        "exp_g.slope": _found(found.association.slope, found.association.reason, found.provenance),
    }


def rows(measured: Measured) -> Iterator[Claim]:
    """The law α²‖w‖² by column: of energies, as real flips make them, and of the loss."""
    for level, where in PLACES.items():
        yield _slope(
            f"exp_f.{level}.slope",
            "section 9.5, Exp F",
            f"Flipping signs of a column changes {where} in proportion to α²‖w‖².",
            f"exp_f.{level}",
            measured,
            NOTES[level],
        )
    table = figures()["activation_energy"]
    yield other(
        "exp_f.rank_correlation",
        "section 9.5, Exp F",
        "The energy of real flips in a column is ranked by α²‖w‖².",
        {
            "published": printed(
                float(table["spearman_alpha2_wnorm2_energy"]),
                decimals=3,
                section="9.5",
                what="of the formula with itself",
            ),
            "measured": found(measured.results, "exp_f.rank_correlation"),
        },
        measured,
        "In the paper no sign is flipped: the energy is the formula.",
    )
    table = figures()["column_flips"]
    yield _slope(
        "exp_g.slope",
        "section 9.5, Exp G",
        "Flipping a whole column costs the loss in proportion to α²‖w‖².",
        "exp_g.slope",
        measured,
        f"The paper's slope, {table['log_log_slope']:.3f}, is of TinyLlama-1.1B and of positive ΔNLL alone. "
        "Here all columns are kept; where one lowers the loss there is no logarithm, and no slope.",
    )
    yield other(
        "exp_g.rank_correlation",
        "section 9.5, Exp G",
        "What flipping a whole column costs is ranked by α²‖w‖².",
        {
            "published": printed(
                table["spearman_alpha2_wnorm2_dNLL_positive_only"],
                decimals=None,
                section="9.5",
                what="of the columns with positive ΔNLL",
            ),
            "measured": found(measured.results, "exp_g.rank_correlation"),
        },
        measured,
        "All columns are kept, whatever the sign of ΔNLL.",
    )


def _slope(name: str, source: str, statement: str, key: str, measured: Measured, note: str) -> Claim:
    return Claim(
        name=name,
        claimant="paper",
        source=source,
        statement=statement,
        routes={
            "predicted": exact(lambda: 1.0, name="proportional: slope 1 of the logarithms"),
            "measured": found(measured.results, key),
        },
        compare=(("predicted", "measured"),),
        rival=lambda: HALF,
        rival_is="in proportion to α‖w‖",
        note=f"{note} Measured: {measured.model}.",
    )


def _found(interval: ConfidenceInterval | None, reason: str, origin: Mapping[str, Any]) -> Evidence:
    return Missing("UNRESOLVED", reason) if interval is None else traced(interval.estimate, origin)
