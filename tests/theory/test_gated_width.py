"""Gated blocks of finite width: an independent quadrature, and networks with few inputs and many rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signmag_jax import perturb, simulate, theory
from signmag_jax.evidence import InvalidInput

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(70)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def slopes(function, count):
    found = [function]
    for _ in range(count):
        last = found[-1]
        found.append(lambda z, last=last: jax.jvp(last, (z,), (jnp.ones_like(z),))[1])
    return found


SILU, SQUARE = slopes(jax.nn.silu, 4), slopes(lambda z: jax.nn.silu(z) ** 2, 4)


def transverse(c, v, cumulants, share, gated):
    """T of the gated block at this Σ x_j⁴, by Gauss–Hermite."""
    x, far = NODES[:, None], c * NODES[:, None] + np.sqrt(v - c * c) * NODES

    def plane(a, b):
        return WEIGHTS @ (np.asarray(SILU[a](x + 0 * far)) * np.asarray(SILU[b](far))) @ WEIGHTS

    def line(k, kappa):
        mean = [WEIGHTS @ np.asarray(SQUARE[order](np.sqrt(k) * NODES)) for order in (0, 4)]
        return mean[0] + share * kappa / 24 * mean[1]

    bends = sum(
        m * k * plane(4 - b, b) for b, (m, k) in enumerate(zip((1, 4, 6, 4, 1), cumulants, strict=True))
    )
    cross = plane(0, 0) + share * bends / 24
    own, other = line(1.0, cumulants[0]), line(v, cumulants[4])
    up = (c, v) if gated == "both" else (1.0, 1.0)
    return other * up[1] - (cross * up[0]) ** 2 / own


@pytest.mark.parametrize(("gated", "weights"), [("both", "gaussian"), ("gate", "laplace")])
def test_by_another_quadrature(gated, weights):
    rate, n = 0.05, 10**4

    def arm(one, cumulants):
        moments = perturb.moments_under(one, perturb.find_weights(weights))
        return transverse(
            float(moments.c), float(moments.v), [float(k) for k in cumulants], 3 / (n + 2), gated
        )

    flips = arm(perturb.SignFlip(rate), theory.flip_cumulants(rate, weights))
    size = 2 * rate**0.5
    shift = arm(perturb.MagnitudeShift(size), theory.shift_cumulants(size, weights))
    found = theory.gated_width_ratio(rate, n, gated=gated, weights=weights)
    limit = theory.block_ratio(rate, "silu", gated=gated, weights=weights)
    rounding = 8 * float(jnp.finfo(jnp.zeros(()).dtype).eps)  # of the moments
    assert flips / shift - limit == pytest.approx(found - limit, rel=2e-3, abs=rounding)
    assert abs(found / limit - 1) > 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("gated", ["both", "gate"])
def test_few_inputs_and_many_rows(gated):
    """The second order in 1/n is left; the law of infinite width is told apart."""
    rate, n = 0.1, 24
    drawn = simulate.block(n, rate, gated=gated, activation="silu", hidden=384, networks=1200, inputs=128)
    ratio = drawn.transverse_ratio_of_means
    law = float(theory.gated_width_ratio(rate, n, gated=gated))
    limit = float(theory.block_ratio(rate, "silu", gated=gated))
    left = abs(law - limit) * (1 - law / limit) * 2
    assert abs(ratio.value - law) < 4 * ratio.standard_error + left
    assert abs(ratio.value - limit) > 5 * ratio.standard_error


def test_what_has_no_such_term():
    """A perturbed z_u alone, and infinite width."""
    assert theory.gated_width_ratio(0.1, 16, gated="up") == theory.block_ratio(0.1, "silu", gated="up")
    rates = np.array([0.01, 0.3])
    wide = theory.gated_width_ratio(rates, 10**6)
    np.testing.assert_allclose(wide, theory.block_ratio(rates, "silu", gated="both"), rtol=2e-6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"activation": "relu"}, "a smooth activation"),
        ({"gated": "no"}, "gated in"),
        ({"rate": 1e-9}, "1e-06 <= rate <= 0.5"),
        ({"n": 1}, "an integer"),
        ({"weights": 0.77}, "finite E|w|³"),
        ({"scale": 0.0}, "0 < scale"),
        ({"rate": 0.01, "weights": "student_t:4.01"}, "a first order in 1/n"),
    ],
)
def test_what_it_is_not_for(given, message):
    with pytest.raises(InvalidInput, match=message.replace("|", r"\|")):
        theory.gated_width_ratio(**{"rate": 0.1, "n": 64, **given})
