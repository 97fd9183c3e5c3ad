"""The registry: every law is reachable by name, becomes an Estimate, and refuses what does not fit."""

import dataclasses

import law_examples
import numpy as np
import pytest
from symbols import symbolic

from signmag_jax import theory
from signmag_jax.evidence import Estimate, InvalidInput
from signmag_jax.perturb import Compose, Prune, SignFlip, Ternarize
from signmag_jax.theory.balls import BALLS


@pytest.mark.parametrize("name", theory.LAWS)
def test_every_law_gives_an_exact_estimate(name):
    law = theory.LAWS[name]
    arguments = law_examples.arguments(law)
    estimate = theory.estimate(name, **arguments)
    assert isinstance(estimate, Estimate)
    assert np.all(np.asarray(estimate.standard_error) == 0)
    assert estimate.provenance["law"] == name
    assert set(law.required) <= set(law.arguments)
    assert law.doc
    assert law.source
    assert Estimate.from_json(estimate.to_json()).estimator == estimate.estimator
    if name in BALLS:
        balls = theory.enclose(name, **arguments)
        exact = [float(ball) for ball in balls] if isinstance(balls, list) else float(balls)
        np.testing.assert_allclose(estimate.value, exact, rtol=1e-12)


def modules(name):
    """The last part of the names of the modules in which the law stands: as numbers, symbols and balls."""
    forms = [theory.LAWS[name].function, getattr(symbolic, name, None), BALLS.get(name)]
    return {form.__module__.rpartition(".")[2] for form in forms if form is not None}


@pytest.mark.parametrize("name", theory.LAWS)
def test_a_law_stands_in_modules_of_one_name(name):
    assert len(modules(name)) == 1


@pytest.mark.parametrize("family", ["numbers", "symbols", "balls"])
def test_a_law_that_was_moved_is_noticed(family, monkeypatch):
    def moved():
        """A form of the law in another module: this one."""

    if family == "numbers":
        law = dataclasses.replace(theory.LAWS["column_ratio_bound"], function=moved)
        monkeypatch.setitem(theory.LAWS, "column_ratio_bound", law)
    elif family == "symbols":
        monkeypatch.setattr(symbolic, "column_ratio_bound", moved)
    else:
        monkeypatch.setitem(BALLS, "column_ratio_bound", moved)
    assert modules("column_ratio_bound") == {"columns", __name__.rpartition(".")[2]}


def test_the_estimator_says_when_an_integral_was_computed():
    composed = Compose(Prune(0.4), Ternarize())
    for name, arguments, expected in (
        ("radial_fraction", {"perturbation": SignFlip(0.1)}, "closed form"),
        ("radial_fraction", {"perturbation": SignFlip(0.1), "activation": "silu"}, "quadrature"),
        ("radial_fraction", {"perturbation": composed}, "quadrature"),
        ("radial_fraction", {"perturbation": Compose(SignFlip(0.1), Ternarize())}, "closed form"),
        ("chain_ratios", {"rate": 0.1, "depth": 1, "activation": "silu"}, "recursion, quadrature"),
    ):
        assert theory.estimate(name, **arguments).estimator == expected


def test_what_does_not_fit_is_refused():
    with pytest.raises(InvalidInput, match=r"law is a name in theory.LAWS"):
        theory.estimate("transverse", rate=0.1)
    with pytest.raises(InvalidInput, match=r"arguments of transverse_ratio are \(rate, weights\)"):
        theory.estimate("transverse_ratio", p=0.1)
    with pytest.raises(InvalidInput, match=r"0 < rate <= 0.5"):
        theory.estimate("transverse_ratio", rate=0.7)
