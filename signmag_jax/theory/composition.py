"""The ratio of a network that is made of layers, as objects or as they are written."""

from collections.abc import Callable
from typing import Any

from jax.typing import ArrayLike

from signmag_jax.evidence import invalid
from signmag_jax.evidence.precision import Real

from .layers import Activated, Layer
from .network import Gate, Network, Residual, serial
from .written import parse


def network_ratio(rate: ArrayLike, network: str | Layer, difference: str = "linear") -> Real:
    """What sign flips of rate p cost over a magnitude shift of equal Frobenius norm, in a network of layers.

    Args:
      rate: flip rate in (0, 1/2], scalar or array, of every matrix that is perturbed.
      network: its layers as text, such as
        "dense, relu, rmsnorm, 4*residual(rmsnorm, gate(serial(dense, silu), dense), dense)", or as `serial`
        composes them. dense(scale=0.5, bias=0.1, weights=laplace) has the arguments of
        `Dense`, dense(fixed) no error; rmsnorm(gain=[1, 2], eps=0.1) and layernorm have those of theirs.
      difference: "linear", the energy that the derivative of the normalisation at the end lets through, of
        RMSNorm where there is none; or "finite", sine² of the angle between both outputs.

    Returns:
      Array of the shape of `rate`; NaN where a traced rate lies outside.

    Raises:
      InvalidInput: for a concrete rate outside (0, 1/2], what is no network, an activation of entries that
        are not Gaussian, or a network without a matrix to perturb.
      Incomplete: where float64 does not resolve it.

    Source: arXiv:2605.18933, section 4, layer by layer.
    """
    return as_network(network).ratio(rate, difference)


def as_network(given: Any, number: Callable[[str], Any] = float) -> Network:
    """A network from text, whose numbers are read as `number`, or from a layer.

    Raises:
      InvalidInput: for what is neither.
    """
    if isinstance(given, str):
        return parse(given, number)
    if isinstance(given, Layer):
        return given if isinstance(given, Network) else serial(given)
    raise invalid(
        "a network as text, or as theory.serial(...)", given, 'pass text like "dense, relu, rmsnorm"'
    )


def flat(layer: Layer) -> list[Any]:
    """The layers of networks in networks, one after another."""
    return [one for part in layer.layers for one in flat(part)] if isinstance(layer, Network) else [layer]


def branches(layer: Layer) -> list[Layer]:
    """What a layer is put together from, side by side."""
    if isinstance(layer, Residual):
        return [layer.branch]
    return [layer.gate, layer.up] if isinstance(layer, Gate) else []


def leaves(layer: Layer) -> list[Any]:
    """Every matrix, activation and norm of a network."""
    every: list[Any] = []
    for one in flat(layer):
        inside = branches(one)
        every += [leaf for branch in inside for leaf in leaves(branch)] if inside else [one]
    return every


def integrals(layer: Layer) -> int:
    """How many of its activations are integrated numerically."""
    return sum(isinstance(one, Activated) and one.activation.by_quadrature for one in leaves(layer))
