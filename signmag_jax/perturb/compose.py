"""One perturbation after another."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from jaxtyping import Array, Float, PRNGKeyArray

from signmag_jax.evidence import invalid
from signmag_jax.evidence.precision import is_traced, law

from .base import Moments, Perturbation, perturbation
from .cells import moments_of_errors
from .flip import SignFlip
from .grouped import Grouped
from .linear import Prune, Scale
from .lloyd_max import LloydMax
from .magnitude import MagnitudeNoise, MagnitudeShift
from .quantize import SignQuantize, Ternarize
from .uniform import UniformQuantize

# Koksma's bound is then 3e-5 to 2e-4 for two quantisers or prunings in turn.
QUANTILES = 1 << 20
# These commute with sign changes, with factors, and act on each entry by its size alone.
ODD = (
    Grouped,
    MagnitudeNoise,
    MagnitudeShift,
    LloydMax,
    Prune,
    Scale,
    SignFlip,
    SignQuantize,
    Ternarize,
    UniformQuantize,
)


@law()
def _flipped(inner: Moments, flip: Moments) -> Moments:
    return Moments(
        flip.c * inner.c, inner.v, inner.drift + flip.drift * inner.c, inner.noise + flip.noise * inner.c**2
    )


@law()
def _scaled(inner: Moments, scale: Moments) -> Moments:
    a = scale.c
    return Moments(a * inner.c, a**2 * inner.v, a * inner.drift + scale.drift, a**2 * inner.noise)


@law()
def _noisy(inner: Moments, noise: Moments) -> Moments:
    # Noise that comes first leaves (w, w') jointly Gaussian, so E[w | w'] = w'/(1 + size²) and what follows
    # sees a Gaussian tensor; noise that comes last is independent. The result is the same.
    return inner._replace(v=noise.v * inner.v, noise=inner.noise + noise.noise * inner.v)


@perturbation
class Compose:
    """`second` applied to what `first` returns; σ and means of `second` are those of that tensor.

    Closed forms for this package's perturbations where `SignFlip`, `Scale` (anywhere) and `MagnitudeNoise`
    (at either end) surround at most one other: flips c = (1−2p)c', v = v'; a factor c = ac', v = a²v'; noise
    c = c', v = (1 + size²)v'. Otherwise, for perturbations that draw nothing, the midpoint rule over 2^20
    quantiles of the Gaussian, whose error `quadrature_bound` states; a maximum is then that of the quantiles.

    Args:
      first: applied to the weights.
      second: applied to the result.

    Raises:
      InvalidInput: from `moments`, where a random perturbation stands between others, or is your own.
    """

    first: Perturbation
    second: Perturbation

    def apply(self, key: PRNGKeyArray, w: Float[Array, "..."]) -> Float[Array, "..."]:
        """Draw `first`, then `second`, with independent keys."""
        keys = jax.random.split(key)
        return self.second.apply(keys[1], self.first.apply(keys[0], w))

    def moments(self) -> Moments:
        """The moments in closed form where there is one, otherwise by quadrature over quantiles."""
        around, core = _peeled(_stages(self))
        if len(core) > 1:
            result = _quadrature(core)[0]
        else:
            result = core[0].moments() if core else Scale(1.0).moments()
        for one in around:
            rule = _scaled if isinstance(one, Scale) else _flipped if isinstance(one, SignFlip) else _noisy
            result = rule(result, one.moments())
        return result

    def quadrature_bound(self) -> float:
        """A bound of the quadrature's error in c and in v; 0 where `moments` is in closed form.

        Koksma's inequality, total variation over twice the number of quantiles, with the two cells beyond
        the outermost quantiles bounded by four times their midpoint value. It holds at the statistics (σ,
        means) of the quantiles, which differ from the Gaussian's by as little.
        """
        around, core = _peeled(_stages(self))
        if len(core) < 2:
            return 0.0
        along, square = 1.0, 1.0
        for one in around:
            moments = one.moments()
            along, square = along * abs(float(moments.c)), square * float(moments.v)
        return _quadrature(core)[1] * max(along, square)


def _stages(one: Perturbation) -> list[Perturbation]:
    return _stages(one.first) + _stages(one.second) if isinstance(one, Compose) else [one]


def _peeled(stages: list[Perturbation]) -> tuple[list[Perturbation], list[Perturbation]]:
    """What has a closed form around anything odd, and what is left in the middle."""
    if not all(isinstance(one, ODD) for one in stages):
        return [], stages
    around: list[Perturbation] = [one for one in stages if isinstance(one, SignFlip | Scale)]
    core = [one for one in stages if not isinstance(one, SignFlip | Scale)]
    for end in (0, -1):
        while core and isinstance(core[end], MagnitudeNoise):
            around.append(core.pop(end))
    return around, core


def _quadrature(stages: list[Perturbation]) -> tuple[Moments, float]:
    if is_traced(stages):
        return _moments_on(_quantiles(jnp.result_type(float)), stages)[0], float("nan")
    # Sums of 2^20 terms: in float32 their rounding would exceed the quadrature's own error.
    with jax.ensure_compile_time_eval(), jax.enable_x64(True), jax.default_device(jax.local_devices()[0]):
        moments, last = _moments_on(_quantiles(jnp.dtype(jnp.float64)), stages)
        moments = Moments(*(np.asarray(m)[()] for m in moments))
        w, changed = (np.asarray(x) for x in last)
    bounds = [_koksma(values) for values in (w * changed, changed**2)]
    return moments, max(bounds)


def _quantiles(dtype: Any) -> Float[Array, " quantiles"]:
    # Half of them, mirrored: ndtri near 1 would lose the upper tail.
    lower = ndtri((jnp.arange(QUANTILES // 2, dtype=dtype) + 0.5) / QUANTILES)
    return jnp.concatenate([lower, -lower[::-1]])


def _moments_on(w: Array, stages: list[Perturbation]) -> tuple[Moments, tuple[Array, Array]]:
    # Neighbours among sorted quantiles are alike, those of a matrix are not.
    if any(isinstance(one, Grouped) for one in stages):
        raise invalid("no groups of neighbours between others", stages, "quantise by tensor, or once")
    results = []
    # Two keys: a perturbation that draws gives two results, and has no moments on one sample of weights.
    for seed in range(2):
        changed = w
        for one in stages:
            changed = one.apply(jax.random.key(seed), changed)
        results.append(changed)
    if not is_traced(results) and not bool(jnp.all(results[0] == results[1])):
        names = ", ".join(type(one).__name__ for one in stages)
        raise invalid(
            "perturbations between others draw nothing", names, "give the random one of these its own moments"
        )
    square = jnp.mean(w**2)
    error = results[0] - w
    moments = moments_of_errors(jnp.mean(error * w) / square, jnp.mean(error**2) / square)
    return moments, (w, results[0])


def _koksma(values: np.ndarray) -> float:
    # The midpoint rule has the smallest discrepancy that there is, half a cell.
    inner = np.abs(np.diff(values)).sum() / (2 * values.size)
    return float(inner + 4 * (abs(values[0]) + abs(values[-1])) / values.size)
