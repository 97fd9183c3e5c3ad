"""Estimate: nothing undefined gets in, and JSON brings back the same number."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signmag_jax.evidence import Estimate, InvalidInput

finite = st.floats(-1e300, 1e300)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_undefined_numbers_are_refused(bad):
    with pytest.raises(InvalidInput, match="UNRESOLVED"):
        Estimate(bad, 0.1, 3)
    with pytest.raises(InvalidInput, match="`value and standard_error finite`"):
        Estimate(1.0, bad, 3)
    with pytest.raises(InvalidInput):
        Estimate(np.array([1.0, bad]), np.array([0.1, 0.1]), 3)


def test_shape_and_sign_of_the_error_are_checked():
    with pytest.raises(InvalidInput, match="one standard error for each value"):
        Estimate(np.ones(3), 0.1, 3)
    with pytest.raises(InvalidInput, match="`standard_error >= 0`"):
        Estimate(1.0, -0.1, 3)
    with pytest.raises(InvalidInput, match="at least 2 samples"):
        Estimate.of_samples([1.0], estimator="mean")


def test_of_samples_is_the_textbook_standard_error():
    samples = np.random.default_rng(0).normal(3, 2, (50, 4))
    found = Estimate.of_samples(samples, estimator="mean", unit="nat/token")
    by_hand = np.sqrt(((samples - samples.mean(0)) ** 2).sum(0) / 49 / 50)
    np.testing.assert_allclose(found.value, samples.mean(0), rtol=1e-14)
    np.testing.assert_allclose(found.standard_error, by_hand, rtol=1e-13)
    assert (found.n, found.unit) == (50, "nat/token")


@given(finite, st.floats(0, 1e300), st.integers(0, 10**9))
def test_json_round_trip_is_exact(value, error, n):
    found = Estimate(value, error, n, "nat", "mean", {"seed": 3}, ("1.5", "1e-30"))
    text = json.dumps(found.to_json(), allow_nan=False)
    back = Estimate.from_json(json.loads(text))
    assert (back.value, back.standard_error, back.n, back.unit) == (value, error, n, "nat")
    assert (back.estimator, back.provenance, back.enclosure) == ("mean", {"seed": 3}, ("1.5", "1e-30"))


def test_distance_is_signed_and_infinite_between_different_exact_values():
    assert Estimate(1.0, 0.3, 9).distance(Estimate(3.0, 0.4, 9)) == pytest.approx(-4)
    assert Estimate.exact(2.0).distance(Estimate.exact(2.0)) == 0
    assert Estimate.exact(2.0).distance(Estimate.exact(1.0)) == np.inf


def test_intervals_have_students_tails():
    """Of 9 samples 95% lie within 2.306 errors; of a number whose samples are not known, within 1.96."""
    low, high = Estimate(1.0, 0.5, 9).interval()
    assert (1 - low, high - 1) == pytest.approx((1.153, 1.153), abs=1e-3)
    for many_or_unknown in (10**9, 1, 0):
        assert Estimate(1.0, 0.5, many_or_unknown).interval(2.0) == pytest.approx((0, 2), abs=1e-7)
