"""The criteria by which weights are chosen: the larger a weight's score, the sooner it is protected."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from signmag_jax.evidence import keys
from signmag_jax.evidence.compiling import jit
from signmag_jax.evidence.precision import at_least_float32
from signmag_jax.models import SITE_OF, LanguageModel, token_nll

from .against import Against
from .budget import COLUMNS, WEIGHTS
from .inputs import Windows, check_finite
from .sweep import over_windows

COST, RANDOM = "cost", "random"
LABELS = {
    COST: "predicted cost",
    RANDOM: "at random",
    "size": "weight size |w|",
    "llm_int8": "columns by max|x| (LLM.int8)",
    "awq": "columns by mean|x| (AWQ)",
    "imatrix": "columns by E x² (imatrix)",
    "imatrix_weights": "w² E x² (imatrix)",
    "imatrix_error": "(w' − w)² E x² (imatrix)",
}
"""Criteria by name, as a reader is told them. The first is ours, the others are compared with it."""
BY_COLUMN = ("llm_int8", "awq", "imatrix")
"""Criteria that choose whole columns, whose weights need no places of their own."""
Statistic = dict[str, Float[np.ndarray, "layers inputs"]]


@dataclass(frozen=True, eq=False)
class Inputs:
    """Statistics of every matrix's input columns over calibration windows, by matrix.

    Args:
      square: E x².
      mean: E|x|.
      largest: max|x|.
    """

    square: Statistic
    mean: Statistic
    largest: Statistic


def inputs_of(model: LanguageModel, tokens: Windows, names: tuple[str, ...]) -> Inputs:
    """One forward pass over calibration windows.

    Raises:
      Unmeasurable: for activations that are not finite.
    """
    program = functools.partial(_statistics, model.config, model.params)
    pieces = over_windows("activations", tokens, 1, program)
    tables = []
    # Windows are of one length: the mean of their means is the mean of all tokens.
    for which, merge in enumerate((np.mean, np.mean, np.max)):
        sites = {site: merge([each[site][which] for each in pieces], axis=0) for site in pieces[0]}
        for site, table in sites.items():
            check_finite(table, f"activations at {site}", "layer")
        tables.append({name: np.asarray(sites[SITE_OF[name]], np.float64) for name in names})
    return Inputs(*tables)


@functools.partial(jit, static_argnums=0)
def _statistics(config: Any, params: dict[str, Any], tokens: Int[Array, "batch window"]) -> Any:
    def look(x: Float[Array, "batch window features"], layer: Array, site: str) -> Any:
        del layer, site
        size = jnp.abs(x.astype(at_least_float32(x.dtype)))
        return jnp.mean(size**2, axis=(0, 1)), jnp.mean(size, axis=(0, 1)), jnp.max(size, axis=(0, 1))

    return token_nll(config, params, tokens, observe=look)[1]


def compared(against: Against) -> tuple[str, ...]:
    """The criteria that can differ: a flip's error is 2|w|, so two of them are one."""
    return tuple(name for name in LABELS if name != "imatrix_error" or against.quantizer is not None)


def unit_of(criterion: str) -> str:
    """What a criterion that is not ours chooses: single weights or whole columns."""
    return COLUMNS if criterion in BY_COLUMN else WEIGHTS


class Scores(Mapping[str, Array]):
    """Scores of every weight, by matrix, made when they are asked for and not kept: one matrix at a time.

    Args:
      names: of the matrices.
      make: the scores of one, layers × outputs × inputs.
    """

    def __init__(self, names: Iterable[str], make: Callable[[str], Array]) -> None:
        self._names, self._make = tuple(names), make

    def __getitem__(self, name: str) -> Array:
        """The scores of one matrix, computed now."""
        if name not in self._names:
            raise KeyError(name)
        return self._make(name)

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self._names)

    def __len__(self) -> int:
        """How many matrices there are."""
        return len(self._names)


def scores(
    criterion: str, model: LanguageModel, against: Against, inputs: Inputs, seed: int, draw: int
) -> Scores:
    """The scores of a criterion that is not ours, not negative, by matrix.

    LLM.int8 ranks the columns of the whole model by max|x|, AWQ takes the same part of the columns of every
    matrix; w² E x² and (w' − w)² E x² rank single weights of the whole model.
    """
    blocks = model.params["blocks"]
    root = keys.fold(keys.root(seed), "protect", RANDOM, draw)
    by_column: Mapping[str, Callable[[str], Any]] = {
        "llm_int8": lambda name: inputs.largest[name],
        "awq": lambda name: _ranks(inputs.mean[name]),
        "imatrix": lambda name: inputs.square[name],
    }
    by_weight: Mapping[str, Callable[[str], Array]] = {
        RANDOM: lambda name: _uniform(keys.fold(root, name), blocks[name].shape),
        "size": lambda name: jnp.abs(blocks[name]).astype(jnp.float32),
        "imatrix_weights": lambda name: weighted(blocks[name], inputs.square[name]),
        "imatrix_error": lambda name: weighted(against.change(blocks[name]), inputs.square[name]),
    }
    if criterion in by_column:
        of = by_column[criterion]
        return Scores(inputs.square, lambda name: _spread(_float32(of(name)), blocks[name].shape))
    return Scores(inputs.square, by_weight[criterion])


def by_unit(costs: Mapping[str, Array], unit: str) -> Mapping[str, Array]:
    """Costs of single weights, or the mean cost of their column or matrix."""
    if unit == WEIGHTS:
        return costs
    # Every weight has its unit's mean, so that one cut serves weights, columns and matrices.
    return Scores(costs, lambda name: _mean(costs[name], (1,) if unit == COLUMNS else (1, 2)))


def _float32(table: Any) -> Array:
    return jnp.asarray(np.asarray(table, np.float32))


def _ranks(table: Float[np.ndarray, "layers inputs"]) -> Float[np.ndarray, "layers inputs"]:
    """The rank of each column within its layer: the part of the columns that are not larger."""
    # By rank and not by size: AWQ takes the same part of the columns of every matrix.
    return (np.argsort(np.argsort(table, axis=1, kind="stable"), axis=1) + 1) / table.shape[1]


def weighted(table: Float[Array, "layers outputs inputs"], square: Any) -> Float[Array, "layers _ _"]:
    """Squares of a table times the mean square of the inputs."""
    return _weighted(table, _float32(square))


@jit
def _weighted(table: Array, square: Array) -> Array:
    return table.astype(jnp.float32) ** 2 * square[:, None, :]


@functools.partial(jit, static_argnums=1)
def _spread(by_column: Float[Array, "layers inputs"], shape: tuple[int, ...]) -> Array:
    return jnp.broadcast_to(by_column[:, None, :], shape)


@functools.partial(jit, static_argnums=1)
def _mean(table: Array, axes: tuple[int, ...]) -> Array:
    return jnp.broadcast_to(jnp.mean(table, axis=axes, keepdims=True), table.shape)


@functools.partial(jit, static_argnums=1)
def _uniform(key: Array, shape: tuple[int, ...]) -> Array:
    # Layer by layer: what makes random numbers takes three times their memory.
    draw = lambda layer: jax.random.uniform(keys.fold(key, layer), shape[1:], jnp.float32)  # noqa: E731
    return jax.lax.map(draw, jnp.arange(shape[0], dtype=jnp.int32))
