"""Proposition 1 and Theorem 4, against what is exact at finite width and against the paper."""

import numpy as np
import pytest
from agreement import within

from signmag_jax import simulate
from signmag_jax.evidence import Incomplete, InvalidInput
from signmag_jax.perturb import Prune, SignFlip, SignQuantize, Ternarize


def test_proposition_1_at_width_256():
    rates = np.array([0.01, 0.05, 0.1])
    found = simulate.proposition_1(256, rates.tolist(), inputs=512, networks=64, seed=1)
    assert within(found.energy_ratio, 1.0)
    assert np.all(found.energy_ratio.standard_error < 0.002)
    # The ratio runs the other way round than with a ReLU and a coherent shift.
    assert within(found.transverse_ratio, 1 / (1 - rates))
    assert not within(found.transverse_ratio, 1 - rates)
    published = np.array([1.010041, 1.052607, 1.111238])
    assert np.all(
        np.abs(found.transverse_ratio.value - published) < 6 * found.transverse_ratio.standard_error
    )
    assert within(found.magnitude_radial_fraction, 1 / 256)
    assert within(found.flip_radial_fraction, rates + (1 - rates) / 256 + 6 * (1 - rates) / 256**2)
    assert within(found.flip_energy, 4 * rates)


def test_the_radial_fraction_of_flips_has_a_term_from_the_spread_of_flips_per_row():
    """p + (1−p)/m is not all: Var q = 3p(1−p)/(n+2) given an input on the sphere adds about 6(1−p)/(mn)."""
    found = simulate.proposition_1(32, 0.02, inputs=64, networks=6000, seed=2).flip_radial_fraction
    leading = 0.02 + 0.98 / 32
    # Var q · (3m/(m+2) − 1)/(p m), the mean over Gaussian rows of (Σ q y²)²/Σ y².
    spread = 3 * 0.98 / 34 * (3 * 32 / 34 - 1) / 32
    assert within(found, leading + spread)
    assert not within(found, leading)


def test_the_coherent_shift_shows_the_asymmetry_without_a_relu():
    found = simulate.proposition_1(256, 0.01, magnitude="shift", inputs=512, networks=48, seed=3)
    ratio, error = found.transverse_ratio.value, found.transverse_ratio.standard_error
    exact = (1 - 2 / np.pi) / 0.99
    assert abs(ratio - exact) < 4 * error + 2 / 256 * exact  # rows are finitely many
    assert abs(ratio - 1) > 50 * error


def test_row_and_vector_cosines_of_the_sign_quantiser():
    found = simulate.quantizer(1024, rows=256, inputs=256, networks=24, seed=4)
    assert within(found.row_cosine, 2 / np.pi + (1 - 2 / np.pi) / 1024)
    assert not within(found.row_cosine, 0.6084)
    assert abs(found.vector_cosine.value - 2 / np.pi) < 4 * found.vector_cosine.standard_error + 5e-4
    # arXiv:2605.18933, section 9.6, m = 512, n = 1024.
    assert abs(found.row_cosine.value - 0.636882) < 4 * found.row_cosine.standard_error + 0.000554


@pytest.mark.slow  # compiles three quantisers
def test_radial_fractions_of_quantisers():
    """Exact limits, the finite number of rows within 2/m of them."""
    sign = simulate.quantizer(512, rows=512, granularity="tensor", networks=48, seed=5)
    assert abs(sign.pre_radial_fraction.value - 0.363380227632419) < 0.003
    assert abs(sign.post_radial_fraction.value - 0.364893467110275) < 0.004
    ternary = simulate.quantizer(512, Ternarize(), rows=512, granularity="tensor", networks=48, seed=5)
    assert abs(ternary.post_radial_fraction.value - 0.213577563788822) < 0.004
    assert abs(ternary.row_cosine.value - 0.786957665452318) < 0.001
    bitnet = simulate.quantizer(
        512, Ternarize(scale="mean_abs"), rows=512, granularity="tensor", networks=48, seed=5
    )
    assert abs(bitnet.post_radial_fraction.value - 0.65917742328081) < 0.004
    for one in (sign, ternary, bitnet):
        assert one.post_radial_fraction.standard_error < 0.0006
    np.testing.assert_allclose(bitnet.row_cosine.value, ternary.row_cosine.value, rtol=1e-6)


def test_rows_and_tensors_have_their_own_scales():
    row, tensor = (
        simulate.quantizer(16, SignQuantize(), rows=64, granularity=granularity, networks=200, seed=6)
        for granularity in ("row", "tensor")
    )
    np.testing.assert_allclose(row.row_cosine.value, tensor.row_cosine.value, rtol=1e-5)
    assert abs(row.vector_cosine.distance(tensor.vector_cosine)) > 5
    with pytest.raises(InvalidInput, match="one quantiser at a time"):
        simulate.quantizer(16, SignFlip(np.array([0.1, 0.2])))


def test_a_row_of_zeros_is_parallel_to_nothing():
    pruned = {"rows": 8, "inputs": 4, "networks": 4, "dtype": "float64"}
    with pytest.raises(Incomplete, match="0 of 4 networks have a row cosine"):
        simulate.quantizer(16, Prune(9.0), **pruned)
    assert 0.5 < simulate.quantizer(16, Prune(0.5), **pruned).row_cosine.value < 1  # control
