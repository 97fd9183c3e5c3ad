"""Rows on trained models: alignment, concentration, leverage. Published figures are of other models."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from signmag_jax import theory
from signmag_jax.evidence import Estimate, ratio_of_means

from .claim import Claim, Evidence, Missing, Route
from .levels import Level
from .measured import Measured
from .measurements import ALL_COLUMNS_RATE
from .other_model import other
from .published import PAPER, figures
from .supply import Supply, exact, found, printed

TINYLLAMA = "TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T"
LAYERS_IN_FACT_1 = 20
Z95 = 1.96


def rows(level: Level, measured: Measured) -> Iterator[Claim]:
    """All rows that need a trained model, and the paper's own seeds looked at again."""
    yield from _fact_1(measured)
    yield from _concentration(measured)
    for rate in level.leverage_rates:
        yield _leverage(rate, measured)
    for row in figures()["count_matched_leverage"]["rows"]:
        yield _plateau(row)
    yield _column_correlation()
    yield from _exp_d(measured)
    yield from _all_columns(measured)


def _fact_1(measured: Measured) -> Iterator[Claim]:
    row = next(row for row in figures()["fact_1_models"]["rows"] if row["model"] == TINYLLAMA)
    scatter = {
        "standard_error": row["row_std_over_layers"] / math.sqrt(LAYERS_IN_FACT_1),
        "error": f"the printed deviation over layers/√{LAYERS_IN_FACT_1}",
        "n": LAYERS_IN_FACT_1,
    }
    # The rows' scatter is not the outputs', and that of the outputs is not printed.
    for which, sampled in (("row", scatter), ("vector", {})):
        published = printed(
            row[f"{which}_cos2"],
            decimals=4,
            section="9.2",
            what=f"mean over {LAYERS_IN_FACT_1} layers" + ("" if sampled else ", their scatter not printed"),
            **sampled,
        )
        routes: dict[Route, Supply] = {
            "published": published,
            "predicted": exact(lambda: theory.sign_cosine_squared(), name="2/π"),
            "measured": found(measured.results, f"quantization.{which}_cosine"),
        }
        yield other(
            f"fact_1.{which}_cosine",
            "Fact 1, section 9.2",
            f"Sign quantisation of trained matrices: cos² per {which} is near 2/π.",
            routes,
            measured,
            "Predicted: independent Gaussian weights.",
        )


def _concentration(measured: Measured) -> Iterator[Claim]:
    published = figures()["abstract"]["layer_12_outlier_alpha"]
    for which in ("median", "max"):
        yield other(
            f"outliers.alpha.{which}",
            "abstract",
            f"Outlier columns of a middle layer's attention input: {which} α.",
            {
                "published": printed(
                    published[which], decimals=3, section="abstract", what="layer 12, q_proj"
                ),
                "measured": found(measured.results, f"alpha.{which}"),
            },
            measured,
        )


def _leverage(rate: float, measured: Measured) -> Claim:
    return other(
        f"leverage.rate={rate:g}",
        "section 9.5, Exp E",
        f"Count-matched leverage of sign flips in outlier columns, {rate:.2%} of the outlier pool.",
        {
            "published": lambda: published_leverage(rate),
            "predicted": found(measured.results, "leverage.pool_law"),
            "measured": found(measured.results, f"leverage.{rate}"),
        },
        measured,
        "Predicted: mean α²‖w‖² of the outlier columns over that of the rest, every output mattering alike. "
        "Measured: by flips; at small rates with derivatives as a control variate.",
    )


def published_leverage(rate: float) -> Evidence:
    """Ratio of mean damage over the paper's ten seeds.

    The error is the wider side of the bootstrap's 95% interval over 1.96: the ratio's distribution is skewed,
    and its linearised error would flatter it.
    """
    table = figures()["count_matched_leverage"]
    row = next(row for row in table["rows"] if row["rate"] == rate)
    outlier, rest = (
        np.log(row[name])[:, None] - math.log(table["baseline_ppl"]) for name in ("outlier_ppl", "rest_ppl")
    )
    return _of_seeds(outlier, rest, "the paper's ten seeds", table["section"])


def _of_seeds(outlier: Any, rest: Any, whose: str, section: str) -> Evidence:
    found = ratio_of_means(outlier, rest)
    if found.interval is None:
        return Missing("UNRESOLVED", f"{whose}: {found.reason}")
    value = found.interval.estimate.value
    error = max(found.interval.high - value, value - found.interval.low) / Z95
    what = f"{whose}: ratio of mean ΔNLL, bootstrap"
    return Estimate(value, error, len(outlier), "1", what, {"source": PAPER, "section": section})


