"""The registry: every law is reachable by name, becomes an Estimate, and refuses what does not fit."""

import numpy as np
import pytest

from signmag_jax import theory
from signmag_jax.evidence import Estimate, InvalidInput
from signmag_jax.perturb import Compose, Prune, SignFlip, Ternarize

EXAMPLES = {
    "rate": 0.02,
    "alpha": 0.2,
    "n": 100,
    "rows": 64,
    "depth": 3,
    "share": 0.3,
    "fraction": 0.05,
    "perturbation": SignFlip(0.1),
    "alpha_squared": np.array([0.5, 0.25, 0.25]),
    "column_norm_squared": np.array([1.0, 2.0, 3.0]),
    "pool": np.array([True, False, False]),
    "x": np.array([1.0, -2.0, 0.5]),
}


@pytest.mark.parametrize("name", theory.LAWS)
def test_every_law_gives_an_exact_estimate(name):
    law = theory.LAWS[name]
    arguments = {argument: EXAMPLES[argument] for argument in law.required}
    estimate = theory.estimate(name, **arguments)
    assert isinstance(estimate, Estimate)
    assert np.all(np.asarray(estimate.standard_error) == 0)
    assert estimate.provenance["law"] == name
    assert set(law.required) <= set(law.arguments)
    assert law.doc
    assert law.source
    np.testing.assert_array_equal(estimate.value, law.function(**arguments))
    assert Estimate.from_json(estimate.to_json()).estimator == estimate.estimator


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
    with pytest.raises(InvalidInput, match=r"arguments of transverse_ratio are \(rate\)"):
        theory.estimate("transverse_ratio", p=0.1)
    with pytest.raises(InvalidInput, match=r"0 < rate <= 0.5"):
        theory.estimate("transverse_ratio", rate=0.7)
