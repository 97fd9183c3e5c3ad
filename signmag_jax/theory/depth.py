"""Depth: how the clean and the perturbed state of a chain part, layer by layer.

The state is kept as the energy and the alignment of the difference, never as a cosine near 1.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array

from signmag_jax.evidence import invalid
from signmag_jax.evidence.counts import counting
from signmag_jax.evidence.precision import Real, is_traced, law
from signmag_jax.perturb import HasMoments, Moments

from .activations import Activation, find_activation
from .arguments import RATE, SCALE, check_scale, error_of, resolved, weight_moments
from .energies import activated_block, held
from .scaled import Scaled, WeightMoments, bounded, flips, scaled, shift

CHAINS = ("plain", "residual", "renormalised")
LAYERS = ("all", "first")
MOST_LAYERS = 1_000_000


class Parting(NamedTuple):
    """The parting of clean state y and perturbed state y' after each layer (leading axis).

    Args:
      sine_squared: 1 − cos²(y, y').
      transverse: E‖P⊥(y)(y' − y)‖² per entry, unnormalised; for normalised states E y² = 1.
    """

    sine_squared: Any
    transverse: Any


class Angle(NamedTuple):
    """The angle between clean and perturbed state: its cosine, with its sign, and sine² in units of unit².

    Both are kept, because one of them loses its digits, and its derivative, at either end.
    """

    cosine: Array
    sine_squared: Array

    def apart(self, unit: Array) -> Array:
        """(1 − cosine)/unit², without cancellation."""
        # sin²/(1 + cos) where 1 − cos would cancel; elsewhere the divisor only has to stay away from 0.
        ahead = self.cosine > 0
        divisor = jnp.where(ahead, 1 + self.cosine, 2 + 0 * self.cosine)
        whole = jnp.where(ahead, jnp.ones_like(unit), unit)
        return jnp.where(ahead, self.sine_squared / divisor, (1 - self.cosine) / whole**2)


def correlated(moments: Scaled, angle: Angle) -> Scaled:
    """Moments of a layer whose clean and perturbed unit inputs are that angle apart."""
    # c·cos − 1 = (c − 1) − c(1 − cos) and v − (c·cos)² = noise + c²sin²: written so, small errors and small
    # angles keep their digits.
    c, unit, drift, noise = moments
    return Scaled(
        c * angle.cosine,
        unit,
        drift - c * unit * angle.apart(unit),
        noise + c**2 * angle.sine_squared,
    )


def _choose(first_only: bool, index: Array, moments: Scaled) -> Scaled:
    if not first_only:
        return moments
    # In the same unit: a state keeps the error's unit through layers that have no error.
    unperturbed = Scaled(jnp.ones_like(moments.c), moments.unit, 0 * moments.drift, 0 * moments.noise)
    return jax.tree.map(lambda p, u: jnp.where(index == 0, p, u), moments, unperturbed)


def plain_step(moments: Scaled, angle: Angle, activation: Activation, scale: Array) -> tuple[Angle, Array]:
    """(angle, transverse/unit²) after y ← normalise(φ(W y)), from the angle before."""
    out = activated_block(correlated(moments, angle), activation, scale)
    return Angle(out.cosine, out.sine_squared), out.pair.transverse / out.pair.signal


def renormalised_step(
    moments: Scaled, angle: Angle, activation: Activation, scale: Array
) -> tuple[Angle, Array]:
    """(angle, transverse/unit²) after y ← normalise(y + W_down φ(W_up y)): no mean terms, W_down is fresh."""
    out = activated_block(correlated(moments, angle), activation, scale).pair
    unit, size = moments.unit, activation.size(scale)
    # Of unit states ‖y' − y‖² is 2(1 − cos) and ⟨y, y' − y⟩ is −(1 − cos).
    apart = angle.apart(unit)
    along = size**2 * out.alignment - unit * apart
    energy = 2 * apart + size**2 * out.energy
    power = 1 + size**2 * out.signal
    drift = along / power
    transverse = across(apart * (2 - unit**2 * apart), 1, -unit * apart, drift)
    transverse = transverse + size**2 * across(out.transverse, out.signal, out.alignment, drift)
    perturbed = power + 2 * unit * along + unit**2 * energy
    after = Angle((power + unit * along) / jnp.sqrt(power * perturbed), transverse / perturbed)
    return after, transverse / power


class Stream(NamedTuple):
    """Second moments and means of an unnormalised residual stream and of its difference δ.

    δ is in units of unit·size, the error's and the activation's; its moments are transverse
    E δ² − (E yδ)²/E y², along E yδ and mean_difference E δ.
    """

    power: Array
    transverse: Array
    along: Array
    mean: Array
    mean_difference: Array


def residual_step(moments: Scaled, stream: Stream, activation: Activation, scale: Array) -> Stream:
    """y ← y + φ(W y/‖y‖): outputs with a mean, as ReLU's, leave cross terms with the stream."""
    unit, size = moments.unit, activation.size(scale)
    out = activated_block(correlated(moments, angle_of(stream, unit, size)), activation, scale).pair
    power = stream.power + size**2 * out.signal + 2 * size * stream.mean * out.mean
    along = stream.along + size * out.alignment
    along = along + stream.mean * out.mean_shift + size * stream.mean_difference * out.mean
    drift = along / power
    transverse = across(stream.transverse, stream.power, stream.along, drift)
    transverse = transverse + across(out.transverse, out.signal, out.alignment, size * drift)
    means = (stream.mean_difference - drift * stream.mean) * (out.mean_shift - size * drift * out.mean)
    return Stream(
        power=power,
        transverse=transverse + 2 * means,
        along=along,
        mean=stream.mean + size * out.mean,
        mean_difference=stream.mean_difference + out.mean_shift,
    )


def across(transverse: Array, power: ArrayLike, along: Array, drift: Array) -> Array:
    """E(δ − drift·y)² of one summand of a sum whose own drift this is.

    The sum's transverse energy as E δ² − (E yδ)²/E y² would lose what digits the summands' common growth has
    more than the angle between them.
    """
    return transverse + power * (along / power - drift) ** 2


def angle_of(stream: Stream, unit: Array, size: Array) -> Angle:
    """The angle between y and y'."""
    step = unit * size
    signal = stream.power + step * stream.along
    perturbed = signal**2 / stream.power + step**2 * stream.transverse
    return Angle(signal / jnp.sqrt(stream.power * perturbed), size**2 * stream.transverse / perturbed)


def _normalised_chain(
    step: Callable[..., Any],
    moments: Scaled,
    depth: int,
    first_only: bool,
    activation: Activation,
    scale: Array,
    each: Scaled | None = None,
) -> Parting:
    def layer(angle: Angle, here: tuple[Array, Scaled | None]) -> tuple[Angle, Parting]:
        index, own = here
        angle, transverse = step(_choose(first_only, index, own or moments), angle, activation, scale)
        return angle, Parting(angle.sine_squared, transverse)

    # A scan: compiling takes as long for one layer as for a thousand.
    start = Angle(jnp.ones_like(moments.c), jnp.zeros_like(moments.c))
    return jax.lax.scan(layer, start, (jnp.arange(depth), each))[1]


def _residual_chain(
    moments: Scaled,
    depth: int,
    first_only: bool,
    activation: Activation,
    scale: Array,
    each: Scaled | None = None,
) -> Parting:
    size = activation.size(scale)

    def layer(stream: Stream, here: tuple[Array, Scaled | None]) -> tuple[Stream, Parting]:
        index, own = here
        stream = residual_step(_choose(first_only, index, own or moments), stream, activation, scale)
        return stream, Parting(angle_of(stream, moments.unit, size).sine_squared, stream.transverse)

    zero = jnp.zeros_like(moments.c)
    start = Stream(zero + 1, zero, zero, zero, zero)
    return jax.lax.scan(layer, start, (jnp.arange(depth), each))[1]


_CHAINS = {
    "plain": functools.partial(_normalised_chain, plain_step),
    "renormalised": functools.partial(_normalised_chain, renormalised_step),
    "residual": _residual_chain,
}


@law(static=("depth", "chain", "layers", "activation"), domain={"scale": SCALE})
def _chain(
    moments: Moments | Scaled, depth: int, chain: str, layers: str, activation: Activation, scale: ArrayLike
) -> Parting:
    s, width = scaled(moments), jnp.asarray(scale)
    parting = _CHAINS[chain](s, depth, layers == "first", activation, width)
    # What a normalised state loses across itself has no unit but the error's.
    own = activation.size(width) if chain == "residual" else jnp.ones_like(width)
    return Parting(
        bounded(held(parting.sine_squared, s.unit, s.unit), 0.0, 1.0),
        held(parting.transverse, s.unit, s.unit, own, own),
    )


@counting
def chain(
    perturbation: HasMoments,
    depth: int,
    chain: str = "plain",
    layers: str = "all",
    activation: str | Activation = "relu",
    scale: ArrayLike = 1.0,
    weights: Any = "gaussian",
) -> Parting:
    """The exact, infinitely wide recursion of one chain under one perturbation.

    plain:        y ← normalise(φ(W y)): for ReLU q ← J(cq/√v); also V2, [W_up, φ, W_down, norm];
    residual:     y ← y + φ(W y/‖y‖), never normalised, E y² = 1 at the start;
    renormalised: y ← normalise(y + W_down φ(W_up y)), V3: for ReLU
                  q ← (q + √v J(cq/√v)/2)/√((3/2)(1 + v/2)).

    Args:
      perturbation: of every perturbed matrix (W, or W_up).
      depth: number of layers, at least 1.
      chain: "plain", "residual" or "renormalised".
      layers: perturb "all" layers or the "first".
      activation: a name in `ACTIVATIONS` or an `Activation`.
      scale: standard deviation of the clean pre-activations.
      weights: law of the weights, as in `block`.

    Returns:
      `Parting` with the layers along the first axis; float64 NumPy for concrete moments.

    Raises:
      InvalidInput: for an unknown chain, activation or set of layers, depth < 1, or scale <= 0.
    """
    check_chain(depth, chain, layers, scale)
    chosen, moments = find_activation(activation), error_of(perturbation, weights)
    parting = _chain(moments, int(depth), chain, layers, chosen.resolved(scale, moments), scale)
    return resolved("chain", parting)


def check_chain(depth: int, chain: str, layers: str, scale: ArrayLike) -> None:
    """Refuse arguments that describe no chain.

    Raises:
      InvalidInput: for a depth that is not an integer from 1 to 1,000,000, an unknown chain or set of layers,
        scale <= 0.
    """
    if isinstance(depth, bool) or not isinstance(depth, int) or not 1 <= depth <= MOST_LAYERS:
        raise invalid(f"depth is an integer from 1 to {MOST_LAYERS}", depth, "pass the number of layers")
    if chain not in CHAINS:
        raise invalid(f"chain in {CHAINS}", chain, "choose one of these")
    if layers not in LAYERS:
        raise invalid(f"layers in {LAYERS}", layers, "choose one of these")
    check_scale(scale)


@counting
def depth_ratios(
    rate: ArrayLike,
    depth: int,
    residual: bool = False,
    activation: str | Activation = "relu",
    layers: str = "all",
    scale: ArrayLike = 1.0,
    weights: Any = "gaussian",
) -> Real:
    """What sign flips cost over a magnitude shift of equal Frobenius norm, after each layer of a chain.

    Plain: (1 − q²(flip))/(1 − q²(shift)), for ReLU with q ← J(cq/√v); it falls with depth and is bounded.
    Residual: the ratio of the transverse energies of the unnormalised stream; bounded, it tends to
    `residual_limit`, for small rates rising with every layer (at 1/20 it falls once first).

    Args:
      rate: flip rate in (0, 1/2]; the shift has size 2√rate.
      depth: number of layers.
      residual: y ← y + φ(W y/‖y‖) instead of y ← normalise(φ(W y)).
      activation: a name in `ACTIVATIONS` or an `Activation`.
      layers: perturb "all" layers or the "first".
      scale: standard deviation of the clean pre-activations; without effect for plain ReLU.
      weights: law of the weights, as in `perturb.find_weights` (a name, b = E|w|/σ or `perturb.Weights`), or
        a list of `depth` of them, one a layer.

    Returns:
      One ratio a layer: shape (depth, *rate.shape). Traced rates outside (0, 1/2] give NaN.

    Raises:
      InvalidInput: for concrete arguments outside their range.

    Source: arXiv:2605.18933, section on depth, without its compounding.
    """
    return chain_ratios(rate, depth, "residual" if residual else "plain", layers, activation, scale, weights)


@counting
def chain_ratios(
    rate: ArrayLike,
    depth: int,
    chain: str = "plain",
    layers: str = "all",
    activation: str | Activation = "relu",
    scale: ArrayLike = 1.0,
    weights: Any = "gaussian",
) -> Real:
    """`depth_ratios` for any chain of `chain`: sine² for normalised ones, transverse for "residual".

    V2 is "plain", V3 is "renormalised". Args, result and errors as in `depth_ratios`.
    """
    check_chain(depth, chain, layers, scale)
    # Without moments: a quadrature that is fine enough for both errors at every rate.
    chosen = find_activation(activation).resolved(scale)
    ratios = _ratios(rate, int(depth), chain, layers, chosen, scale, layer_weights(weights, depth))
    return resolved("chain_ratios", ratios)


def layer_weights(weights: Any, depth: int, read: Callable[[Any], WeightMoments] = weight_moments) -> Any:
    """The weights of all layers, or of a list those of each along an axis.

    Raises:
      InvalidInput: for a list that is not one a layer.
    """
    if not isinstance(weights, list | tuple):
        return read(weights)
    check_layers(weights, depth)
    moments = [read(one) for one in weights]
    stack = jnp.stack if is_traced(moments) else np.stack
    return jax.tree.map(lambda *each: stack(each), *moments)


def check_layers(weights: Sequence[Any], depth: int) -> None:
    """Refuse a list of weights that is not one a layer.

    Raises:
      InvalidInput: naming how many there are.
    """
    if len(weights) != depth:
        raise invalid(f"{depth} weights, one a layer", len(weights), "pass one for all, or as many as layers")


@law(static=("depth", "chain", "layers", "activation"), domain={"rate": RATE, "scale": SCALE})
def _ratios(
    rate: ArrayLike,
    depth: int,
    chain: str,
    layers: str,
    activation: Activation,
    scale: ArrayLike,
    weights: Any,
) -> Array:
    p, each = jnp.asarray(rate), None
    rest = (depth, layers == "first", activation, jnp.asarray(scale))
    if jnp.ndim(weights.b) == 0:
        moments = shift(p, weights)
    else:
        each = jax.vmap(functools.partial(shift, p))(weights)
        moments = jax.tree.map(lambda leaf: leaf[0], each)
    flip, shifted = _CHAINS[chain](flips(p), *rest), _CHAINS[chain](moments, *rest, each)
    # A normalised state has no change but its angle; the stream keeps its length, and RMSNorm's derivative
    # lets through what is transverse.
    if chain == "residual":
        return flip.transverse / shifted.transverse
    return flip.sine_squared / shifted.sine_squared