def _plateau(row: dict[str, Any]) -> Claim:
    rate = row["rate"]
    abstract = figures()["abstract"]
    inside = rate <= abstract["linear_response_up_to_p"]
    claim = "is about 10" if inside else "leaves the plateau of about 10"
    routes: dict[Route, Supply] = {
        "published": printed(
            float(abstract["leverage_at_linear_response"]), decimals=0, section="abstract", what="about 10x"
        ),
        "measured": lambda: published_leverage(rate),
    }
    return Claim(
        name=f"abstract.leverage_10.rate={rate:g}",
        claimant="paper",
        source="abstract; section 9.5, Exp E",
        statement=f"TinyLlama's leverage at rate {rate:g} {claim} (abstract: for p ≤ 0.5%).",
        routes=routes,
        kind="other",
        note="No independent evidence: the paper's own ten seeds, as a ratio of means, beside the abstract. "
        "Its median of ratios keeps seeds whose denominator was not positive.",
    )


def _column_correlation() -> Claim:
    table = figures()["column_flips"]
    columns = table["columns"]
    alpha, damage = (np.asarray([column[name] for column in columns]) for name in ("alpha", "dNLL"))
    kept = damage > 0

    def over(chosen: Any) -> Supply:
        return exact(
            lambda: np.asarray(spearmanr(alpha[chosen], damage[chosen]))[0], name="Spearman correlation"
        )

    return Claim(
        name="columns.damage_correlation",
        claimant="paper",
        source="section 9.5, Exp G",
        statement="Over the flipped columns the rank correlation of α² with ΔNLL is the printed one.",
        routes={
            "published": exact(lambda: table["spearman_alpha2_dNLL_positive_only"], name="as printed"),
            "predicted": over(kept),
            "measured": over(np.ones(len(columns), bool)),
        },
        compare=(("published", "measured"),),
        note=f"Measured: all {len(columns)} published columns. Predicted: the {int(kept.sum())} of them with "
        "positive ΔNLL, which gives the printed figure: columns are selected on the outcome.",
    )


def _exp_d(measured: Measured) -> Iterator[Claim]:
    """As the paper does it, as plain flips, and its own files looked at again."""
    abstract = printed(
        figures()["abstract"]["all_column_nll_ratio"], decimals=1, section="abstract", what="median NLL ratio"
    )
    for which, what in (
        ("matched", "Errors in outlier columns, scaled to the norm of flips anywhere,"),
        ("flips", "As plain flips of 5% of a pool's signs, errors in outlier columns"),
    ):
        yield other(
            f"exp_d.{which}",
            "abstract; section 9.5, Exp D",
            f"{what} cost 5.0 times the NLL of errors in the rest.",
            {"published": abstract, "measured": found(measured.results, f"exp_d.{which}")},
            measured,
            "In the paper outlier errors are rescaled 4.3 times, w → −7.7w, so that they are no sign flips; "
            "masks are independent between matrices here."
            if which == "matched"
            else "Not rescaled: the two pools differ in size and in norm, so this is no damage per flip.",
        )
    yield Claim(
        name="abstract.exp_d",
        claimant="paper",
        source="abstract; section 9.5, Exp D",
        statement="Errors in outlier columns cost 5.0 times the NLL of errors in the rest.",
        routes={"published": abstract, "measured": published_exp_d},
        kind="other",
        note="No independent evidence: the paper's own five seeds, as a ratio of mean ΔNLL with a bootstrap, "
        "beside the abstract's median of ratios.",
    )


def published_exp_d() -> Evidence:
    """Ratio of mean ΔNLL over the paper's five seeds; its error is that of the bootstrap's wider side."""
    table = figures()["outlier_flips"]
    outlier, rest = (
        np.log(table["ppl"][pool])[:, None] - math.log(table["baseline_ppl"])
        for pool in ("outlier", "non_outlier")
    )
    return _of_seeds(outlier, rest, "the paper's five seeds", table["section"])


def _all_columns(measured: Measured) -> Iterator[Claim]:
    rate = ALL_COLUMNS_RATE
    yield Claim(
        name=f"trained.flips_over_shifts.p={rate:g}",
        claimant="paper",
        source="Theorem 3, carried over to a trained model",
        statement=f"The block's ratio A({rate:g}) carries over to ΔNLL over all columns of a trained model.",
        routes={
            "predicted": exact(theory.transverse_ratio, rate),
            "measured": found(measured.results, "all_columns.ratio"),
        },
        compare=(("predicted", "measured"),),
        rival=lambda: 1.0,
        rival_is="no asymmetry",
        note="The paper states A(p) for one block and not for this: the row says how far it carries. A shift "
        "of 2√p σ on every weight is aligned with the signal; in attention logits, gates and residual sums, "
        "unlike before a normalisation, that is not harmless.",
    )
