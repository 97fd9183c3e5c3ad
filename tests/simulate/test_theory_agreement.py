"""Every experiment against the infinitely wide law, after extrapolation in 1/width from n and 2n.

Some 30 numbers in all are compared at 4 standard errors, a family-wise level of 0.2%; each case also names a
neighbouring law that its errors must reject, so that none passes for being vague.
"""

import numpy as np
import pytest

from signmag_jax import simulate, theory
from signmag_jax.perturb import SignFlip, SignQuantize, Ternarize

RATE = 0.2
WIDTH = 48


def extrapolated(at_width):
    """2·f(2n) − f(n) and its standard error: what is left is of order 1/n²."""
    one, two = at_width(WIDTH), at_width(2 * WIDTH)
    value = 2 * np.asarray(two.value) - one.value
    return value, np.hypot(2 * np.asarray(two.standard_error), one.standard_error)


def chain_at(**options):
    def at_width(n):
        arguments = {key: value * n if key == "hidden" else value for key, value in options.items()}
        networks = 500 if n == WIDTH else 700
        return simulate.depth(
            n, RATE, 3, inputs=64, networks=networks, seed=n, **arguments
        ).transverse_ratio_of_means

    return at_width


def check(found, law, rival):
    value, error = found
    assert np.all(np.abs(value - law) < 4 * error)
    assert np.any(np.abs(value - rival) > 6 * error)


CHAINS = {
    "plain": ({}, {"chain": "plain"}, {"chain": "residual"}),
    "plain first": ({"layers": "first"}, {"chain": "plain", "layers": "first"}, {"chain": "plain"}),
    "plain silu": (
        {"activation": "silu"},
        {"chain": "plain", "activation": "silu"},
        {"chain": "plain"},
    ),
    "residual": ({"residual": True}, {"chain": "residual"}, {"chain": "renormalised"}),
    "residual gelu": (
        {"residual": True, "activation": "gelu"},
        {"chain": "residual", "activation": "gelu"},
        {"chain": "renormalised", "activation": "gelu"},
    ),
    "v2": ({"hidden": 2}, {"chain": "plain"}, {"chain": "renormalised"}),
    "v3": ({"hidden": 2, "residual": True}, {"chain": "renormalised"}, {"chain": "plain"}),
}


@pytest.mark.parametrize(
    "name", [name if name == "v3" else pytest.param(name, marks=pytest.mark.slow) for name in CHAINS]
)
def test_chains(name):
    options, law, rival = CHAINS[name]
    check(
        extrapolated(chain_at(**options)),
        theory.chain_ratios(RATE, 3, **law),
        theory.chain_ratios(RATE, 3, **rival),
    )


def block_law(activation):
    flip, shift = (theory.block(one, activation) for one in (SignFlip(RATE), theory.matched_shift(RATE)))
    return flip.transverse / shift.transverse


@pytest.mark.slow
@pytest.mark.parametrize(
    "activation",
    [
        "relu_squared",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("leaky_relu", "gelu", "silu", "erf", "tanh")
        ),
    ],
)
def test_blocks(activation):
    def at_width(n):
        return simulate.block(
            n, RATE, activation=activation, inputs=256, networks=400, seed=n
        ).transverse_ratio_of_means

    check(extrapolated(at_width), block_law(activation), block_law("identity"))


@pytest.mark.parametrize(
    ("quantizer", "rival"),
    [
        (SignQuantize(), Ternarize()),
        pytest.param(Ternarize(), SignQuantize(), marks=pytest.mark.slow),
        pytest.param(Ternarize(scale="mean_abs"), Ternarize(), marks=pytest.mark.slow),
    ],
)
def test_quantisers(quantizer, rival):
    found = {
        n: simulate.quantizer(n, quantizer, granularity="tensor", inputs=128, networks=300, seed=n)
        for n in (WIDTH, 2 * WIDTH)
    }
    for field, activation in (("pre_radial_fraction", "identity"), ("post_radial_fraction", "relu")):
        check(
            extrapolated(lambda n, field=field: getattr(found[n], field)),
            theory.radial_fraction(quantizer, activation),
            theory.radial_fraction(rival, activation),
        )
    cosine = (theory.cosine_squared(one) for one in (quantizer, rival))
    value = extrapolated(lambda n: found[n].vector_cosine)
    # BitNet's scale is the same direction as the least-squares one.
    assert np.abs(value[0] - next(cosine)) < 4 * value[1]
