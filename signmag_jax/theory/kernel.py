"""The angle between clean and perturbed pre-activations, and the two functions of it that ReLU laws need.

With (z, z') centred Gaussian of covariance [[1, c], [c, v]] and cos θ = c/√v, the textbook kernel
κ = √v(sin θ + (π−θ)cos θ)/(2π) is c/2 + g/(2π) with the gap g = √v(sin θ − θ cos θ) >= 0, which is of third
order in θ. Everything that cancels in κ − ½ or v/2 − 2κ² is kept in `drift`, `noise` and g.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Real = Float[Array, "..."]

# Σ (−1)^(k+1) 2k/(2k+1)! x^(k−1), k = 1..11: the next term is below 1e-23 of the first for θ <= 1.
TERMS = 11
_COEFFICIENTS: list[float] = []
_factorial = 1.0
for _k in range(1, TERMS + 1):
    _factorial *= (2 * _k) * (2 * _k + 1)
    _COEFFICIENTS.append((-1) ** (_k + 1) * 2 * _k / _factorial)


def sine_minus_angle_cosine(theta: Real) -> Real:
    """sin θ − θ cos θ to full relative accuracy on [0, π]; θ³/3 for small θ."""
    small = theta < 1
    # Each branch gets an argument at which it is finite: the derivative of `where` multiplies the branch that
    # is not taken by 0, and 0·∞ is NaN.
    short = jnp.where(small, theta, jnp.zeros_like(theta))
    return jnp.where(small, short**3 * _series(short), jnp.sin(theta) - theta * jnp.cos(theta))


def cubic_factor(theta: Real) -> Real:
    """(sin θ − θ cos θ)/θ³ to full relative accuracy on [0, π], with its derivatives; 1/3 at 0."""
    small = theta < 1
    short = jnp.where(small, theta, jnp.zeros_like(theta))
    long = jnp.where(small, jnp.ones_like(theta), theta)
    return jnp.where(small, _series(short), (jnp.sin(long) - long * jnp.cos(long)) / long**3)


def _series(theta: Real) -> Real:
    x = theta**2
    total = jnp.zeros_like(x)
    for coefficient in reversed(_COEFFICIENTS):
        total = total * x + coefficient
    return total


def angle_minus_sine_cosine(theta: Real) -> Real:
    """θ − sin θ cos θ to full relative accuracy on [0, π]; 2θ³/3 for small θ.

    Formed as (θ − sin θ) + sin θ (1 − cos θ), two terms of one sign.
    """
    return _angle_minus_sine(theta) + 2 * jnp.sin(theta) * jnp.sin(theta / 2) ** 2


def _angle_minus_sine(theta: Real) -> Real:
    small = theta < 1
    x = jnp.where(small, theta, jnp.zeros_like(theta)) ** 2
    total = jnp.zeros_like(x)
    # Σ (−1)^(k+1) x^(k−1)/(2k+1)!, whose coefficients are those above over 2k.
    for k in range(TERMS, 0, -1):
        total = total * x + _COEFFICIENTS[k - 1] / (2 * k)
    near = jnp.where(small, theta, jnp.zeros_like(theta)) * x * total
    return jnp.where(small, near, theta - jnp.sin(theta))


def safe_sqrt(x: Real) -> Real:
    """√x with derivative 0, not infinite, at 0."""
    positive = x > 0
    # |x|: of −0.0, a 0 with its sign would turn an angle of π into −π.
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, jnp.ones_like(x))), jnp.abs(x) * 0)


@jax.custom_jvp
def gap(c: Real, unit: Real, noise: Real) -> Real:
    """g/unit² of moments with cosine part c and noise unit²·noise: g = √v(sin θ − θ cos θ), v = c² + noise.

    In units of the error's own size nothing underflows, and no derivative is a difference of near equals:
    ∂g/∂c = −(θ − sin θ cos θ) and ∂g/∂noise = sin θ/(2√v), which is 0 at θ = 0 and π although θ itself has
    no derivative there.
    """
    theta, root_v = _polar(c, unit, noise)
    return root_v * (theta / unit) ** 2 * theta * cubic_factor(theta)


@gap.defjvp
def _gap_jvp(primals: tuple[Real, Real, Real], tangents: tuple[Real, Real, Real]) -> tuple[Real, Real]:
    c, unit, noise = primals
    theta, root_v = _polar(c, unit, noise)
    value, root = gap(c, unit, noise), safe_sqrt(noise)
    tilt = root / jnp.where(root_v > 0, root_v, jnp.ones_like(root_v)) ** 2
    # Not over unit twice: XLA divides by a square then, which underflows.
    along_c = -angle_minus_sine_cosine(theta) / unit * (1 / unit)
    along_unit = noise * tilt - 2 * value / unit
    return value, along_c * tangents[0] + along_unit * tangents[1] + unit * tilt / 2 * tangents[2]


def _polar(c: Real, unit: Real, noise: Real) -> tuple[Real, Real]:
    """θ and √v."""
    root = unit * safe_sqrt(noise)
    degenerate = (c == 0) & (root == 0)
    theta = jnp.arctan2(root, jnp.where(degenerate, jnp.ones_like(c), c))
    return theta, safe_sqrt(c**2 + root**2)


def second_angle_function(theta: Real) -> Real:
    """3 sin θ cos θ − θ(1 + 2cos²θ) to full relative accuracy on [0, π]; −4θ⁵/15 for small θ.

    Its derivative is −4 sin θ (sin θ − θ cos θ), and its power series in x = 2θ is
    Σ (−1)^k x^(2k+1)/2·(3/(2k+1)! − 1/(2k)!), k >= 2.
    """
    # At 0.6 the closed form, a sum of terms 70 times its value, has lost two digits; below it loses more.
    small = theta < 0.6
    x = jnp.where(small, 2 * theta, jnp.zeros_like(theta))
    total = jnp.zeros_like(x)
    for k in range(TERMS + 1, 1, -1):
        term = (-1) ** k * (3 / math.factorial(2 * k + 1) - 1 / math.factorial(2 * k)) / 2
        total = total * x**2 + term
    direct = 3 * jnp.sin(theta) * jnp.cos(theta) - theta * (1 + 2 * jnp.cos(theta) ** 2)
    return jnp.where(small, x**5 * total, direct)


def third_angle_function(theta: Real) -> Real:
    """3(sin θ − θ cos θ) − sin³θ to full relative accuracy on [0, π]; 2θ⁵/5 for small θ.

    Its power series is Σ (−1)^k θ^(2k+1)/(2k+1)!·(9/4 − 3(2k+1) + 3^(2k+1)/4), k >= 2.
    """
    # At 0.6 the closed form has lost a digit; below it loses more.
    small = theta < 0.6
    x = jnp.where(small, theta, jnp.zeros_like(theta))
    total = jnp.zeros_like(x)
    for k in range(TERMS + 1, 1, -1):
        power = 2 * k + 1
        total = total * x**2 + (-1) ** k * (9 / 4 - 3 * power + 3**power / 4) / math.factorial(power)
    direct = 3 * (jnp.sin(theta) - theta * jnp.cos(theta)) - jnp.sin(theta) ** 3
    return jnp.where(small, x**5 * total, direct)


@jax.custom_jvp
def second_gap(c: Real, unit: Real, noise: Real) -> Real:
    """g₂/unit², g₂ = v(3 sin θ cos θ − θ(1 + 2cos²θ)) <= 0: the degree-2 arc-cosine kernel's own gap.

    Derivatives exist everywhere: ∂g₂/∂noise = f − 2cos θ·(sin θ − θ cos θ) and
    ∂g₂/∂c = 2c·f + 4√v sin²θ·(sin θ − θ cos θ), with f = g₂/v.
    """
    theta, root_v = _polar(c, unit, noise)
    return second_angle_function(theta) / unit * (root_v / unit * root_v)


@second_gap.defjvp
def _second_gap_jvp(primals: tuple[Real, Real, Real], tangents: tuple[Real, Real, Real]) -> tuple[Real, Real]:
    c, unit, noise = primals
    theta, root_v = _polar(c, unit, noise)
    f, first = second_angle_function(theta), sine_minus_angle_cosine(theta)
    value = second_gap(c, unit, noise)
    along_c = (2 * c * f + 4 * root_v * jnp.sin(theta) ** 2 * first) / unit * (1 / unit)
    along_noise = f - 2 * jnp.cos(theta) * first
    along_unit = 2 * (noise * along_noise - value) / unit
    return value, along_c * tangents[0] + along_unit * tangents[1] + along_noise * tangents[2]
