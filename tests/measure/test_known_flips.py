"""The control variate: which draws flipped which weights, and a mean that it leaves alone."""

import dataclasses

import numpy as np
import pytest
from conftest import MINUTE

from signmag_jax import measure
from signmag_jax.measure import known_flips, singles
from signmag_jax.measure.comparison import RateLeverage
from signmag_jax.models import MATRICES

PLACES = [
    singles.Place(MATRICES.index(name), *(int(i) for i in where))
    for name in MATRICES
    for where in np.ndindex((MINUTE.layers, *MINUTE.shapes()[name]))
]
RATES = (0.1, 0.7)
"""The second flips more than half of the pool: the weights that stay are drawn."""


@pytest.fixture(scope="module")
def found(minute, minute_text):
    return measure.leverage(minute, *minute_text, rates=RATES, seeds=20, fraction=0.2, root=3)


@pytest.mark.parametrize("index", range(len(RATES)))
@pytest.mark.parametrize("arm", ["outlier", "rest"])
def test_every_draw_flips_exactly_its_weights(found, index, arm):
    one = found.rates[index]
    flipped, expected = known_flips.draws_of(found.pools, one, arm, 3, PLACES)
    assert (flipped.sum(axis=1) == one.flips).all()
    np.testing.assert_allclose(expected.sum(axis=1), one.flips, rtol=1e-9)
    member = expected.any(axis=0)
    assert member.sum() == found.pool_sizes[arm]
    assert not flipped[:, ~member].any()
    # each weight about as often as it should be: the scatter of 20 draws, and not always the same weights
    share = one.flips / found.pool_sizes[arm]
    often = flipped[:, member].mean(axis=0)
    assert often.std() == pytest.approx(np.sqrt(share * (1 - share) / 20), rel=0.25)
    other, _ = known_flips.draws_of(found.pools, one, arm, 4, PLACES)
    assert (other != flipped).any(axis=1).all()


@pytest.mark.parametrize("index", range(len(RATES)))
def test_the_draws_are_those_of_the_measurement(minute, minute_text, found, index):
    """The loss with the signs flipped that are said to be: each draw's own ΔNLL, and no other draw's."""
    one = found.rates[index]
    flipped, _ = known_flips.draws_of(found.pools, one, "outlier", 3, PLACES)
    windows = minute_text[1]
    clean = measured_loss(minute, windows, np.zeros(len(PLACES), bool))
    for draw in (0, 7):
        damage = measured_loss(minute, windows, flipped[draw]) - clean
        np.testing.assert_allclose(damage, one.samples["outlier"][draw], rtol=1e-6, atol=1e-9)
        assert not np.allclose(damage, one.samples["outlier"][draw + 1], rtol=1e-3)


def measured_loss(model, windows, flipped):
    import jax.numpy as jnp

    from signmag_jax.models import token_nll

    blocks = {name: np.array(model.params["blocks"][name]) for name in MATRICES}
    for place, flip in zip(PLACES, flipped, strict=True):
        if flip:
            blocks[place.name][place.layer, place.row, place.column] *= -1
    params = model.params | {
        "blocks": model.params["blocks"] | {n: jnp.asarray(w) for n, w in blocks.items()}
    }
    return np.asarray(token_nll(model.config, params, jnp.asarray(windows))).mean(axis=1)


def test_the_mean_stays_and_the_luck_goes():
    """Draws whose damage is that of a few heavy weights: without the control variate they scatter."""
    rng = np.random.default_rng(0)
    costs = rng.exponential(1.0, (4, 8))
    wins = []
    for _ in range(200):
        flipped = rng.random((6, 4)) < 0.1
        table = flipped @ costs + 0.01 * rng.normal(size=(6, 8))
        wins.append(((table - (flipped - 0.1) @ costs).mean(), table.mean()))
    controlled, plain = np.asarray(wins).T
    truth = 0.1 * costs.sum(axis=0).mean()
    assert abs(controlled.mean() - truth) < 5 * controlled.std() / np.sqrt(200)
    assert controlled.std() < 0.05 * plain.std()


def test_draws_are_corrected_by_what_they_flipped_and_by_nothing_else(found):
    place = PLACES[::37]
    costs = np.random.default_rng(2).exponential(3.0, (len(place), 1)) * np.ones(16)
    loaded = []
    for one in found.rates:
        tables = {}
        for arm, table in one.samples.items():
            flipped, _ = known_flips.draws_of(found.pools, one, arm, 3, place)
            tables[arm] = table + flipped @ costs
        loaded.append(RateLeverage.of(one.rate, one.flips, tables, floor=found.noise_floor))
    heavy = dataclasses.replace(found, rates=tuple(loaded))
    corrected = known_flips.controlled(heavy, place, costs)
    for light, with_them, without in zip(found.rates, loaded, corrected, strict=True):
        for arm in ("outlier", "rest"):
            _, expected = known_flips.draws_of(found.pools, light, arm, 3, place)
            np.testing.assert_allclose(
                without.samples[arm], light.samples[arm] + expected @ costs, atol=1e-12
            )
            error = without.damage[arm].estimate.standard_error
            assert error < 0.7 * with_them.damage[arm].estimate.standard_error
    assert known_flips.controlled(found, [], np.zeros((0, 16)))[0] is found.rates[0]
    broken = dataclasses.replace(
        found,
        rates=(
            RateLeverage.of(0.1, 3, {a: np.full((2, 16), np.nan) for a in ("outlier", "rest")}, floor=0.0),
        ),
    )
    assert known_flips.controlled(broken, place, costs)[0] is broken.rates[0]
