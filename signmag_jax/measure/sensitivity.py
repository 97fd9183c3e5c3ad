"""The law of leverage in a real network: what flips cost by inputs, and by what outputs matter."""

from __future__ import annotations

import functools
from typing import Unpack

import numpy as np
from jaxtyping import Int, PRNGKeyArray

from signmag_jax.evidence import invalid, keys
from signmag_jax.evidence.counts import counting
from signmag_jax.models import SITE_OF, LanguageModel, fetch

from . import inputs, map_prediction, sweep
from .activations import OUTLIER_FRACTION, Alpha, Columns, membership
from .chosen import check_profile, stored_columns
from .column_costs import EXACT, LAWS, TOKENWISE, column_costs
from .curvature import WindowLoss
from .inputs import Windows
from .leverage_laws import Sensitivity
from .predicted import LinearResponse
from .response import linear_response
from .setup import Options, Setup, nested, prepare

DRAWS = 2
FORWARD_PASSES, DRAW_PASSES = 1, 4
"""Costs in forward passes: a backward pass computes attention again and makes three products for one."""


@counting
def sensitivity(
    model: LanguageModel,
    calibration: Windows,
    evaluation: Windows,
    *,
    draws: int = DRAWS,
    probes: int = 0,
    fraction: float = OUTLIER_FRACTION,
    profile: Alpha | None = None,
    response: LinearResponse | None = None,
    **options: Unpack[Options],
) -> Sensitivity:
    """Second-order cost of flips, `2 D_ij w_ij²` a weight, by five laws: from the paper's to the whole one.

    `α_j²‖W_j‖²` counts every output of a matrix alike: it lacks how much the loss depends on output i at
    token t, g_ti, and that this goes with the input x_tj. `Σ_t x_tj² g_ti²` has both, and is what a flip
    costs if its effects at different tokens are unrelated; `(Σ_t x_tj g_ti)²` is the exact Gauss–Newton
    diagonal. `Σ_t E[x_j²]·E[g_i²]`, means over a window's tokens, is the factorised form of K-FAC, in which
    inputs and gradients are independent: where a few tokens of massive activations carry almost no
    gradient, as before `down_proj`, it is wrong by an order of magnitude. All four come from one forward
    pass a window and one backward pass a draw. First order, the rest of the Hessian and the exact costs of
    single weights are the fifth, from `linear_response`.

    Args:
      model: from `models.load`.
      calibration: windows that choose the outlier columns (at least 2).
      evaluation: other windows, on which everything is scored (at least 2).
      draws: number of draws of the logits' random signs in each window, which stand for labels drawn from the
        model: the same means, with less scatter. From 2 on, the map of columns by one draw is compared with
        the Gauss–Newton probe of another.
      probes: number of random probes of the linear response that is measured where none is given; with 0
        first order and residual Hessian are left out.
      fraction: part of the columns of each layer's input that are outliers.
      profile: `alpha` of these calibration windows, if already computed.
      response: `linear_response` on the same windows.
      options: as in `Options`.

    Returns:
      Costs by law, pool, layer and matrix, in nats per token per unit flip rate (`α²‖W‖²` without unit), with
      errors over windows; the leverage by each law with Fieller's interval; the map of columns told.

    Raises:
      InvalidInput: for too few or overlapping windows, unknown layers or matrices, no draw, a response on
        other windows or columns, or gradients that are not finite.

    Source:
      Martens and Grosse 2015 (arXiv:1503.05671) for the factorised form.
    """
    check_counts(draws, probes)
    own = {"experiment": "sensitivity", "draws": draws, "fraction": fraction}
    setup = prepare(model, calibration, evaluation, own, batch=1, fewest=2, **options)
    check_profile(profile, setup.configuration["calibration_sha256"])
    columns = stored_columns(setup, fraction, profile)
    if response is None and probes:
        response = linear_response(
            model,
            calibration,
            evaluation,
            probes=probes,
            fraction=fraction,
            profile=profile,
            **nested(options, "linear-response"),
        )
    if response is not None:
        check_response(response, setup, columns)
    root = keys.fold(keys.root(setup.seed), "sensitivity")
    tasks = [
        functools.partial(_costs, setup, window, keys.fold(root, index), draws)
        for index, window in enumerate(setup.evaluation)
    ]
    inputs_ = sum(model.config.shapes()[name][1] for name in setup.matrices)
    rows = setup.sweep(tasks, 1, draws * len(setup.layers) * len(LAWS) * inputs_)
    for row in rows:
        inputs.check_finite(row[None], "gradients of the loss")
    return _result(setup, rows, draws, columns, response)


