"""The plain chain h ← normalise(φ(W h)) with a trained model's own matrices instead of Gaussian ones."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from signmag_jax.evidence import Estimate, Picture, Result, invalid, keys
from signmag_jax.evidence.compiling import jit
from signmag_jax.evidence.counts import counting
from signmag_jax.evidence.numbers import with_error
from signmag_jax.evidence.precision import at_least_float32
from signmag_jax.models import LanguageModel, fetch
from signmag_jax.perturb import MagnitudeShift
from signmag_jax.perturb.weights import absolute_moments

from . import inputs, sweep
from .draw import subset
from .metrics import check_draws

RATES = (0.01, 0.02, 0.05)
DRAWS = 8
# As many layers as the paper's chains.
DEPTH = 6
INPUTS = 256
ACTIVATIONS = {"relu": jax.nn.relu, "silu": jax.nn.silu}
SCALES = ("unit", "trained")
KINDS = ("trained", "signs", "rows", "columns", "permuted", "gaussian")
SHUFFLED = ("rows", "columns", "permuted")
WEIGHTS = ("trained", "permuted", "gaussian")


@dataclass(frozen=True, eq=False)
class TrainedChain(Result):
    """Result of `trained_chain`.

    Args:
      ratio: by kind of weights, as in `trained_chain`, C_l after each layer, of shape (rates, depth): mean
        over draws of E sin² of the angle to the clean state with flips over that with shifts.
      rates: flip rates.
      layers: the matrices of the chain, in order.
      width: rows and columns that are used of each.
      moments: E|w|, E|w|³ and E w⁴ of each, in units of its root mean square.
      provenance: model, seed, versions, device.
    """

    ratio: dict[str, Estimate]
    rates: tuple[float, ...]
    layers: tuple[int, ...]
    width: int
    moments: tuple[tuple[Any, ...], ...]
    provenance: Mapping[str, Any]

    def summary(self) -> dict[str, str]:
        """The ratios along the chain, by kind of weights and rate."""
        lines = {"matrices of layers": ", ".join(map(str, self.layers)), "width": str(self.width)}
        lines["E|w|/σ of each"] = "  ".join(f"{first:.4f}" for first, _, _ in self.moments)
        for kind, ratio in self.ratio.items():
            for rate, value, error in zip(self.rates, ratio.value, ratio.standard_error, strict=True):
                name = f"C_1..C_{len(self.layers)}, {kind}, rate {rate:g}"
                lines[name] = "  ".join(map(with_error, value, error))
        return lines

    def rows(self) -> list[dict[str, Any]]:
        """One row for each kind of weights, rate and depth."""
        return [
            {
                "weights": kind,
                "rate": self.rates[i],
                "depth": depth + 1,
                "ratio": float(ratio.value[i, depth]),
                "standard_error": float(ratio.standard_error[i, depth]),
            }
            for kind, ratio in self.ratio.items()
            for i, depth in np.ndindex(ratio.value.shape)
        ]

    def picture(self) -> Picture:
        """The ratio after each layer, by kind of weights and rate."""
        series = {
            f"{kind}, rate {rate:g}": (ratio.value[i], ratio.standard_error[i])
            for kind, ratio in self.ratio.items()
            for i, rate in enumerate(self.rates)
        }
        y, title = "transverse ratio C_L", "Trained matrices in a chain"
        return Picture("curves", {"series": series, "x": "layers L", "y": y, "title": title})


@counting
def trained_chain(
    model: LanguageModel,
    *,
    rates: Sequence[float] = RATES,
    layers: Sequence[int] | None = None,
    matrix: str = "gate_proj",
    activation: str = "relu",
    scale: str = "unit",
    weights: Sequence[Literal["trained", "signs", "rows", "columns", "permuted", "gaussian"]] = WEIGHTS,
    draws: int = DRAWS,
    samples: int = INPUTS,
    seed: int = 0,
    resume: str | Path | None = None,
    source: Mapping[str, Any] | None = None,
) -> TrainedChain:
    """Flips against shifts of equal Frobenius norm along a chain of trained matrices, cropped square.

    Every matrix of the chain is perturbed: exactly round(rate·n²) signs are flipped, or w becomes
    w + sδ·sign(w) with the squared error of that very mask.

    Args:
      model: from `models.load`.
      rates: flip rates, in (0, 0.5].
      layers: numbers of the layers whose matrices form the chain, from 0; by default the 6 middle ones.
      matrix: name of the matrix that each layer gives, such as up_proj.
      activation: what follows each matrix, "relu" or "silu".
      scale: "unit" divides each matrix by its root mean square, so that pre-activations have unit
        variance; "trained" leaves it. Chains of ReLU do not depend on it.
      weights: kinds of weights: the "trained" matrices; these with "signs" at random; shuffled within their
        "rows", whose norms stay, or within their "columns"; "permuted", all entries shuffled; and "gaussian",
        independent normal ones. What differs between two kinds is owed to what one of them has lost.
      draws: number of random draws of masks and inputs, at least 2.
      samples: number of inputs of each draw, uniform on the sphere, at least 2.
      seed: root seed.
      resume: folder of records to go on from.
      source: added to the provenance.

    Raises:
      InvalidInput: for unknown names, rates out of range, or fewer than 2 draws or inputs.

    Source: arXiv:2605.18933, experiment B.
    """
    rates, draws = inputs.check_rates(rates), check_draws(draws, 2)
    _check_names(rates, activation, scale, weights, samples)
    count = model.config.layers
    first = max(0, (count - DEPTH) // 2)
    middle = range(first, min(first + DEPTH, count))
    chain = inputs.check_layers(middle if layers is None else layers, count)
    (matrix,) = inputs.check_matrices((matrix,))
    # Cropped square, so that the output of a layer can enter the next.
    width = min(model.config.shapes()[matrix])
    # On the host: each slice on a device would be a program of its own.
    stored = fetch(model.params["blocks"][matrix])
    cropped = np.stack([stored[layer, :width, :width] for layer in chain])
    cropped = cropped.astype(at_least_float32(cropped.dtype))
    inputs.check_finite(cropped, f"weights of {matrix}")
    for layer, matrix_of in zip(chain, cropped, strict=True):
        if not matrix_of.any():
            where = f"0 throughout, in layer {layer}"
            raise inputs.unmeasurable(f"weights of {matrix} that are not all 0", where, "name other layers")
    configuration = {
        "experiment": "trained chain",
        "rates": list(rates),
        "layers": list(chain),
        "matrix": matrix,
        "activation": activation,
        "scale": scale,
        "weights": list(weights),
        "draws": draws,
        "samples": samples,
        "seed": seed,
    }
    flips = jnp.asarray([_flips(rate, width) for rate in rates], jnp.int32)
    capacity = int(flips.max())

    def task(kind: str, draw: int) -> sweep.Row:
        # Trained matrices stay what they are, but meet new masks and inputs in every draw.
        key = keys.fold(keys.root(seed), "trained chain", kind, draw)
        drawn = _weights(cropped, keys.fold(key, "weights"), kind, scale)
        return fetch(_ratios(drawn, key, flips, activation, samples, capacity)).ravel()

    tasks = [functools.partial(task, kind, draw) for kind in weights for draw in range(draws)]
    records = sweep.records_of(resume, model, configuration)
    rows = sweep.run("trained chain", tasks, records, len(rates) * len(chain))
    table = np.stack(rows).reshape(len(weights), draws, len(rates), len(chain))
    inputs.check_finite(table.reshape(len(weights), -1), "the ratio of every chain")
    name = "mean over masks and inputs of per-draw ratios"
    ratio = {
        kind: Estimate.of_samples(rows, estimator=name) for kind, rows in zip(weights, table, strict=True)
    }
    moments = tuple(map(absolute_moments, cropped))
    provenance = inputs.provenance_of(model, source, **configuration)
    return TrainedChain(ratio, rates, chain, width, moments, provenance)


def _check_names(
    rates: Sequence[float], activation: str, scale: str, weights: Sequence[str], samples: int
) -> None:
    if max(rates) > 0.5:
        raise invalid("0 < rate <= 0.5", max(rates), "pass parts of the signs, like 0.01")
    if activation not in ACTIVATIONS:
        raise invalid(f"activation in {tuple(ACTIVATIONS)}", activation, "name one of them")
    if scale not in SCALES:
        raise invalid(f"scale in {SCALES}", scale, "name one of them")
    if not weights or set(weights) - set(KINDS) or len(set(weights)) < len(weights):
        raise invalid(f"some of {KINDS}, each once", tuple(weights), "name kinds of weights")
    if samples < 2:
        raise invalid("samples >= 2", samples, "pass a number of inputs")


def _flips(rate: float, width: int) -> int:
    flips = round(rate * width * width)
    if flips < 1:
        raise inputs.unmeasurable("rate × weights >= 1 flip", f"{rate} × {width}²", "raise the rate")
    return flips


@functools.partial(jit, static_argnums=(3, 4, 5))
def _ratios(
    stack: Float[Array, "depth n n"],
    key: PRNGKeyArray,
    flips: Int[Array, " rates"],
    activation: str,
    samples: int,
    capacity: int,
) -> Float[Array, "rates depth"]:
    """One draw: E sin² of flips over that of shifts after each layer."""
    phi, width = ACTIVATIONS[activation], stack.shape[1]
    # A Gaussian vector has a uniform direction.
    h = _direction(jax.random.normal(keys.fold(key, "inputs"), (width, samples), stack.dtype))

    def step(carry: Any, piece: tuple[Array, Array]) -> Any:
        # Three states, each with the errors of all layers before it.
        clean, flipped, shifted = carry
        weight, layer = piece
        after = functools.partial(_layer, phi)
        clean = after(weight, clean)

        def one(some: tuple[Array, Array, Array, Array]) -> Any:
            rate, flips, one, other = some
            signs, size = flips_and_shift(weight, keys.fold(key, "mask", rate, layer), flips, capacity)
            shift = MagnitudeShift(size).apply(key, weight)
            return after(weight * signs, one), after(shift, other)

        rates = jnp.arange(flips.shape[0], dtype=jnp.int32)
        flipped, shifted = jax.lax.map(one, (rates, flips, flipped, shifted))
        ratio = _turned(clean, flipped) / _turned(clean, shifted)
        return (clean, flipped, shifted), ratio

    copies = jnp.broadcast_to(h, (flips.shape[0], *h.shape))
    layers = jnp.arange(stack.shape[0], dtype=jnp.int32)
    return jax.lax.scan(step, (h, copies, copies), (stack, layers))[1].T


def _weights(
    stack: Float[np.ndarray, "depth n n"], key: PRNGKeyArray, kind: str, scale: str
) -> Float[Array, "depth n n"]:
    if kind in SHUFFLED:
        # Each matrix keeps its own numbers.
        pairs = zip(jax.random.split(key, len(stack)), stack, strict=True)
        stack = np.stack([_shuffled(own, matrix, kind) for own, matrix in pairs])
    return _drawn(stack, key, kind, scale)


@functools.partial(jit, static_argnums=(2, 3))
def _drawn(
    stack: Float[Array, "depth n n"], key: PRNGKeyArray, kind: str, scale: str
) -> Float[Array, "depth n n"]:
    if kind == "gaussian":
        stack = jax.random.normal(key, stack.shape, stack.dtype)
    elif kind == "signs":
        each = jax.random.split(key, stack.shape[0])
        signs = jax.lax.map(lambda own: jax.random.rademacher(own, stack.shape[1:], stack.dtype), each)
        stack = stack * signs
    if scale == "unit":
        # Pre-activations of unit variance; ReLU has no scale and does not see the difference.
        stack = stack / jnp.sqrt(jnp.mean(stack**2, axis=(1, 2), keepdims=True))
    return stack


def _shuffled(key: PRNGKeyArray, matrix: Float[np.ndarray, "n n"], kind: str) -> Float[np.ndarray, "n n"]:
    """What `jax.random.permutation` makes of it; sorted by NumPy, as XLA takes ten times as long on a CPU."""
    axis = 0 if kind == "columns" else -1
    table = matrix.ravel() if kind == "permuted" else matrix
    places = np.arange(table.shape[axis], dtype=np.uint64).reshape((-1, 1) if kind == "columns" else -1)
    # Sorted so often that two numbers hardly ever have the same keys throughout.
    for _ in range(math.ceil(3 * math.log(table.size) / math.log(2**32 - 1))):
        key, own = jax.random.split(key)
        numbers = fetch(jax.random.bits(own, table.shape, jnp.uint32)).astype(np.uint64)
        # With its place behind it no number is there twice: stable, whatever the sort.
        order = np.sort(numbers << 32 | places, axis=axis) & 0xFFFFFFFF
        table = np.take_along_axis(table, order.astype(np.int64), axis)
    return table.reshape(matrix.shape)


def flips_and_shift(
    weight: Float[Array, "n n"], key: PRNGKeyArray, flips: Int[Array, ""], capacity: int
) -> tuple[Float[Array, "n n"], Float[Array, ""]]:
    """Signs of exactly `flips` flips, and the size of the shift with the squared error of that mask."""
    width = weight.shape[0]
    # `EMPTY` slots lie behind the last row, and are dropped.
    chosen = subset(key, width * width, flips, capacity)
    drawn = chosen // width, chosen % width
    signs = jnp.ones_like(weight).at[drawn].set(-1.0, mode="drop")
    hit = jnp.sum(weight.at[drawn].get(mode="fill", fill_value=0.0) ** 2)
    return signs, 2 * jnp.sqrt(hit / jnp.sum(weight**2))


def _layer(phi: Any, weight: Float[Array, "n n"], state: Float[Array, "n inputs"]) -> Any:
    return _direction(phi(jnp.matmul(weight, state, precision=jax.lax.Precision.HIGHEST)))


def _direction(state: Float[Array, "n inputs"]) -> Float[Array, "n inputs"]:
    return state / jnp.linalg.norm(state, axis=0, keepdims=True)


def _turned(clean: Float[Array, "n inputs"], state: Float[Array, "rates n inputs"]) -> Float[Array, " rates"]:
    """Mean over inputs of sin² of the angle, from the component across the clean direction."""
    # From the component, as 1 − cos² would cancel at small angles.
    along = jnp.einsum("ni,rni->ri", clean, state)
    across = state - along[:, None, :] * clean[None]
    return jnp.mean(jnp.sum(across**2, axis=1), axis=-1)
