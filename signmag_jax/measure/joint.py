"""Several weights changed at once: their joint flips, and the few that do most damage together.

Damage of a few flips does not add: two weights that back each other up cost nothing alone. So sets are
flipped as sets.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

from signmag_jax.evidence.progress import progress
from signmag_jax.models import LanguageModel, window_nll

from .inputs import Windows
from .place import Place, flipped

PAIRED = 12
"""Weights of which every pair is flipped."""
BEAM = 3
"""Sets of a size that are judged on more text, and taken further."""
EXTENDED = 10
"""Weights that may join a set of two or more."""

Flips = tuple[Place, ...]


def joint_cost(
    model: LanguageModel, tokens: Windows, size: int, alone: Mapping[Place, float] | None = None
) -> Callable[[Flips], float]:
    """What joint flips of up to `size` weights cost on a text, in nats per token.

    A loss that is not finite counts like that of a model which knows nothing.

    Args:
      model: from `models.load`.
      tokens: the text.
      size: the largest number of weights that are flipped at once.
      alone: the costs of single flips on that text that are known already.
    """
    clean = float(window_nll(model, tokens, flipped((), size)).mean())
    known = {frozenset({place}): value for place, value in (alone or {}).items()}

    def cost(places: Flips) -> float:
        key = frozenset(places)
        if key not in known:
            rise = float(window_nll(model, tokens, flipped(places, size)).mean()) - clean
            known[key] = rise if math.isfinite(rise) else math.log(model.config.vocabulary)
        return known[key]

    return cost


def costliest_sets(
    cost: Callable[[Flips], float],
    candidates: Sequence[Place],
    flips: int,
    *,
    judge: Callable[[Flips], float] | None = None,
    others: Sequence[Flips] = (),
    enough: float = math.inf,
) -> list[Flips]:
    """For each number of flips from 1 to `flips` the costliest set that was tried; one need not hold another.

    Every candidate alone; each beside the costliest, and every pair of the first `PAIRED` by cost and by
    suspicion in turn; then the costliest few sets so far, each with the most promising others.

    Args:
      cost: of a joint flip, as from `joint_cost`.
      candidates: the most suspicious first, whatever they cost alone.
      flips: largest size of a set.
      judge: the cost on more text, by which the best of the costliest few is taken; by default `cost`.
      others: sets that are judged too, whoever names them.
      enough: cost, as judged, beyond which no larger set is looked for.
    """
    judge = cost if judge is None else judge
    best: list[Flips] = []
    total = len(candidates) * min(flips, 2) + math.comb(min(PAIRED, len(candidates)), 2) * (flips > 1)
    with progress("joint flips", total) as advance:
        ranked = _ranked(cost, [(place,) for place in candidates], advance)
        while len(best) < flips:
            named = [each for each in others if len(each) == len(best) + 1]
            if not (ranked or named):
                break
            # Those of equal cost stay in the order in which they were tried.
            few = sorted([*ranked[:BEAM], *named], key=lambda each: -judge(each))[:BEAM]
            best.append(few[0])
            if len(best) == flips or judge(few[0]) >= enough:
                break
            more = _pairs(few[0], candidates, ranked) if len(best) == 1 else _joined(few, ranked)
            ranked = _ranked(cost, more, advance)
    return best


def _ranked(
    cost: Callable[[Flips], float], sets: Sequence[Flips], advance: Callable[[], object]
) -> list[Flips]:
    costed = []
    for each in sets:
        costed.append((cost(each), each))
        advance()
    return [each for _, each in sorted(costed, key=lambda one: -one[0])]


def _pairs(first: Flips, candidates: Sequence[Place], ranked: Sequence[Flips]) -> list[Flips]:
    """All that may join the costliest weight, and pairs that may do without it."""
    beside = [(*first, place) for place in candidates if place not in first]
    # Harmless alone and costly together are those that a criterion names and no single flip does.
    merged = itertools.chain.from_iterable(zip((each[0] for each in ranked), candidates, strict=True))
    few = list(dict.fromkeys(merged))[:PAIRED]
    return beside + [pair for pair in itertools.combinations(few, 2) if first[0] not in pair]


def _joined(few: Sequence[Flips], ranked: Sequence[Flips]) -> list[Flips]:
    """The costliest few sets, each with one weight more."""
    # By what each did in a set before: what did nothing there is the last to be tried.
    promising = list(dict.fromkeys(place for each in ranked for place in each))
    larger = (
        (*each, place) for each in few for place in [one for one in promising if one not in each][:EXTENDED]
    )
    return list({frozenset(each): each for each in larger}.values())


def joint_tokens(named: int, flips: int, tokens: int, judged: int = 0) -> int:
    """Tokens that pass through the model while the costliest sets are looked for, at most."""
    if not flips:
        return 0
    pairs = (named + math.comb(PAIRED, 2)) * (flips > 1)
    return (1 + pairs + BEAM * EXTENDED * max(flips - 2, 0)) * tokens + (1 + BEAM * flips) * judged
