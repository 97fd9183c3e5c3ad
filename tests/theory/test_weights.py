"""Weights of any symmetric law: moments from densities, textbook kernels from moments, refusals."""

import math
from fractions import Fraction

import edgeworth
import jax
import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signmag_jax import perturb, theory
from signmag_jax.evidence import InvalidInput
from signmag_jax.perturb import (
    MagnitudeShift,
    OnWeights,
    SignFlip,
    SignQuantize,
    Ternarize,
    Weights,
    empirical_weights,
    find_weights,
    student_t,
)

# Densities on the half line, up to a factor; their variance is whatever it is.
DENSITIES = {
    "gaussian": lambda w: mp.exp(-(w**2) / 2),
    "laplace": lambda w: mp.exp(-w),
    "uniform": lambda w: mp.mpf(w <= 1),
    "student_t:5": lambda w: (1 + w**2 / 5) ** -3,
}
ENDS = {"uniform": [0, 1]}


def absolute(name, power):
    """E|w|^power in units of σ, by integration."""
    moments = [
        mp.quad(lambda w, k=k: w**k * DENSITIES[name](w), ENDS.get(name, [0, 1, 4, mp.inf]))
        for k in (0, 2, power)
    ]
    return moments[2] / moments[0] / (moments[1] / moments[0]) ** (mp.mpf(power) / 2)


def kernel(c, v):
    return (mp.sqrt(v - c**2) + (mp.pi - mp.acos(c / mp.sqrt(v))) * c) / (2 * mp.pi)


def across(c, v):
    return v / 2 - 2 * kernel(c, v) ** 2


@pytest.mark.parametrize("name", DENSITIES)
def test_moments_are_those_of_the_density(name):
    found = find_weights(name)
    for power, moment in ((1, found.mean_magnitude), (3, found.third), (4, found.fourth)):
        assert moment == pytest.approx(float(absolute(name, power)), rel=1e-9), power


@pytest.mark.parametrize("degrees", [2.5, 4.5, 40.0, 1e9])
def test_students_moments_are_balls_and_go_over_into_the_normal(degrees):
    found, law = student_t(degrees), f"student_t:{degrees!r}"
    limit = theory.enclose("transverse_ratio_limit", weights=law)
    assert theory.transverse_ratio_limit(found) == pytest.approx(float(limit), rel=1e-12)
    assert (found.fourth is None) == (degrees <= 4)
    if degrees > 1e6:
        assert found.fourth == pytest.approx(3, rel=1e-8)


@pytest.mark.parametrize("name", DENSITIES)
@pytest.mark.parametrize("rate", [1e-12, 0.01, 0.5])
def test_the_transverse_ratio_is_the_textbook_one(name, rate):
    with mp.workdps(40):
        b, p = mp.mpf(absolute(name, 1)), mp.mpf(rate)
        size = 2 * mp.sqrt(p)
        shift = across(1 + size * b, 1 + 2 * size * b + size**2)
        expected = float(across(1 - 2 * p, mp.mpf(1)) / shift)
    assert theory.transverse_ratio(rate, name) == pytest.approx(expected, rel=1e-9)
    if name != "gaussian":
        assert theory.transverse_ratio(rate) != pytest.approx(expected, rel=0.05)


@settings(max_examples=50)
@given(st.floats(0.05, 0.999))
def test_one_constant(b):
    """A(0) is 1/(1 − cos²(w, sign w)), and the expansion leaves p^(3/2)."""
    limit = theory.transverse_ratio_limit(b)
    assert limit == pytest.approx(1 / (1 - theory.cosine_squared(SignQuantize(), b)), rel=1e-12)
    assert theory.transverse_ratio(1e-30, b) == pytest.approx(limit, rel=1e-12)
    left = [
        abs(theory.transverse_ratio(p, b) / theory.transverse_ratio_expansion(p, b) - 1) for p in (1e-6, 1e-4)
    ]
    assert left[0] < 5e-9
    assert left[1] < 5e-6


@pytest.mark.parametrize("b", [1e-6, 0.3, 0.7, 0.9, 0.99, 1 - 1e-9])
def test_within_its_range_the_expansion_is_off_by_less_than_a_tenth(b):
    rates = np.geomspace(1e-6, 0.15, 20)
    left = np.abs(theory.transverse_ratio_expansion(rates, b) / theory.transverse_ratio(rates, b) - 1)
    assert np.max(left) < 0.1


