"""One matrix: exact at every width, for ratios of means."""

import numpy as np
from agreement import Case

from signmag_jax import theory
from signmag_jax.perturb import Prune, SignQuantize, Ternarize


def flips_radial(p, n, m):
    """Of Proposition 1's flips, as a ratio of means.

    Given masks and input δ_i = −2q_i z_i + noise of variance 4q_i(1−q_i), and for Gaussian rows
    E z_i⁴/Σz² = 3/(m+2), E z_i²z_j²/Σz² = 1/(m+2); E q_i² = p² + 3p(1−p)/(n+2), E q_i q_j = p². The spread of
    the flips per row adds to p + (1−p)/m.
    """
    square = p**2 + 3 * p * (1 - p) / (n + 2)
    return (square * (3 * m / (m + 2) - 1) + m * (m - 1) * p**2 / (m + 2) + p) / (m * p)


def matrix_case(p, n, m, networks, *, fast=False, **arguments):
    flips = flips_radial(p, n, m)
    expected = {
        "energy_ratio": (lambda: 1.0, lambda: 1 - p),
        "flip_radial_fraction": (lambda: flips, lambda: p),
        "magnitude_radial_fraction": (lambda: 1 / m, lambda: flips),
        "transverse_ratio": (lambda: (1 - 1 / m) / (1 - flips), lambda: 1 - p),
    }
    arguments = {"rate": p, "rows": m, "inputs": 64, **arguments}
    return Case("proposition_1", f"n={n} m={m} p={p}", expected, (n,), networks, arguments, fast=fast)


def coherent_case(p, *, fast=False):
    expected = {
        "transverse_ratio": (
            lambda: 1 / theory.flip_to_shift_ratio(p),
            lambda: 1 / theory.transverse_ratio_limit(),
        )
    }
    arguments = {"rate": p, "inputs": 64}
    return Case("proposition_1_shift", f"p={p}", expected, networks=400, arguments=arguments, fast=fast)


def quantizer_case(experiment, quantizer, rival, *, fast=False, **arguments):
    expected = {
        name: (
            lambda a=activation: theory.radial_fraction(quantizer, a),
            lambda a=activation: theory.radial_fraction(rival, a),
        )
        for name, activation in (("pre_radial_fraction", "identity"), ("post_radial_fraction", "relu"))
    }
    cosines = {
        name: (lambda: theory.cosine_squared(quantizer), lambda: theory.cosine_squared(Ternarize(1.0)))
        for name in ("row_cosine", "vector_cosine")
    }
    arguments = {"inputs": 64, "granularity": "tensor", **arguments}
    return Case(experiment, repr(quantizer), expected | cosines, networks=250, arguments=arguments, fast=fast)


def other_weights_case(law):
    """Vectors turn by the weights' own b, quantised or shifted; the rival is that of Gaussian ones."""
    quantised = {"vector_cosine": (lambda: theory.sign_cosine_squared(law), theory.sign_cosine_squared)}
    shifted = {
        "transverse_ratio": (
            lambda: 1 / theory.flip_to_shift_ratio(0.2, law),
            lambda: 1 / theory.flip_to_shift_ratio(0.2),
        )
    }
    yield Case("quantizer", law, quantised, networks=250, arguments={"weights": law, "inputs": 64})
    arguments = {"rate": 0.2, "inputs": 64, "weights": law}
    yield Case("proposition_1_shift", law, shifted, networks=600, arguments=arguments)


def row_cosine_case(n):
    """Exactly 2/π + (1 − 2/π)/n; the nearest wrong answer is the limit."""
    expected = {"row_cosine": (lambda: 2 / np.pi + (1 - 2 / np.pi) / n, lambda: 2 / np.pi)}
    return Case("quantizer", f"row n={n}", expected, (n,), 300, {"rows": 256, "inputs": 4})


MATRICES = [
    matrix_case(0.2, 24, 16, 500, fast=True),
    matrix_case(0.05, 64, 24, 1500),
    matrix_case(0.4, 16, 48, 800, match="expected"),
    coherent_case(0.2, fast=True),
    coherent_case(0.05),
    quantizer_case("quantizer", SignQuantize(), Ternarize(), fast=True),
    quantizer_case("quantizer", Prune(0.5), SignQuantize(), perturbation=Prune(0.5)),
    quantizer_case("ternary", Ternarize(), SignQuantize(), fast=True),
    quantizer_case("ternary_bitnet", Ternarize.bitnet(), Ternarize(), fast=True),
    *map(row_cosine_case, (16, 64)),
    *other_weights_case("laplace"),
]
