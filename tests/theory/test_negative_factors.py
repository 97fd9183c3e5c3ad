"""Errors that turn weights round: c < 0, with nothing left beside the signal."""

import dataclasses

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import erf

from signmag_jax import perturb, theory

FUNCTIONS = {
    "relu": lambda z: max(z, 0.0),
    "leaky_relu": lambda z: z if z > 0 else 0.01 * z,
    "relu_squared": lambda z: max(z, 0.0) ** 2,
    "identity": lambda z: z,
    "gelu": lambda z: z * (1 + erf(z / np.sqrt(2))) / 2,
    "erf": erf,
    "silu": lambda z: z / (1 + np.exp(-z)),
    "tanh": np.tanh,
}
FACTORS = (-7.7, -2.0, -1.0, -0.3)


def expected(function):
    """E f(z) of a standard normal z, on both sides of the kink."""
    parts = (
        quad(lambda z: function(z) * np.exp(-z * z / 2), *ends, epsabs=1e-13) for ends in ((-12, 0), (0, 12))
    )
    return sum(value for value, _ in parts) / np.sqrt(2 * np.pi)


@dataclasses.dataclass(frozen=True)
class Own:
    """A perturbation known by c and v alone."""

    factor: float

    def moments(self):
        return perturb.Moments.of(self.factor, self.factor**2)


@pytest.mark.parametrize("make", [perturb.Scale, Own])
@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_negative_factor_is_a_one_dimensional_integral(name, factor, make):
    phi = FUNCTIONS[name]
    signal, perturbed, overlap = (
        expected(each)
        for each in (
            lambda z: phi(z) ** 2,
            lambda z: phi(factor * z) ** 2,
            lambda z: phi(z) * phi(factor * z),
        )
    )
    energy, radial = signal + perturbed - 2 * overlap, (overlap - signal) ** 2 / signal
    found = theory.block(make(factor), name)
    np.testing.assert_allclose(
        [found.energy, found.radial, found.radial_fraction], [energy, radial, radial / energy], rtol=1e-9
    )
    np.testing.assert_allclose(found.transverse, perturbed - overlap**2 / signal, atol=1e-9 * perturbed)


@pytest.mark.parametrize("factor", FACTORS)
def test_relu_has_a_closed_form(factor):
    """relu(az) and relu(z) have no unit in common: R = 1/(1 + a²)."""
    found = theory.radial_fraction(perturb.Scale(factor))
    np.testing.assert_allclose(found, 1 / (1 + factor**2), rtol=1e-14)
    ball = theory.enclose("radial_fraction", perturbation=f"Scale({factor})")
    assert abs(float(ball.midpoint) - found) < 1e-14


def test_all_signs_flipped_is_a_factor():
    np.testing.assert_allclose(theory.block(perturb.SignFlip(1.0)), theory.block(perturb.Scale(-1.0)))


@pytest.mark.parametrize("factor", FACTORS)
def test_fractions_of_finitely_many_rows_stay_fractions(factor):
    found = theory.finite_rows_radial_fraction(perturb.Scale(factor), 64, 64)
    assert 0 <= found <= 1
    np.testing.assert_allclose(
        theory.finite_rows_radial_fraction(perturb.Scale(factor), 10**9, 10**9),
        1 / (1 + factor**2),
        rtol=1e-6,
    )
