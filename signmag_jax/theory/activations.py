"""Activations: each is what it does to a pair of correlated Gaussians."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erf, erfc
from jaxtyping import Array

from signmag_jax.evidence import invalid
from signmag_jax.evidence.precision import is_traced
from signmag_jax.perturb import Moments

from .homogeneous import Leaky, SquaredReLU
from .kinked import kinked
from .quadrature import derivative_of
from .scaled import Scaled
from .second_moments import SecondMoments
from .smooth import Smooth, checked_function


@runtime_checkable
class PairLaw(Protocol):
    """What an activation does to a pair of Gaussians."""

    @property
    def degree(self) -> int:
        """Power of the scale in which its values are measured."""
        ...

    def __call__(self, moments: Scaled, scale: Any) -> SecondMoments:
        """Second moments in units of scale^degree, for pre-activations of standard deviation scale."""
        ...


@dataclass(frozen=True)
class Activation:
    """An activation by its action on a Gaussian pair.

    Args:
      name: how it is called.
      pair: moments in units of the error's size, and the standard deviation of the clean pre-activations, to
        `SecondMoments`.
    """

    name: str
    pair: PairLaw

    @property
    def by_quadrature(self) -> bool:
        """Whether its moments are integrals and not closed forms."""
        pair = self.pair
        while hasattr(pair, "inner"):
            pair = pair.inner  # pyright: ignore[reportAttributeAccessIssue]
        return not isinstance(pair, Leaky | SquaredReLU)

    def size(self, scale: Any) -> Any:
        """The unit of its values."""
        return scale**self.pair.degree

    def resolved(self, scale: Any, moments: Moments | Scaled | None = None) -> "Activation":
        """The activation with a quadrature that is fine enough; closed forms as they are.

        Args:
          scale: standard deviation of the clean pre-activations.
          moments: of the perturbation. Without, or traced, √v may be up to that of the shift that matches
            flips of half of all signs, 2.42 at most; results beyond are NaN.

        Raises:
          InvalidInput: for a scale beyond the finest quadrature, or an activation without second moment.
        """
        inner = getattr(self.pair, "inner", None)
        if inner is not None:
            # What wraps another pair is as fine as that.
            outer = replace(self, pair=inner).resolved(scale, moments).pair
            return replace(self, pair=replace(self.pair, inner=outer))  # pyright: ignore[reportArgumentType]
        if not isinstance(self.pair, Smooth):
            return self
        if moments is None or is_traced(moments):
            return replace(self, pair=self.pair.resolved(self.name, scale))
        # The clean pre-activations have deviation 1 themselves, however small v is.
        noise = moments.noise * moments.unit**2 if isinstance(moments, Scaled) else moments.noise
        growth = float(np.sqrt(np.max(np.square(moments.c) + noise, initial=1.0)))
        return replace(self, pair=self.pair.resolved(self.name, scale, growth))


def leaky_relu(slope: float = 0.01) -> Activation:
    """max(z, 0) + slope·min(z, 0); slope 0 is ReLU, 1 the identity, −1 the absolute value.

    With ν = (1 + slope²)/2 and w = (1 − slope)²g/(2π): E hh' = νc + w, energy ν(drift² + noise) − 2w,
    transverse ν·noise − 2cw − w²/ν, all times the variance.

    Raises:
      InvalidInput: for a slope that is not finite.
    """
    if not math.isfinite(slope):
        raise invalid("slope is finite", slope, "pass a number")
    name = {0.0: "relu", 1.0: "identity"}.get(float(slope), f"leaky_relu({slope:g})")
    return Activation(name, Leaky(float(slope)))


def smooth(
    name: str,
    function: Any,
    derivative: Callable[[Array], Array] | None = None,
    analytic: float | int = math.inf,
    kinks: Any = (),
) -> Activation:
    """An activation of your own: smooth, or linear between kinks.

    A smooth one goes through Gauss–Legendre panels on the plane. Before it is used they are compared with a
    trapezoidal rule on the line, for φ², φ'² and φ''² and through Stein's identity; where they differ by more
    than 1e-12, as for a function with a kink, a jump or finer detail than the grid resolves, it is refused.
    Energies hold 1e-12, relative; so do first derivatives with respect to moments and scale, which are
    expectations of their own (Price's theorem) and exist at noise = 0 too.

    With `kinks` the function has to be linear between them (hard tanh: kinks=(-1, 1); ReLU6: kinks=(0, 6)),
    and is integrated exactly, at every scale and for every size of error.

    Args:
      name: how it is called.
      function: elementwise, from a JAX array to a JAX array.
      derivative: elementwise; by default JAX's. Not with kinks.
      analytic: distance of the nearest singularity to the real axis, where you know it. It decides where the
        grid starts, not whether it is believed.
      kinks: where the slope changes, a sequence of numbers in order.

    Raises:
      InvalidInput: unless `analytic` > 0, or for kinks between which the function is not linear; from the
        laws, for a function that is not smooth at their scale.
    """
    checked_function(function)
    if np.ndim(kinks) == 0 or len(kinks):
        return Activation(name, kinked(function, kinks))
    if not analytic > 0:
        raise invalid("analytic > 0", analytic, "pass the half-width of the strip; kinks are not smooth")
    slope = derivative or derivative_of(function)
    # Where nothing is known, panels of the size of the function's own argument are a start.
    return Activation(name, Smooth(function, slope, derivative_of(slope), min(float(analytic), 1.5)))


def _silu_bounded(z: Array) -> Array:
    # Less the asymptotes 0 and z, what is left decays: differences far out are then no roundings of large
    # numbers.
    return -jnp.abs(z) * jax.nn.sigmoid(-jnp.abs(z))


def _silu_slope(z: Array) -> Array:
    gate = jax.nn.sigmoid(z)
    return gate * (1 + z * (1 - gate))


def _silu_curvature(z: Array) -> Array:
    gate = jax.nn.sigmoid(z)
    return gate * (1 - gate) * (2 + z * (1 - 2 * gate))


def _gelu_bounded(z: Array) -> Array:
    # erfc, because 1 − erf of a far z has no digits left.
    return -jnp.abs(z) * erfc(jnp.abs(z) / math.sqrt(2)) / 2


def _density(z: Array) -> Array:
    return jnp.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def _gelu_slope(z: Array) -> Array:
    return erfc(-z / math.sqrt(2)) / 2 + z * _density(z)


def _gelu_curvature(z: Array) -> Array:
    return (2 - z**2) * _density(z)


def _erf_slope(z: Array) -> Array:
    return 2 / math.sqrt(math.pi) * jnp.exp(-(z**2))


def _erf_curvature(z: Array) -> Array:
    return -2 * z * _erf_slope(z)


def _tanh_slope(z: Array) -> Array:
    return (1 - jnp.tanh(z)) * (1 + jnp.tanh(z))


def _tanh_curvature(z: Array) -> Array:
    return -2 * jnp.tanh(z) * _tanh_slope(z)


# Slopes of the asymptotes that gelu and silu have on either side.
RAMP = (0.0, 1.0)
_KNOWN = {
    # Entire, but of size exp(y²/2) and exp(y²) at distance y from the axis.
    "gelu": Smooth(_gelu_bounded, _gelu_slope, _gelu_curvature, 2.0, RAMP, known=True),
    "erf": Smooth(erf, _erf_slope, _erf_curvature, math.sqrt(2), known=True),
    # The logistic function's poles nearest to the axis are ±iπ, tanh's ±iπ/2.
    "silu": Smooth(_silu_bounded, _silu_slope, _silu_curvature, math.pi, RAMP, known=True),
    "tanh": Smooth(jnp.tanh, _tanh_slope, _tanh_curvature, math.pi / 2, known=True),
}
ACTIVATIONS: dict[str, Activation] = {
    "relu": leaky_relu(0.0),
    "leaky_relu": replace(leaky_relu(), name="leaky_relu"),
    "relu_squared": Activation("relu_squared", SquaredReLU()),
    "identity": leaky_relu(1.0),
    **{name: Activation(name, pair) for name, pair in _KNOWN.items()},
}


def find_activation(activation: "str | Activation") -> Activation:
    """The activation of that name, or the one given.

    Raises:
      InvalidInput: for an unknown name.
    """
    if isinstance(activation, Activation):
        return activation
    if not isinstance(activation, str) or activation not in ACTIVATIONS:
        raise invalid(f"activation in {tuple(ACTIVATIONS)}", activation, "choose one, or pass an Activation")
    return ACTIVATIONS[activation]
