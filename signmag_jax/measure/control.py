"""Derivatives as a control variate of flips at random: each draw without the luck that they can tell."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from signmag_jax.evidence import invalid
from signmag_jax.evidence.precision import at_least_float32
from signmag_jax.evidence.progress import progress
from signmag_jax.models import SITE_OF, LanguageModel, ModelConfig

from . import curvature, inputs
from .comparison import RateLeverage
from .flips import Plan, Positions, draw_positions, flipped_part, plan
from .inputs import Windows
from .leverage import ARMS, Leverage, key_of_draws
from .pools import OUTLIER, Pools, capacities, is_inverted
from .predicted import LinearResponse
from .singles import Place, kept_fixed
from .stretch import Movable

CONTROL = "control variate"


def controlled(
    model: LanguageModel, evaluation: Windows, found: Leverage, response: LinearResponse
) -> Leverage:
    """A leverage with `Σ_i (m_i − E m_i) c_i` taken from every draw, on every window.

    m_i says whether the draw flipped weight i; c_i is `−2 g_i w_i`, or for the `singles` of the response the
    exact cost of their flip. The expectation stays what it was, whatever the c_i. At small rates most of the
    scatter goes: the first order of the weights that a draw happens to hit, and the few weights whose flip
    costs most, which few draws hit at all. At large rates costs do not add up, and it may grow.

    Args:
      model, evaluation: those of the leverage and of the response.
      found: from `leverage`; a rate at which a draw gave no finite loss is left as it is.
      response: from `linear_response`.

    Raises:
      InvalidInput: for other windows, a leverage and a response that were not measured alike, or a leverage
        that was controlled before.
    """
    evaluation = inputs.checked_windows(model, evaluation, "evaluation")
    sha256 = inputs.sha256_of_tokens(evaluation)
    if sha256 != found.provenance["evaluation_sha256"]:
        raise invalid("the leverage's own evaluation windows", sha256, "pass the windows that it read")
    response.check_alike(found)
    if CONTROL in found.provenance:
        raise invalid("a leverage as it was measured", "one that was controlled before", "pass that")
    names = tuple(found.pools.outputs)
    fixed = kept_fixed(model.config, names, response.singles)
    movable = Movable(jnp.ones(model.config.layers, model.params["embed"].dtype), fixed)
    draws = [Draws(one, found.pools, found.provenance["seed"], response.singles) for one in found.rates]
    luck = [{arm: np.zeros((one.draws, len(evaluation))) for arm in ARMS} for one in found.rates]
    with progress("control variate", len(evaluation)) as advance:
        for index, window in enumerate(evaluation):
            products = _products(model.config, names, model.params, jnp.asarray(window[None]), movable)
            columns = jax.device_get(_by_column(products))
            for each, table in zip(draws, luck, strict=True):
                for arm in ARMS:
                    table[arm][:, index] = each.luck(arm, products, columns, response.costs[:, index])
            del products  # before the next ones are made
            advance()
    pairs = zip(found.rates, luck, strict=True)
    return dataclasses.replace(
        found,
        rates=tuple(_without(one, table, found.noise_floor) for one, table in pairs),
        provenance={**found.provenance, CONTROL: "first derivatives and exact costs of single weights"},
    )


def _without(found: RateLeverage, luck: dict[str, Any], floor: float) -> RateLeverage:
    tables = {arm: table for arm, table in found.samples.items() if table is not None}
    if len(tables) < len(ARMS):
        return found
    less = {arm: table - luck[arm] for arm, table in tables.items()}
    return RateLeverage.of(found.rate, found.flips, less, floor=floor)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _products(
    config: ModelConfig,
    names: tuple[str, ...],
    params: dict[str, Any],
    tokens: Int[Array, "batch window"],
    movable: Movable,
) -> curvature.Weights:
    """`−2 g w` of every weight, 0 of those whose exact cost is known."""
    weights = {name: params["blocks"][name] for name in names}
    gradient = jax.grad(functools.partial(curvature.loss, config, params, tokens))(weights)
    wide = at_least_float32(params["embed"].dtype)
    return {
        name: -2 * gradient[name].astype(wide) * w.astype(wide)
        for name, w in curvature.masked(weights, movable).items()
    }


@jax.jit
def _drawn(products: curvature.Weights, places: Positions) -> dict[str, Float[Array, " layers"]]:
    """The sum over the drawn weights of each layer, by matrix."""

    def one(table: Array, rows: Array, columns: Array) -> Array:
        return jnp.sum(table.at[rows, columns].get(mode="fill", fill_value=0.0))

    return {name: jax.vmap(one)(products[name], *place) for name, place in places.items()}


@jax.jit
def _by_column(products: curvature.Weights) -> curvature.ByColumn:
    return {name: table.sum(axis=1) for name, table in products.items()}


@dataclasses.dataclass(frozen=True, eq=False)
class Draws:
    """The draws of a leverage at one rate, made again."""

    found: RateLeverage
    pools: Pools
    seed: int
    singles: tuple[Place, ...]

    def luck(
        self,
        arm: str,
        products: curvature.Weights,
        columns: dict[str, Any],
        costs: Float[np.ndarray, " singles"],
    ) -> Float[np.ndarray, " draws"]:
        """Of each draw on one window, what derivatives and known costs say of it, less their mean."""
        totals = {
            name: self.pools.pool_sum(name, arm, np.asarray(table, np.float64))
            for name, table in columns.items()
        }
        inverted = is_inverted(self.pools, arm, self.found.flips)
        rows, layers = [], list(self.pools.layers)
        for one, places in self.made(arm):
            drawn, gap = jax.device_get(_drawn(products, places)), 0.0
            for name, total in totals.items():
                hit = total - drawn[name] if inverted else drawn[name]
                mean = flipped_part(self.pools, one, arm, name) * total
                gap += float(np.sum((hit - mean)[layers]))
            rows.append(gap)
        return self._known_luck[arm] @ costs + np.asarray(rows)

    @functools.cached_property
    def _known_luck(self) -> dict[str, Float[np.ndarray, "draws singles"]]:
        """By arm, whether each draw flipped each weight of known cost, less its probability."""
        gaps = {arm: [self.known(arm, *made) for made in self.made(arm)] for arm in ARMS}
        return {arm: np.stack([hit - mean for hit, mean in pairs]) for arm, pairs in gaps.items()}

    def made(self, arm: str) -> Iterator[tuple[Plan, Positions]]:
        """Every draw of an arm: its plan, and where the drawn weights stand."""
        slots = capacities(self.pools, ARMS, self.found.flips)
        key = key_of_draws(self.seed, self.found.flips)
        for draw in range(self.found.draws):
            one = plan(self.pools, arm, self.found.flips, draw, key)
            yield one, draw_positions(self.pools, one, slots)

    def known(
        self, arm: str, one: Plan, places: Positions
    ) -> tuple[Bool[np.ndarray, " singles"], Float[np.ndarray, " singles"]]:
        """Whether a draw flipped each weight of known cost, and how probable that was; 0 outside the pool."""
        inverted, places = is_inverted(self.pools, arm, self.found.flips), jax.device_get(places)
        flipped, expected = np.zeros(len(self.singles), bool), np.zeros(len(self.singles))
        for index, place in enumerate(self.singles):
            if self._belongs(arm, place):
                rows, columns = (part[place.layer] for part in places[place.name])
                flipped[index] = np.any((rows == place.row) & (columns == place.column)) ^ inverted
                expected[index] = flipped_part(self.pools, one, arm, place.name)[place.layer]
        return flipped, expected

    def _belongs(self, arm: str, place: Place) -> bool:
        site = SITE_OF[place.name]
        outliers = self.pools.order[site][place.layer][: self.pools.outliers[site]]
        return bool((place.column in outliers) == (arm == OUTLIER))
