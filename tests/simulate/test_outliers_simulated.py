"""Single flips and column pools against the exact laws of a given input, and laws that they must reject."""

import numpy as np
import pytest
from agreement import within

from signmag_jax import simulate, theory
from signmag_jax.evidence import InvalidInput
from signmag_jax.perturb import MagnitudeShift


def test_one_flip_at_an_outlier():
    alpha, n = np.array([0.26, 0.6]), 64
    found = simulate.single_flip(n, alpha.tolist(), rows=256, inputs=32, networks=300, seed=1)
    law = theory.flip_amplification(alpha, n)
    assert np.all(found.amplification.standard_error < 0.012 * law)
    assert within(found.amplification, law)
    # The paper's form forgets that the delocalised flip contracts as well, by (4/(3π))/√n = 5%.
    assert not within(found.amplification, n * alpha**2 * (1 - 4 / (3 * np.pi) * alpha))
    # Without a contraction nα² is left.
    assert not within(found.amplification, n * alpha**2)
    # ½(1 − J) at both entries.
    assert within(found.delocalised_energy, found.outlier_energy.value / law)
    # A quotient of few rows is biased upwards by the variance of its denominator.
    assert np.all(found.amplification_per_network.value > found.amplification.value)


def test_a_linear_network_has_no_contraction():
    found = simulate.single_flip(32, 0.5, activation="identity", rows=64, inputs=8, networks=100, seed=2)
    assert within(found.amplification, 32 * 0.25)
    assert within(found.outlier_energy, 4 * 0.25)


RATES = np.array([0.1, 0.3])


@pytest.fixture(scope="module")
def lognormal():
    return simulate.column_pool(64, RATES.tolist(), match="rate", rows=128, inputs=32, networks=400, seed=3)


def lognormal_columns():
    squares = simulate.profile("lognormal", 64)
    return squares, np.arange(64) >= 61


def test_flips_in_the_top_columns(lognormal):
    squares, pool = lognormal_columns()
    law = theory.profile_pool_leverage(RATES, np.sqrt(squares), pool, "rate")
    assert np.all(lognormal.leverage.standard_error < 0.025 * law)
    assert within(lognormal.leverage, law)
    # The law of small errors and that of delocalised pools: three columns are neither.
    assert not within(lognormal.leverage, theory.pool_leverage(squares, 1.0, pool))
    share = squares[pool].sum()
    assert abs(lognormal.share - share) < 1e-12
    assert not within(lognormal.leverage, theory.column_ratio(RATES, share, 3 / 64))


def test_flips_against_shifts_all_over(lognormal):
    squares, _ = lognormal_columns()
    law = theory.profile_width_ratio(RATES, np.sqrt(squares))
    # A rows term of order 1/m, and the shift's own finite width: a tenth of what tells the laws apart.
    wrong = np.abs(law - theory.transverse_ratio(RATES))
    ratio = lognormal.everywhere_ratio
    assert np.all(np.abs(ratio.value - law) < 4 * ratio.standard_error + 0.1 * wrong)
    assert np.all(np.abs(ratio.value - theory.transverse_ratio(RATES)) > 4 * ratio.standard_error)


def test_shifts_in_the_top_columns(lognormal):
    """Few columns: their coherent errors are Gaussian in no sense, and the law misses by a few percent."""
    squares, pool = lognormal_columns()
    law = theory.pool_leverage(squares, 1.0, pool, MagnitudeShift(2 * np.sqrt(RATES)), "rate")
    found = lognormal.shift_leverage
    assert np.all(np.abs(found.value - law) < 4 * found.standard_error + 0.05 * law)


@pytest.mark.parametrize(("profile", "spread"), [("student", 3.0), ("lognormal", 0.5)])
def test_as_many_flips_on_either_side(profile, spread):
    found = simulate.column_pool(
        96, 0.2, profile=profile, spread=spread, fraction=0.25, rows=128, inputs=32, networks=150, seed=4
    )
    squares = simulate.profile(profile, 96, spread)
    pool = np.arange(96) >= 72
    law = theory.profile_pool_leverage(0.2, np.sqrt(squares), pool, "count")
    assert found.leverage.standard_error < 0.03 * law
    assert within(found.leverage, law)
    assert not within(found.leverage, theory.pool_leverage(squares, 1.0, pool))


def test_equal_columns_have_no_leverage():
    found = simulate.column_pool(
        64, RATES.tolist(), profile=[1.0] * 64, fraction=0.5, match="rate", rows=128, inputs=32,
        networks=150, seed=5,
    )  # fmt: skip
    assert within(found.leverage, 1.0)
    assert found.share == 0.5


def test_profiles_are_shares_of_heavy_tails():
    for shape, spread in (("lognormal", 2.0), ("student", 2.5)):
        squares = simulate.profile(shape, 1000, spread)
        assert abs(squares.sum() - 1) < 1e-12
        assert np.all(np.diff(squares) > 0)
        assert squares[-50:].sum() > 0.4
    deviation = np.std(np.log(np.sqrt(simulate.profile("lognormal", 4001, 0.7))))
    assert abs(deviation - 0.7) < 1e-3
    np.testing.assert_allclose(simulate.profile([2e200, 0.0, 6e200], 3), [0.25, 0, 0.75])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"profile": [1.0] * 7}, r"`profile has one square a column` is required, received \(7,\)"),
        ({"profile": [0.0] * 8}, "`profile != 0`"),
        ({"profile": [-1.0] + [1.0] * 7}, "`0 <= profile`"),
        ({"spread": 0.0}, "`0 < spread`"),
        ({"fraction": 1.0}, "`0 < fraction < 1`"),
        ({"rows": 1}, "`rows is an integer >= 2`"),
        ({"rate": 0.6}, "`0 < rate <= 0.5`"),
    ],
)
def test_bad_columns_are_one_clear_line(arguments, message):
    with pytest.raises(InvalidInput, match=message):
        simulate.column_pool(**({"width": 8, "rate": 0.1} | arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": 0.0}, "`0 < alpha < 1` is required, received 0.0"),
        ({"alpha": [0.5, 1.0]}, "`0 < alpha < 1` is required, received 1.0"),
        ({"alpha": 0.99}, r"`alpha\*\*2 \+ 1/width < 1`"),
        ({"alpha": []}, "a list of numbers"),
        ({"width": 2}, "`width is an integer >= 3`"),
        ({"inputs": 0}, "`inputs is an integer >= 1`"),
    ],
)
def test_bad_amplitudes_are_one_clear_line(arguments, message):
    with pytest.raises(InvalidInput, match=message):
        simulate.single_flip(**({"width": 8, "alpha": 0.5} | arguments))


def test_a_side_without_a_flip_has_no_leverage():
    with pytest.raises(InvalidInput, match="`networks >= 50000 at this rate and these sizes`"):
        simulate.column_pool(16, 0.001, rows=2, inputs=2, networks=8)
