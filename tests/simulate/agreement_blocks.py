"""One block: the law of n inputs and m rows at once, which leaves about 27/n²: too much below n = 128."""

import numpy as np
from agreement import BOTH_RATES, Case

from signmag_jax import theory
from signmag_jax.perturb import Prune, SignFlip, SignQuantize, Ternarize


def finite_block(rate, n):
    rows = np.asarray(theory.finite_rows_ratio(rate, n)) / np.asarray(theory.transverse_ratio(rate))
    return np.asarray(theory.finite_width_ratio(rate, n)) * rows


def finite_block_case(
    experiment, rate, n, networks, *, fast=False, ratio="transverse_ratio_of_means", **arguments
):
    expected = {
        ratio: (lambda: finite_block(np.asarray(rate), n), lambda: theory.transverse_ratio(np.asarray(rate)))
    }
    arguments = {"rate": list(rate), **arguments}
    return Case(experiment, f"n={n} p={rate}", expected, (n,), networks, arguments, fast=fast)


def weights_case(experiment, law, n, networks, *, fast=False, **arguments):
    """Weights of another law, at its own finite width: Gaussian ones are the rival."""
    rate = 0.1

    def ratio(weights):
        rows = theory.finite_rows_ratio(rate, n, weights) / theory.transverse_ratio(rate, weights)
        return theory.finite_width_ratio(rate, n, weights) * rows

    def chain(weights):
        return theory.finite_width_depth_ratios(rate, 2, n, weights)

    find = ratio if experiment == "block" else chain
    expected = {
        "transverse_ratio" if experiment == "depth" else "transverse_ratio_of_means": (
            lambda: find(law),
            lambda: find("gaussian"),
        )
    }
    arguments = {"rate": rate, "weights": law, **arguments}
    return Case(experiment, f"n={n} {law}", expected, (n,), networks, arguments, fast=fast)


def gated_case(where, networks, *, fast=False):
    """A gated block, extrapolated: the rival is an error in the other matrix, or in both."""
    rates = np.array(BOTH_RATES)
    other = "both" if where != "both" else "up"
    expected = {
        "transverse_ratio_of_means": (
            lambda: theory.block_ratio(rates, gated=where),
            lambda: theory.block_ratio(rates, gated=other),
        )
    }
    arguments = {"rate": list(BOTH_RATES), "gated": where, "inputs": 128}
    return Case("gated", where, expected, networks=networks, arguments=arguments, fast=fast)


def infinite_block(rate, activation, what="transverse"):
    flip, shift = (theory.block(one(rate), activation) for one in (SignFlip, theory.matched_shift))
    return np.asarray(getattr(flip, what)) / np.asarray(getattr(shift, what))


def activation_case(activation):
    rates = np.array(BOTH_RATES)
    expected = {
        "transverse_ratio_of_means": (
            lambda: infinite_block(rates, activation),
            lambda: infinite_block(rates, "identity"),
        )
    }
    arguments = {"rate": list(BOTH_RATES), "activation": activation, "inputs": 256}
    return Case("block", activation, expected, networks=400, arguments=arguments)


def fractions_case():
    expected = {
        f"{arm}.radial_fraction": (
            lambda one=one: theory.radial_fraction(one(0.2)),
            lambda one=one: theory.radial_fraction(one(0.2), "identity"),
        )
        for arm, one in (("first", SignFlip), ("second", theory.matched_shift))
    }
    return Case("block", "fractions", expected, networks=6000, arguments={"rate": 0.2, "inputs": 64})


def v0_case(rate, n, networks, *, fast=False):
    expected = {
        "transverse_ratio": (
            lambda: theory.finite_width_depth_ratios(rate, 1, n)[0],
            lambda: np.ravel(theory.depth_ratios(rate, 1))[0],
        )
    }
    return Case("v0", f"n={n} p={rate}", expected, (n,), networks, {"rate": rate, "inputs": 256}, fast=fast)


def v0_activation(activation):
    expected = {
        "transverse_ratio_of_means": (
            lambda: infinite_block(0.2, activation, "sine_squared"),
            lambda: infinite_block(0.2, activation),
        )
    }
    return Case("v0", activation, expected, arguments={"rate": 0.2, "activation": activation, "inputs": 128})


def given_case(experiment, first, second, law, rival):
    """Perturbations of one's own in place of flips and shift: the ratio of what `law` says of each."""
    expected = {
        "transverse_ratio_of_means": tuple(
            lambda which=which: np.asarray(which(first)) / np.asarray(which(second)) for which in (law, rival)
        )
    }
    arguments = {"perturbations": (first, second), "inputs": 64}
    arguments |= {"depth": 2} if experiment == "depth" else {}
    return Case(experiment, f"{first!r} {second!r}", expected, networks=500, arguments=arguments)


BLOCKS = [
    given_case(
        "block",
        SignQuantize(),
        Ternarize(),
        lambda one: theory.block(one).transverse,
        lambda one: theory.block(one, "identity").transverse,
    ),
    given_case(
        "depth",
        SignQuantize(),
        Prune(0.8),
        lambda one: theory.chain(one, 2).sine_squared,
        lambda one: theory.chain(one, 2).transverse,
    ),
    finite_block_case("block", (0.05, 0.1), 128, 200, fast=True, inputs=256),
    finite_block_case("block_explicit", (0.05,), 128, 250, fast=True, inputs=128, outputs=64),
    finite_block_case("block_fast", (0.05, 0.1), 256, 200, fast=True, ratio="transverse_ratio"),
    *(finite_block_case("block", (0.02, 0.1), n, 20_000 // n, inputs=4 * n) for n in (128, 256)),
    finite_block_case("block_explicit", (0.02,), 192, 200, inputs=256),
    finite_block_case("block_fast", (0.02, 0.2), 512, 300, ratio="transverse_ratio"),
    weights_case("block", "laplace", 128, 60, fast=True, inputs=256),
    weights_case("block", "uniform", 256, 60),
    weights_case("block", "student_t:8", 256, 60),
    weights_case("depth", "uniform", 192, 60, depth=2, inputs=96),
    weights_case("depth", "laplace", 192, 60, depth=2, inputs=96),
    gated_case("both", 300, fast=True),
    gated_case("gate", 400),
    gated_case("up", 400),
    *map(activation_case, ("leaky_relu", "relu_squared", "gelu", "silu", "erf", "tanh")),
    fractions_case(),
    v0_case(0.05, 96, 250, fast=True),
    v0_case(0.2, 64, 500),
    *map(v0_activation, ("silu", "gelu")),
]
