"""The few weights that decide: single signs whose flip costs most, found on one text, proved on another."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple, Unpack

import numpy as np
from jaxtyping import Float

from signmag_jax.evidence import Estimate, Ratio, invalid
from signmag_jax.evidence.counts import counting
from signmag_jax.models import LanguageModel, ModelConfig

from . import inputs, recorded, sweep
from .activations import alpha
from .association import rank_correlation
from .inputs import Windows
from .joint import Flips, costliest_sets, joint_cost
from .place import Place, flipped
from .predicted import LinearResponse
from .response import PROBES, linear_response
from .screening import excerpt, input_scales
from .setup import Options, Setup, nested, prepare
from .singles import brackets, costs_of, largest, predicted_costs
from .suspects import SHORTLISTS, Suspect, check_shortlist, suspects
from .verified import DecidingWeight, DecidingWeights, JointFlip

SHORTLIST = 500
VERIFIED = 50
SUSPECTED = 12
"""Weights verified in addition, whatever their Fisher cost: the costliest that any criterion names."""
JOINT = 3
# In forward passes: a backward pass with its forward one; two derivatives in turn along one weight.
SHORTLIST_PASSES, BRACKET_PASSES = 4, 4
# Two ranks agree or do not: their correlation is 1 or −1.
FEWEST_RANKED = 3


@counting
def deciding_weights(
    model: LanguageModel,
    calibration: Windows,
    evaluation: Windows,
    *,
    shortlisted: int = SHORTLIST,
    verified: int = VERIFIED,
    shortlist: str = SHORTLISTS[0],
    joint: int = JOINT,
    probes: int = PROBES,
    response: LinearResponse | None = None,
    **options: Unpack[Options],
) -> DecidingWeights:
    """Find the weights whose flip costs most by a diagonal-Fisher cost, and flip each on other text.

    Shortlist: the largest `2 G_ii w_i²` over all matrices, G the Gauss–Newton matrix (the Fisher
    information), from one backward pass a calibration window. The first of them are verified on the
    evaluation windows: exact first and second order along the one weight, and the flip itself. So are the
    costliest of those that other criteria name, see `suspects`, and the few that do most damage together:
    flips do not add, and weights that back each other up cost nothing alone. Nothing is selected on the
    evaluation windows.

    Args:
      model: from `models.load`.
      calibration: windows that choose the shortlist.
      evaluation: other windows, on which flips are scored.
      shortlisted: number of weights on the shortlist.
      verified: number of weights that are verified, from the top of the shortlist, at least 3.
      shortlist: "suspects", so that other criteria than the Fisher cost name weights too, or "fisher" alone.
      joint: largest number of weights that are flipped together; 0 for none, and there are none of "fisher".
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
    check_shortlist(shortlist)
    check_joint(joint)
    own = {"experiment": "deciding weights", "shortlisted": shortlisted, "verified": verified}
    own |= {"shortlist": shortlist, "joint": joint}
    setup = prepare(model, calibration, evaluation, own, batch=1, fewest=1, choosing=1, **options)
    if response is None and probes:
        inner = nested(options, "linear-response")
        response = linear_response(model, calibration, evaluation, probes=probes, **inner)
    read = setup.configuration["evaluation_sha256"]
    if response is not None and response.provenance["evaluation_sha256"] != read:
        raise invalid("response on the same evaluation windows", "others", "measure both on the same windows")
    chosen = _chosen(setup, shortlisted, verified)
    listed, top = chosen.listed, chosen.verified
    tasks = [functools.partial(_clean, setup)]
    tasks += [functools.partial(_verify, setup, place) for place, _ in top]
    # By the program of joint flips, so that what it rounds is in both losses.
    sets = ((), *chosen.sets) if chosen.sets else ()
    tasks += [functools.partial(_flipped_jointly, setup, places, joint) for places in sets]
    windows = len(setup.evaluation)
    rows = setup.sweep(tasks, 1, [windows, *([3 * windows] * len(top)), *([windows] * len(sets))])
    singles, sets = rows[1 : 1 + len(top)], rows[1 + len(top) :]
    inputs.check_finite(np.stack(singles), "the loss with a weight flipped")
    inputs.check_finite(np.stack([rows[0], *sets]))
    # (weights, windows), three times
    flips, first, second = np.moveaxis(np.stack(singles).reshape(len(top), 3, -1), 1, 0)
    flips = flips - rows[0]
    alone = {place: flips[i] for i, (place, _) in enumerate(top)}
    joints = tuple(
        JointFlip(
            places,
            _over_windows(row - sets[0], "joint flip"),
            _over_windows(np.sum([alone[place] for place in places], axis=0), "sum of single flips"),
        )
        for places, row in zip(chosen.sets, sets[1:], strict=True)
    )
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
        # Of those that it ranks itself: the others were named because it misses them.
        "fisher": rank_correlation(predicted[:verified], flips[:verified]),
        "second order": rank_correlation(first + second, flips),
    }
    explained = Ratio(None, "no linear response was given to compare with")
    if response is not None:
        inside = [
            i
            for i, (weight, (place, _)) in enumerate(zip(weights, top, strict=True))
            if weight.outlier and place.layer in response.taking_part and place.name in response.matrices
        ]
        explained = response.share(flips[inside].sum(axis=0))
    return DecidingWeights(
        weights, tuple(listed), correlations, explained, joints, chosen.suspects, setup.origin()
    )


