"""No law leaves its own ball, or the bounds of what it is; an estimate off its enclosure is refused."""

import dataclasses
import functools
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signmag_jax import perturb, theory
from signmag_jax.evidence import Incomplete, InvalidInput
from signmag_jax.perturb import Moments
from signmag_jax.theory.balls import BALLS
from signmag_jax.theory.registry import find

DOMAIN = 1e-12
CLOSED = ("relu", "leaky_relu", "relu_squared", "identity")
FRACTIONS = (
    "radial_fraction",
    "cosine_squared",
    "finite_rows_radial_fraction",
    "flip_matrix_radial_fraction",
)


def powers(low, high):
    """Numbers that are spread evenly over the powers of ten."""
    return st.floats(low, high).map(lambda x: 10.0**x)


def either_sign(numbers):
    return st.tuples(st.sampled_from([-1.0, 1.0]), numbers).map(math.prod)


@dataclasses.dataclass(frozen=True)
class Own:
    """A perturbation that is its moments."""

    c: float
    v: float

    def moments(self):
        return Moments.of(self.c, self.v)


def own(cosine, v):
    return Own(cosine * math.sqrt(v), v)


RATES = powers(-30, math.log10(0.5))
PERTURBATIONS = st.one_of(
    powers(-30, 0).map(perturb.SignFlip),
    powers(-14, -1).map(lambda p: perturb.SignFlip(1 - p)),
    either_sign(powers(-20, 2)).map(perturb.MagnitudeShift),
    powers(-20, 2).map(perturb.MagnitudeNoise),
    either_sign(powers(-4, 2)).map(perturb.Scale),
    either_sign(powers(-14, -1)).map(lambda x: perturb.Scale(1 + x)),
    st.just(perturb.SignQuantize()),
    st.builds(perturb.Ternarize, powers(-2, 0.6), st.sampled_from(["least_squares", "mean_abs", 0.3, 2.5])),
    powers(-6, 0.7).map(perturb.Prune),
    st.builds(perturb.UniformQuantize, st.integers(2, 8), powers(-1, 0.5)),
    st.integers(1, 4).map(perturb.LloydMax),
    st.builds(perturb.Compose, powers(-6, 0).map(perturb.SignFlip), powers(-2, 0.5).map(perturb.Prune)),
    st.builds(own, st.floats(-1, 0.99), powers(-2, 2)),
)
COLUMNS = st.lists(powers(-4, 2), min_size=4, max_size=4).map(np.array)
COMMON = {
    "rate": RATES,
    "alpha": powers(-6, 0),
    "n": st.integers(2, 64),
    "rows": st.integers(8, 4096),
    "outputs": st.integers(1, 4096),
    "depth": st.just(3),
    "share": powers(-6, -1e-3),
    "fraction": powers(-6, -1e-3),
    "x": COLUMNS,
    "alpha_squared": COLUMNS,
    "column_norm_squared": COLUMNS,
    "pool": st.sampled_from([np.array([True, False, True, False]), np.array([False, False, True, False])]),
    "perturbation": PERTURBATIONS,
    "network": st.sampled_from(
        [
            "dense(weights=0.3), relu",
            "dense(scale=0.1, bias=0.5), relu, layernorm(gain=[1, -2], eps=0.01, bias=0.3)",
            "2*residual(rmsnorm, gate(serial(dense, relu), dense), dense), rmsnorm",
            "dense(fixed), leaky_relu, layernorm, dense, rmsnorm(eps=3)",
        ]
    ),
    "scale": powers(-3, 2),
    "weights": st.one_of(
        st.sampled_from(["gaussian", "laplace", "uniform", "student_t:2.5", "student_t:4.5", "student_t:30"]),
        powers(-6, -1e-9),
        powers(-9, -1).map(lambda gap: 1 - gap),
    ),
}


def arguments(law, activations):
    """Arguments of a law, and of those that are not needed some."""
    every = {}
    for name, allowed in law.arguments.items():
        options = activations if name == "activation" else allowed
        every[name] = st.sampled_from(options) if isinstance(options, tuple) else COMMON[name]
    required = law.required
    return st.fixed_dictionaries(
        {name: every[name] for name in required},
        optional={name: strategy for name, strategy in every.items() if name not in required},
    )


def check(law, given_arguments):
    """The law is right to 1e-12 and in its bounds, or says that it is not."""
    try:
        value = law(**given_arguments)
        balls = theory.enclose(law, digits=18, **given_arguments)
    except (InvalidInput, Incomplete):
        # Outside of what the law, or a ball, is for: both say so.
        return
    exact = np.array([float(ball) for ball in balls] if isinstance(balls, list) else float(balls))
    np.testing.assert_allclose(value, exact, rtol=DOMAIN, err_msg=f"{law.name}({given_arguments})")
    assert np.all(np.isfinite(value))
    if law.name in FRACTIONS:
        assert 0 <= value <= 1


@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
@pytest.mark.parametrize("name", sorted(BALLS))
def test_every_law_is_in_its_ball(name, data):
    law = theory.LAWS[name]
    check(law, data.draw(arguments(law, ("relu", "leaky_relu", "relu_squared"))))


