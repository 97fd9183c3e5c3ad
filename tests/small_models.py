"""The shapes of small Llamas; a test that needs another names what differs."""

import dataclasses

from signmag_jax.models import ModelConfig, Rope

TINY = ModelConfig(
    family="llama",
    vocabulary=96,
    hidden=40,
    intermediate=60,
    layers=3,
    heads=4,
    kv_heads=2,
    head_dim=8,
    eps=1e-5,
    rope=Rope(),
    positions=256,
    tied=True,
)
MINUTE = dataclasses.replace(
    TINY, vocabulary=24, hidden=8, intermediate=10, layers=2, heads=2, kv_heads=1, head_dim=4
)
"""Few enough weights for an exact Hessian."""
HUB = dataclasses.replace(TINY, vocabulary=97, hidden=32, intermediate=48, positions=64, tied=False)
"""That of `oracle.SIZES`."""