def test_theorem_4_of_a_matrix_predicts_its_theorem_3():
    w = np.random.default_rng(7).standard_t(6, size=(300, 400))
    law = empirical_weights(w)
    cosine = np.sum(np.abs(w)) ** 2 / (w.size * np.sum(w**2))
    assert theory.sign_cosine_squared(law) == pytest.approx(cosine, rel=1e-12)
    for perturbation in (SignQuantize(), MagnitudeShift(0.3), SignFlip(0.1)):
        ours = theory.block(perturbation, weights=law)
        np.testing.assert_allclose(ours, theory.block(OnWeights(perturbation, w)), rtol=1e-12, atol=1e-16)
    assert theory.block(SignQuantize()).transverse != pytest.approx(float(ours.transverse), rel=1e-2)


@pytest.mark.parametrize("name", ["gaussian", "laplace"])
@pytest.mark.parametrize(
    "rate", [pytest.param(1e-6, marks=pytest.mark.slow), 0.01, pytest.param(0.3, marks=pytest.mark.slow)]
)
def test_the_width_s_slope_is_edgeworth_s(name, rate):
    """From E|w|^k alone, k!/2^(k/2) of Laplace weights."""
    with mp.workdps(60):
        p = mp.mpf(rate)
        size = 2 * mp.sqrt(p)
        moment = edgeworth.absolute if name == "gaussian" else lambda k: mp.factorial(k) / mp.sqrt(2) ** k
        flips = lambda i, j: moment(i + j) * ((1 - p) + (-1) ** j * p)  # noqa: E731
        shift = lambda i, j: sum(mp.binomial(j, r) * size**r * moment(i + j - r) for r in range(j + 1))  # noqa: E731
        changes = []
        for mixed in (flips, shift):
            found = edgeworth.Kernel(mixed)
            changes.append(-4 * found.plain * found.fourth / across(mixed(1, 1), mixed(0, 2)))
        expected = float(3 * (changes[0] - changes[1]))
    assert theory.finite_width_slope(rate, name) == pytest.approx(expected, rel=1e-11)
    wide = 10**5
    law = theory.finite_width_ratio(0.5, wide, name) / theory.transverse_ratio(0.5, name) - 1
    assert law == pytest.approx(theory.finite_width_slope(0.5, name) / wide, rel=1e-3)


def test_layers_may_differ():
    each = ["laplace", 0.8, "gaussian"]
    for chain in ("plain", "residual", "renormalised"):
        whole = theory.chain_ratios(np.array([0.01, 0.1]), 3, chain, weights=["laplace"] * 3)
        np.testing.assert_allclose(
            whole, theory.chain_ratios(np.array([0.01, 0.1]), 3, chain, weights="laplace"), rtol=1e-14
        )
        own = theory.chain_ratios(0.01, 3, chain, weights=each)
        balls = theory.enclose(
            "chain_ratios", rate=0.01, depth=3, chain=chain, weights=["laplace", 0.8, "gaussian"]
        )
        np.testing.assert_allclose(own, [float(ball) for ball in balls], rtol=1e-12)
        assert own[2] != pytest.approx(whole[2, 0], rel=0.02)
    wide = theory.finite_width_depth_ratios(0.05, 3, 100_000, ["laplace", "uniform", "gaussian"])
    law = theory.depth_ratios(0.05, 3, weights=["laplace", "uniform", "gaussian"])
    np.testing.assert_allclose(wide, law, rtol=2e-3)
    np.testing.assert_array_less(wide, law)


def test_the_law_can_be_differentiated_in_b():
    slope = jax.grad(lambda b: theory.transverse_ratio_limit(b))(0.7)
    assert slope == pytest.approx(2 * 0.7 / (1 - 0.49) ** 2, rel=1e-5)
    assert np.isnan(jax.jit(lambda b: theory.transverse_ratio(0.01, b))(1.5))


