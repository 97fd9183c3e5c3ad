"""The few weights that decide: single signs whose flip costs most, found on one text, proved on another."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from signmag_jax.evidence import ConfidenceInterval, Estimate, Picture, Ratio, Result, invalid
from signmag_jax.evidence.bootstrap import LEVEL
from signmag_jax.models import LanguageModel

from . import inputs, slopes, sweep
from .inputs import Windows
from .place import Place
from .pools import OUTLIER
from .predicted import LinearResponse
from .response import PROBES, linear_response
from .setup import Setup, prepare
from .singles import brackets, loss_with, shortlist

SHORTLIST = 500
VERIFIED = 50
SHORTLIST_PASSES, BRACKET_PASSES = 4, 4
RESAMPLES = 2000
SUMMARISED = 10
FEWEST_RANKED = 3


@dataclass(frozen=True, eq=False)
class DecidingWeight(Result):
    """One verified weight; costs in nats per token over the evaluation windows.

    Args:
      place: matrix, layer, row and column.
      shortlisted: `2 G_ii w²` on the calibration windows, by which it was found.
      first, second, both: `−2 g w` and `2 H_ii w²`, exact derivatives, and their sum.
      flip: ΔNLL of the flip itself.
      beyond: flip − first − second, paired on each window: what two orders leave out.
      outlier: whether its column is one of the response's outliers; None without one.
    """

    SHOWN = ("resolved",)

    place: Place
    shortlisted: float
    first: Estimate
    second: Estimate
    both: Estimate
    flip: Estimate
    beyond: Estimate
    outlier: bool | None

    @property
    def resolved(self) -> bool:
        """Whether the cost of the flip is separated from zero by 3 standard errors."""
        return bool(slopes.separated(self.flip))

    def costs(self) -> dict[str, float]:
        """First and second order and the flip, each with its error, as the cells of a table."""
        parts = {"first": self.first, "second": self.second, "flip": self.flip}
        return {
            label: float(value)
            for name, part in parts.items()
            for label, value in ((name, part.value), (f"{name}_se", part.standard_error))
        }


@dataclass(frozen=True, eq=False)
class DecidingWeights(Result):
    """Result of `deciding_weights`.

    Args:
      weights: the verified ones, in the order of the shortlist.
      shortlist: every shortlisted weight with its predicted cost, descending.
      rank_correlation: Spearman's, of predicted and exact cost over the verified weights, by prediction
        ("fisher": of the shortlist, "second order": `−2 g w + 2 H_ii w²`); None where it is undefined.
      explained: part of the outlier pool's slope that the verified weights in it carry, or why not.
      provenance: model, texts, seed, versions, device.
    """

    weights: tuple[DecidingWeight, ...]
    shortlist: tuple[tuple[Place, float], ...]
    rank_correlation: dict[str, ConfidenceInterval | None]
    explained: Ratio
    provenance: Mapping[str, Any]

    def ranked(self) -> list[DecidingWeight]:
        """The verified weights by the exact cost of their flip, descending."""
        return sorted(self.weights, key=lambda each: -each.flip.value)

    def summary(self) -> dict[str, str]:
        """How well the costs were predicted, the most costly weights, and what they carry."""
        summary = {
            f"rank correlation with the exact cost, {name}": "undefined" if found is None else str(found)
            for name, found in self.rank_correlation.items()
        }
        for rank, weight in enumerate(self.ranked()[:SUMMARISED], start=1):
            place = weight.place
            where = f"layer {place.layer} {place.name} [{place.row}, {place.column}]"
            summary[f"weight {rank}: {where}"] = f"ΔNLL {weight.flip}"
        return summary | {"part of the outlier pool's slope that they carry": str(self.explained)}

    def rows(self) -> list[dict[str, Any]]:
        """One row for each shortlisted weight; those that were not verified have no exact cost."""
        costs = {each.place: each.costs() for each in self.weights}
        return [
            {**place.to_json(), "shortlisted": cost, **costs.get(place, {})} for place, cost in self.shortlist
        ]

    def picture(self) -> Picture:
        """The cost of every verified flip against its prediction."""
        flips = [each.flip for each in self.weights]
        values, errors = [each.value for each in flips], [each.standard_error for each in flips]
        series = {"verified": ([each.shortlisted for each in self.weights], values, errors)}
        x, y = "predicted on calibration text, nats per token", "ΔNLL, nats per token"
        return Picture("points", {"series": series, "x": x, "y": y, "title": "Flipping one weight"})


def deciding_weights(
    model: LanguageModel,
    calibration: Windows,
    evaluation: Windows,
    *,
    shortlisted: int = SHORTLIST,
    verified: int = VERIFIED,
    probes: int = PROBES,
    layers: Sequence[int] | None = None,
    matrices: Sequence[str] | None = None,
    seed: int = 0,
    response: LinearResponse | None = None,
    resume: str | Path | None = None,
    source: Mapping[str, Any] | None = None,
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
      shortlisted: length of the shortlist.
      verified: how many of it are verified, from the top; at least 3.
      probes: random probes of each window for the linear response that is measured where none is given; with
        0 nothing is said of the outlier pool.
      layers: numbers of the layers in which to look; by default all.
      matrices: names of the matrices in which to look; by default all.
      seed: root seed.
      response: `linear_response` on the same windows, which says what part of the outlier pool's slope these
        weights carry; by default it is measured here.
      resume: folder of records to go on from.
      source: added to the provenance.

    Returns:
      The verified weights, the rank correlation of predicted and exact cost with a bootstrap interval over
      weights and windows, and the part of the pool's slope.

    Raises:
      InvalidInput: for overlapping windows, unknown layers or matrices, too few weights, a response on other
        windows, or a loss that is not finite.
    """
    check_counts(verified, shortlisted)
    options = {"experiment": "deciding weights", "shortlisted": shortlisted, "verified": verified}
    options |= {"seed": seed}
    setup = prepare(
        model,
        calibration,
        evaluation,
        options,
        layers,
        matrices,
        batch=1,
        fewest=1,
        choosing=1,
        resume=resume,
        source=source,
    )
    if response is None and probes:
        response = linear_response(
            model,
            calibration,
            evaluation,
            probes=probes,
            layers=layers,
            matrices=matrices,
            seed=seed,
            resume=None if resume is None else Path(resume) / "linear-response",
            source=source,
        )
    read = setup.configuration["evaluation_sha256"]
    if response is not None and response.provenance["evaluation_sha256"] != read:
        raise invalid("response on the same evaluation windows", "others", "measure both on the same windows")
    listed = _listed(setup, shortlisted, seed)
    top = listed[:verified]
    tasks = [functools.partial(_clean, model, setup.evaluation, top[0][0])]
    tasks += [functools.partial(_verify, model, setup.evaluation, place) for place, _ in top]
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
    predicted = np.broadcast_to(np.asarray([cost for _, cost in top])[:, None], flips.shape)
    correlations = {
        "fisher": rank_correlation(predicted, flips),
        "second order": rank_correlation(first + second, flips),
    }
    explained = _explained(response, weights, flips)
    return DecidingWeights(weights, tuple(listed), correlations, explained, setup.origin())


