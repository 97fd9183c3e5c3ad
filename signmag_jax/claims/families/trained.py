"""Flips in a trained model: single columns as published, Exp D, and all columns beside the block's ratio."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from signmag_jax import measure, theory
from signmag_jax.claims.claim import Claim, Evidence, Missing, Route, other_model
from signmag_jax.claims.levels import Level
from signmag_jax.claims.measured import Measured
from signmag_jax.claims.pieces import Results
from signmag_jax.claims.published import paper, printed
from signmag_jax.claims.supply import exact, of_ratio
from signmag_jax.evidence import Estimate
from signmag_jax.measure.shift_parts import REST, SHIFT

from .alignment import PROFILE
from .leverage import missed_singles, published_damage

ALL_COLUMNS_RATE = 0.01
PAIR: tuple[Route, Route] = ("predicted", "measured")
REPLICATES = 1000
EXP_D = Measured(
    "outlier_flips",
    lambda run, **options: measure.outlier_flips(*run.windows, profile=run.needed(PROFILE), **options),
    options=lambda level: {"draws": level.pool_draws, "anywhere": False},
    amount=lambda level: level.pool_draws,
    what="Exp D",
    profiled=True,
)
ALL_COLUMNS = Measured(
    "all_columns",
    lambda run, **options: measure.all_columns(run.model, run.evaluation, **options),
    options=lambda level: {"rates": (ALL_COLUMNS_RATE,), "draws": level.column_draws},
    amount=lambda level: level.column_draws,
    what="flips against shifts over all columns",
)


def rows(level: Level, results: Results) -> Iterator[Claim]:
    """The paper's own columns and seeds looked at again, and what flips cost in this model."""
    yield _column_correlation()
    yield from _exp_d(results)
    yield _all_columns(results)
    yield from _without_growth(results)


def _column_correlation() -> Claim:
    """The printed correlation beside that of all columns: a paired difference, of the paper's own columns."""
    table = paper()["column_flips"]
    alpha, damage = (np.array([column[name] for column in table["columns"]]) for name in ("alpha", "dNLL"))
    kept = damage > 0
    difference, error = selection_effect(alpha, damage)
    return Claim(
        name="columns.damage_correlation",
        claimant="paper",
        source="section 9.5, Exp G",
        statement="Over the flipped columns the rank correlation of α² with ΔNLL is 0.927.",
        routes={
            "published": printed(
                table["spearman_alpha2_dNLL_positive_only"],
                decimals=None,
                section="9.5, Exp G",
                what="Spearman correlation",
            )
        },
        kind="other",
        quotes=("column_flips.spearman_alpha2_dNLL_positive_only",),
        note=f"No independent evidence: the paper's own columns. The figure is of the {kept.sum()} with "
        f"positive ΔNLL, selected on the outcome; over all {len(kept)} it is lower by {difference:.3f} ± "
        f"{error:.3f} (bootstrap over columns, paired), which is no difference.",
    )


def selection_effect(alpha: np.ndarray, damage: np.ndarray) -> tuple[float, float]:
    """Rank correlation over columns of positive damage less that over all, and its paired bootstrap error."""

    from scipy.stats import spearmanr  # slow to import, and asked for once

    def effect(chosen: np.ndarray) -> float:
        a, d = alpha[chosen], damage[chosen]
        return float(spearmanr(a[d > 0], d[d > 0])[0] - spearmanr(a, d)[0])  # pyright: ignore

    columns = np.arange(len(alpha))
    resampled = np.random.default_rng(0).integers(0, len(alpha), (REPLICATES, len(alpha)))
    return effect(columns), float(np.std([effect(chosen) for chosen in resampled]))


