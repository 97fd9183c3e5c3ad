"""The game of single signs: how few flips raise the loss, by whose choice, and how few weights defend it."""

from __future__ import annotations

import bisect
import functools
from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np

from signmag_jax.evidence import bootstrap, invalid
from signmag_jax.evidence.counts import counting
from signmag_jax.models import LanguageModel

from . import inputs, recorded, sweep
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
"""Calibration tokens on which the best of a few sets is chosen, in windows of half as many."""
BEYOND = 1.5
"""Multiple of the highest level where our own choice ends on calibration text: other text may cost less."""


@counting
def attacks(
    model: LanguageModel,
    calibration: Windows,
    evaluation: Windows,
    *,
    levels: Sequence[float] = LEVELS,
    flips: int = FLIPS,
    protected: Sequence[int] = PROTECTED,
    defend: float | None = None,
    batch: int | None = None,
    **options: Unpack[Options],
) -> Attacks:
    """The fewest sign flips that raise the loss by given amounts, by four rules, and against kept weights.

    DNL and 1P-DNL (arXiv:2502.07408) and super weights (arXiv:2411.07191) choose as their papers say, see
    `rules`; ours flips together what several criteria suspect (`suspects`, `joint`), and takes another rule's
    choice where that costs more on calibration text. Everything is chosen on the calibration windows or on no
    text, and scored on the evaluation windows. Then the weights that our own attack and the costliest single
    flips name are protected, and each rule chooses again among the others. How few of them are enough
    (`defend`) is found by bisection on calibration text, as if more never helped the attacker; how well they
    do is then scored on the evaluation windows like everything else, with an interval.

    Args:
      model: from `models.load`.
      calibration: windows that choose (at least 2).
      evaluation: other windows, on which everything is scored (at least 2).
      levels: rises of the loss to be reached, in nats per token.
      flips: largest number of flips.
      protected: numbers of weights that are protected, each a game of its own.
      defend: rise of the loss below which each rule is to be kept by as few protected weights as possible; by
        default these are not looked for.
      batch: number of evaluation windows that are computed at a time; by default all.
      options: as in `Options`.

    Returns:
      The damage of 1, 2, … flips by rule and number of protected weights, and how many each level takes.

    Raises:
      InvalidInput: for levels that are not positive, no flip, a negative number of protected weights or more
        than are under suspicion, too few or overlapping windows, unknown layers or matrices, or a clean loss
        that is not finite.
    """
    check_game(levels, flips, protected, defend)
    games = sorted({0, *protected})
    own: dict[str, Any] = {"experiment": "attacks", "levels": sorted(map(float, levels)), "flips": flips}
    own |= {"protected": games, "defend": defend}
    setup = prepare(model, calibration, evaluation, own, batch=batch, fewest=2, **options)
    kept, sets, defences = _chosen(setup)
    cells = [(count, rule, each) for count, by in sets.items() for rule in by for each in by[rule]]
    tasks = [functools.partial(_loss, setup, places) for places in ((), *(each for _, _, each in cells))]
    clean, *rows = setup.sweep(tasks, first=1)
    inputs.check_finite(clean[:, None])
    unknowing = float(np.log(model.config.vocabulary))
    results: dict[tuple[int, str], list[Any]] = {
        (count, rule): [] for count, by in sets.items() for rule in by
    }
    for (count, rule, places), row in zip(cells, rows, strict=True):
        # A loss that is not finite counts like that of a model which knows nothing.
        finite = np.isfinite(row)
        damage = bootstrap.mean(np.where(finite, row - clean, unknowing)[None], unit="nat/token")
        results[count, rule].append((places, damage, int((~finite).sum())))
    each = tuple(
        Attack(rule, count, *(zip(*sets, strict=True) if sets else ((), (), ())))
        for (count, rule), sets in results.items()
    )
    shown = tuple(sorted(map(float, levels)))
    return Attacks(each, shown, tuple(kept), flips, defend, defences, setup.origin())


def attack_tokens(flips: int, protected: Sequence[int], defend: float | None = None) -> int:
    """Tokens that pass through the whole model while weights are chosen, at most, besides backward passes."""
    kept, games = max((0, *protected)), len({0, *protected})
    if defend is not None:  # each step of a bisection is a game
        kept = flips + sum(NAMED.values())
        games += 1 + kept.bit_length()
    most = flips + kept
    search = joint_tokens(sum(NAMED.values()), flips, TOKENS, JUDGED)
    search += (len(RULES) - 1) * flips * JUDGED
    return suspects_tokens() + games * search + most * TOKENS


def check_game(
    levels: Sequence[float], flips: int, protected: Sequence[int], defend: float | None = None
) -> None:
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
    if defend is not None and not 0 < defend < float("inf"):
        raise invalid("defend > 0", defend, "pass a rise of the loss, like 1")


