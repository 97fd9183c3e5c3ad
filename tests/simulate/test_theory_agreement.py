"""Every experiment of the registry against its law, over widths, rates, activations and depths.

A case runs at one width against the law of that width, or at two and is extrapolated in 1/width to the law
of infinite width; what is left is of order 1/n². Each number names its nearest wrong answer, which its error
must be small enough to reject. All numbers together are compared at 4 standard errors: the family-wise level
that this leaves is asserted.
"""

import functools
import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from signmag_jax import simulate, theory
from signmag_jax.perturb import Prune, SignFlip, SignQuantize, Ternarize

AGREES, TELLS_APART = 4.0, 6.0
FAMILY_LEVEL = 0.05
NARROW = (48, 96)
BOTH_RATES = (0.1, 0.3)

Law = Callable[[], Any]


@dataclass(frozen=True)
class Case:
    """One configuration of an experiment.

    Args:
      experiment: its name in the registry.
      label: what is particular.
      expected: for a field of the result, dots for nested ones, its law and the nearest wrong answer.
      widths: one, or two to be extrapolated.
      networks: at each.
      arguments: of the experiment; those in `scaled` are multiples of the width.
      fast: whether it runs in the fast suite.
    """

    experiment: str
    label: str
    expected: Mapping[str, tuple[Law, Law]]
    widths: tuple[int, ...] = NARROW
    networks: int = 400
    arguments: Mapping[str, Any] = field(default_factory=dict)
    scaled: Mapping[str, int] = field(default_factory=dict)
    fast: bool = False

    def __str__(self):
        return f"{self.experiment}-{self.label}"

    __repr__ = __str__
    __hash__ = object.__hash__

    @functools.cache  # noqa: B019 (cases live as long as the module)
    def found(self):
        """Value and standard error of each field."""
        runs = [
            simulate.experiment(self.experiment)(
                width=n,
                networks=self.networks,
                seed=n,
                **self.arguments,
                **{name: times * n for name, times in self.scaled.items()},
            )
            for n in self.widths
        ]
        return {
            name: extrapolated([nested(run, name) for run in runs], self.widths) for name in self.expected
        }


def nested(result, name):
    return functools.reduce(getattr, name.split("."), result)


def extrapolated(estimates, widths):
    """The value at 1/n = 0 of a line through two widths; of one width, what it is."""
    weights = [math.prod(n / (n - other) for other in widths if other != n) for n in widths]
    value = sum(w * np.asarray(one.value) for w, one in zip(weights, estimates, strict=True))
    variance = sum(
        (w * np.asarray(one.standard_error)) ** 2 for w, one in zip(weights, estimates, strict=True)
    )
    return np.asarray(value), np.sqrt(variance)


def compared(case, laws=None):
    """Deviations from the laws in standard errors, and whether each error tells the rival apart."""
    for name, (value, error) in case.found().items():
        law, rival = (np.asarray(one(), dtype=float) for one in case.expected[name])
        law = law if laws is None else laws[name]
        yield name, np.abs(value - law) / error, TELLS_APART * error < np.abs(law - rival)


# One block: the law of n inputs and m rows at once. It leaves about 27/n², which below n = 128 would be seen.


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
    finite_block_case("block_fast", (0.05, 0.1), 512, 200, fast=True, ratio="transverse_ratio"),
    *(finite_block_case("block", (0.02, 0.1), n, 20_000 // n, inputs=4 * n) for n in (128, 256)),
    finite_block_case("block_explicit", (0.02,), 192, 200, inputs=256),
    finite_block_case("block_fast", (0.02, 0.2), 512, 300, ratio="transverse_ratio"),
    *map(activation_case, ("leaky_relu", "relu_squared", "gelu", "silu", "erf", "tanh")),
    fractions_case(),
    v0_case(0.05, 96, 250, fast=True),
    v0_case(0.2, 64, 500),
    *map(v0_activation, ("silu", "gelu")),
]

# One matrix: exact at every width, for ratios of means.


def flips_radial(p, n, m):
    """As derived in `test_coverage`: the spread of flips per row adds to p + (1−p)/m."""
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
]

# Chains.


def chain_case(experiment, chain, rate, *, depth=4, networks=500, fast=False, label="", **options):
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
    label = f"{label}p={rate} {activation} {layers}"
    return Case(
        experiment,
        label,
        {"transverse_ratio_of_means": (law, rival)},
        networks=networks,
        arguments=arguments,
        scaled=scaled,
        fast=fast,
    )


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