def _exp_d(results: Results) -> Iterator[Claim]:
    """Experiment D as the paper does it, with plain flips, and from the paper's own files."""
    abstract = printed(
        paper()["abstract"]["all_column_nll_ratio"], decimals=1, section="abstract", what="median NLL ratio"
    )
    yield other_model(
        "exp_d.matched",
        "abstract; section 9.5, Exp D",
        "Errors in outlier columns, scaled to the norm of flips anywhere, cost 5.0 times the NLL of errors "
        "in the rest.",
        {"published": abstract, "measured": results.supply(EXP_D, _ratio("outlier over rest, matched"))},
        results.model,
        "In the paper outlier errors are rescaled 4.3 times, w → −7.7w, so that they are no sign flips; "
        "masks are independent between matrices here.",
        quotes=("abstract.all_column_nll_ratio",),
    )
    yield other_model(
        "exp_d.flips",
        "abstract; section 9.5, Exp D",
        "As plain flips of 5% of a pool's signs, errors in outlier columns cost 5.0 times the NLL of errors "
        "in the rest.",
        {"published": abstract, "measured": results.supply(EXP_D, _ratio("outlier over rest"))},
        results.model,
        "Not rescaled: the two pools differ in size and in norm, so this is no damage per flip.",
        quotes=("abstract.all_column_nll_ratio",),
    )
    yield Claim(
        name="abstract.exp_d",
        claimant="paper",
        source="abstract; section 9.5, Exp D",
        statement="Errors in outlier columns cost 5.0 times the NLL of errors in the rest.",
        routes={"published": published_exp_d},
        kind="other",
        quotes=("abstract.all_column_nll_ratio",),
        note="No independent evidence. Published: the paper's own five seeds, as a ratio of mean ΔNLL with "
        "Fieller's interval; the abstract's figure is a median of ratios.",
    )


def published_exp_d() -> Evidence:
    """Ratio of mean ΔNLL over the paper's five seeds; its error is that of the interval's wider side."""
    table = paper()["outlier_flips"]
    outlier, rest = (table["ppl"][pool] for pool in ("outlier", "non_outlier"))
    return published_damage(table, outlier, rest, whose="the paper's five seeds")


def _ratio(which: str) -> Callable[[measure.OutlierFlips], Evidence]:
    """Reads one of the ratios of mean ΔNLL of Exp D."""
    return lambda run: of_ratio(run.ratios[which], run.provenance)


def _all_columns(results: Results) -> Claim:
    rate = ALL_COLUMNS_RATE
    return Claim(
        name=f"trained.flips_over_shifts.p={rate:g}",
        claimant="open",
        source="Theorem 3, carried over to a trained model",
        statement=f"The block's ratio A({rate:g}) carries over to ΔNLL over all columns of a trained model.",
        routes={
            "predicted": exact(theory.transverse_ratio, rate),
            "measured": results.supply(ALL_COLUMNS, lambda run: of_ratio(run.rates[0].ratio, run.provenance)),
        },
        compare=(PAIR,),
        rival=lambda: 1.0,
        rival_is="no asymmetry",
        runs_from="default",
        missed=lambda: missed_singles(results, rate, _damage(results, SHIFT)),
        note="Neither the paper nor this package claims it: A(p) is of one block, and the row asks how far "
        "it carries. A shift of 2√p σ on every weight is aligned with the signal; in attention logits, gates "
        "and residual sums, unlike before a normalisation, that is not harmless.",
    )


def _without_growth(results: Results) -> Iterator[Claim]:
    """What is left of the asymmetry without the shift's growth."""
    rate, law = ALL_COLUMNS_RATE, results.supply(ALL_COLUMNS, law_of)
    yield Claim(
        name=f"trained.flips_over_rest.p={rate:g}",
        claimant="open",
        source="Theorem 3 for the weights' own E|w|/σ, carried over to a trained model",
        statement="A(p) carries over once the growth common to a matrix's weights is taken from the shift.",
        routes={
            "predicted": law,
            "measured": results.supply(ALL_COLUMNS, lambda run: of_ratio(run.rest[0].ratio, run.provenance)),
        },
        compare=(PAIR,),
        rival=lambda: 1.0,
        rival_is="no asymmetry",
        runs_from="full",
        missed=lambda: missed_singles(results, rate, _damage(results, REST)),
        note="The growth w → (1 + δb)w, which a block's normalisation takes away, costs something in a "
        "residual network. What is left has c = 1, but its changes follow the signs of the weights and may "
        "add up, as those of random flips do not.",
    )


def law_of(run: measure.AllColumns) -> Evidence:
    """A(p) for the weights' own b."""
    if not 0 < run.cosine < 1:
        return Missing("UNRESOLVED", f"the law wants 0 < E|w|/σ < 1, and it is {run.cosine:.3g}")
    value = float(theory.transverse_ratio(ALL_COLUMNS_RATE, weights=run.cosine))
    return Estimate.exact(value, estimator="closed form for E|w|/σ of the weights", provenance=run.provenance)


def _damage(results: Results, part: str) -> float:
    """Mean ΔNLL of a shift, or of that without its growth; 0 if there is none."""
    run = results[ALL_COLUMNS]
    if isinstance(run, Missing):
        return 0.0
    entries = {SHIFT: run.rates, REST: run.rest}[part]
    damage = entries[0].damage[part]
    return 0.0 if damage is None else float(damage.estimate.value)
