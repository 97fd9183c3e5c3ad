"""Single weights under suspicion, by several criteria: no ranking may rest on what one of them does not see.

Derivatives do not see a weight that saturates its unit, activations do not see what later layers amplify, and
a few windows leave out what another few would show. Each criterion names its own; all that are named are
tried in the whole model on a little calibration text: flipped, or with another error.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from signmag_jax.evidence import invalid
from signmag_jax.models import MATRICES, LanguageModel, ModelConfig, Transform

from . import recorded
from .inputs import Windows
from .place import Place
from .pools import ALL, Pools
from .rules import largest_weights, super_weights
from .screening import TOKENS, WIDE, Scales, excerpt, one_flipped, tried_costs, widest, within_layers

FISHER, WIDEST, SPIKES, LARGEST = "fisher", "widest", "super weight", "largest"
NAMED = {FISHER: 16, WIDEST: 16, SPIKES: 4, LARGEST: 12}
"""Weights that each criterion names: largest `2 G w²`; of the largest `|w|·√E x²`, those that change their
layer most; spikes of down_proj; largest |w| of the first layers."""
CRITERIA = tuple(NAMED)


class Suspect(NamedTuple):
    """A weight whose error was tried in the whole model on a little calibration text.

    Args:
      place: which.
      criteria: by which it was named.
      cost: of its error there, nats per token, not below zero; `ln V` where the loss is not finite.
      turn: when it was named, the criteria taking turns: the most suspicious first, whatever it cost.
      finite: whether the loss is.
    """

    place: Place
    criteria: tuple[str, ...]
    cost: float
    turn: int
    finite: bool = True

    def to_record(self) -> list[Any]:
        """The suspect as plain values, for a record."""
        return [list(self.place), list(self.criteria), self.cost, self.turn, self.finite]

    @classmethod
    def of_record(cls, record: Any, config: ModelConfig) -> Suspect:
        """The suspect of a model that `to_record` made plain; errors as in `recorded`."""
        place, criteria, cost, turn, finite = record
        recorded.whole([turn])
        if not criteria or not set(criteria) <= set(NAMED) or not isinstance(finite, bool):
            raise ValueError("no suspect")
        (cost,) = recorded.numbers([cost])
        return cls(recorded.place(place, config), tuple(criteria), cost, turn, finite)

    @classmethod
    def of_records(cls, payload: Any, config: ModelConfig) -> tuple[Suspect, ...]:
        """Several suspects, each as from `of_record`."""
        return tuple(cls.of_record(record, config) for record in recorded.listed(payload))

    def line(self) -> str:
        """The suspect's cost in words."""
        broken = "" if self.finite else ": the loss is not finite and counts as ln V"
        return f"ΔNLL {self.cost:.3g} on calibration text{broken}"


SHORTLISTS = ("suspects", FISHER)
"""How single weights are chosen: from all criteria by their flips, or by `2 G w²` alone, without any flip."""


def suspects_tokens() -> int:
    """Tokens that pass through the whole model, at most, besides backward passes of the calibration windows.

    A flip within each of the layers counts as one pass.
    """
    return (1 + sum(NAMED.values()) + len(MATRICES) * WIDE + NAMED[SPIKES]) * TOKENS


def check_shortlist(shortlist: str) -> None:
    """Refuse a way to choose single weights that does not exist."""
    if shortlist not in SHORTLISTS:
        raise invalid(f"shortlist in {SHORTLISTS}", shortlist, "name one of them")


def suspects(
    model: LanguageModel,
    calibration: Windows,
    scales: Scales,
    layers: Sequence[int],
    names: tuple[str, ...],
    steepest: Sequence[Place],
    error: Callable[[Place], Transform] = one_flipped,
) -> list[Suspect]:
    """Whatever a criterion names, by falling cost of its error on the first calibration tokens.

    Args:
      model: from `models.load`.
      calibration: windows; nothing else is read.
      scales: sizes of every matrix's inputs, as from `screening.input_scales`.
      layers, names: layers and matrices that take part.
      steepest: the weights of largest predicted cost, as from `singles.shortlist`.
      error: what is tried; by default the flip.
    """
    few = excerpt(calibration)
    named = {
        FISHER: list(steepest)[: NAMED[FISHER]],
        WIDEST: _widest(model, few, scales, layers, names),
        LARGEST: largest_weights(model, layers, names, NAMED[LARGEST]),
        SPIKES: super_weights(model, few, layers, NAMED[SPIKES]) if "down_proj" in names else [],
    }
    # In turns, because costs by different criteria are numbers of different kinds.
    turns = itertools.zip_longest(*named.values())
    places = list(dict.fromkeys(place for turn in turns for place in turn if place is not None))
    by = {place: tuple(kind for kind in CRITERIA if place in named[kind]) for place in places}
    tried = tried_costs(model, few, places, error)
    suspected = [
        Suspect(place, by[place], tried[place].cost, turn, tried[place].finite)
        for turn, place in enumerate(places)
    ]
    # What breaks the model costs most.
    return sorted(suspected, key=lambda one: (one.finite, -one.cost, one.turn))


def _widest(
    model: LanguageModel, few: Windows, scales: Scales, layers: Sequence[int], names: Sequence[str]
) -> list[Place]:
    everything = Pools.everything(model, layers, names)
    places = within_layers(model, few, {ALL: widest(model, scales, everything, ALL)})[ALL]
    return list(places)[: NAMED[WIDEST]]
