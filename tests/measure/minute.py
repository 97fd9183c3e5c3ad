"""The minute model weight by weight: places, weights as one vector, and losses as functions of it."""

import jax.numpy as jnp
import numpy as np
from small_models import MINUTE

from signmag_jax.measure import Place
from signmag_jax.models import MATRICES, token_nll

SHAPES = {name: (MINUTE.layers, *MINUTE.shapes()[name]) for name in MATRICES}
PLACES = tuple(
    Place(MATRICES.index(name), *(int(i) for i in where))
    for name, shape in SHAPES.items()
    for where in np.ndindex(shape)
)
_ENDS = np.cumsum([np.prod(shape) for shape in SHAPES.values()])[:-1].tolist()


def joined(tables):
    """All numbers of a table for each matrix, one after the other."""
    return np.concatenate([np.asarray(tables[name], np.float64).ravel() for name in MATRICES])


def weights_of(model):
    return joined(model.params["blocks"])


def unpacked(flat):
    """The matrices of a vector."""
    pieces = zip(SHAPES.items(), jnp.split(jnp.asarray(flat), _ENDS), strict=True)
    return {name: piece.reshape(shape) for (name, shape), piece in pieces}


def with_weights(model, flat):
    return model.replace(params=_with(model.params, flat))


def loss_of(model, tokens):
    """Mean NLL as a function of all weights."""
    return lambda flat: token_nll(MINUTE, _with(model.params, flat), jnp.asarray(tokens)).mean()


def _with(params, flat):
    return params | {"blocks": params["blocks"] | unpacked(flat)}


def by_column(values):
    """A value per weight as sums over columns, {matrix: (layers, columns)}."""
    pieces = zip(SHAPES.items(), np.split(values, _ENDS), strict=True)
    return {name: piece.reshape(shape).sum(axis=1) for (name, shape), piece in pieces}
