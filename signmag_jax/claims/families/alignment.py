"""A trained model's weights against their signs (Fact 1), and where its activations concentrate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from signmag_jax import measure, theory
from signmag_jax.claims.claim import Claim, Route, Supply, other_model
from signmag_jax.claims.levels import Level
from signmag_jax.claims.measured import Measured
from signmag_jax.claims.pieces import Results
from signmag_jax.claims.published import paper, path_of_row, printed
from signmag_jax.claims.supply import exact
from signmag_jax.evidence import Estimate

TINYLLAMA = "TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T"
LAYERS_IN_FACT_1 = 20
SITE = "attention_in"

PROFILE = Measured(
    "alpha",
    lambda run, source, **_: measure.alpha(run.model, run.calibration, source=source),
    passes=lambda level: level.calibration_passes,
)
QUANTIZATION = Measured(
    "quantization",
    lambda run, source, **_: measure.quantization(
        run.model, run.calibration, quantizers=("sign",), source=source
    ),
    passes=lambda level: level.calibration_passes,
)


def rows(level: Level, results: Results) -> Iterator[Claim]:
    """Cosines of the sign quantiser per row and per output; α of outlier columns."""
    yield _cosine("row", results.supply(QUANTIZATION, lambda run: run.overall("sign", "rows")), results.model)
    yield _cosine(
        "vector", results.supply(QUANTIZATION, lambda run: run.overall("sign", "real")), results.model
    )
    for which in ("median", "max"):
        yield _concentration(which, results.supply(PROFILE, _alpha(which)), results.model)


def _cosine(which: str, measured: Supply, model: str) -> Claim:
    row = next(row for row in paper()["fact_1_models"]["rows"] if row["model"] == TINYLLAMA)
    scatter = {
        "standard_error": row["row_std_over_layers"] / math.sqrt(LAYERS_IN_FACT_1),
        "error": f"the printed deviation over layers/√{LAYERS_IN_FACT_1}",
        "n": LAYERS_IN_FACT_1,
    }
    # The rows' scatter is not the outputs', and that of the outputs is not printed.
    sampled = scatter if which == "row" else {}
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
        "measured": measured,
    }
    return other_model(
        f"fact_1.{which}_cosine",
        "Fact 1, section 9.2",
        f"Sign quantisation of trained matrices: cos² per {which} is near 2/π.",
        routes,
        model,
        "Predicted: independent Gaussian weights.",
        quotes=(f"{path_of_row('fact_1_models', model=TINYLLAMA)}.{which}_cos2",),
    )


def _concentration(which: str, measured: Supply, model: str) -> Claim:
    published = paper()["abstract"]["layer_12_outlier_alpha"][which]
    return other_model(
        f"outliers.alpha.{which}",
        "abstract",
        f"Outlier columns of a middle layer's attention input: {which} α.",
        {
            "published": printed(published, decimals=3, section="abstract", what="layer 12, q_proj"),
            "measured": measured,
        },
        model,
        quotes=(f"abstract.layer_12_outlier_alpha.{which}",),
    )


def _alpha(which: str) -> Callable[[measure.Alpha], Estimate]:
    """Reads the median or largest α over the outlier columns of the middle layer's attention input."""

    def read(profile: measure.Alpha) -> Estimate:
        share = profile.token_share[SITE]
        layer = len(share.value) // 2
        columns = profile.outliers()[SITE][layer]
        value, error = share.value[layer][columns], share.standard_error[layer][columns]
        order = np.argsort(value)
        column = order[len(order) // 2] if which == "median" else order[-1]
        return root_of_share(share, value[column], error[column], layer)

    return read


def root_of_share(share: Estimate, value: float, error: float, layer: int) -> Estimate:
    """α from α², with the delta-method error; a column that is never active has α = 0, exactly."""
    alpha = float(np.sqrt(value))
    error = error / (2 * alpha) if alpha > 0 else 0.0
    origin = {**share.provenance, "layer": layer, "site": SITE}
    return Estimate(alpha, error, share.n, "1", "√ of the mean of x_j²/‖x‖²", origin)
