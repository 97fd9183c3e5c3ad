"""Small models with single weights that decide, one for each kind of matrix, and text that they wrote."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
import quick
from conftest import build, with_block
from small_models import MINUTE

from signmag_jax.measure.place import Place
from signmag_jax.measure.pools import OUTLIER, REST
from signmag_jax.models import MATRICES, logits

SMALL = dataclasses.replace(MINUTE, vocabulary=60, hidden=16, intermediate=20)
WIDTH = {"attention_in": 16, "attention_out": 8, "mlp_in": 16, "mlp_mid": 20}
SCALE = 1.0
COLUMNS = {site: np.tile(np.arange(n // 4), (SMALL.layers, 1)) for site, n in WIDTH.items()}
"""A quarter of the columns, the first of each site, is called outliers."""


def place(name, layer, row, column):
    return Place(MATRICES.index(name), layer, row, column)


SATURATED = "saturated gate"
WEIGHTS = {
    SATURATED: (place("gate_proj", 1, 4, 0), -12.0),
    "down": (place("down_proj", 1, 2, 1), 25.0),
    "up, next to the embedding": (place("up_proj", 0, 5, 0), 10.0),
    "v": (place("v_proj", 0, 1, 0), 10.0),
    "o": (place("o_proj", 1, 3, 1), 20.0),
    "down, no outlier": (place("down_proj", 1, 5, 12), 60.0),
    "saturated gate, no outlier": (place("gate_proj", 1, 6, 9), -12.0),
}
"""Where each stands, and the weight."""


def arm(kind):
    where = WEIGHTS[kind][0]
    return OUTLIER if where.column < WIDTH[SITE[where.name]] // 4 else REST


SITE = {"gate_proj": "mlp_in", "up_proj": "mlp_in", "v_proj": "attention_in", "o_proj": "attention_out"}
SITE["down_proj"] = "mlp_mid"


@functools.cache
def planted(*kinds):
    """Columns 0 and 9 of the stream are the same for every token, so that a weight on them saturates."""
    model = build(seed=3, config=SMALL, loud=1.0, dtype=np.float64, scale=SCALE)
    embedding = np.array(model.params["embed"])
    embedding[:, [0, 9]] += 4
    softer = 0.3 * model.params["norm"]  # predictions whose text does not repeat itself
    model = model.replace(params=model.params | {"embed": jnp.asarray(embedding), "norm": softer})
    for kind in kinds:
        where, weight = WEIGHTS[kind]
        if where.name == "gate_proj":  # what it opens is heard
            table = np.array(model.params["blocks"]["down_proj"])
            table[where.layer, :, where.row] *= 5
            model = with_block(model, "down_proj", table)
        table = np.array(model.params["blocks"][where.name])
        table[where[1:]] = weight
        model = with_block(model, where.name, table)
    return model


def flipped(model, where):
    table = np.array(model.params["blocks"][where.name])
    table[where[1:]] *= -1
    return with_block(model, where.name, table)


def own_text(model, count, seed):
    """Windows that the model wrote itself: its loss is minimal in the mean, so that flips cost."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, model.config.vocabulary, (count, 9)).astype(np.int32)
    for at in range(1, 9):
        scores = _logits(model, tokens)[:, at - 1]
        tokens[:, at] = (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)
    return tokens


def _logits(model, tokens):
    """So many windows at a time that every model and every count of them runs the same program."""
    padded = np.pad(tokens, ((0, -len(tokens) % TOGETHER), (0, 0)))
    pieces = padded.reshape(-1, TOGETHER, tokens.shape[1])
    found = [np.asarray(_program(model.config, model.params, piece)) for piece in pieces]
    return np.concatenate(found)[: len(tokens)]


TOGETHER = 64
_program = quick.jit(logits, static_argnums=0)
