"""Every numeric law against its form in symbols: a law without one, or apart from it, is noticed."""

import functools

import mpmath
import numpy as np
import pytest
import sympy as sp
from symbols import symbolic

from signmag_jax import theory
from signmag_jax.evidence import InvalidInput
from signmag_jax.perturb import MagnitudeNoise, MagnitudeShift, SignFlip, SignQuantize, Ternarize
from signmag_jax.theory.symbolic.forms import FORMS, OPTIONS, WITHOUT_FORM

PERTURBATIONS = [
    (SignFlip(0.125), symbolic.sign_flip(sp.Rational(1, 8))),
    (MagnitudeShift(0.5), symbolic.magnitude_shift(sp.Rational(1, 2))),
    (MagnitudeNoise(0.25), symbolic.magnitude_noise(sp.Rational(1, 4))),
    (SignQuantize(), symbolic.sign_quantize()),
    (Ternarize(threshold=0.75, scale=1.25), symbolic.ternarize(sp.Rational(3, 4), sp.Rational(5, 4))),
]
# Each argument as the law takes it and as the form does. Rows hold more than one flip.
EXACT = {
    "rate": [(0.5, sp.Rational(1, 2)), (0.375, sp.Rational(3, 8))],
    "alpha": [(0.25, sp.Rational(1, 4))],
    "n": [(7, sp.Integer(7))],
    "rows": [(16, sp.Integer(16))],
    "depth": [(2, sp.Integer(2))],
    "share": [(0.375, sp.Rational(3, 8))],
    "fraction": [(0.125, sp.Rational(1, 8))],
    "perturbation": PERTURBATIONS,
    "alpha_squared": [(np.array([0.5, 0.25, 0.125, 0.125]), tuple(map(sp.Integer, (4, 2, 1, 1))))],
    "column_norm_squared": [(np.array([1.0, 2.0, 3.0, 0.5]), tuple(map(sp.Integer, (2, 4, 6, 1))))],
    "pool": [(np.array([True, False, True, False]), (True, False, True, False))],
    "x": [(np.array([4.0, -6.0, 5.0, 7.0]), tuple(map(sp.Integer, (4, -6, 5, 7))))],
}
SMALL_ERRORS = [
    (SignFlip(1 / 64), symbolic.sign_flip(sp.Rational(1, 64))),
    (MagnitudeShift(0.25), symbolic.magnitude_shift(sp.Rational(1, 4))),
    (MagnitudeNoise(0.25), symbolic.magnitude_noise(sp.Rational(1, 4))),
]
SMALL = {"rate": [(0.125, sp.Rational(1, 8))], "perturbation": SMALL_ERRORS}
EXPANSIONS = ("transverse_ratio_expansion", "column_ratio_expansion", "radial_fraction_expansion")


def arguments(law):
    """As many sets of arguments as the richest one has values."""
    exact = EXACT | SMALL if law.name in EXPANSIONS else EXACT
    for k in range(max((len(exact[name]) for name in law.required), default=1)):
        chosen = {name: exact[name][k % len(exact[name])] for name in law.required}
        yield tuple({name: pair[side] for name, pair in chosen.items()} for side in (0, 1))


def numbers(form):
    """The values of a form, of each of its parts once: to compile the text of the whole takes seconds."""

    @functools.cache
    def value(part):
        if isinstance(part, sp.Integral):  # one by one: SymPy would evaluate them to sort the terms
            ((t, *ends),) = part.limits
            ends = [sp.lambdify((), end, "mpmath")() for end in ends]
            return sp.Float(mpmath.quad(sp.lambdify(t, part.function, "mpmath"), ends), 25)
        if isinstance(part, sp.Sum):
            ((k, low, high),) = part.limits
            return sp.Add(*(value(part.function.xreplace({k: sp.Integer(i)})) for i in range(low, high + 1)))
        found = part.func(*map(value, part.args)) if part.args else part
        return found.evalf(25) if isinstance(found, sp.Expr) and not found.is_Rational else found

    with mpmath.workdps(25):
        return np.array([float(value(part)) for part in (form if isinstance(form, list) else [form])])


def apart(value, exact):
    """The largest relative difference."""
    return float(np.max(np.abs(np.ravel(value) / exact - 1)))


def test_every_law_names_its_form():
    assert set(FORMS) | set(WITHOUT_FORM) == set(theory.LAWS)
    assert not set(FORMS) & set(WITHOUT_FORM)
    assert all(argument in theory.LAWS[law].arguments for law, argument, _ in OPTIONS)


@pytest.mark.parametrize("name", FORMS)
def test_a_law_is_its_form(name):
    law = theory.LAWS[name]
    for values, exact in arguments(law):
        value, form = law(**values), numbers(FORMS[name](**exact))
        assert apart(value, form) < 1e-12, values
    assert apart(np.ravel(value) * (1 + 1e-10), form) > 1e-11


@pytest.mark.slow
@pytest.mark.parametrize(("name", "argument", "option"), OPTIONS)
def test_so_it_is_with_an_option(name, argument, option):
    law, answered = theory.LAWS[name], 0
    for values, exact in arguments(law):
        try:
            value = law(**values, **{argument: option})
        except InvalidInput:  # heavier tails want more flips in a row
            continue
        assert apart(value, numbers(OPTIONS[name, argument, option](**exact))) < 1e-12
        answered += 1
    assert answered
