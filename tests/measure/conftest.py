"""A tiny random Llama with known outlier columns, and disjoint windows for it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tokenizers

from signmag_jax.models import LanguageModel, LoadReport, ModelConfig, Rope, Tokenizer, logits

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
LOUD = {"attention_norm": (7, 20), "mlp_norm": (3, 31)}
"""Columns whose norm gain is large: the outliers of attention_in and mlp_in in every layer."""


def build(seed=0, config=TINY, loud=12.0, dtype=np.float32, scale=1.0):
    rng = np.random.default_rng(seed)
    blocks = {}
    for name, shape in config.shapes().items():
        if name.endswith("_norm"):
            blocks[name] = np.ones((config.layers, *shape))
            blocks[name][:, [j for j in LOUD.get(name, ()) if j < shape[0]]] = loud
        else:
            blocks[name] = rng.normal(0, scale / np.sqrt(shape[1]), (config.layers, *shape))
    params = {
        "blocks": {name: jnp.asarray(value, dtype) for name, value in blocks.items()},
        "embed": jnp.asarray(rng.normal(0, 1, (config.vocabulary, config.hidden)), dtype),
        "norm": jnp.ones(config.hidden, dtype),
    }
    if not config.tied:
        params["head"] = jnp.asarray(rng.normal(0, 0.4, (config.vocabulary, config.hidden)), dtype)
    report = LoadReport({"name": "tiny"}, {}, {}, np.dtype(dtype).name, 0)
    return LanguageModel(
        config, params, Tokenizer(tokenizers.Tokenizer(tokenizers.models.BPE()), None, "none"), report
    )


def with_block(model, name, value):
    blocks = model.params["blocks"] | {name: jnp.asarray(value)}
    return model.replace(params=model.params | {"blocks": blocks})


@pytest.fixture(scope="session")
def tiny():
    return build()


@pytest.fixture(scope="session")
def windows():
    """(calibration, evaluation): 4 and 8 windows of 33 tokens."""
    tokens = np.random.default_rng(99).integers(0, TINY.vocabulary, (12, 33)).astype(np.int32)
    return tokens[:4], tokens[4:]


@pytest.fixture(scope="session")
def minute():
    """Few enough weights, and small enough, for exact Hessians and flips."""
    return build(seed=3, config=MINUTE, loud=1.0, dtype=np.float64, scale=0.5)


@pytest.fixture(scope="session")
def minute_text(minute):
    """(calibration, evaluation): 2 random windows of 9 tokens, and 16 that the model wrote itself.

    On its own text the loss is minimal in the mean, so that flips cost.
    """
    forward = jax.jit(lambda tokens: logits(MINUTE, minute.params, tokens))
    rng = np.random.default_rng(7)
    tokens = rng.integers(0, MINUTE.vocabulary, (16, 9)).astype(np.int32)
    for at in range(1, 9):
        scores = np.asarray(forward(jnp.asarray(tokens)))[:, at - 1]
        tokens[:, at] = (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)
    return rng.integers(0, MINUTE.vocabulary, (2, 9)).astype(np.int32), tokens
