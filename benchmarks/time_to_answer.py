"""CPU seconds until a leverage is known to 10%: this package against plain Monte Carlo in PyTorch.

Both flip as many signs in the same outlier columns, or in the rest, and read the same windows in float32,
those of the ledger's default level; the pools are given to both. The error is that of the draws, for no draw
helps what the windows leave open. This package answers by `measure.leverage`, which measures the heaviest
weights one by one, and by `measure.controlled`. PyTorch runs the loop of `leverage_sweep.py` in its fastest
way, the clean loss known, with as many draws in either arm as make the whole cheapest. "spread" is a loop
each of whose draws reads one window only, where that is cheaper.

A flip of a heavy weight is so rare that a short plain run hardly sees one. So the variance of a plain draw is
that of draws without heavy weights, and `Σ p_i (1 − p_i) c_i²` of their chances and measured costs; "own" is
what the loop's own draws scatter by. What a draw of either costs is measured in turns, in CPU seconds too, as
other programs take clock time. Intervals of 95% are of the draws: of logarithms, by the jackknife.

    python benchmarks/time_to_answer.py > benchmarks/results/time_to_answer.json
    python benchmarks/time_to_answer.py --quick
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import accelerator
import leverage_sweep
import numpy as np
import turns
from scipy.stats import t

from signmag_jax import measure
from signmag_jax.claims import levels
from signmag_jax.evidence import provenance
from signmag_jax.evidence.jackknife import jackknife

RATE, WANTED = 0.001, 0.1
KINDS = {"clock": 0, "processor": 1}
INDICES = "indices"


@dataclass(frozen=True, eq=False)
class Arm:
    """One arm in one answer of this package, in nats per token.

    Args:
      plain: damage of draws that flip no heavy weight, draws × windows.
      whole: the same with control variate, and with what heavy weights add to the mean.
      joint: what heavy weights do beside that, draws × windows.
      chances, costs: of heavy weights, on each window.
      left: predicted variance of a draw by the weights that are left to chance.
    """

    plain: np.ndarray
    whole: np.ndarray
    joint: np.ndarray
    chances: np.ndarray
    costs: np.ndarray
    left: float

    @classmethod
    def of(cls, before: Any, after: Any, arm: str, seed: int) -> Arm:
        """From a leverage as measured, and as controlled."""
        (one,), (other,) = before.rates, after.rates
        plain, whole = one.samples[arm], other.strata[arm].around(other.samples[arm])
        chances = before.stratified(one, seed).mean_rates(arm, one.draws)
        left = one.flips / before.pool_sizes[arm] * float(np.square(before.heavy[arm].left).sum())
        joint = whole.small[0] if whole.small else np.zeros((0, plain.shape[1]))
        return cls(plain, whole.tables[0], joint, chances, before.costs[arm], left)

    def kept(self, draws: Any) -> Arm:
        """With some of the draws."""
        return replace(self, plain=self.plain[draws], whole=self.whole[draws])

    @property
    def mean(self) -> float:
        return float(self.whole.mean() + (self.joint.mean() if len(self.joint) else 0.0))

    @property
    def ours(self) -> float:
        """Variance of a draw of this package, with its part of the joint ones, which are fewer."""
        joint = np.square(self.joint.mean(axis=1)).sum() / max(len(self.joint), 1) ** 2
        return float(self.whole.mean(axis=1).var(ddof=1) + len(self.whole) * joint)

    @property
    def theirs(self) -> float:
        """Variance of a plain draw that reads all windows."""
        return float(self.plain.mean(axis=1).var(ddof=1) + self._heavy @ self.costs.mean(axis=1) ** 2)

    @property
    def spread(self) -> float:
        """Variance of a plain draw that reads one window, each window by as many draws."""
        return float(np.mean(self.plain.var(axis=0, ddof=1) + self._heavy @ self.costs**2))

    @property
    def _heavy(self) -> np.ndarray:
        return self.chances * (1 - self.chances)


Answers = Sequence[Mapping[str, Arm]]
"""Both arms, of each answer of this package."""


@dataclass(frozen=True)
class Seconds:
    """By clock or processor: of a draw of either, of the loop's on one window, of ours beside all draws."""

    ours: float
    theirs: float
    spread: float
    beside: float


