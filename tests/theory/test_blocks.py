"""Gated blocks and LayerNorm: products of textbook kernels, Gauss–Hermite on the plane, samples."""

import math

import jax
import numpy as np
import pytest
import sympy as sp
from scipy.special import erf, expit

from signmag_jax import theory
from signmag_jax.evidence import InvalidInput
from signmag_jax.perturb import MagnitudeShift, SignFlip
from signmag_jax.theory.symbolic import blocks

PHI = {
    "relu": lambda z: np.maximum(z, 0),
    "silu": lambda z: z * expit(z),
    "gelu": lambda z: z * (1 + erf(z / math.sqrt(2))) / 2,
}
RATES = (0.01, 0.05, 0.5)
WHERE = ("both", "gate", "up")


def kernel(c, v):
    return (math.sqrt(v - c**2) + (math.pi - math.acos(c / math.sqrt(v))) * c) / (2 * math.pi)


GAUSSIAN = math.sqrt(2 / math.pi)


def pairs(rate, b=GAUSSIAN):
    size = 2 * math.sqrt(rate)
    return (1 - 2 * rate, 1.0), (1 + size * b, 1 + 2 * size * b + size**2)


def transverse(own, other, cross):
    return other - cross**2 / own


def gated(moments, pair, where):
    """E h², E h'² and E hh' of a product with an independent pre-activation."""
    c, v = (1.0, 1.0) if where == "gate" else pair
    own, other, cross = moments((1.0, 1.0) if where == "up" else pair)
    return own, other * v, cross * c


def closed(pair):
    c, v = pair
    return 0.5, v / 2, kernel(c, v) if v > c**2 else c / 2


def hermite(phi):
    """Second moments over the plane; of smooth functions these nodes give 1e-10."""
    x, weight = np.polynomial.hermite_e.hermegauss(120)
    weight = weight / weight.sum()

    def moments(pair):
        c, v = pair
        other = c * x[:, None] + math.sqrt(max(v - c**2, 0)) * x[None, :]
        both = weight[:, None] * weight[None, :]
        h, new = phi(x)[:, None], phi(other)
        return np.sum(both * h**2), np.sum(both * new**2), np.sum(both * h * new)

    return moments


def ratio(moments, rate, where, **law):
    flip, shift = (transverse(*gated(moments, pair, where)) for pair in pairs(rate, **law))
    return flip / shift


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("rate", RATES)
def test_a_gate_multiplies_the_kernels(rate, where):
    assert theory.block_ratio(rate, gated=where) == pytest.approx(ratio(closed, rate, where), rel=1e-11)
    laplace = ratio(closed, rate, where, b=math.sqrt(0.5))
    assert theory.block_ratio(rate, gated=where, weights="laplace") == pytest.approx(laplace, rel=1e-11)
    assert abs(laplace / ratio(closed, rate, where) - 1) > 0.05


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("name", ["silu", "gelu"])
def test_swiglu_and_geglu_by_another_quadrature(name, where):
    for rate in (0.05, 0.5):
        expected = ratio(hermite(PHI[name]), rate, where)
        assert theory.block_ratio(rate, name, where) == pytest.approx(expected, rel=1e-8)
        ball = theory.enclose("block_ratio", rate=rate, activation=name, gated=where, digits=12)
        assert theory.block_ratio(rate, name, where) == pytest.approx(float(ball), rel=1e-12)
    relu = theory.block_ratio(0.05, "relu", where)
    assert where == "up" or relu != pytest.approx(theory.block_ratio(0.05, name, where), rel=0.01)


def test_an_error_in_one_matrix_only():
    """In the gate it is the block's own, in the other one that of a single matrix."""
    rates = np.array([1e-12, 0.01, 0.3])
    np.testing.assert_allclose(
        theory.block_ratio(rates, gated="gate"), theory.transverse_ratio(rates), rtol=1e-13
    )
    for name in ("relu", "silu"):
        up = theory.block_ratio(rates, name, "up")
        np.testing.assert_allclose(up, theory.flip_to_shift_ratio(rates), rtol=1e-12)


@pytest.mark.parametrize("rate", RATES)
def test_layer_norm_takes_the_means_away(rate):
    """Behind LayerNorm h is its own deviation from the mean: T = vV − C²/V."""
    variance = 0.5 - 1 / (2 * math.pi)
    across = [
        v * variance - (kernel(c, v) - math.sqrt(v) / (2 * math.pi)) ** 2 / variance for c, v in pairs(rate)
    ]
    found = theory.block_ratio(rate, norm="layer")
    assert found == pytest.approx(across[0] / across[1], rel=1e-11)
    assert abs(found / theory.transverse_ratio(rate) - 1) > 2e-3
    # A gated block has no mean to take away.
    assert theory.block_ratio(rate, gated="both", norm="layer") == pytest.approx(
        theory.block_ratio(rate, gated="both"), rel=1e-13
    )


