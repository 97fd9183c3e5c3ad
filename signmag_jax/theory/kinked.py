"""Activations that are linear between kinks, exactly: along the noise only the kinks bend them.

Let z_t = cz + √t·y, so that z' is z_t at t = unit²·noise. The curvature of f is Σ a_i δ(z − k_i), and by the
heat equation E f(z_t) grows with t by ½Σ a_i E δ(z_t − k_i). What is left are integrals over t of Gaussian
densities at the kinks and of means given z_t = k_i. Nothing in them is a difference of near equals.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm
from jaxtyping import Array

from signmag_jax.evidence import invalid

from .homogeneous import kept
from .kernel import safe_sqrt
from .quadrature import NODES, PANELS, REACH, WEIGHTS, panels
from .scaled import Scaled
from .second_moments import SecondMoments

# √t over its end, in panels that narrow to 0, where a density of deviation √(c² + t) changes for small c.
TIMES = np.concatenate([[0.0], 3.0 ** -np.arange(13, -1, -1.0)])
STRAIGHT = 1e-12
# Where a piece is looked at, in units of its length: the slope is taken between the first two.
# Multiples of the golden section fall evenly into a piece, and on no regular pattern of overlooked kinks.
WITHIN = np.concatenate([[0.19, 0.83], (0.5 + 0.6180339887 * np.arange(60)) % 1])


@dataclass(frozen=True)
class Kinked:
    """A piecewise linear activation.

    Args:
      kinks: where its slope changes, increasing.
      slopes: of the pieces, one more than kinks.
      value: at the first kink.
    """

    kinks: tuple[float, ...]
    slopes: tuple[float, ...]
    value: float
    degree = 1

    def __call__(self, moments: Scaled, scale: Any) -> SecondMoments:
        """Second moments in units of scale, one pair of moments after another."""
        size = jnp.asarray(scale, dtype=moments.c.dtype)
        flat = Scaled(*(jnp.ravel(m) for m in moments))
        result = jax.lax.map(lambda m: self._pair(m, size), flat)
        return SecondMoments(*(jnp.reshape(r, jnp.shape(moments.c)) for r in result))

    def _pair(self, moments: Scaled, scale: Array) -> SecondMoments:
        c, unit, _, noise = moments
        line = _Line.of(self, scale)
        signal, mean = _one(line, jnp.ones_like(c))
        perturbed, _ = _one(line, moments.v)
        stretched, aligned, moved = _factor(line, moments)
        slopes, lifted, kinked, given = _along_noise(line, moments)
        energy = (stretched, noise * slopes, -unit * noise * lifted)
        total = energy[0] + energy[1] + energy[2]
        bent = unit * noise * given / 2
        alignment = kept(aligned + bent, aligned, bent)
        return SecondMoments(
            energy=total,
            alignment=alignment,
            transverse=kept(total - alignment**2 / signal, 10 * total),
            signal=signal,
            perturbed=perturbed,
            # Where hardly anything is left of h', its direction is lost in what is left of h.
            overlap=signal + unit * alignment + jnp.where(perturbed < STRAIGHT * signal, jnp.nan, 0),
            mean=mean,
            mean_shift=moved + unit * noise * kinked / 2,
        )


@dataclass(frozen=True)
class _Line:
    """f(scale·x)/scale: kinks, slopes left of them, jumps of the slope, and values at them."""

    kinks: Array
    left: Array
    jumps: Array
    values: Array

    @classmethod
    def of(cls, activation: Kinked, scale: Array) -> "_Line":
        kinks, slopes = np.asarray(activation.kinks), np.asarray(activation.slopes)
        rises = np.concatenate([[0.0], np.cumsum(slopes[1:-1] * np.diff(kinks))])
        as_array = lambda a: jnp.asarray(a, dtype=scale.dtype)  # noqa: E731
        values = as_array(activation.value + rises) / scale
        return cls(as_array(kinks) / scale, as_array(slopes[:-1]), as_array(np.diff(slopes)), values)

    def __call__(self, x: Array) -> Array:
        """The value at each x."""
        beyond = jnp.maximum(x[:, None] - self.kinks[None], 0)
        return (
            self.values[0] + self.left[0] * (x - self.kinks[0]) + jnp.sum(self.jumps[None] * beyond, axis=1)
        )

    def slope(self, x: Array) -> Array:
        """The slope of the piece that x lies on."""
        return self.left[0] + jnp.sum(jnp.where(self.below(x), self.jumps[None], 0), axis=1)

    def below(self, x: Array) -> Array:
        """Which kinks lie below each x."""
        return x[:, None] > self.kinks[None]


def _axis(*breaks: Array) -> tuple[Array, Array]:
    """Nodes and Gaussian weights, with panels that end at the breaks."""
    edges = jnp.linspace(-REACH, REACH, PANELS + 1, dtype=breaks[0].dtype)
    return panels(jnp.sort(jnp.concatenate([edges, *(jnp.clip(b, -REACH, REACH) for b in breaks)])))


def _one(line: _Line, variance: Array) -> tuple[Array, Array]:
    """E f² and E f."""
    root = safe_sqrt(variance)
    x, weight = _axis(line.kinks / jnp.where(root > 0, root, jnp.ones_like(root)))
    values = line(root * x)
    return jnp.sum(weight * values**2), jnp.sum(weight * values)


def _factor(line: _Line, moments: Scaled) -> tuple[Array, Array, Array]:
    """E D², E f(z)D and E D for D = (f(cz) − f(z))/unit."""
    c, unit, drift, _ = moments
    turned = jnp.where(c == 0, REACH, line.kinks / jnp.where(c == 0, jnp.ones_like(c), c))
    x, weight = _axis(line.kinks, turned)
    before, after = (jnp.sum(line.below(z), axis=1) for z in (x, c * x))
    values = line(x)
    # On one piece the move is straight, and known without the difference, which small errors would leave no
    # digits.
    moved = jnp.where(before == after, line.slope(x) * drift * x, (line(c * x) - values) / unit)
    return jnp.sum(weight * moved**2), jnp.sum(weight * values * moved), jnp.sum(weight * moved)


def _along_noise(line: _Line, moments: Scaled) -> tuple[Array, Array, Array, Array]:
    """Means over t of E f'(z_t)², and of Σ a_i p(k_i) times three things given z_t = k_i.

    These are E[f(z) − f(k_i)]/unit, 1 and E f(z).
    """
    c, unit, drift, noise = moments
    half = np.diff(TIMES)[:, None] / 2
    nodes = (TIMES[:-1, None] + half * (1 + NODES)).ravel()
    tau = jnp.asarray(nodes, dtype=c.dtype)[:, None]
    # dt = 2τ dτ, in units of the noise.
    weight = jnp.asarray(2 * nodes * (half * WEIGHTS).ravel(), dtype=c.dtype)[:, None]
    root = safe_sqrt(noise)
    v = c**2 + (unit * root * tau) ** 2
    deviation = jnp.sqrt(v)
    kinks = line.kinks[None] / deviation
    below = norm.cdf(kinks)
    edges = jnp.concatenate([jnp.zeros_like(tau), below, jnp.ones_like(tau)], axis=1)
    squares = jnp.concatenate([line.left, line.left[-1:] + line.jumps[-1:]]) ** 2
    slopes = jnp.sum(weight * squares[None] * jnp.diff(edges, axis=1))
    density = line.jumps[None] * norm.pdf(kinks) / deviation
    # z − k given z_t = k, in units of the error: k(c − v)/v and its deviation.
    shift = -line.kinks[None] * (c * drift + unit * noise * tau**2) / v
    lifted = _mean_rise(line, shift, root * tau / deviation, unit)
    return (
        slopes,
        jnp.sum(weight * density * lifted),
        jnp.sum(weight * density),
        jnp.sum(weight * density * (line.values[None] + unit * lifted)),
    )


def _mean_rise(line: _Line, shift: Array, spread: Array, unit: Array) -> Array:
    """E[f(k + unit·w) − f(k)]/unit at each kink k, for w of mean `shift` and deviation `spread`."""
    apart = ((line.kinks[:, None] - line.kinks[None, :]) / unit)[None]
    own, other = shift[:, :, None], spread[:, :, None]
    ahead, behind = _mean_positive(own + apart, other), _mean_positive(-own - apart, other)
    order = np.arange(line.kinks.shape[0])
    later = jnp.asarray(order[None, :] >= order[:, None])[None]
    bent = jnp.where(later, ahead, behind)
    return line.left[None] * shift + jnp.sum(line.jumps[None, None] * bent, axis=2)


def _mean_positive(mean: Array, deviation: Array) -> Array:
    """E max(mean + deviation·g, 0)."""
    some = deviation > 0
    ratio = mean / jnp.where(some, deviation, jnp.ones_like(deviation))
    smooth = mean * norm.cdf(ratio) + deviation * norm.pdf(ratio)
    return jnp.where(some, smooth, jnp.maximum(mean, 0))


def kinked(function: Callable[[Array], Array], kinks: Any) -> Kinked:
    """The activation with these kinks, from its values.

    Raises:
      InvalidInput: for kinks that are not finite and increasing, or a function that jumps, or is not linear
        between its kinks and beyond them.
    """
    try:
        ends = np.asarray(kinks, dtype=np.float64)
    except (TypeError, ValueError):
        ends = np.zeros(0)
    if ends.ndim != 1 or not ends.size or not np.all(np.isfinite(ends)) or np.any(np.diff(ends) <= 0):
        raise invalid(
            "kinks are finite and increasing", kinks, "pass where the slope changes, in order: kinks=(-1, 1)"
        )
    width = max(1.0, float(np.max(np.abs(ends))))
    outer = np.concatenate([[ends[0] - width], ends, [ends[-1] + width]])
    inside = outer[:-1, None] + np.diff(outer)[:, None] * WITHIN
    # The first and last piece go on for ever.
    beyond = width * np.array([3.0, 30.0, 3e3, 3e6])
    inside[0, -beyond.size :], inside[-1, -beyond.size :] = ends[0] - beyond, ends[-1] + beyond
    with jax.ensure_compile_time_eval(), jax.enable_x64(True):
        values = np.asarray(function(jnp.asarray(inside)), dtype=np.float64)
        at = np.asarray(function(jnp.asarray(ends)), dtype=np.float64)
    slopes = (values[:, 1] - values[:, 0]) / (inside[:, 1] - inside[:, 0])
    straight = _on_lines(values, inside, slopes)
    # Either piece has to arrive at the value in the kink.
    left = _on_lines(values[:-1], inside[:-1], slopes[:-1], (at[:, None], ends[:, None]))
    right = _on_lines(values[1:], inside[1:], slopes[1:], (at[:, None], ends[:, None]))
    if not (straight and left and right and np.any(slopes)):
        raise invalid(
            "linear between kinks and beyond them, without jumps and not constant",
            f"{function!r} with kinks {tuple(map(float, ends))}",
            "pass all kinks of a piecewise linear function; one of smooth pieces has no law here",
        )
    return Kinked(tuple(map(float, ends)), tuple(map(float, slopes)), float(at[0]))


def _on_lines(values: np.ndarray, x: np.ndarray, slopes: np.ndarray, points: Any = None) -> bool:
    """Whether points, by default the values themselves, lie on the line through each row's first two."""
    y, at = (values, x) if points is None else points
    lines = values[:, :1] + slopes[:, None] * (at - x[:, :1])
    size = np.abs(values[:, :1]) + np.abs(slopes[:, None]) * (np.abs(x[:, :1]) + np.abs(at))
    return bool(np.all(np.abs(y - lines) <= STRAIGHT * (size + np.max(np.abs(slopes)))))
