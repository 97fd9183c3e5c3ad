"""The few weights that decide: single signs whose flip costs most, found on one text, proved on another."""

from __future__ import annotations

import functools
from typing import Any, Unpack

import numpy as np
from jaxtyping import Float

from signmag_jax.evidence import Estimate, Ratio, invalid
from signmag_jax.models import LanguageModel

from . import inputs, sweep
from .association import rank_correlation
from .inputs import Windows
from .place import Place
from .pools import OUTLIER
from .predicted import LinearResponse
from .response import PROBES, linear_response
from .setup import Options, Setup, nested, prepare
from .singles import brackets, loss_with, shortlist
from .verified import DecidingWeight, DecidingWeights

SHORTLIST = 500
VERIFIED = 50
SHORTLIST_PASSES, BRACKET_PASSES = 4, 4
FEWEST_RANKED = 3


def deciding_weights(
    model: LanguageModel,
    calibration: Windows,
    evaluation: Windows,
    *,
    shortlisted: int = SHORTLIST,
    verified: int = VERIFIED,
    probes: int = PROBES,
    response: LinearResponse | None = None,
    **options: Unpack[Options],
) -> DecidingWeights:
    """Find the weights whose flip costs most by a diagonal-Fisher cost, and flip each on other text.

    Shortlist: the largest `2 G_ii w_i²` over all matrices, G the Gauss–Newton matrix (the Fisher
    information), from one backward pass a calibration window. The first of them are verified on the
    evaluation windows: exact first and second order along the one weight, and the flip itself. Nothing is
    selected on the evaluation windows.

    Args:
      model: from `models.load`.
      calibration: windows that choose the shortlist.
      evaluation: other windows, on which flips are scored.
      shortlisted: number of weights on the shortlist.
      verified: number of weights that are verified, from the top of the shortlist, at least 3.
      probes: number of random probes in each window for the linear response that is measured where none is
        given; with 0 nothing is said of the outlier pool.
      response: `linear_response` on the same windows, which says what part of the outlier pool's slope these
        weights carry; by default it is measured here.
      options: as in `Options`.

    Returns:
      The verified weights, the rank correlation of predicted and exact cost with a bootstrap interval over
      weights and windows, and the part of the pool's slope.

    Raises:
      InvalidInput: for overlapping windows, unknown layers or matrices, too few weights, a response on other
        windows, or a loss that is not finite.
    """
    check_verified(verified, shortlisted)
    own = {"experiment": "deciding weights", "shortlisted": shortlisted, "verified": verified}
    setup = prepare(model, calibration, evaluation, own, batch=1, fewest=1, choosing=1, **options)
    if response is None and probes:
        inner = nested(options, "linear-response")
        response = linear_response(model, calibration, evaluation, probes=probes, **inner)
    read = setup.configuration["evaluation_sha256"]
    if response is not None and response.provenance["evaluation_sha256"] != read:
        raise invalid("response on the same evaluation windows", "others", "measure both on the same windows")
    listed = _listed(setup, shortlisted)
    top = listed[:verified]
    tasks = [functools.partial(_clean, setup, top[0][0])]
    tasks += [functools.partial(_verify, setup, place) for place, _ in top]
    rows = setup.sweep(tasks, first=1)
    inputs.check_finite(np.stack(rows[1:]), "the loss with a weight flipped")
    inputs.check_finite(rows[0][None])
    # (weights, windows), three times
    flips, first, second = np.moveaxis(np.stack(rows[1:]).reshape(len(top), 3, -1), 1, 0)
    flips = flips - rows[0]
    weights = tuple(
        DecidingWeight(
            place,
            cost,
            _over_windows(first[i], "gradient"),
            _over_windows(second[i], "second derivative along the weight"),
            _over_windows(first[i] + second[i], "first and second order along the weight"),
            _over_windows(flips[i], "single flip"),
            _over_windows(flips[i] - first[i] - second[i], "single flip minus its first and second order"),
            None if response is None else response.is_outlier(place),
        )
        for i, (place, cost) in enumerate(top)
    )
    # The same on every window: the shortlist's costs come from other text.
    predicted = np.broadcast_to(np.asarray([cost for _, cost in top])[:, None], flips.shape)
    correlations = {
        "fisher": rank_correlation(predicted, flips),
        "second order": rank_correlation(first + second, flips),
    }
    explained = Ratio(None, "no linear response was given to compare with")
    if response is not None:
        inside = [
            i
            for i, (weight, (place, _)) in enumerate(zip(weights, top, strict=True))
            if weight.outlier and place.layer in response.taking_part and place.name in response.matrices
        ]
        explained = response.share(flips[inside].sum(axis=0), OUTLIER)
    return DecidingWeights(weights, tuple(listed), correlations, explained, setup.origin())


def check_verified(verified: int, shortlisted: int = SHORTLIST) -> None:
    """Refuse to verify more weights than are shortlisted, or too few to rank.

    Raises:
      InvalidInput: with both numbers.
    """
    if not FEWEST_RANKED <= verified <= shortlisted:
        raise invalid(
            f"{FEWEST_RANKED} <= verified <= shortlisted", (verified, shortlisted), "use the defaults"
        )


def _listed(setup: Setup, count: int) -> list[tuple[Place, float]]:
    """The shortlist, chosen once."""

    def choose() -> list[Any]:
        listed = shortlist(setup.model, setup.calibration, count, setup.layers, setup.matrices, setup.seed)
        if len(listed) < FEWEST_RANKED:
            raise inputs.unmeasurable(
                f"at least {FEWEST_RANKED} weights of positive cost", len(listed), "check the weights"
            )
        return [[list(place), cost] for place, cost in listed]

    return [(Place(*parts), cost) for parts, cost in setup.once(choose)]


def _clean(setup: Setup, place: Place) -> sweep.Row:
    return np.asarray([loss_with(setup.model, window, place, 0.0) for window in setup.evaluation])


def _verify(setup: Setup, place: Place) -> sweep.Row:
    """Loss when flipped, first and second order: each for all windows."""
    flipped = [loss_with(setup.model, window, place, 1.0) for window in setup.evaluation]
    orders = zip(*(brackets(setup.model, window, place) for window in setup.evaluation), strict=True)
    return np.concatenate([flipped, *orders])


def _over_windows(values: Float[np.ndarray, " windows"], what: str) -> Estimate:
    if len(values) == 1:
        return Estimate.exact(values[0], unit="nat/token", estimator=f"{what}, exact on one window")
    return Estimate.of_samples(values, unit="nat/token", estimator=f"{what}, mean over windows")
