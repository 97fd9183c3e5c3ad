"""Chains, plain, residual and renormalised, against their recursions."""

import itertools

import numpy as np
from agreement import BOTH_RATES, Case

from signmag_jax import theory


def chain_case(experiment, chain, rate, *, depth=4, networks=500, fast=False, **options):
    """Against no dependence on depth, or all layers perturbed; for the first layer against another chain."""
    activation, layers = options.get("activation", "relu"), options.get("layers", "all")
    rates = np.asarray(rate, dtype=float)
    other = "renormalised" if chain != "renormalised" else "residual"

    def law(which=chain, layers=layers):
        # The rates stand in front in simulations.
        return np.moveaxis(np.asarray(theory.chain_ratios(rates, depth, which, layers, activation)), 0, -1)

    def rival():
        if layers == "first":
            later = law(layers="all")
        elif chain == "residual":  # whose layers are nearly alike at some rates
            later = law(other)
        else:
            later = np.repeat(law()[..., :1], depth, axis=-1)
        return np.concatenate([law(other)[..., :1], later[..., 1:]], axis=-1)

    scaled = {"hidden": 2} if experiment in ("v2", "v3") else {}
    arguments = {"rate": rate, "depth": depth, "inputs": 64, **options}
    label, expected = f"L={depth} p={rate} {activation} {layers}", {"transverse_ratio_of_means": (law, rival)}
    return Case(experiment, label, expected, (48, 96), networks, arguments, scaled, fast)


def finite_chain_case(rate, n, networks, *, fast=False):
    """The plain chain at its own width, told from the infinitely wide one."""
    expected = {
        "transverse_ratio_of_means": (
            lambda: theory.finite_width_depth_ratios(rate, 2, n),
            lambda: theory.depth_ratios(rate, 2),
        )
    }
    arguments = {"rate": rate, "depth": 2, "inputs": 256}
    return Case("depth", f"n={n} p={rate}", expected, (n,), networks, arguments, fast=fast)


def first_order_case(rate, n, weights, networks):
    """The plain chain to first order in 1/n, told from the infinitely wide one."""

    def infinite():
        return theory.depth_ratios(rate, 3, weights=weights)

    def law():
        return infinite() * (1 + theory.finite_width_depth_slope(rate, 3, weights) / n)

    arguments = {"rate": rate, "depth": 3, "inputs": 16, "weights": weights}
    expected = {"transverse_ratio_of_means": (law, infinite)}
    return Case("depth", f"n={n} p={rate} {weights} 1/n", expected, (n,), networks, arguments)


def network_case(label, network, other, networks, *, fast=False, **options):
    """A composed network, extrapolated: the rival is that of other layers."""
    rates = np.array(BOTH_RATES)
    difference = options.get("difference", "linear")
    expected = {
        "transverse_ratio_of_means": (
            lambda: theory.network_ratio(rates, network, difference),
            lambda: theory.network_ratio(rates, other, difference),
        )
    }
    arguments = {"rate": list(BOTH_RATES), "inputs": 64, "network": network, **options}
    return Case("network", label, expected, networks=networks, arguments=arguments, fast=fast)


def scaled_silu_case():
    """At the paper's scale SiLU is linear: half of a linear layer beside a stream."""
    expected = {
        "transverse_ratio_of_means": (
            lambda: np.ravel(theory.depth_ratios(0.2, 3, True, "identity", scale=0.5)),
            lambda: np.ravel(theory.depth_ratios(0.2, 3, True, "silu")),
        )
    }
    arguments = {"rate": 0.2, "depth": 3, "inputs": 64, "activation": "silu", "scale": "paper"}
    # Narrower than this SiLU is not yet linear.
    return Case("depth_residual", "silu scale=paper", expected, (128, 256), 250, arguments)


BRANCH = "rmsnorm, gate(serial(dense, relu), dense), dense"
CHAINS = [
    finite_chain_case(0.1, 64, 300, fast=True),
    chain_case("depth_residual", "residual", list(BOTH_RATES), depth=2, networks=200, fast=True),
    chain_case("v2", "plain", 0.2, depth=2, networks=200, fast=True),
    chain_case("v3", "renormalised", 0.2, depth=2, networks=300, fast=True),
    finite_chain_case(0.05, 128, 300),
    *(first_order_case(0.3, 96, weights, 1500) for weights in ("gaussian", "uniform")),
    *(
        chain_case(experiment, chain, list(BOTH_RATES), layers=layers, networks=700)
        for (experiment, chain), layers in itertools.product(
            (("depth", "plain"), ("depth_residual", "residual"), ("v2", "plain"), ("v3", "renormalised")),
            ("all", "first"),
        )
    ),
    *(
        chain_case(experiment, chain, 0.2, depth=3, activation=activation, networks=700)
        for experiment, chain, activation in (
            ("depth", "plain", "silu"),
            ("depth_residual", "residual", "gelu"),
            ("v2", "plain", "silu"),
            ("v3", "renormalised", "leaky_relu"),
        )
    ),
    scaled_silu_case(),
    network_case("residual", f"dense, relu, 2*residual({BRANCH})", f"dense, relu, 2*serial({BRANCH})", 300),
    network_case("layernorm", "dense, relu, layernorm", "dense, relu", 3000, fast=True),
    network_case(
        "every argument",
        "dense(weights=laplace, bias=0.5), relu, layernorm(gain=[1, 2], eps=0.2, bias=0.3), "
        "dense(fixed, scale=2), silu, rmsnorm",
        "dense(bias=0.5), relu, layernorm(gain=[1, 2], eps=0.2, bias=0.3), dense(fixed, scale=2), silu",
        1500,
        difference="finite",
    ),
]
