"""The game of single signs: how few flips raise the loss, by whose choice, and how few weights defend it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np

from signmag_jax.evidence import bootstrap, invalid
from signmag_jax.models import LanguageModel

from . import inputs, sweep
from .activations import alpha
from .attacked import DNL, ONE_PASS, OURS, RULES, SUPER, Attack, Attacks
from .inputs import Windows
from .joint import Flips, costliest_sets, joint_cost, joint_tokens
from .place import Place, flipped
from .rules import largest_weights, one_pass_weights, super_weights
from .screening import TOKENS, excerpt, input_scales
from .setup import Options, Setup, prepare
from .singles import shortlist
from .suspects import FISHER, NAMED, suspects, suspects_tokens

LEVELS = (1.0, 3.0, 5.0)
FLIPS = 8
PROTECTED = (4,)
JUDGED = 512
"""Calibration tokens, in windows of half as many, on which the best of a few sets is taken."""
BEYOND = 1.5
"""Our own choice ends at so many times the highest level on calibration text: other text may cost less."""


def attacks(
    model: LanguageModel,
    calibration: Windows,
    evaluation: Windows,
    *,
    levels: Sequence[float] = LEVELS,
    flips: int = FLIPS,
    protected: Sequence[int] = PROTECTED,
    batch: int | None = None,
    **options: Unpack[Options],
) -> Attacks:
    """The fewest sign flips that raise the loss by given amounts, by four rules, and against kept weights.

    DNL and 1P-DNL (arXiv:2502.07408) and super weights (arXiv:2411.07191) choose as their papers say, see
    `rules`; ours flips together what several criteria suspect (`suspects`, `joint`), and takes another rule's
    choice where that costs more on calibration text. Everything is chosen on the calibration windows or on no
    text, and scored on the evaluation windows. Then the weights that our own attack and the costliest single
    flips name are protected, and each rule chooses again among the others.

    Args:
      model: from `models.load`.
      calibration: windows that choose (at least 2).
      evaluation: other windows, on which everything is scored (at least 2).
      levels: rises of the loss to be reached, in nats per token.
      flips: largest number of flips.
      protected: numbers of weights that are protected, each a game of its own.
      batch: number of evaluation windows that are computed at a time; by default all.
      options: as in `Options`.

    Returns:
      The damage of 1, 2, … flips by rule and number of protected weights, and how many each level takes.

    Raises:
      InvalidInput: for levels that are not positive, no flip, a negative number of protected weights or more
        than are under suspicion, too few or overlapping windows, unknown layers or matrices, or a clean loss
        that is not finite.
    """
    check_game(levels, flips, protected)
    games = sorted({0, *protected})
    own: dict[str, Any] = {"experiment": "attacks", "levels": sorted(map(float, levels)), "flips": flips}
    own |= {"protected": games}
    setup = prepare(model, calibration, evaluation, own, batch=batch, fewest=2, **options)
    kept, sets = _chosen(setup)
    cells = [(count, rule, each) for count in games for rule in RULES for each in sets[count][rule]]
    tasks = [functools.partial(_loss, setup, places) for places in ((), *(each for _, _, each in cells))]
    clean, *rows = setup.sweep(tasks, first=1)
    inputs.check_finite(clean[:, None])
    unknowing = float(np.log(model.config.vocabulary))
    found: dict[tuple[int, str], list[Any]] = {(count, rule): [] for count in games for rule in RULES}
    for (count, rule, places), row in zip(cells, rows, strict=True):
        # A loss that is not finite counts like that of a model which knows nothing.
        finite = np.isfinite(row)
        damage = bootstrap.mean(np.where(finite, row - clean, unknowing)[None], unit="nat/token")
        found[count, rule].append((places, damage, int((~finite).sum())))
    each = tuple(
        Attack(rule, count, *(zip(*sets, strict=True) if sets else ((), (), ())))
        for (count, rule), sets in found.items()
    )
    return Attacks(each, tuple(sorted(map(float, levels))), tuple(kept), flips, setup.origin())


def attack_tokens(flips: int, protected: Sequence[int]) -> int:
    """Tokens that pass through the whole model while weights are chosen, at most, besides backward passes."""
    most, games = flips + max((0, *protected)), len({0, *protected})
    search = joint_tokens(sum(NAMED.values()), flips, TOKENS, JUDGED)
    search += (len(RULES) - 1) * flips * JUDGED
    return suspects_tokens() + games * search + most * TOKENS


def check_game(levels: Sequence[float], flips: int, protected: Sequence[int]) -> None:
    """Refuse a game that nobody can play.

    Raises:
      InvalidInput: with what was asked.
    """
    if not levels or not all(0 < level < float("inf") for level in levels):
        raise invalid("levels > 0, at least one", tuple(levels), "pass rises of the loss, like 1 and 3")
    if flips < 1:
        raise invalid("flips >= 1", flips, "flip at least one weight")
    if any(count < 0 for count in protected):
        raise invalid("protected >= 0", tuple(protected), "pass numbers of weights")


def _loss(setup: Setup, places: Flips) -> sweep.Row:
    return setup.losses(flipped(places, setup.configuration["flips"]))


Sets = dict[int, dict[str, list[Flips]]]


def _chosen(setup: Setup) -> tuple[list[Place], Sets]:
    """The weights in the order in which they are protected, and the sets of each game and rule, once."""

    def choose() -> dict[str, Any]:
        kept, sets = _Players(setup).games(setup.configuration["protected"])
        plain = {
            str(count): {rule: [[list(p) for p in each] for each in found] for rule, found in by.items()}
            for count, by in sets.items()
        }
        return {"kept": [list(place) for place in kept], "sets": plain}

    stored = setup.once(choose)
    opened: Sets = {
        int(count): {rule: [tuple(Place(*p) for p in each) for each in found] for rule, found in by.items()}
        for count, by in stored["sets"].items()
    }
    return [Place(*place) for place in stored["kept"]], opened


class _Players:
    """What the rules choose, from the calibration windows alone."""

    def __init__(self, setup: Setup) -> None:
        model, calibration = setup.model, setup.calibration
        where = setup.layers, setup.matrices
        self.setup, self.flips = setup, int(setup.configuration["flips"])
        most = self.flips + max(setup.configuration["protected"])
        listed = shortlist(model, calibration, NAMED[FISHER], *where, setup.seed)
        steepest = [place for place, _ in listed]
        scales = input_scales(alpha(model, calibration), setup.matrices)
        found = suspects(model, calibration, scales, *where, steepest)
        few = excerpt(calibration)
        self.by_cost = [each.place for each in found]
        self.by_turn = [each.place for each in sorted(found, key=lambda one: one.turn)]
        self.cost = joint_cost(model, few, self.flips, {each.place: each.cost for each in found})
        # What was looked for on so little text is judged on more of it.
        self.judge = joint_cost(model, excerpt(calibration, JUDGED // 2, JUDGED), self.flips)
        # No rule sees the others' weights: with some protected it takes the next of its own order.
        self.order = {
            DNL: largest_weights(model, *where, most),
            ONE_PASS: one_pass_weights(model, *where, most, setup.seed),
            SUPER: super_weights(model, few, setup.layers, most) if "down_proj" in setup.matrices else [],
        }

    def games(self, counts: Sequence[int]) -> tuple[list[Place], Sets]:
        """Protected weights: those of our own attack, then the costliest single flips that are left."""
        plain = self._game(())
        ours = [place for each in plain[OURS] for place in each]
        kept = list(dict.fromkeys([*ours, *self.by_cost]))[: max(counts)]
        if len(kept) < max(counts):
            raise invalid(f"protected <= {len(kept)}", max(counts), "no more weights are under suspicion")
        return kept, {count: self._game(kept[:count]) if count else plain for count in counts}

    def _game(self, protected: Sequence[Place]) -> dict[str, list[Flips]]:
        sets: dict[str, list[Flips]] = {}
        for rule, order in self.order.items():
            free = [place for place in order if place not in protected]
            sets[rule] = [tuple(free[: count + 1]) for count in range(min(self.flips, len(free)))]
        free = [place for place in self.by_turn if place not in protected]
        # Whoever has calibration text can also see on it what the other rules' choices do.
        others = [each for found in sets.values() for each in found]
        enough = BEYOND * max(self.setup.configuration["levels"])
        judged = {"judge": self.judge, "others": others, "enough": enough}
        return sets | {OURS: costliest_sets(self.cost, free, self.flips, **judged)}