CHAINS = [
    finite_chain_case(0.1, 64, 300, fast=True),
    chain_case("depth_residual", "residual", 0.2, depth=2, networks=200, fast=True),
    chain_case("v2", "plain", 0.2, depth=2, networks=200, fast=True),
    chain_case("v3", "renormalised", 0.2, depth=2, networks=300, fast=True),
    finite_chain_case(0.05, 128, 300),
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
]

# Outliers: exact for a given input at every width.


def single_case(n, alpha, networks, *, fast=False):
    alphas = np.asarray(alpha)
    expected = {
        "amplification": (
            lambda: theory.flip_amplification(alphas, n),
            lambda: n * alphas**2 * (1 - 4 * alphas / (3 * np.pi)),
        )
    }
    arguments = {"alpha": list(alpha), "rows": 256, "inputs": 32}
    return Case("single_flip", f"n={n} α={alpha}", expected, (n,), networks, arguments, fast=fast)


def pool_case(
    n,
    networks,
    *,
    fast=False,
    rate=(0.2, 0.4),
    profile="lognormal",
    spread=1.0,
    fraction=0.1,
    matching="rate",
):
    squares = simulate.profile(profile, n, spread)
    pool = np.argsort(np.argsort(squares)) >= n - round(fraction * n)
    expected = {
        "leverage": (
            lambda: theory.profile_pool_leverage(np.asarray(rate), np.sqrt(squares), pool, matching),
            lambda: np.full(len(rate), squares[pool].mean() / squares[~pool].mean()),
        )
    }
    arguments = {
        "rate": list(rate), "profile": profile, "spread": spread, "fraction": fraction, "matching": matching,
        "rows": 128, "inputs": 32,
    }  # fmt: skip
    label = f"n={n} {profile} {matching}"
    return Case("column_pool", label, expected, (n,), networks, arguments, fast=fast)


OUTLIERS = [
    single_case(64, (0.26, 0.6), 500, fast=True),
    single_case(24, (0.4, 0.8), 800),
    pool_case(64, 150, fast=True),
    pool_case(96, 300, profile="student", spread=3.0, matching="count", fraction=0.25),
    pool_case(128, 300, spread=0.5, matching="count", fraction=0.25),
]

CASES = [*BLOCKS, *MATRICES, *CHAINS, *OUTLIERS]
FAST = [case for case in CASES if case.fast]


def test_every_experiment_has_a_fast_case_and_a_grid():
    """A new experiment without a law to agree with is noticed here."""
    assert {case.experiment for case in FAST} == set(simulate.EXPERIMENTS)
    assert len({str(case) for case in CASES}) == len(CASES)


@pytest.mark.parametrize(
    "case", [case if case.fast else pytest.param(case, marks=pytest.mark.slow) for case in CASES], ids=str
)
def test_agreement(case):
    for name, distance, resolved in compared(case):
        assert np.all(resolved), (name, "too vague to reject the nearest wrong answer")
        assert np.all(distance < AGREES), (name, distance)


@pytest.mark.slow
def test_the_family_of_all_numbers_keeps_its_level():
    numbers = sum(np.size(case.expected[name][0]()) for case in CASES for name in case.expected)
    assert numbers * math.erfc(AGREES / math.sqrt(2)) < FAMILY_LEVEL
    assert numbers > 120


KERNEL_FREE = {"proposition_1", "proposition_1_shift"}


def test_a_wrong_kernel_is_rejected_by_every_experiment_that_has_one(request):
    """The same numbers against laws whose kernel is wrong: all that it touches fail."""
    right = {case: {name: np.asarray(law()) for name, (law, _) in case.expected.items()} for case in FAST}
    request.getfixturevalue("wrong_kernel")
    touched = set()
    for case in FAST:
        wrong = {name: np.asarray(law()) for name, (law, _) in case.expected.items()}
        for name, distance, _ in compared(case, wrong):
            if np.any(np.abs(wrong[name] / right[case][name] - 1) > 1e-6):
                touched.add(case.experiment)
                assert np.any(distance > AGREES), (case, name)
    assert touched == set(simulate.EXPERIMENTS) - KERNEL_FREE
