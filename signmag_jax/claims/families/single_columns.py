"""Single columns of a trained model: what flips do to their layer (Exp F) and to the loss (Exp G)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from signmag_jax import measure
from signmag_jax.claims.claim import Claim, Claimant, Evidence, Supply, other_model
from signmag_jax.claims.levels import Level
from signmag_jax.claims.measured import Measured, ModelRun
from signmag_jax.claims.pieces import Results
from signmag_jax.claims.published import paper, printed
from signmag_jax.claims.supply import exact, of_interval

from .alignment import PROFILE

NOTES = {
    "output": "In the mean over masks this is algebra, E‖δWx‖² = 4·rate·E x_j²‖w_j‖²: the row checks that "
    "flips do it, with α² from other text.",
    "stream": "By real flips. Behind the matrix lie attention and the residual sum, which weigh outputs "
    "unequally.",
    "normalised": "By real flips: the part along the stream is gone.",
}
WHERE = {
    "output": "the output of its matrix",
    "stream": "the residual stream before the next normalisation",
    "normalised": "the stream behind the next normalisation",
}
ALGEBRA = "output"
HALF = 0.5
FLOAT32_BYTES = 4


def _flip_energies(run: ModelRun, **options: Any) -> measure.FlipEnergies:
    """Exp F. In 16 bits the change that a small column makes drowns in rounding, and flattens the slope."""
    dtype = run.model.params["embed"].dtype
    if dtype.itemsize < FLOAT32_BYTES:
        raise measure.Unmeasurable(
            f"energies of single columns drown in the rounding of {dtype}: load with dtype float32"
        )
    (energies,) = measure.flip_energies(*run.windows, profile=run.needed(PROFILE), **options).results
    return energies


ENERGIES = Measured(
    "flip_energies",
    _flip_energies,
    options=lambda level: {"columns": level.flipped_columns},
    amount=lambda level: level.flipped_columns,
    what="Exp F and G",
    profiled=True,
)


def _column_flips(run: ModelRun, seed: int, **options: Any) -> measure.ColumnFlips:
    """Exp G. It flips whole columns: nothing is drawn."""
    return measure.column_flips(*run.windows, profile=run.needed(PROFILE), **options).results[0]


LOSSES = Measured(
    "column_flips",
    _column_flips,
    options=lambda level: {"columns": level.flipped_columns},
    amount=lambda level: level.flipped_columns,
    what="Exp F and G",
    profiled=True,
)


def rows(level: Level, results: Results) -> Iterator[Claim]:
    """The law α²‖w‖² by column: of energies, as real flips make them, and of the loss."""
    for where, what in WHERE.items():
        yield _slope(
            f"exp_f.{where}.slope",
            "ours" if where == ALGEBRA else "open",
            "section 9.5, Exp F",
            f"Flipping signs of a column changes {what} in proportion to α²‖w‖².",
            results.supply(ENERGIES, _energy_slope(where)),
            results.model,
            NOTES[where],
        )
    table = paper()["activation_energy"]
    yield other_model(
        "exp_f.alpha_rank_correlation",
        "section 9.5, Exp F",
        "The energy of flips in a column is ranked by α² alone.",
        {
            "published": printed(
                table["spearman_alpha2_energy"], decimals=None, section="9.5", what="of the formula with α²"
            ),
            "measured": results.supply(ENERGIES, _ranked_by_alpha),
        },
        results.model,
        "The headline of Exp F. In the paper no sign is flipped: the energy is α²‖w‖².",
        quotes=("activation_energy.spearman_alpha2_energy",),
    )
    yield other_model(
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
            "measured": results.supply(
                ENERGIES,
                lambda run: of_interval(run.association["output"].rank_correlation, "", run.provenance),
            ),
        },
        results.model,
        "In the paper no sign is flipped: the energy is the formula.",
        quotes=("activation_energy.spearman_alpha2_wnorm2_energy",),
    )
    table = paper()["column_flips"]
    yield _slope(
        "exp_g.slope",
        "open",
        "section 9.5, Exp G",
        "Flipping a whole column costs the loss in proportion to α²‖w‖².",
        results.supply(
            LOSSES,
            lambda run: of_interval(run.association.slope, run.association.reason, run.provenance),
        ),
        results.model,
        f"The paper's slope, {table['log_log_slope']:.3f}, is of TinyLlama-1.1B and of positive ΔNLL alone. "
        "Here all columns are kept; where one lowers the loss there is no logarithm, and no slope.",
    )
    yield other_model(
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
            "measured": results.supply(
                LOSSES, lambda run: of_interval(run.association.rank_correlation, "", run.provenance)
            ),
        },
        results.model,
        "All columns are kept, whatever the sign of ΔNLL.",
        quotes=("column_flips.spearman_alpha2_wnorm2_dNLL_positive_only",),
    )


def _ranked_by_alpha(run: measure.FlipEnergies) -> Evidence:
    """The rank correlation of energies at the output with α², whatever the columns of weights."""
    association = measure.associate(run.sample.alpha_squared, run.samples[ALGEBRA].mean(axis=1))
    return of_interval(association.rank_correlation, "", run.provenance)


def _energy_slope(where: str) -> Callable[[measure.FlipEnergies], Evidence]:
    """Reads the slope of log energy over log α²‖w‖², in one of three places."""

    def read(run: measure.FlipEnergies) -> Evidence:
        association = run.association[where]
        return of_interval(association.slope, association.reason, run.provenance)

    return read


def _slope(
    name: str, claimant: Claimant, source: str, statement: str, measured: Supply, model: str, note: str
) -> Claim:
    return Claim(
        name=name,
        claimant=claimant,
        source=source,
        statement=statement,
        routes={
            "predicted": exact(lambda: 1.0, name="proportional: slope 1 of the logarithms"),
            "measured": measured,
        },
        compare=(("predicted", "measured"),),
        rival=lambda: HALF,
        rival_is="in proportion to α‖w‖",
        runs_from="default" if claimant == "ours" else "full",
        note=f"{note} Measured: {model}.",
    )
