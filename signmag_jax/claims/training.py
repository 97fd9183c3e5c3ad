"""Networks in training beside the laws: from which step on a law no longer says what is measured."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from signmag_jax import theory, training
from signmag_jax.evidence import Estimate, InvalidInput, Picture, Result
from signmag_jax.evidence.numbers import with_error

from . import tails

Law = Callable[[training.Training, Any, Any], float]


def _gaussian(run: training.Training, weights: Any, state: Any) -> float:
    """Gaussian weights at inputs on the sphere, where every network begins."""
    return _block(run.activation, run.rate, run.width, "gaussian", 1.0)


def _own_weights(run: training.Training, weights: Any, state: Any) -> float:
    """The ratio by the moments of the network's own entries, at the size of its own pre-activations."""
    return _block(run.activation, run.rate, run.width, weights, float(state.scale))


def _own_inputs(run: training.Training, weights: Any, state: Any) -> float:
    """The mean ratio at a few of the network's own inputs."""
    if run.activation != "relu":
        raise InvalidInput("a law of given inputs is known for ReLU blocks alone")
    return float(np.mean([theory.profile_width_ratio(run.rate, x, weights) for x in state.inputs]))


@functools.lru_cache  # all networks begin at one law, of every snapshot and block
def _block(activation: str, rate: float, width: int, weights: Any, scale: float) -> float:
    """The ratio by the law of the block's own width."""
    if activation == "relu":
        return float(theory.finite_width_ratio(rate, width, weights))
    return float(theory.gated_width_ratio(rate, width, "silu", scale=scale, weights=weights))


LAWS: dict[str, Law] = {
    "Gaussian weights": _gaussian,
    "own weights": _own_weights,
    "own weights and inputs": _own_inputs,
}


class Gap(NamedTuple):
    """A law beside what is measured.

    Args:
      law: its mean over networks; None where it does not answer for one of them.
      gap: measured less law, network by network; None likewise.
      refusal: why there is none, in the law's own words.
    """

    law: Estimate | None
    gap: Estimate | None
    refusal: str = ""

    @property
    def distance(self) -> float:
        """The gap in its standard errors; NaN where there is none."""
        return np.nan if self.gap is None else float(self.gap.value / self.gap.standard_error)


@dataclass(frozen=True, eq=False)
class Compared(Result):
    """One block at one step, measured and predicted.

    Args:
      step: of the optimiser.
      measured: the block.
      ratio: by law, A = T(flips)/T(shift).
      leverage: the law of small errors, α_j²‖W_·j‖² by pool; in a gated block its two matrices count alike.
    """

    step: int
    measured: training.Block
    ratio: dict[str, Gap]
    leverage: Gap


class Leaving(NamedTuple):
    """The step at which a block parts from a law.

    Args:
      before, step: last snapshot at which nothing speaks against the law, and the first at which something
        does; `step` is None where that never happens, `before` where it is so from the start.
      distance: standard errors at that snapshot, or the most at any.
      limit: standard errors that speak against it.
    """

    before: int | None
    step: int | None
    distance: float
    limit: float

    def __str__(self) -> str:
        told = f"{self.distance:+.1f} standard errors; {self.limit:.1f} tell"
        if self.step is None:
            return f"not told apart from A at any step (at most {told})"
        when = "at step 0 already" if self.before is None else f"between steps {self.before} and {self.step}"
        return f"A parts from it {when} ({told})"


