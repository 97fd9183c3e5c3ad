"""Memory at its peak and minutes that a measurement takes, from a model's sizes alone."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
from jax.sharding import Mesh

from signmag_jax.models import ModelConfig
from signmag_jax.models.attention import QUERY_CHUNK
from signmag_jax.models.forward import LOGIT_CHUNK
from signmag_jax.models.memory import count_parameters
from signmag_jax.models.sharding import bytes_per_device

from .sweep import PASS_TOKENS

PROCESS = 0.9 * 2**30
"""Bytes of a process besides its arrays: Python, its libraries, and compiled programs."""
DERIVATIVES = 0.5 * 2**30
"""Bytes of a process's other programs, where it takes derivatives."""
SECONDS_OF_A_PASS = 3.6
"""Seconds in which `PASS_TOKENS` tokens pass through SmolLM2-135M in float32, on two cores."""
RATE = 1.35e8 * PASS_TOKENS / SECONDS_OF_A_PASS
"""Weights times tokens that pass in a second."""


def peak_bytes(
    config: ModelConfig,
    dtype: Any,
    *,
    arrays: int,
    float32_arrays: int | float,
    batch: int,
    window: int,
    mesh: Mesh | None = None,
) -> int | float:
    """What exists at one time, on all devices of this computer together.

    Args:
      config: of the model.
      dtype: of its weights.
      arrays: arrays of the weights' size and dtype, the weights among them; more than one for derivatives.
      float32_arrays: others of that size, in float32 whatever the dtype.
      batch: windows that pass through a layer together.
      window: tokens of each.
      mesh: devices over which the weights are spread, or None.
    """
    size = jnp.dtype(dtype).itemsize
    wide = max(size, 4)
    layer = sum(math.prod(shape) for shape in config.shapes().values())
    blocks, every = config.layers * layer, count_parameters(config)
    # A layer in float32, as products take it, and of half precision the output matrix too.
    working: int | float = layer * wide + (config.vocabulary * config.hidden * wide if size < 4 else 0)
    if arrays + float32_arrays > 1:  # derivatives
        outputs = sum(shape[0] for shape in config.shapes().values() if len(shape) == 2)
        working += DERIVATIVES + layer * wide + 2 * config.layers * window * (outputs + config.hidden) * size
    held = every * size + blocks * ((arrays - 1) * size + float32_arrays * 4)
    copies = 1.0 if mesh is None else mesh.size * bytes_per_device(config, size, mesh) / (every * size)
    return PROCESS + held * copies + working + _activations(config, batch, window, wide)


def _activations(config: ModelConfig, batch: int, window: int, wide: int) -> int:
    """Bytes of one layer's activations and of a chunk of logits."""
    tokens = batch * window
    stream = tokens * (4 * config.hidden + 3 * config.intermediate)
    scores = 2 * batch * config.heads * min(QUERY_CHUNK, window) * window
    logits = 3 * min(LOGIT_CHUNK, tokens) * config.vocabulary
    return wide * (stream + scores + logits)


def minutes_on_two_cores(config: ModelConfig, passes: int | float) -> int:
    """Minutes that so many forward passes of `PASS_TOKENS` tokens take in float32."""
    return math.ceil(passes * PASS_TOKENS * count_parameters(config) / RATE / 60)
