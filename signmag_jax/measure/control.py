"""Derivatives as a control variate of flips at random: each draw without the luck that they can tell."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from signmag_jax.evidence import invalid
from signmag_jax.evidence.compiling import jit
from signmag_jax.evidence.counts import counting
from signmag_jax.evidence.precision import at_least_float32
from signmag_jax.evidence.progress import progress
from signmag_jax.models import LanguageModel, fetch

from . import curvature, inputs
from .arm_comparison import RateLeverage
from .curvature import WindowLoss
from .drawn_damage import check_alike
from .flips import Coordinates, Recipe
from .inputs import Windows
from .leverage import Leverage
from .place import Place
from .pools import ARMS
from .predicted import LinearResponse
from .stratified import Stratified
from .stretch import Movable

CONTROL = "control variate"
KEPT = 2**28
"""Bytes of draws that are kept from window to window, of each rate; others are made again."""


@counting
def controlled(
    model: LanguageModel,
    evaluation: Windows,
    leverage: Leverage,
    response: LinearResponse | None = None,
) -> Leverage:
    """A leverage with `Σ_i (m_i − E m_i) c_i` taken from every draw, on every window.

    m_i says whether the draw flipped weight i; c_i is `−2 g_i w_i`, or for the `singles` of the response the
    exact cost of their flip. The expectation stays what it was, whatever the c_i. At small rates most of the
    scatter goes: the first order of the weights that a draw happens to hit, and the few weights whose flip
    costs most, which few draws hit at all. At large rates costs do not add up, and it may grow.

    Args:
      model, evaluation: those of the leverage and of the response.
      leverage: from `leverage`; a rate at which a draw gave no finite loss is left as it is.
      response: from `linear_response`, which knows its `singles`; without it derivatives alone tell, of all
        weights but the heavy ones of the leverage, whose cost is exact already.

    Raises:
      InvalidInput: for other windows, a leverage and a response that were not measured alike, or a leverage
        that was controlled before.
    """
    evaluation = inputs.checked_windows(model, evaluation, "evaluation")
    sha256 = inputs.sha256_of_tokens(evaluation)
    if sha256 != leverage.provenance["evaluation_sha256"]:
        raise invalid("the leverage's own evaluation windows", sha256, "pass the windows that it read")
    singles, costs = (), np.zeros((0, len(evaluation)))
    if response is not None:
        check_alike(response, leverage)
        singles, costs = response.singles, response.costs
    if CONTROL in leverage.provenance:
        raise invalid("a leverage as it was measured", "one that was controlled before", "pass that")
    pools = leverage.pools
    heavy = [place for ranking in leverage.heavy.values() for place in ranking.places]
    # No light draw flips a heavy weight, so that its derivative is nobody's luck.
    apart = tuple(dict.fromkeys((*singles, *heavy)))
    movable = Movable.of(model, tuple(pools.outputs), range(model.config.layers), apart)
    seed = leverage.provenance["seed"]
    known = [Known(leverage.stratified(one, seed), one.draws, singles) for one in leverage.rates]
    luck = [{arm: np.zeros((one.draws, len(evaluation))) for arm in ARMS} for one in leverage.rates]
    with progress("control variate", len(evaluation)) as advance:
        for index, window in enumerate(evaluation):
            products = _products(WindowLoss.of(model, window), movable)
            columns = fetch(_by_column(products))
            columns = {name: table.astype(np.float64) for name, table in columns.items()}
            for each, table in zip(known, luck, strict=True):
                for arm in ARMS:
                    table[arm][:, index] = each.luck(arm, products, columns, costs[:, index])
            del products  # before the next ones are made
            advance()
    pairs = zip(leverage.rates, luck, strict=True)
    told = "first derivatives" + (" and exact costs of single weights" if singles else "")
    return dataclasses.replace(
        leverage,
        rates=tuple(_without(one, table, leverage.noise_floor) for one, table in pairs),
        provenance={**leverage.provenance, CONTROL: told},
    )


def _without(one: RateLeverage, luck: dict[str, Any], floor: float) -> RateLeverage:
    tables = {arm: table for arm, table in one.samples.items() if table is not None}
    if len(tables) < len(ARMS):
        return one
    less = {arm: table - luck[arm] for arm, table in tables.items()}
    return RateLeverage.of(one.rate, one.flips, less, floor=floor, strata=one.strata)


@jit
def _products(loss: WindowLoss, movable: Movable) -> curvature.Weights:
    """`−2 g w` of every weight, 0 of those whose exact cost is known."""
    weights = loss.weights(movable.names)
    # Every weight's own, as draws pick single ones: sums over columns would not do here.
    gradient = jax.grad(loss)(weights)
    wide = at_least_float32(loss.params["embed"].dtype)
    return {
        name: -2 * gradient[name].astype(wide) * w.astype(wide)
        for name, w in movable.weights(weights).items()
    }


@jit
def _drawn(products: curvature.Weights, coordinates: Coordinates) -> dict[str, Float[Array, " layers"]]:
    """The sum over the drawn weights of each layer, by matrix."""

    def one(table: Array, rows: Array, columns: Array) -> Array:
        # Unused slots point past the last row and count nothing.
        return jnp.sum(table.at[rows, columns].get(mode="fill", fill_value=0.0))

    return {name: jax.vmap(one)(products[name], *pair) for name, pair in coordinates.items()}


@jit
def _by_column(products: curvature.Weights) -> curvature.ByColumn:
    return {name: table.sum(axis=1) for name, table in products.items()}


@dataclasses.dataclass(frozen=True, eq=False)
class Known:
    """What is known beforehand of the draws of a leverage at one rate.

    Args:
      draws: the same again, `count` in each arm; heavy weights are in none of them.
      singles: weights of known cost.
    """

    draws: Stratified
    count: int
    singles: tuple[Place, ...]

    def luck(
        self,
        arm: str,
        products: curvature.Weights,
        columns: dict[str, Any],
        costs: Float[np.ndarray, " singles"],
    ) -> Float[np.ndarray, " draws"]:
        """What derivatives and known costs say of each draw on one window, less their mean."""
        draws = self.draws.draws
        inverted = draws.is_inverted(arm)
        totals = {name: draws.pools.pool_sum(name, arm, table) for name, table in columns.items()}
        rows, layers = [], list(draws.pools.layers)
        for recipe, coordinates in self.made(arm):
            drawn, gap = fetch(_drawn(products, coordinates)), 0.0
            for name, total in totals.items():
                # Of an inverted arm the weights that stay were drawn.
                hit = total - drawn[name] if inverted else drawn[name]
                mean = self.draws.light_part(recipe, arm, name) * total
                gap += float(np.sum((hit - mean)[layers]))
            rows.append(gap)
        return self._luck_of_singles[arm] @ costs + np.asarray(rows)

    @functools.cached_property
    def _luck_of_singles(self) -> dict[str, Float[np.ndarray, "draws singles"]]:
        """Whether each draw flipped each weight of known cost, less its probability, by arm."""
        gaps = {arm: [self.flipped(arm, *one) for one in self.made(arm)] for arm in ARMS}
        return {arm: np.stack([hit - mean for hit, mean in pairs]) for arm, pairs in gaps.items()}

    def made(self, arm: str) -> Iterator[tuple[Recipe, Coordinates]]:
        """Every draw of an arm, made again."""
        for draw in range(self.count):
            yield self._made(arm, draw)

    @functools.cached_property
    def _made(self) -> Callable[[str, int], tuple[Recipe, Coordinates]]:
        """One draw: to make it may take longer than the gradient of a window."""
        draws, layers = self.draws.draws, self.draws.draws.pools.layers_of_model
        each = 2 * np.dtype(np.int32).itemsize * layers * sum(slots for _, slots in draws.slots)
        keep = self.count * len(ARMS) * each <= KEPT
        return functools.cache(self.draws.light) if keep else self.draws.light

    def flipped(self, arm: str, recipe: Recipe, coordinates: Coordinates) -> Any:
        """Whether a draw flipped each weight of known cost, and how probably; see `Stratified.flipped`."""
        return self.draws.flipped(arm, recipe, coordinates, self.singles)