def main() -> None:
    """Print the comparison as JSON."""
    level = levels.level("default")
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--windows", type=int, default=level.windows)
    parser.add_argument("--tokens", type=int, default=level.window)
    parser.add_argument("--calibration", type=int, default=level.calibration_windows)
    parser.add_argument("--heavy", type=int, default=level.leverage_heavy)
    parser.add_argument("--draws", type=int, default=20, help="of each answer of ours, in each arm")
    parser.add_argument("--pairs", type=int, default=12, help="of PyTorch's draws before and after an answer")
    parser.add_argument("--answers", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="eight windows of 16 tokens, few draws")
    options = parser.parse_args()
    if options.quick:
        options.windows, options.tokens, options.calibration = 8, 16, 2
        options.heavy, options.draws, options.pairs = 2, 4, 2
    print(json.dumps(compare(options), indent=1))


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Answers of this package between draws of the loop, and draws of both in turn after each answer."""
    sizes = {name: getattr(options, name) for name in ("windows", "tokens", "calibration")}
    given = [str(word) for name, value in sizes.items() for word in (f"--{name}", value)]
    # Threads that wait by spinning would be charged for what other programs take.
    os.environ["OMP_WAIT_POLICY"] = "passive"
    loop = turns.Worker(leverage_sweep.__file__, "--worker", "theirs", *given)
    loop.ask(do="warm", rates=[RATE])
    clean, rows = loop.ask(do="nll"), pairs_of(loop, range(options.pairs))
    single, answers, whole, each = leverage_sweep.ours(*sizes.values()), [], [], []
    for seed in range(options.answers):
        found, seconds = answered(options, sizes, seed)
        answers.append(found)
        whole.append(seconds)
        for draw in range(options.pairs * (seed + 1), options.pairs * (seed + 2)):
            rows += pairs_of(loop, [draw])
            arm = leverage_sweep.ARMS[draw % 2]
            one = single("evaluate", arm=arm, rate=RATE, draw=draw)
            each.append(np.add(one["build"], one["pass"]))
    loop.stop()
    ours = np.median(each, axis=0)
    theirs, spread = (np.median([row[name] for row in rows], axis=0) / 2 for name in ("seconds", "spread"))
    # Of the first answer, which compiles.
    beside = whole[0] - options.draws * draws_of_a_pair(answers) * ours
    seconds = {
        kind: Seconds(*(float(part[at]) for part in (ours, theirs, spread, beside)))
        for kind, at in KINDS.items()
    }
    return {
        "rate": RATE,
        "wanted_relative_error": WANTED,
        **sizes,
        **{name: getattr(options, name) for name in ("heavy", "draws", "answers")},
        "threads": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg()[0],
        "commit": accelerator.commit(),
        "versions": provenance.versions() | {"torch": importlib.metadata.version("torch")},
        "arms": {arm: described(answers, rows, clean, arm) for arm in leverage_sweep.ARMS},
        "leverages": [ratio(found) for found in answers],
        "seconds": {kind: vars(each) for kind, each in seconds.items()},
        "needed": {kind: judged(answers, each) for kind, each in seconds.items()},
    }


def answered(
    options: argparse.Namespace, sizes: Mapping[str, int], seed: int
) -> tuple[dict[str, Arm], list[float]]:
    """Both arms of an answer of this package, and its seconds by clock and processor."""
    model, calibration, evaluation, profile = leverage_sweep.profiled(*sizes.values())
    watch = turns.Stopwatch()
    before = measure.leverage(
        *(model, calibration, evaluation),
        rates=(RATE,),
        draws=options.draws,
        heavy=options.heavy,
        profile=profile,
        seed=seed,
    )
    after = measure.controlled(model, evaluation, before)
    seconds = watch.look()
    return {arm: Arm.of(before, after, arm, seed) for arm in leverage_sweep.ARMS}, seconds


def pairs_of(loop: turns.Worker, draws: Sequence[int]) -> list[dict[str, Any]]:
    """Losses of both arms, and the seconds of both together with all windows and with one."""
    rows = []
    for draw in draws:
        row: dict[str, Any] = {}
        asked = {"do": "evaluate", "rate": RATE, "draw": draw, "ways": [INDICES]}
        found = [loop.ask(arm=arm, **asked) for arm in leverage_sweep.ARMS]
        made = np.sum([np.add(one[f"build_{INDICES}"], one["perturb"]) for one in found], axis=0)
        row["seconds"] = made + np.sum([one["pass"] for one in found], axis=0)
        row["spread"] = made + 2 * np.asarray(loop.ask(do="one window"))
        rows.append(row | {arm: one["nll"] for arm, one in zip(leverage_sweep.ARMS, found, strict=True)})
    return rows


def draws_of_a_pair(answers: Answers) -> float:
    """Readings of all windows for a draw in either arm, with its part of the joint ones."""
    return sum(1 + len(arm.joint) / len(arm.whole) for arm in answers[0].values())


def ratio(arms: Mapping[str, Arm]) -> float:
    """The leverage."""
    first, second = (arms[name].mean for name in leverage_sweep.ARMS)
    return first / second


def relative(answers: Answers, name: str) -> dict[str, float]:
    """A variance of each arm over the square of its mean, of all answers together."""
    means = {arm: statistics.mean(each[arm].mean for each in answers) for arm in leverage_sweep.ARMS}
    return {
        arm: statistics.mean(getattr(each[arm], name) for each in answers) / mean**2
        for arm, mean in means.items()
    }


def needed(answers: Answers, seconds: Seconds) -> dict[str, float]:
    """Draws and seconds until the relative variances of both arms together are as small as wanted."""
    ours, theirs, spread = (relative(answers, name) for name in ("ours", "theirs", "spread"))
    draws = sum(ours.values()) / WANTED**2
    drawing = draws * draws_of_a_pair(answers) * seconds.ours
    # By Lagrange: as many draws in each arm as make the sum of seconds least.
    loop = [each * seconds.theirs for each in theirs.values()]
    least = [
        min(pair) for pair in zip(loop, (each * seconds.spread for each in spread.values()), strict=True)
    ]
    plain, cheapest = (sum(map(math.sqrt, each)) ** 2 / WANTED**2 for each in (loop, least))
    whole = seconds.beside + drawing
    return {
        "draws_of_ours_in_each_arm": draws,
        "draws_of_theirs_in_both_arms": plain / seconds.theirs,
        "seconds_of_ours": whole,
        "seconds_of_theirs": plain,
        "seconds_of_theirs_spread": cheapest,
        "times_sooner": plain / whole,
        "times_sooner_than_spread": cheapest / whole,
    }


def judged(answers: Answers, seconds: Seconds) -> dict[str, dict[str, Any]]:
    """Everything that is needed, with intervals."""
    found = needed(answers, seconds)
    return {
        name: {"value": value, "interval": interval(answers, lambda some, n=name: needed(some, seconds)[n])}
        for name, value in found.items()
    }


def interval(answers: Answers, statistic: Callable[[Answers], float]) -> list[float]:
    """Of 95%, for a positive statistic: each answer's arms are drawn independently."""
    variance, draws = 0.0, 0
    for index, found in enumerate(answers):
        for name, arm in found.items():

            def some(kept: Any, index: int = index, name: str = name, arm: Arm = arm) -> float:
                changed = {**answers[index], name: arm.kept(kept)}
                return math.log(statistic([*answers[:index], changed, *answers[index + 1 :]]))

            error = jackknife(some, len(arm.plain), "logarithm")
            assert error is not None, "a mean damage is not positive: more draws"
            variance += float(error.estimate.standard_error) ** 2
            draws += len(arm.plain) - 1
    reach = float(t.ppf(0.975, draws // len(leverage_sweep.ARMS))) * math.sqrt(variance)
    middle = math.log(statistic(answers))
    return [math.exp(middle - reach), math.exp(middle + reach)]


def described(answers: Answers, rows: list[dict[str, Any]], clean: float, arm: str) -> dict[str, Any]:
    """Mean damage of an arm in nats per token, and squared coefficients of variation of a draw."""
    own = np.array([row[arm] - clean for row in rows])
    names = ("ours", "theirs", "spread", "left")
    return {
        "damage": statistics.mean(each[arm].mean for each in answers),
        "heavy": [len(each[arm].chances) for each in answers],
        **{name: relative(answers, name)[arm] for name in names},
        "own": {"draws": len(own), "damage": own.mean(), "variation": own.var(ddof=1) / own.mean() ** 2},
    }


if __name__ == "__main__":
    main()
