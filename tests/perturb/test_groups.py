"""Scales by groups and rows: drawn weights, blocks by brute force, and what has no closed form."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signmag_jax import theory
from signmag_jax.evidence import InvalidInput
from signmag_jax.perturb import (
    Compose,
    Grouped,
    OnWeights,
    Prune,
    SignFlip,
    SignQuantize,
    Ternarize,
    UniformQuantize,
    find_weights,
    moments_under,
)

KEY = jax.random.key(0)
SIGN = SignQuantize()
LAWS = {"gaussian": lambda rng, n: rng.normal(size=n), "laplace": lambda rng, n: rng.laplace(size=n) / 2**0.5}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("size", [2, 5])
def test_moments_are_those_of_drawn_weights(law, size):
    """c = v, told from those of a scale by tensor and of groups one larger."""
    w = LAWS[law](np.random.default_rng(size), (60000, size))
    scale = np.abs(w).mean(axis=1, keepdims=True)
    both = np.stack([(np.abs(w) * scale).mean(axis=1), scale[:, 0] ** 2])
    moments = moments_under(Grouped(SIGN, size), find_weights(law))
    error = both.std(axis=1, ddof=1) / np.sqrt(both.shape[1])
    found = np.array([moments.c, moments.v])
    assert np.all(np.abs(both.mean(axis=1) - found) < 4 * error)
    for other in (SIGN, Grouped(SIGN, size + 1)):
        assert np.all(np.abs(moments_under(other, find_weights(law)).c - found) > 6 * error)


@pytest.mark.parametrize(("size", "width"), [(4, 12), (4, 10), (16, 12), ("row", 10)])
def test_every_group_has_its_own_scale(size, width):
    w = np.random.default_rng(1).normal(size=(3, width)).astype(np.float32)
    expected = w.copy()
    step = width if size == "row" else size
    for row in expected:
        for start in range(0, width, step):
            group = row[start : start + step]
            group[:] = np.abs(group).mean() * np.sign(group)
    found = Grouped(SIGN, size).apply(KEY, w)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_array_equal(Grouped(SIGN, size).apply(KEY, w[0]), found[0])
    assert OnWeights(Grouped(SIGN, size), w).moments().c > OnWeights(SIGN, w).moments().c


def test_groups_draw_apart():
    flipped = Grouped(SignFlip(0.5), 8).apply(KEY, np.ones((4, 16), np.float32))
    groups = np.asarray(flipped).reshape(8, 8)
    assert len(np.unique(groups, axis=0)) > 4


@given(st.integers(2, 10**6), st.floats(0.05, 0.95))
@settings(max_examples=40)
def test_between_all_and_one(size, b):
    """More is kept in smaller groups; noise is v − c²; the error is orthogonal to w'."""
    moments, larger = (Grouped(SIGN, n).moments(b) for n in (size, 2 * size))
    assert b**2 <= larger.c <= moments.c < 1
    assert moments.c == moments.v
    assert moments.noise == pytest.approx(moments.v - moments.c**2, rel=1e-9)
    assert moments.drift == pytest.approx(moments.c - 1, rel=1e-9)


def block(rng, law, size, width, inputs=64):
    """E δ² and E hδ over E h² of one ReLU layer, drawn."""
    w = LAWS[law](rng, (width, width))
    scale = np.abs(w).reshape(width, -1, size).mean(axis=2).repeat(size, axis=1)
    x = rng.normal(size=(width, inputs))
    x /= np.linalg.norm(x, axis=0)
    h, other = (np.maximum(a @ x, 0) for a in (w, scale * np.sign(w)))
    return np.array([((other - h) ** 2).mean(), (h * (other - h)).mean()]) / (h**2).mean()


@pytest.mark.parametrize("law", LAWS)
def test_a_block_by_brute_force(law):
    """Extrapolated in 1/width from two; a scale by tensor is told apart."""
    rng = np.random.default_rng(3)
    small, large = (np.array([block(rng, law, 4, n) for _ in range(150)]) for n in (64, 128))
    found = 2 * large.mean(0) - small.mean(0)
    error = np.sqrt(4 * large.var(0, ddof=1) + small.var(0, ddof=1)) / np.sqrt(150)

    def expected(one):
        energies = theory.block(one, weights=law)
        return np.array([energies.energy, energies.alignment]) / energies.signal

    assert np.all(np.abs(found - expected(Grouped(SIGN, 4))) < 4 * error)
    assert np.all(np.abs(found - expected(SIGN)) > 6 * error)


def test_balls_hold_the_value():
    one = Grouped(SIGN, 32)
    for perturbation, law in ((one, {}), ("SignQuantize@32", {}), (one, {"weights": "laplace"})):
        ball = theory.enclose("radial_fraction", perturbation=perturbation, **law)
        assert float(ball) == pytest.approx(float(theory.radial_fraction(one, **law)), rel=1e-13)
    for name, of_tensor in (("SignQuantize", SIGN), ("Ternarize", Ternarize())):
        rows = theory.enclose("radial_fraction", perturbation=f"{name}@row")
        assert float(rows) == pytest.approx(float(theory.radial_fraction(of_tensor)), rel=1e-13)


def test_other_quantisers():
    """By its own maximum a group of G weights is a tensor of G entries; rows are long."""
    found = Grouped(UniformQuantize(4), 32).moments()
    assert found == UniformQuantize(4, entries=32).moments()
    assert Grouped(Ternarize(), "row").moments() == Ternarize().moments()
    flipped = Compose(SignFlip(0.1), Grouped(SIGN, 4)).moments()
    assert flipped.c == pytest.approx(0.8 * Grouped(SIGN, 4).moments().c)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: Grouped(SIGN, 1), "size is an integer"),
        (lambda: Grouped(SIGN, "column"), "size is an integer"),
        (lambda: Grouped(Ternarize(), 32).moments(), "moments of a sign quantiser in groups"),
        (lambda: Compose(Prune(0.1), Grouped(SIGN, 4)).moments(), "no groups of neighbours"),
        (
            lambda: theory.enclose("radial_fraction", perturbation="Ternarize@32"),
            "a sign quantiser in groups",
        ),
        (lambda: theory.enclose("radial_fraction", perturbation="SignQuantize@x"), "size is an integer"),
        (lambda: theory.block(Grouped(UniformQuantize(4), 8), weights="laplace"), "weights that are not"),
    ],
)
def test_what_has_no_closed_form_is_refused(made, message):
    with pytest.raises(InvalidInput, match=message):
        made()