def check_counts(draws: int, probes: int) -> None:
    """Refuse no draw, or a single probe.

    Raises:
      InvalidInput: with the number.
    """
    if draws < 1:
        raise invalid("draws >= 1", draws, "one draw is one backward pass a window")
    if probes:
        inputs.check_probes(probes)


def check_response(response: LinearResponse, setup: Setup, columns: Columns) -> None:
    """Refuse a response that is not of the same windows, layers, matrices and outlier columns.

    Raises:
      InvalidInput: by which of these it differs.
    """
    windows = "evaluation_sha256"
    same = {
        "windows": response.provenance[windows] == setup.configuration[windows],
        "layers": response.taking_part == setup.layers,
        "matrices": tuple(response.matrices) == setup.matrices,
        "outlier columns": all(np.array_equal(response.outliers[site], columns[site]) for site in columns),
    }
    other = [name for name, is_same in same.items() if not is_same]
    if other:
        raise invalid("a response measured alike", f"other {', '.join(other)}", "measure both alike")


def _costs(setup: Setup, window: Int[np.ndarray, " window"], key: PRNGKeyArray, draws: int) -> sweep.Row:
    """Costs by matrix: draws × layers that take part × laws × columns."""
    loss = WindowLoss.of(setup.model, window)
    tables = fetch(column_costs(loss, setup.matrices, key, draws))
    return np.concatenate([tables[name][:, list(setup.layers)].ravel() for name in setup.matrices])


def _result(
    setup: Setup, rows: list[sweep.Row], draws: int, columns: Columns, response: LinearResponse | None
) -> Sensitivity:
    shapes = {name: setup.model.config.shapes()[name] for name in setup.matrices}
    layers, windows = list(setup.layers), len(rows)
    ends = np.cumsum([draws * len(layers) * len(LAWS) * shape[1] for shape in shapes.values()])[:-1]
    # A flip moves w by −2w, and ½D(2w)² is 2Dw².
    pieces = zip(*(np.split(2 * row, ends) for row in rows), strict=True)
    costs, weights, maps, means = [], [], {}, {}
    for (name, (outputs, width)), each in zip(shapes.items(), pieces, strict=True):
        # windows, draws, layers, laws, columns -> laws, draws, windows, layers, columns
        table = np.stack(each).reshape(windows, draws, len(layers), len(LAWS), width)
        table = np.moveaxis(table, (3, 1, 0), (0, 1, 2))
        outlier = membership(columns[SITE_OF[name]], width)[layers]
        masks = [outlier, ~outlier]
        costs.append([(table * mask).sum(axis=-1) for mask in masks])
        weights.append([mask.sum(axis=-1) * outputs for mask in masks])
        maps[name] = table[[LAWS.index(TOKENWISE), LAWS.index(EXACT)]] / outputs
        means[name] = table.mean(axis=(1, 2))
    return Sensitivity(
        # pools, matrices first -> laws, pools, draws, windows, matrices, layers
        np.stack(costs).transpose(2, 1, 3, 4, 0, 5),
        np.stack(weights).transpose(1, 0, 2),
        means,
        map_prediction.of(maps),
        response,
        columns,
        setup.matrices,
        setup.layers,
        setup.origin(),
    )
