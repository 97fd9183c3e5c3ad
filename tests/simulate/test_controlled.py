"""The controlled estimator: the expectation of brute force, a smaller error, honest intervals."""

import jax.numpy as jnp
import numpy as np
import pytest

from signmag_jax import simulate
from signmag_jax.evidence import InvalidInput
from signmag_jax.simulate import block_network

SIZES = {"width": 128, "inputs": 256}


@pytest.mark.parametrize(("rate", "gain"), [(0.01, 2.5), (0.2, 2)])
def test_same_expectation_smaller_error(rate, gain):
    found = simulate.block(**SIZES, rate=rate, networks=600, seed=1, controlled=True)
    brute, controlled = found.transverse_ratio, found.controlled_ratio
    independent = simulate.block(**SIZES, rate=rate, networks=600, seed=2)
    assert controlled.standard_error < brute.standard_error / gain
    assert abs(controlled.distance(independent.transverse_ratio)) < 4
    # Paired: what the controls took away is explained by the error they removed.
    removed = np.sqrt(brute.standard_error**2 - controlled.standard_error**2)
    assert abs(brute.value - controlled.value) < 4 * removed
    # Nobody asked for them there.
    assert independent.controlled_ratio is None
    assert independent.to_json()["controlled_ratio"] is None


@pytest.mark.slow  # a published width; smaller ones agree with brute force
def test_flips_per_row_law_at_512():
    found = simulate.block(512, 0.01, inputs=1024, networks=48, seed=3, controlled=True).controlled_ratio
    assert found.standard_error < 0.0007
    assert abs(found.value - 2.64408) < 4 * found.standard_error
    for wrong in (2.66829, 2.65583, 2.62260):
        assert abs(found.value - wrong) > 8 * found.standard_error


def test_too_few_networks_for_the_controls_are_refused_before_anything_is_computed():
    message = "`networks >= 28 with control variates` is required, received 27"
    for width in (32, 2**24):  # nobody could compute the second
        with pytest.raises(InvalidInput, match=message):
            simulate.block(width, 0.1, inputs=32, networks=27, controlled=True)
    assert simulate.block(**SIZES, rate=0.1, networks=28, controlled=True).controlled_ratio is not None


def test_targets_refer_to_the_controlled_estimate():
    found = simulate.block(**SIZES, rate=0.1, standard_error=0.004, seed=4, controlled=True)
    assert found.controlled_ratio.standard_error <= 0.004 < found.transverse_ratio.standard_error


def test_a_control_with_a_wrong_mean_would_be_seen(monkeypatch):
    """Control: without the trace subtracted, the regression moves the estimate."""

    def uncentred(left, right, a, b):
        return jnp.mean(jnp.sum(left * right, axis=0).astype(jnp.float64)) / a.shape[0]

    monkeypatch.setattr(block_network, "excess", uncentred)
    # Of a number of inputs that no other test has compiled a program for.
    wrong = simulate.block(128, 0.01, inputs=130, networks=300, seed=6, controlled=True).controlled_ratio
    monkeypatch.undo()
    right = simulate.block(**SIZES, rate=0.01, networks=300, seed=6, controlled=True).controlled_ratio
    assert abs(wrong.distance(right)) > 8