def test_what_does_not_fit_is_refused():
    with pytest.raises(InvalidInput, match="weights is one of gaussian, laplace, uniform, student_t:5"):
        theory.transverse_ratio(0.1, "cauchy")
    with pytest.raises(InvalidInput, match=r"0 < E\|w\|/σ < 1"):
        theory.transverse_ratio(0.1, 1.0)
    with pytest.raises(InvalidInput, match="finite E"):
        theory.finite_width_ratio(0.1, 64, 0.77)
    with pytest.raises(InvalidInput, match="finite E"):
        theory.enclose("finite_width_slope", rate="1/10", weights=Fraction(3, 4))
    with pytest.raises(InvalidInput, match=r"4·rate·\(‖x‖⁴/Σx_j⁴\)/E w⁴ >= 1"):
        theory.finite_width_ratio(0.001, 64, "laplace")
    with pytest.raises(InvalidInput, match="OnWeights"):
        theory.block(Ternarize(), weights="laplace")
    with pytest.raises(InvalidInput, match="with weights"):
        theory.enclose("radial_fraction", perturbation="Ternarize(twn)", weights="laplace")
    with pytest.raises(InvalidInput, match="3 weights, one a layer"):
        theory.depth_ratios(0.1, 3, weights=["laplace"])
    with pytest.raises(InvalidInput, match="3 weights, one a layer"):
        theory.enclose("depth_ratios", rate="1/10", depth=3, weights=["laplace"])
    for law in ("transverse_ratio", "residual_limit"):
        with pytest.raises(InvalidInput, match="one law of weights"):
            theory.enclose(law, rate="1/10", weights=["laplace"])
    with pytest.raises(InvalidInput, match="exact number"):
        theory.enclose("depth_ratios", rate="1/10", depth=1, weights=[["laplace"]])
    with pytest.raises(InvalidInput, match=r"2\.npy.*No such file"):
        theory.enclose("transverse_ratio_limit", weights="2.npy")
    assert float(theory.enclose("transverse_ratio_limit", weights=".6")) == 1.5625
    with pytest.raises(InvalidInput, match=r"0 < E\|w\|/σ < 1"):
        empirical_weights(np.ones(5))
    with pytest.raises(InvalidInput, match="whose values are known"):
        jax.jit(lambda w: theory.transverse_ratio(0.01, empirical_weights(w)))(np.ones(5))
    with pytest.raises(InvalidInput, match="one number"):
        Weights("several", np.array([0.7, 0.8]))
    with pytest.raises(InvalidInput, match="one number"):
        jax.jit(lambda b: theory.depth_ratios(0.01, 2, weights=b))(np.array([0.7, 0.8]))
    with pytest.raises(InvalidInput, match=r"1 <= a moment"):
        Weights("no fourth moment", 0.8, third=2.0, fourth=math.inf)
    with pytest.raises(InvalidInput, match=r"E\|w\|·E\|w\|³ >= σ⁴"):
        Weights("nobody's", 0.8, third=2.0, fourth=3.0)
    with pytest.raises(InvalidInput, match=r"0 < E\|w\|/σ < 1"):
        theory.transverse_ratio_limit(10**400)


@pytest.mark.parametrize("degrees", ["2", "-1", "inf", "nan", "1e300"])
def test_degrees_are_named_where_they_are_outside(degrees):
    for refused in (lambda: find_weights(f"student_t:{degrees}"), lambda: student_t(float(degrees))):
        with pytest.raises(InvalidInput, match="2 < degrees <= 1e\\+09"):
            refused()


@pytest.mark.parametrize("law", ["finite_width_ratio", "finite_width_expansion"])
def test_a_first_order_is_refused_where_a_row_holds_too_few_flips_for_it(law):
    """By every way to it: beyond, the ratio of heavy tails goes below 0."""
    heavy, few, many = "student_t:4.01", {"rate": 0.1, "n": 300}, {"rate": 0.5, "n": 1000}
    own = getattr(theory, law)
    for refused in (lambda: own(**few, weights=heavy), lambda: theory.enclose(law, **few, weights=heavy)):
        with pytest.raises(InvalidInput, match=r"4·rate·\(‖x‖⁴/Σx_j⁴\)/E w⁴ >= 1"):
            refused()
    traced = jax.jit(lambda p, n: own(p, n, heavy), static_argnums=1)
    assert np.isnan(traced(few["rate"], few["n"]))
    assert traced(many["rate"], many["n"]) == pytest.approx(float(own(**many, weights=heavy)), rel=1e-4)
    assert 0 < float(theory.enclose(law, **many, weights=heavy)) == pytest.approx(own(**many, weights=heavy))
    assert theory.enclose(law, **few, weights="gaussian") == theory.enclose(law, **few)


