"""What sign flips do to a block's output, beside a shift of equal size and beside flips elsewhere."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from signmag_jax.evidence import keys
from signmag_jax.frechet import split
from signmag_jax.perturb import MagnitudeShift

from .architecture import ENTERING, Architecture, Params, rms

OUTLIERS = 0.05
"""Part of the columns that are called outliers: those of largest mean |x|."""
FEW = 4
"""Inputs that are kept, for laws of given inputs."""


class BlockEffects(NamedTuple):
    """Effects on one block, before the mean over networks.

    Ratios are of means over inputs and draws: a few flips among the outliers differ much between draws.

    Args:
      ratio: transverse energy of flips over that of the shift with the error of those very flips, in every
        matrix that the input meets.
      leverage: transverse energy of flips among the outlier columns over that of as many among the others.
      alpha_squared: of each column, E x_j² over its mean.
      column_norm_squared: of each column, summed over these matrices.
      outliers: which columns are.
      scale: root mean square of the pre-activations.
      inputs: the first of the normalised inputs.
    """

    ratio: Float[Array, ""]
    leverage: Float[Array, ""]
    alpha_squared: Float[Array, " width"]
    column_norm_squared: Float[Array, " width"]
    outliers: Float[Array, " width"]
    scale: Float[Array, ""]
    inputs: Float[Array, "few width"]


def block_effects(
    network: Architecture,
    matrices: Params,
    state: Float[Array, "inputs width"],
    key: PRNGKeyArray,
    rate: float,
    draws: int,
) -> BlockEffects:
    """The effects of flips and of the shift in one block, at the states that enter it.

    Args:
      network: whose block it is.
      matrices: of that block.
      state: what enters it, not normalised yet.
      key: of the draws.
      rate: part of the signs that flip; among the outliers, as large a part of theirs.
      draws: of flips.
    """
    x = rms(state)
    names = ENTERING[network.activation]
    energy = jnp.mean(x**2, axis=0)
    # top_k and not a quantile: of columns that are all alike there must be as many.
    count = outlier_columns(network.width)
    chosen = jax.lax.top_k(jnp.mean(jnp.abs(x), axis=0), count)[1]
    outliers = jnp.zeros(network.width, jnp.float32).at[chosen].set(1.0)
    clean = network.block(matrices, x)

    def transverse(changed: Params) -> Array:
        moved = network.block(matrices | changed, x)
        return jnp.mean(jnp.sum(split(clean, moved - clean).transverse ** 2, axis=-1) / _energy(clean))

    def one(key: PRNGKeyArray) -> tuple[Array, ...]:
        arms: tuple[Params, ...] = ({}, {}, {}, {})
        for name in names:
            weight, own = matrices[name], keys.fold(key, name)
            flips = flipped(weight, jnp.ones_like(outliers), rate, keys.fold(own, "all"))
            # The error of these very flips: the luck of the draw is in both arms, and cancels.
            error = jnp.sum((flips - weight) ** 2) / jnp.sum(weight**2)
            shift = MagnitudeShift(jnp.sqrt(error)).apply(own, weight)
            # As many flips on either side, so many as the rate makes of the outliers.
            few = rate * count / network.width
            among = flipped(weight, outliers, few, keys.fold(own, "among"))
            elsewhere = flipped(weight, 1 - outliers, few, keys.fold(own, "elsewhere"))
            for arm, changed in zip(arms, (flips, shift, among, elsewhere), strict=True):
                arm[name] = changed
        return tuple(map(transverse, arms))

    means = (jnp.mean(each) for each in jax.lax.map(one, jax.random.split(key, draws)))
    flips, shift, among, elsewhere = means
    norms = jnp.stack([jnp.sum(matrices[name] ** 2, axis=0) for name in names]).sum(axis=0)
    scale = jnp.sqrt(jnp.mean((x @ matrices[names[0]].T) ** 2))
    alpha_squared = energy / energy.mean()
    return BlockEffects(flips / shift, among / elsewhere, alpha_squared, norms, outliers, scale, x[:FEW])


def outlier_columns(width: int) -> int:
    """How many columns are outliers."""
    return max(1, round(OUTLIERS * width))


def flipped(
    weight: Float[Array, "outputs inputs"], columns: Float[Array, " inputs"], rate: float, key: PRNGKeyArray
) -> Float[Array, "outputs inputs"]:
    """The matrix with exactly round(rate × weights) signs flipped, at random places of these columns."""
    # Lots lie below 1: a 2 comes after all of them.
    lots = jnp.where(columns > 0, jax.random.uniform(key, weight.shape, jnp.float32), 2.0)
    last = jax.lax.top_k(-lots.ravel(), round(rate * weight.size))[1]
    return weight.ravel().at[last].multiply(-1.0).reshape(weight.shape)


def _energy(rows: Float[Array, "inputs width"]) -> Float[Array, " inputs"]:
    return jnp.sum(rows**2, axis=-1)