def test_layer_norm_has_the_limit_and_the_slope_of_rms_norm():
    for b in (0.3, 0.7, 0.99):
        limit = theory.transverse_ratio_limit(b)
        assert theory.block_ratio(1e-30, norm="layer", weights=b) == pytest.approx(limit, rel=1e-12)
        slope = (theory.block_ratio(1e-10, norm="layer", weights=b) / limit - 1) / 1e-5
        assert slope == pytest.approx(theory.transverse_ratio_root_coefficient(b), rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("where", WHERE)
def test_small_rates_of_a_gated_block_are_the_proved_ones(where):
    """The constant of Theorem 3, and the coefficient of √p that `proofs/gated.py` derives."""
    for b in (0.3, 0.7, 0.95):
        rates = np.array([1e-30, 1e-10])
        limit, near = theory.block_ratio(rates, gated=where, weights=b) * (1 - b) * (1 + b)
        assert limit == pytest.approx(1, rel=1e-12)
        slope = float(blocks.gated_root_coefficient(where, sp.Float(b)))
        assert (near - 1) / 1e-5 == pytest.approx(slope, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("layered", [False, True])
def test_a_gate_goes_where_an_activation_goes(layered):
    """Samples of the block itself: energies, the finite sine, a chain's first layer."""
    rng, draws, rate = np.random.default_rng(5), 400_000, 0.2
    activation = theory.centred("relu") if layered else theory.gated("relu")
    size = MagnitudeShift.matching(SignFlip(rate)).size
    for perturbation, (c, v) in zip((SignFlip(rate), MagnitudeShift(size)), pairs(rate), strict=True):
        z = rng.standard_normal((2, 2, draws))
        other = c * z[0] + math.sqrt(v - c**2) * z[1]
        if layered:
            h, new = (np.maximum(x[0], 0) for x in (z[0], other))
            h, new = h - h.mean(), new - new.mean()
        else:
            h, new = (np.maximum(x[0], 0) * x[1] for x in (z[0], other))
        found = theory.block(perturbation, activation)
        delta = new - h
        for law, sample in ((found.energy, delta**2), (found.alignment, h * delta), (found.signal, h**2)):
            error = sample.std() / math.sqrt(draws)
            assert abs(law - sample.mean()) < 4.5 * error
            assert abs(law) > 20 * error or layered
        first = theory.chain(perturbation, 1, activation=activation).sine_squared[0]
        assert first == pytest.approx(float(found.sine_squared), rel=1e-12)


def test_gates_resolve_their_quadrature_and_are_differentiable():
    slope = jax.grad(lambda p: theory.block_ratio(p, "silu", "both"))(0.1)
    step = 1e-4
    rise = theory.block_ratio(0.1 + step, "silu", "both") - theory.block_ratio(0.1 - step, "silu", "both")
    assert slope == pytest.approx(float(rise) / (2 * step), rel=1e-4)
    estimate = theory.estimate("block_ratio", rate=0.1, activation="silu", gated="both")
    assert estimate.estimator == "quadrature"
    assert theory.gated("silu").by_quadrature
    assert not theory.gated("relu").by_quadrature


def test_what_does_not_fit_is_refused():
    with pytest.raises(InvalidInput, match="gated in"):
        theory.block_ratio(0.1, gated="down")
    with pytest.raises(InvalidInput, match="norm in"):
        theory.block_ratio(0.1, norm="batch")
    with pytest.raises(InvalidInput, match="perturbed in"):
        theory.gated("relu", "no")


def test_a_block_without_covariance_has_a_ball():
    """At p = 1/2 h and h' are independent: behind LayerNorm their covariance is exactly 0."""
    ball = theory.enclose("block_ratio", rate="1/2", activation="relu_squared", norm="layer")
    assert theory.block_ratio(0.5, "relu_squared", norm="layer") == pytest.approx(float(ball), rel=1e-12)


@pytest.mark.parametrize("weights", ["gaussian", "uniform", 0.999])
def test_a_grid_fits_the_largest_shift_of_all_weights(weights):
    """At a scale where the shift of Gaussian weights, √v = 2.29, and that of others fit different grids."""
    flip, shift = (
        theory.block(one(0.5), "silu", 0.622, weights).transverse for one in (SignFlip, theory.matched_shift)
    )
    found = theory.block_ratio(0.5, "silu", scale=0.622, weights=weights)
    assert found == pytest.approx(float(flip / shift), rel=1e-12)


def test_only_an_error_in_a_smooth_gate_has_another_constant_at_small_rates():
    found = {where: float(theory.block_ratio(1e-12, "silu", gated=where)) for where in WHERE}
    whole = float(theory.transverse_ratio_limit())
    assert found["up"] == pytest.approx(whole, rel=1e-6)
    assert max(found["both"], found["gate"]) < 0.95 * whole