def _loss(setup: Setup, places: Flips) -> sweep.Row:
    return setup.losses(flipped(places, setup.configuration["flips"]))


Sets = dict[int, dict[str, list[Flips]]]
Defences = dict[str, int | None]


def _chosen(setup: Setup) -> tuple[list[Place], Sets, Defences]:
    """Once: the weights in the order in which they are protected, the sets of each game and rule, and how
    many protected weights are enough against each."""

    def choose() -> dict[str, Any]:
        kept, sets, defences = _Players(setup).games(setup.configuration["protected"])
        plain = {
            str(count): {rule: [[list(p) for p in each] for each in games] for rule, games in by.items()}
            for count, by in sets.items()
        }
        return {"kept": [list(place) for place in kept], "sets": plain, "defences": defences}

    def reader(stored: dict[str, Any]) -> tuple[list[Place], Sets, Defences]:
        config, most = setup.model.config, setup.configuration["flips"]
        sets: Sets = {
            int(count): {
                rule: [recorded.places(each, config, most) for each in recorded.listed(games)]
                for rule, games in recorded.named(by, RULES).items()
            }
            for count, by in stored["sets"].items()
        }
        defences = recorded.named(stored["defences"], RULES)
        recorded.whole([count for count in defences.values() if count is not None])
        return list(recorded.places(stored["kept"], config)), sets, defences

    return setup.once(choose, reader)


class _Players:
    """What the rules choose, from the calibration windows alone."""

    def __init__(self, setup: Setup) -> None:
        model, calibration = setup.model, setup.calibration
        where = setup.layers, setup.matrices
        self.setup, self.flips = setup, int(setup.configuration["flips"])
        self.defend: float | None = setup.configuration["defend"]
        listed = shortlist(model, calibration, NAMED[FISHER], *where, setup.seed)
        steepest = [place for place, _ in listed]
        scales = input_scales(alpha(model, calibration), setup.matrices)
        suspected = suspects(model, calibration, scales, *where, steepest)
        few = excerpt(calibration)
        self.by_cost = [each.place for each in suspected]
        by_turn = [each.place for each in sorted(suspected, key=lambda one: one.turn)]
        self.cost = joint_cost(model, few, self.flips, {each.place: each.cost for each in suspected})
        # What was looked for on so little text is judged on more of it.
        self.judge = joint_cost(model, excerpt(calibration, JUDGED // 2, JUDGED), self.flips)
        kept = max(setup.configuration["protected"]) if self.defend is None else self.flips + len(suspected)
        most = self.flips + kept
        # No rule sees the others' weights: with some protected it takes the next of its own order.
        self.order = {
            OURS: by_turn,
            DNL: largest_weights(model, *where, most),
            ONE_PASS: one_pass_weights(model, *where, most, setup.seed),
            SUPER: super_weights(model, few, setup.layers, most) if "down_proj" in setup.matrices else [],
        }

    def games(self, counts: Sequence[int]) -> tuple[list[Place], Sets, Defences]:
        """Protected weights: those of our own attack, then the costliest single flips that are left."""
        plain = {rule: self._sets(rule, ()) for rule in RULES}
        ours = [place for each in plain[OURS] for place in each]
        order = list(dict.fromkeys([*ours, *self.by_cost]))
        if len(order) < max(counts):
            raise invalid(f"protected <= {len(order)}", max(counts), "no more weights are under suspicion")
        sets = {count: {rule: self._sets(rule, order[:count]) for rule in RULES} for count in counts if count}
        sets = {0: plain} | sets
        defences = {} if self.defend is None else {rule: self._enough(rule, order) for rule in RULES}
        for rule, count in defences.items():
            if count is not None:
                sets.setdefault(count, {}).setdefault(rule, self._sets(rule, order[:count]))
        return order[: max(sets)], sets, defences

    def _sets(self, rule: str, protected: Sequence[Place]) -> list[Flips]:
        """What a rule flips, for each number of flips, where some weights are protected."""
        free = [place for place in self.order[rule] if place not in protected]
        if rule != OURS:
            return [tuple(free[: count + 1]) for count in range(min(self.flips, len(free)))]
        # Whoever has calibration text can also see on it what the other rules' choices do.
        others = [each for other in RULES if other != OURS for each in self._sets(other, protected)]
        enough = BEYOND * max(self.setup.configuration["levels"])
        return costliest_sets(self.cost, free, self.flips, judge=self.judge, others=others, enough=enough)

    def _enough(self, rule: str, order: Sequence[Place]) -> int | None:
        """How many of the first weights, protected, keep a rule below the level on calibration text."""

        def held(count: int) -> bool:
            assert self.defend is not None
            return all(self.judge(each) < self.defend for each in self._sets(rule, order[:count]))

        return bisect.bisect_left(range(len(order)), True, key=held) if held(len(order)) else None
