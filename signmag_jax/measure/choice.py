"""What is protected: by our criterion, and as much by others."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from signmag_jax.evidence import invalid
from signmag_jax.evidence.compiling import jit
from signmag_jax.models import fetch
from signmag_jax.models.imatrix import Matrix

from . import cut
from .against import Against
from .budget import COLUMNS, MATRICES, WEIGHTS, Budget
from .criteria import COST, Inputs, by_unit, inputs_of, scores, unit_of
from .curvature import Weights
from .place import Changed, Place
from .setup import Setup
from .singles import largest
from .suspects import FISHER, NAMED, Suspect, suspects
from .token_fisher import token_fisher

KeptWeights = dict[str, Bool[Array, "layers _ _"]]
"""A mask of each matrix: 1 for a weight that stays as it is."""


class Choice:
    """What is protected, by criterion, budget and draw; masks exist for one at a time."""

    def __init__(self, setup: Setup, against: Against, budgets: tuple[Budget, ...], unit: str) -> None:
        self.setup, self.against, self.budgets, self.unit = setup, against, budgets, unit
        shapes = setup.model.config.shapes()
        self.shapes = {name: (shapes[name][0], shapes[name][1]) for name in setup.matrices}
        self.total = len(setup.layers) * sum(rows * columns for rows, columns in self.shapes.values())
        self.counts = [each.weights(self.total) for each in budgets]
        # The part of the weights that meets the error: all of them, of a quantiser.
        self.chance = against.rate or 1.0
        self._check_budgets()
        self._cuts, self.kept = _last(self._cuts_of), _last(self._kept)

    def _check_budgets(self) -> None:
        """Refuse a budget that cannot pay for whichever column or matrix will cost most."""
        rows_and_sizes = ((rows, rows * columns) for rows, columns in self.shapes.values())
        columns, matrices = (max(sizes) for sizes in zip(*rows_and_sizes, strict=True))
        largest = {WEIGHTS: 1, COLUMNS: columns, MATRICES: matrices}[self.unit]
        for count, budget in zip(self.counts, self.budgets, strict=True):
            if count < largest:
                raise invalid(
                    f"budget that pays for any of the {self.unit}: of {largest} weights, "
                    f"{largest / self.total:.2%} of all",
                    budget.text,
                    "raise it, or choose smaller units",
                )

    @functools.cached_property
    def inputs(self) -> Inputs:
        """Activations on the calibration windows."""
        return inputs_of(self.setup.model, self.setup.calibration, self.setup.matrices)

    @functools.cached_property
    def costs(self) -> Weights:
        """The predicted cost of every weight's error, and what was tried where that is more.

        As expected: that of a flip, times the part of the weights that flip.
        """
        suspects, costs = self.suspects, self._predicted
        del self._predicted  # both would be twice the weights
        for name in {one.place.name for one in suspects}:
            of_name = [one for one in suspects if one.place.name == name]
            places = tuple(np.transpose([one.place[1:] for one in of_name]))
            table = costs.pop(name)
            # The larger of both: derivatives miss what saturates a unit, and a trial reads little text.
            costs[name] = table.at[places].max(
                jnp.asarray([self.chance * one.cost for one in of_name], table.dtype)
            )
        return {name: costs[name] for name in self.setup.matrices}

    @functools.cached_property
    def _predicted(self) -> Weights:
        setup = self.setup
        curvatures = token_fisher(setup.model, setup.calibration, setup.matrices, setup.seed)
        blocks = setup.model.params["blocks"]
        within = jnp.asarray(np.isin(np.arange(setup.model.config.layers), setup.layers))
        return {
            name: _cost(curvatures.pop(name), self.against.change(blocks[name]), within, self.chance)
            for name in setup.matrices
        }

    @functools.cached_property
    def suspects(self) -> tuple[Suspect, ...]:
        """Single weights whose error was tried in the whole model, as a record: not to be tried again.

        A derivative does not see a weight that saturates its unit.
        """

        def choose() -> list[Any]:
            setup = self.setup
            steepest = [place for place, _ in largest(self._predicted, NAMED[FISHER])]
            scales = {name: np.sqrt(square) for name, square in self.inputs.square.items()}
            where = setup.layers, setup.matrices
            suspected = suspects(setup.model, setup.calibration, scales, *where, steepest, self._error)
            return [each.to_record() for each in suspected]

        config = self.setup.model.config
        return self.setup.once(choose, lambda stored: Suspect.of_records(stored, config))

    def _error(self, place: Place) -> Changed:
        """The transform that makes the error of one weight."""
        weights = self.setup.model.params["blocks"][place.name][place.layer][None]
        amount = self.against.change(weights)[0, place.row, place.column]
        return Changed.of([place], amount=float(fetch(amount)))

    @functools.cached_property
    def by_matrix(self) -> dict[Matrix, float]:
        """The predicted cost of each matrix, the largest first."""
        sums = {name: fetch(_by_layer(table)) for name, table in self.costs.items()}
        costs = {(layer, name): float(sums[name][layer]) for name in sums for layer in self.setup.layers}
        return dict(sorted(costs.items(), key=lambda each: (each[1], each[0]), reverse=True))

    @functools.cached_property
    def ours(self) -> tuple[cut.Cut, ...]:
        """Our cuts, one for each budget."""
        table = by_unit(self.costs, self.unit)
        return cut.cuts(table, self.setup.layers, self.counts, whole=self.unit != WEIGHTS)

    def _cuts_of(self, criterion: str, draw: int) -> tuple[Mapping[str, Array], tuple[cut.Cut, ...]]:
        setup = self.setup
        if criterion == COST:
            return by_unit(self.costs, self.unit), self.ours
        table = scores(criterion, setup.model, self.against, self.inputs, setup.seed, draw)
        return table, cut.cuts(table, setup.layers, self.weights(criterion))

    def weights(self, criterion: str) -> list[int]:
        """How many a criterion protects at each budget: as many as ours, or as many as take the same bits."""
        # Whole columns or matrices may be fewer than the budget.
        ours = [each.weights for each in self.ours]
        if criterion == COST:
            return ours
        unit, pairs = unit_of(criterion), zip(self.budgets, ours, strict=True)
        return [min(each.exchanged(count, self.unit, unit), self.total) for each, count in pairs]

    def _kept(self, criterion: str, draw: int, budget: int) -> KeptWeights:
        table, cuts = self._cuts(criterion, draw)
        return cut.kept(table, cuts[budget], self.setup.layers)

    def all_or_none(self, value: bool) -> KeptWeights:
        """Masks of all weights, or of none in the layers that take part."""
        layers = jnp.asarray(~np.isin(np.arange(self.setup.model.config.layers), self.setup.layers)) | value
        return {
            name: jnp.broadcast_to(layers[:, None, None], (len(layers), *shape))
            for name, shape in self.shapes.items()
        }


def _last(make: Callable[..., Any]) -> Callable[..., Any]:
    """What `make` last returned, let go before it makes another: both would be twice the weights."""
    known: dict[Any, Any] = {}

    def call(*key: Any) -> Any:
        if key not in known:
            known.clear()
            known[key] = make(*key)
        return known[key]

    return call


@jit
def _cost(
    fisher: Array, change: Array, within: Bool[Array, " layers"], chance: Any
) -> Float[Array, "layers outputs inputs"]:
    # A weight that is not perturbed costs nothing: none of its kind is tried or listed.
    cost = fisher.astype(jnp.float32) * change.astype(jnp.float32) ** 2 * (chance / 2).astype(jnp.float32)
    return jnp.where(within[:, None, None], cost, jnp.zeros_like(cost))


@jit
def _by_layer(costs: Float[Array, "layers outputs inputs"]) -> Float[Array, " layers"]:
    return jnp.sum(costs, axis=(1, 2))