@dataclass(frozen=True, eq=False)
class TrainedAgainstLaws(Result):
    """Networks in training, and the laws at every snapshot.

    Args:
      run: what was measured.
      blocks: of each, all snapshots.
      limit: standard errors from which on a law is parted from: all comparisons of this run, and of the
        others beside it, together err with a probability of 1%, with Student's tails.
    """

    run: training.Training
    blocks: tuple[tuple[Compared, ...], ...]
    limit: float

    def leaving(self, block: int, law: str) -> Leaving | None:
        """Where a block, from 1, parts from a law; None where the law does not answer throughout."""
        gaps = [(at.step, at.ratio[law].distance) for at in self.blocks[block - 1]]
        if any(np.isnan(distance) for _, distance in gaps):
            return None
        before: int | None = None
        for step, distance in gaps:
            if abs(distance) > self.limit:
                return Leaving(before, step, distance, self.limit)
            before = step
        return Leaving(before, None, max((d for _, d in gaps), key=abs), self.limit)

    def rows(self) -> list[dict[str, Any]]:
        """The measured rows, with each law and its gap."""
        compared = {(at.step, at.measured.block): at for each in self.blocks for at in each}
        return [row | dict(_cells(compared[int(row["step"]), int(row["block"])])) for row in self.run.rows()]

    def summary(self) -> dict[str, str]:
        """The first and the last snapshot of each block, and where it parts from each law."""
        lines = {}
        for number, each in enumerate(self.blocks, 1):
            name = f"{self.run.title}, block {number}" if len(self.blocks) > 1 else self.run.title
            for at in (each[0], each[-1]):
                lines[f"{name}, step {at.step}"] = _line(at)
            for law in LAWS:
                if (step := self.leaving(number, law)) is not None:
                    lines[f"{name}: {law}"] = str(step)
        return lines

    def picture(self) -> Picture:
        """A and the laws against training steps, block by block."""
        series, laws = {}, {}
        for number, each in enumerate(self.blocks, 1):
            name = f"block {number}"
            measured = [at.measured.ratio for at in each]
            series[name] = tuple(
                [getattr(one, part) for one in measured] for part in ("value", "standard_error")
            )
            own = [at.ratio["own weights"].law for at in each]
            laws[name] = [np.nan if law is None else law.value for law in own]
        along = [at.step for at in self.run.snapshots]
        options = {"series": series, "laws": laws, "along": along, "title": self.run.title}
        return Picture("curves", options | {"x": "training steps", "y": "transverse ratio A"})


def compare(run: training.Training, among: int = 1) -> TrainedAgainstLaws:
    """A training beside the laws.

    Args:
      run: what was measured.
      among: how many trainings are looked at together, each with as many comparisons.
    """
    count = len(run.snapshots[0].blocks)
    blocks = tuple(
        tuple(_compared(run, at.step, at.blocks[number]) for at in run.snapshots) for number in range(count)
    )
    known = [gap.gap for each in blocks for at in each for gap in at.ratio.values() if gap.gap is not None]
    return TrainedAgainstLaws(run, blocks, tails.student(tails.threshold(among * len(known)), known[:1]))


def _compared(run: training.Training, step: int, block: training.Block) -> Compared:
    pairs = list(zip(block.weights, block.states, strict=True))
    ratio = {
        name: _gap(block.ratios, [functools.partial(law, run, weights, state) for weights, state in pairs])
        for name, law in LAWS.items()
    }
    leverage = _gap(block.leverages, [functools.partial(_leverage, state) for _, state in pairs])
    return Compared(step, block, ratio, leverage)


def _leverage(state: Any) -> float:
    pool = np.asarray(state.outliers) > 0
    return float(theory.pool_leverage(state.alpha_squared, state.column_norm_squared, pool))


def _gap(measured: Sequence[float] | np.ndarray, laws: Sequence[Callable[[], float]]) -> Gap:
    try:
        values = np.asarray([law() for law in laws])
    except InvalidInput as refusal:
        return Gap(None, None, str(refusal))
    name = "measured less law, network by network"
    mean = Estimate.of_samples(values, estimator="closed form, mean over networks")
    return Gap(mean, Estimate.of_samples(np.asarray(measured) - values, estimator=name))


def _cells(at: Compared) -> Iterator[tuple[str, Any]]:
    for name, gap in (*at.ratio.items(), ("leverage", at.leverage)):
        yield f"law: {name}", None if gap.law is None else float(gap.law.value)
        yield f"standard errors from it: {name}", None if gap.gap is None else gap.distance


def _line(at: Compared) -> str:
    def number(estimate: Estimate | None) -> str:
        return "–" if estimate is None else with_error(float(estimate.value), float(estimate.standard_error))

    laws = ", ".join(f"{name} {number(gap.law)}" for name, gap in at.ratio.items())
    block, leverage = at.measured, at.leverage.law
    return (
        f"A {number(block.ratio)} ({laws}); "
        f"leverage {number(block.leverage)} (α² {number(leverage)}); E|w|/σ {number(block.mean_magnitude)}"
    )