def test_an_input_s_first_order_is_refused_likewise():
    x, heavy = np.array([1.0, 2.0, 3.0, 4.0]), "student_t:4.01"
    for law in ("profile_width_ratio", "profile_width_expansion"):
        for refused in (getattr(theory, law), lambda law=law, **given: theory.enclose(law, **given)):
            with pytest.raises(InvalidInput, match="E w⁴ >= 1"):
                refused(rate=0.5, x=x, weights=heavy)
        assert np.isnan(jax.jit(lambda x, law=law: getattr(theory, law)(0.5, x, heavy))(x))


@pytest.mark.parametrize("law", [*DENSITIES, "a matrix"])
def test_draws_have_the_moments(law):
    weights = empirical_weights(np.linspace(-3, 4, 50)) if law == "a matrix" else find_weights(law)
    w = np.asarray(weights.draw(jax.random.key(3), (400, 1000), np.float32), dtype=np.float64)
    error = np.std(np.abs(w)) / math.sqrt(w.size)
    assert abs(np.mean(np.abs(w)) - weights.mean_magnitude) < 4.5 * error
    # Where b differs least between these laws it differs by more than that.
    assert error < 0.02 / 4.5
    assert np.mean(w**2) == pytest.approx(1, abs=0.02)
    assert perturb.moments_under(SignQuantize(), weights).c == pytest.approx(weights.mean_magnitude**2)


def test_a_matrix_s_signs_are_not_used():
    """Of a matrix and of its magnitudes the law is the same, and draws are symmetric."""
    w = np.random.default_rng(2).standard_normal(1000)
    law, of_sizes = empirical_weights(w), empirical_weights(np.abs(w))
    assert law.name == of_sizes.name
    drawn = np.asarray(of_sizes.draw(jax.random.key(0), (200, 500), np.float32))
    assert abs(drawn.mean()) < 4.5 / math.sqrt(drawn.size) < 0.05 * np.abs(drawn).mean()


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_a_matrix_may_have_any_scale(scale):
    w = np.array([1.0, -2.0, 4.0, 0.0])
    assert theory.transverse_ratio_limit(empirical_weights(scale * w)) == pytest.approx(1 / (1 - 49 / 84))


@pytest.mark.parametrize("size", [0.1, 1 / 3, 0.7])
@pytest.mark.parametrize("count", [7, 10, 1000, 4097])
def test_magnitudes_of_one_size_have_no_law_beside_their_signs(size, count):
    """Also where the mean of equal numbers is rounded to another."""
    with pytest.raises(InvalidInput, match=r"0 < E\|w\|/σ < 1"):
        empirical_weights(np.full(count, size))


def test_files_that_hold_no_law_are_refused_by_name(tmp_path):
    paths = {name: tmp_path / f"{name}.npy" for name in ("empty", "packed", "text", "nan", "none")}
    paths["empty"].touch()
    paths["packed"].write_bytes(b"PK\x03\x04 and nothing else")
    paths["text"].write_text("hello")
    np.save(paths["nan"], np.array([1.0, np.nan]))
    for name, path in paths.items():
        with pytest.raises(InvalidInput, match=f"{name}.npy") as caught:
            find_weights(str(path))
        assert ("finite" in str(caught.value)) == (name == "nan")


def test_a_name_has_all_digits():
    """Records know their law by it."""
    assert student_t(5.0).name == "student_t:5"
    assert student_t(5.0000001).name != student_t(5.0).name
    assert find_weights(student_t(5.0000001).name) is student_t(5.0000001)


@pytest.mark.parametrize("b", [np.array(0.6), np.float32(0.6), Fraction(3, 5)])
def test_a_number_is_a_number(b):
    assert theory.transverse_ratio_limit(b) == pytest.approx(1.5625, rel=1e-6)


def test_a_law_of_one_s_own():
    own = Weights("two sizes", 0.9, third=1.2, fourth=1.6)
    assert theory.finite_width_ratio(0.2, 500, own) < theory.transverse_ratio(0.2, own)
