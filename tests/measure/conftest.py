"""Tiny random Llamas with known outlier columns, windows for them, and programs that many tests run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
import tokenizers
from small_models import MINUTE, TINY

from signmag_jax import measure
from signmag_jax.measure.pools import Pools
from signmag_jax.models import (
    MATRICES,
    LanguageModel,
    LoadReport,
    Tokenizer,
    hidden,
    logits,
    token_nll,
)

LOUD = {"attention_norm": (7, 20), "mlp_norm": (3, 31)}
"""Columns whose norm gain is large: the outliers of attention_in and mlp_in in every layer."""


@pytest.fixture(scope="module", autouse=True)
def unoptimised():
    """These programs compile for longer than they run. A module of another kind overrides this."""
    with quick.unoptimised():
        yield


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
def profile(tiny, windows):
    return measure.alpha(tiny, windows[0])


@pytest.fixture(scope="session")
def pools(tiny, profile):
    return Pools.of(tiny, profile.outliers(), range(TINY.layers), MATRICES)


SAMPLED = {"positions": 33, "spherical": 200}


@pytest.fixture(scope="session")
def quantization(tiny, windows):
    return measure.quantization(tiny, windows[0], **SAMPLED)


@pytest.fixture(scope="session")
def activations(tiny, windows):
    """Every activation of the calibration windows, {site: (layers, windows, tokens, features)}."""
    look = quick.jit(lambda params, tokens: token_nll(TINY, params, tokens, observe=lambda x, *_: x)[1])
    found = look(tiny.params, windows[0])
    return {site: np.asarray(x, np.float64) for site, x in found.items()}


_streams = quick.jit(lambda params, tokens: hidden(TINY, params, tokens, every_layer=True)[1])


def streams(model, tokens):
    """The residual stream behind each layer."""
    return np.asarray(_streams(model.params, jnp.asarray(tokens)), np.float64)


@quick.jit
def _applied(transform, blocks):
    def body(_, piece):
        layer, weights = piece
        return None, {name: transform(weight, layer, name) for name, weight in weights.items()}

    return jax.lax.scan(body, None, (jnp.arange(TINY.layers, dtype=jnp.int32), blocks))[1]


def applied(model, transform):
    """All weights before and after a transform, in float64, by matrix."""
    blocks = {name: jnp.asarray(model.params["blocks"][name]) for name in MATRICES}
    after = _applied(transform, blocks)
    return {
        name: (np.asarray(w, np.float64), np.asarray(after[name], np.float64)) for name, w in blocks.items()
    }


@pytest.fixture(scope="session")
def minute():
    """Few enough weights, and small enough, for exact Hessians and flips."""
    return build(seed=3, config=MINUTE, loud=1.0, dtype=np.float64, scale=0.5)


@pytest.fixture(scope="session")
def minute_text(minute):
    """(calibration, evaluation): 2 random windows of 9 tokens, and 16 that the model wrote itself.

    On its own text the loss is minimal in the mean, so that flips cost.
    """
    forward = quick.jit(lambda tokens: logits(MINUTE, minute.params, tokens))
    rng = np.random.default_rng(7)
    tokens = rng.integers(0, MINUTE.vocabulary, (16, 9)).astype(np.int32)
    for at in range(1, 9):
        scores = np.asarray(forward(jnp.asarray(tokens)))[:, at - 1]
        tokens[:, at] = (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)
    return rng.integers(0, MINUTE.vocabulary, (2, 9)).astype(np.int32), tokens


@pytest.fixture(scope="session")
def some():
    """Weights whose exact cost `response` takes in place of their bracket."""
    from minute import PLACES

    return PLACES[::40]


@pytest.fixture(scope="session")
def response(minute, minute_text, some):
    return measure.linear_response(minute, *minute_text, probes=20, singles=some, fraction=0.2)
