"""Rules by which others choose the signs that decide: the largest weights, one random pass, super weights."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from signmag_jax.evidence import keys
from signmag_jax.evidence.compiling import jit
from signmag_jax.evidence.precision import at_least_float32
from signmag_jax.models import MATRICES, LanguageModel, ModelConfig, fetch, token_nll
from signmag_jax.models.layers import apply_linear

from .curvature import WindowLoss
from .inputs import Windows
from .place import Changed, Place
from .singles import largest

FIRST_LAYERS = 5
"""Blocks from which DNL takes its weights in language models."""
RANDOM_TOKENS = 64
"""Random ids on which 1P-DNL's one pass runs."""


def largest_weights(
    model: LanguageModel, layers: Sequence[int], names: Sequence[str], count: int
) -> list[Place]:
    """DNL: the weights of largest |w| in the first blocks, without any text.

    Galil, Kimhi and El-Yaniv, "Maximal Brain Damage Without Data or Optimization", arXiv:2502.07408,
    Algorithm 1, with the first five blocks of Section 4.1, and without its constraint for convolutions.

    Args:
      model: from `models.load`.
      layers: that take part; of these the first five.
      names: matrices that take part.
      count: how many weights.

    Returns:
      Their places, the largest first.
    """
    within = _within(model, layers)
    sizes = {name: _scored(model.params["blocks"][name], None, within) for name in names}
    return [place for place, _ in largest(sizes, count)]


def one_pass_weights(
    model: LanguageModel, layers: Sequence[int], names: Sequence[str], count: int, seed: int
) -> list[Place]:
    """1P-DNL: the largest `|w| + |g w + ½ g² w²|` in the first blocks, g from one pass on random ids.

    g is the gradient of the sum of all logits; arXiv:2502.07408, equation 3 with α = β = 1, whose Hessian is
    diagonal and g².

    Args:
      model: from `models.load`.
      layers: that take part; of these the first five.
      names: matrices that take part.
      count: how many weights.
      seed: of the random ids.
    """
    within = _within(model, layers)
    length = min(RANDOM_TOKENS, model.config.positions)
    key = keys.fold(keys.root(seed), "one random pass")
    ids = jax.random.randint(key, (1, length), 0, model.config.vocabulary, jnp.int32)
    slope = _slope_of_logits(WindowLoss(model.config, model.params, ids), tuple(names))
    blocks = model.params["blocks"]
    return [
        place
        for place, _ in largest({name: _scored(blocks[name], slope[name], within) for name in names}, count)
    ]


def _within(model: LanguageModel, layers: Sequence[int]) -> Float[Array, " layers"]:
    return jnp.asarray(np.isin(np.arange(model.config.layers), list(layers)[:FIRST_LAYERS]), jnp.float32)


@jit
def _scored(
    weight: Float[Array, "layers outputs inputs"],
    slope: Float[Array, "layers outputs inputs"] | None,
    within: Float[Array, " layers"],
) -> Float[Array, "layers outputs inputs"]:
    w = weight.astype(at_least_float32(weight.dtype))
    score = jnp.abs(w)
    if slope is not None:
        first = slope.astype(w.dtype) * w
        score += jnp.abs(first + first**2 / 2)
    # Other layers score 0, which is never among the largest.
    return score * within.astype(w.dtype)[:, None, None]


@functools.partial(jit, static_argnums=1)
def _slope_of_logits(loss: WindowLoss, names: tuple[str, ...]) -> dict[str, Array]:
    def total(weights: dict[str, Array]) -> Array:
        # Σ_v of the logits is linear in the final states: no table of all logits is made.
        states = loss.states(weights)
        wide = at_least_float32(states.dtype)
        return jnp.sum(states.astype(wide) @ jnp.sum(loss.head.astype(wide), axis=0))

    return jax.grad(total)(loss.weights(names))


def super_weights(model: LanguageModel, tokens: Windows, layers: Sequence[int], count: int) -> list[Place]:
    """Super weights: where the largest input of a down_proj meets its largest output.

    Yu et al., "The Super Weight in Large Language Models", arXiv:2411.07191, Section 3.1: one forward pass on
    any text; the layer whose input and output have the spike, and the weight between the two channels. It is
    removed and the pass made again for the next one. Of several layers, the first is that whose spikes have
    the largest product.

    Args:
      model: from `models.load`.
      tokens: the text, any.
      layers: that take part.
      count: how many weights, one pass each.

    Returns:
      At most so many places, in the order in which they are found.
    """
    down, heaviest = MATRICES.index("down_proj"), []
    for _ in range(count):
        # One program, however many have been removed.
        removed = Changed.of(heaviest, factor=0.0, size=count)
        spikes = _spikes(model.config, model.params, jnp.asarray(tokens, jnp.int32), removed)
        column, into, row, out = (fetch(part) for part in spikes)
        order = sorted(layers, key=lambda layer: -float(into[layer] * out[layer]))
        places = [Place(down, layer, int(row[layer]), int(column[layer])) for layer in order]
        # A weight that is removed may still lie where both spikes meet, if others keep them up.
        fresh = [place for place in places if place not in heaviest]
        if not fresh:
            break
        heaviest.append(fresh[0])
    return heaviest


@functools.partial(jit, static_argnums=0)
def _spikes(
    config: ModelConfig, params: dict[str, Any], tokens: Int[Array, "batch tokens"], removed: Changed
) -> Any:
    """Channel and size of the largest input of down_proj, and of its largest output, by layer."""

    def spike(values: Array) -> tuple[Array, Array]:
        size = jnp.max(jnp.abs(values.astype(at_least_float32(values.dtype))), axis=(0, 1))
        return jnp.argmax(size), jnp.max(size)

    def observe(x: Array, layer: Array, site: str) -> Any:
        if site != "mlp_mid":
            return ()
        weight = removed(params["blocks"]["down_proj"][layer], layer, "down_proj")
        return (*spike(x), *spike(apply_linear(x, weight)))

    return token_nll(config, params, tokens, removed, observe)[1]["mlp_mid"]