def check_counts(verified: int, shortlisted: int = SHORTLIST) -> None:
    """Refuse to verify more weights than are shortlisted, or too few to rank.

    Raises:
      InvalidInput: with both numbers.
    """
    if not FEWEST_RANKED <= verified <= shortlisted:
        raise invalid(
            f"{FEWEST_RANKED} <= verified <= shortlisted", (verified, shortlisted), "use the defaults"
        )


def rank_correlation(
    predicted: Float[np.ndarray, "weights windows"],
    exact: Float[np.ndarray, "weights windows"],
    replicates: int = RESAMPLES,
    seed: int = 0,
) -> ConfidenceInterval | None:
    """Spearman's correlation of the means over windows, with a percentile interval; None if it is undefined.

    Weights and windows are resampled, both with replacement (Owen, "The pigeonhole bootstrap", 2007).
    """
    rng = np.random.default_rng(seed)
    count, windows = exact.shape
    centre = _spearman(predicted.mean(axis=1)[None], exact.mean(axis=1)[None])[0]
    if not np.isfinite(centre):
        return None
    which = rng.integers(0, count, (replicates, count))
    share = rng.multinomial(windows, np.full(windows, 1 / windows), replicates) / windows
    means = (np.take_along_axis(table @ share.T, which.T, axis=0).T for table in (predicted, exact))
    found = _spearman(*means)
    found = found[np.isfinite(found)]
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    name = "Spearman's rank correlation, bootstrap over weights and windows"
    return ConfidenceInterval(Estimate(centre, found.std(), count, "1", name), float(low), float(high), LEVEL)


def _spearman(
    first: Float[np.ndarray, "some weights"], second: Float[np.ndarray, "some weights"]
) -> Float[np.ndarray, " some"]:
    from scipy.stats import rankdata

    a, b = (rankdata(values, axis=1) for values in (first, second))
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):  # equal ranks only: named by the caller
        return (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))


def _listed(setup: Setup, count: int, seed: int) -> list[tuple[Place, float]]:
    """The shortlist, chosen once."""

    def choose() -> list[Any]:
        found = shortlist(setup.model, setup.calibration, count, setup.layers, setup.matrices, seed)
        if len(found) < FEWEST_RANKED:
            raise inputs.unmeasurable(
                f"at least {FEWEST_RANKED} weights of positive cost", len(found), "check the weights"
            )
        return [[list(place), cost] for place, cost in found]

    return [(Place(*parts), cost) for parts, cost in setup.once(choose)]


def _clean(model: LanguageModel, evaluation: Windows, place: Place) -> sweep.Row:
    return np.asarray([loss_with(model, window, place, 0.0) for window in evaluation])


def _verify(model: LanguageModel, evaluation: Windows, place: Place) -> sweep.Row:
    """Loss when flipped, first and second order: each for all windows."""
    flipped = [loss_with(model, window, place, 1.0) for window in evaluation]
    orders = [brackets(model, window, place) for window in evaluation]
    return np.asarray([*flipped, *(first for first, _ in orders), *(second for _, second in orders)])


def _over_windows(values: Float[np.ndarray, " windows"], what: str) -> Estimate:
    if len(values) == 1:
        return Estimate.exact(values[0], unit="nat/token", estimator=f"{what}, exact on one window")
    return Estimate.of_samples(values, unit="nat/token", estimator=f"{what}, mean over windows")


def _explained(
    response: LinearResponse | None,
    weights: tuple[DecidingWeight, ...],
    flips: Float[np.ndarray, "weights windows"],
) -> Ratio:
    if response is None:
        return Ratio(None, "no linear response was given to compare with")
    inside = [i for i, each in enumerate(weights) if each.outlier and _took_part(response, each.place)]
    return response.share(flips[inside].sum(axis=0), OUTLIER)


def _took_part(response: LinearResponse, place: Place) -> bool:
    return place.layer in response.taking_part and place.name in response.matrices