def check_verified(verified: int, shortlisted: int = SHORTLIST) -> None:
    """Refuse to verify more weights than are shortlisted, or too few to rank.

    Raises:
      InvalidInput: with both numbers.
    """
    if not FEWEST_RANKED <= verified <= shortlisted:
        raise invalid(
            f"{FEWEST_RANKED} <= verified <= shortlisted", (verified, shortlisted), "use the defaults"
        )


def check_joint(joint: int) -> None:
    """Refuse a negative number of weights that are flipped together."""
    if joint < 0:
        raise invalid("joint >= 0", joint, "flip one weight or more together, or 0 for none")


Priced = tuple[Place, float]


class _Chosen(NamedTuple):
    """What the calibration windows choose: weights with `2 G w²`, suspects, and the costliest sets."""

    listed: list[Priced]
    verified: list[Priced]
    suspects: tuple[Suspect, ...]
    sets: list[Flips]


def _chosen(setup: Setup, count: int, verified: int) -> _Chosen:
    """Chosen once."""
    model, calibration = setup.model, setup.calibration
    several, joint = setup.configuration["shortlist"] == SHORTLISTS[0], setup.configuration["joint"]

    def choose() -> dict[str, Any]:
        costs = predicted_costs(model, calibration, setup.layers, setup.matrices, setup.seed)
        listed = largest(costs, count)
        if len(listed) < FEWEST_RANKED:
            raise inputs.unmeasurable(
                f"at least {FEWEST_RANKED} weights of positive cost", len(listed), "check the weights"
            )
        tried, sets = [], []
        if several:
            steepest = [place for place, _ in listed]
            where = setup.layers, setup.matrices
            scales = input_scales(alpha(model, calibration), setup.matrices)
            tried = suspects(model, calibration, scales, *where, steepest)
            sets = _sets(setup, tried, joint)
        top = [place for place, _ in listed[:verified]]
        further = [each.place for each in tried[:SUSPECTED]] + [place for each in sets for place in each]
        further = [place for place in dict.fromkeys(further) if place not in top]
        priced = zip(further, costs_of(costs, further), strict=True)
        return {
            "listed": [[list(place), cost] for place, cost in listed],
            "further": [[list(place), cost] for place, cost in priced],
            "suspects": [each.to_record() for each in tried],
            "sets": [[list(place) for place in each] for each in sets],
        }

    def reader(stored: dict[str, Any]) -> _Chosen:
        listed, further = (_priced(stored[name], model.config) for name in ("listed", "further"))
        sets = [recorded.places(each, model.config) for each in recorded.listed(stored["sets"])]
        tried = Suspect.of_records(stored["suspects"], model.config)
        return _Chosen(listed, [*listed[:verified], *further], tried, sets)

    return setup.once(choose, reader)


def _priced(stored: Any, config: ModelConfig) -> list[Priced]:
    costs = recorded.numbers([cost for _, cost in recorded.listed(stored)])
    return [(recorded.place(at, config), cost) for (at, _), cost in zip(stored, costs, strict=True)]


def _sets(setup: Setup, tried: list[Suspect], flips: int) -> list[Flips]:
    """The costliest sets of two and more, up to `flips`."""
    few = excerpt(setup.calibration)
    cost = joint_cost(setup.model, few, max(flips, 1), {each.place: each.cost for each in tried})
    candidates = [each.place for each in sorted(tried, key=lambda one: one.turn)]
    return costliest_sets(cost, candidates, flips)[1:]


def _flipped_jointly(setup: Setup, places: Flips, size: int) -> sweep.Row:
    return setup.losses(flipped(places, max(size, 1)))


def _clean(setup: Setup) -> sweep.Row:
    # By the program of the flips, so that what it rounds is in both losses.
    return setup.losses_from(0, flipped([]))


def _verify(setup: Setup, place: Place) -> sweep.Row:
    """Loss when flipped, first and second order: each for all windows."""
    alone = setup.losses_from(place.layer, flipped([place]))
    orders = zip(*(brackets(setup.model, window, place) for window in setup.evaluation), strict=True)
    return np.concatenate([alone, *orders])


def _over_windows(values: Float[np.ndarray, " windows"], what: str) -> Estimate:
    if len(values) == 1:
        return Estimate.exact(values[0], unit="nat/token", estimator=f"{what}, exact on one window")
    return Estimate.of_samples(values, unit="nat/token", estimator=f"{what}, mean over windows")