POOLS = {
    "alpha_squared": np.ones(4),
    "column_norm_squared": np.array([1, 1, 1e-3, 100]),
    "pool": np.array([False, False, True, False]),
    "perturbation": perturb.Scale(10.0),
    "measure": "transverse",
}
CHAIN = {"rate": 0.1, "depth": 3, "weights": 1 - 2.3e-9, "scale": 100.0}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("pool_leverage", POOLS | {"match": "rate"}),
        ("pool_leverage", POOLS | {"match": "count"}),
        ("chain_ratios", CHAIN | {"chain": "residual"}),
        ("chain_ratios", CHAIN | {"chain": "renormalised"}),
        ("depth_ratios", CHAIN | {"residual": True, "activation": "relu_squared", "scale": 10.0}),
    ],
)
def test_the_rest_keeps_its_digits_beside_a_part_that_carries_nearly_all(name, arguments):
    law = theory.LAWS[name]
    exact = np.array(theory.enclose(law, digits=18, **arguments), float)
    np.testing.assert_allclose(law(**arguments), exact, rtol=DOMAIN)


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
@pytest.mark.parametrize("name", sorted(BALLS))
def test_every_law_is_in_its_ball_with_every_activation(name, data):
    law = theory.LAWS[name]
    check(law, data.draw(arguments(law, tuple(theory.ACTIVATIONS))))


@settings(max_examples=40)
@given(PERTURBATIONS, st.sampled_from(CLOSED), powers(-3, 3))
def test_energies_split_and_bounded_things_have_bounds(perturbation, activation, scale):
    found = theory.block(perturbation, activation, scale)
    for value, low in ((found.radial_fraction, 0), (found.sine_squared, 0), (found.cosine, -1)):
        assert np.isnan(value) or low <= value <= 1
    for value in (found.energy, found.radial, found.transverse, found.signal):
        assert np.isnan(value) or value >= 0
    if np.isfinite(found.sine_squared) and np.isfinite(found.cosine):
        assert found.sine_squared + found.cosine**2 == pytest.approx(1, rel=1e-13)
    if np.isfinite(found.energy) and np.isfinite(found.radial) and np.isfinite(found.transverse):
        assert found.energy == pytest.approx(found.radial + found.transverse, rel=1e-12)
    depths = theory.chain(perturbation, 2, activation="relu").sine_squared
    assert np.all((depths >= 0) & (depths <= 1))


@pytest.mark.parametrize("off", [1e-9, -1e-9, 1.0])
def test_a_value_off_its_ball_is_refused(off):
    law = find("transverse_ratio")
    function = functools.wraps(law.function)(lambda rate: (1 + off) * law.function(rate))
    wrong = dataclasses.replace(law, function=function)  # of the same name, and so with its ball
    assert theory.estimate(law, rate=0.01).enclosure is not None
    with pytest.raises(Incomplete, match=r"transverse_ratio evaluates to .* rigorous enclosure is 2.668"):
        theory.estimate(wrong, rate=0.01)
    with pytest.raises(AssertionError, match="transverse_ratio"):
        check(wrong, {"rate": 0.01})


@pytest.mark.parametrize(
    ("law", "given_arguments"),
    [
        ("radial_fraction", {"perturbation": perturb.SignFlip(1e-320)}),
        ("radial_fraction_expansion", {"perturbation": perturb.SignFlip(1e-320)}),
        ("radial_fraction_expansion", {"perturbation": perturb.MagnitudeNoise(1e-80)}),
        ("radial_fraction", {"perturbation": perturb.Prune(1e-103)}),
        ("finite_rows_radial_fraction", {"perturbation": perturb.SignFlip(1e-320), "rows": 64}),
        ("finite_rows_radial_fraction", {"perturbation": perturb.Prune(1e-103), "rows": 64}),
        ("finite_rows_radial_fraction", {"perturbation": perturb.Prune(1e-200), "rows": 64}),
        ("flip_amplification_expansion", {"alpha": 1e-160, "n": 100}),
    ],
)
def test_what_underflows_is_refused_where_the_ball_is_not_zero(law, given_arguments):
    assert float(theory.enclose(law, **given_arguments).midpoint.partition("E")[0]) > 0
    with pytest.raises((InvalidInput, Incomplete), match=r"2.3e-308|1e-150|does not resolve it"):
        theory.LAWS[law](**given_arguments)


def test_an_error_of_nothing_has_no_radial_share():
    assert theory.finite_rows_radial_fraction(perturb.SignFlip(0.0), 64) == 0
    assert theory.finite_rows_radial_fraction(perturb.SignFlip(0.0), 64, outputs=4) == 0


@pytest.mark.parametrize("degrees", ["2.0000001", "4.0001", "4.000000001"])
def test_decimals_near_the_ends_of_their_moments_keep_their_digits(degrees):
    """Of the nearest float ν − 2 or ν − 4 may be off by 1e-9 of itself and more."""
    arguments = {"rate": 0.4, "weights": f"student_t:{degrees}"}
    for name in ("transverse_ratio", *(["finite_width_slope"] if degrees > "4" else [])):
        ball = float(theory.enclose(name, **arguments))
        assert theory.LAWS[name](**arguments) == pytest.approx(ball, rel=1e-12)


def test_a_ball_that_would_take_hours_is_refused():
    with pytest.raises(Incomplete, match=r"32767 levels at .* bits: take fewer digits"):
        theory.enclose("cosine_squared", perturbation=perturb.UniformQuantize(16, 1e10))


def test_an_underflow_is_no_zero():
    found = theory.estimate("radial_fraction", perturbation=perturb.MagnitudeShift(1e-160))
    assert found.value == pytest.approx(2 / math.pi, rel=1e-14)
