"""The control variate: what each draw flipped, what derivatives say of it, and a mean left alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from minute import PLACES, loss_of, weights_of, with_weights

from signmag_jax import measure
from signmag_jax.evidence import InvalidInput
from signmag_jax.measure import control
from signmag_jax.measure.arm_comparison import RateLeverage
from signmag_jax.models import SITE_OF, window_nll

RATES = (0.02, 0.7)
"""The second flips more than half of the outlier pool: the weights that stay are drawn."""
DRAWS = 8


@pytest.fixture(scope="module")
def found(minute, minute_text):
    return measure.leverage(minute, *minute_text, rates=RATES, draws=DRAWS, fraction=0.2, seed=3)


@pytest.fixture(scope="module")
def masks(found):
    """By rate and arm, which of all weights each draw flipped, and how probable that was."""
    made = {}
    for one in found.rates:
        known = control.Known(found.stratified(one, 3), one.draws, PLACES)
        for arm in control.ARMS:
            pairs = [known.flipped(arm, *draw) for draw in known.made(arm)]
            made[one.rate, arm] = tuple(np.stack(part) for part in zip(*pairs, strict=True))
    return made


@pytest.fixture(scope="module")
def slopes(minute, minute_text):
    """`−2 g w` of every weight on every window, dense."""
    weights = weights_of(minute)
    gradient = quick.jit(lambda window: jax.grad(loss_of(minute, window[None]))(jnp.asarray(weights)))
    return np.stack([-2 * np.asarray(gradient(window)) * weights for window in minute_text[1]], axis=1)


@pytest.fixture(scope="module")
def costs(slopes, some, response):
    """The same, and of some weights their exact cost."""
    table = slopes.copy()
    table[[PLACES.index(place) for place in some]] = response.costs
    return table


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("arm", control.ARMS)
def test_every_draw_flips_exactly_its_weights(found, masks, rate, arm):
    flipped, expected = masks[rate, arm]
    flips = next(one.flips for one in found.rates if one.rate == rate)
    assert (flipped.sum(axis=1) == flips).all()
    np.testing.assert_allclose(expected.sum(axis=1), flips, rtol=1e-9)
    member = expected.any(axis=0)
    assert member.sum() <= found.pool_sizes[arm]
    assert not flipped[:, ~member].any()
    outlier = np.array([p.column in found.columns[SITE_OF[p.name]][p.layer] for p in PLACES])
    assert (outlier[member] == (arm == "outlier")).all()
    assert len(np.unique(flipped, axis=0)) == DRAWS


@pytest.mark.parametrize("index", range(len(RATES)))
def test_the_draws_are_those_of_the_measurement(minute, minute_text, found, masks, index):
    """The loss with the signs flipped that are said to be: each draw's own ΔNLL, and no other draw's."""
    one = found.rates[index]
    flipped, _ = masks[one.rate, "outlier"]

    def loss(factors):
        changed = with_weights(minute, weights_of(minute) * factors)
        return window_nll(changed, minute_text[1], batch=16).mean(axis=1)

    for draw in (0, 6):
        damage = loss(1 - 2 * flipped[draw]) - loss(1)
        np.testing.assert_allclose(damage, one.samples["outlier"][draw], rtol=1e-6, atol=1e-9)
        assert not np.allclose(damage, one.samples["outlier"][draw + 1], rtol=1e-3)


@pytest.fixture(scope="module")
def corrected(minute, minute_text, found, response):
    return measure.controlled(minute, minute_text[1], found, response)


def unpriced(found, some):
    """Which of all weights are heavy, and not among those of known cost."""
    heavy = {place for each in found.heavy.values() for place in each.places} - set(some)
    return np.array([place in heavy for place in PLACES])


def check_what_is_taken(found, corrected, masks, costs, some):
    """Dense masks times dense derivatives; weights of known cost carry that instead."""
    for before, after in zip(found.rates, corrected.rates, strict=True):
        for arm in control.ARMS:
            flipped, expected = masks[before.rate, arm]
            taken = before.samples[arm] - after.samples[arm]
            # Where more than half of a pool flips, the heavy weights are drawn, and nothing is said of them.
            costs = np.where(unpriced(found, some)[:, None], 0.0, costs)
            np.testing.assert_allclose(taken, (flipped - expected) @ costs, rtol=1e-6, atol=1e-9)
            assert not np.allclose(taken, flipped @ costs, rtol=1e-2)


def test_what_is_taken_is_the_first_order_of_each_draw_less_its_mean(found, corrected, masks, costs, some):
    check_what_is_taken(found, corrected, masks, costs, some)


def test_without_a_response_derivatives_alone_are_taken(minute, minute_text, found, masks, slopes, costs):
    corrected = measure.controlled(minute, minute_text[1], found)
    assert corrected.provenance[control.CONTROL] == "first derivatives"
    check_what_is_taken(found, corrected, masks, slopes, ())
    with pytest.raises(AssertionError):
        check_what_is_taken(found, corrected, masks, costs, ())


def test_scatter_goes_and_the_mean_stays(minute, minute_text, found, response, masks, costs):
    """Draws whose damage is of first order, and some noise: only that and the mean are left."""
    one = found.rates[0]
    noise = 1e-3 * costs.std() * np.random.default_rng(1).normal(size=(DRAWS, costs.shape[1]))
    tables = {arm: masks[one.rate, arm][0] @ costs + noise for arm in control.ARMS}
    loaded = dataclasses.replace(found, rates=(RateLeverage.of(one.rate, one.flips, tables, floor=0.0),))
    (after,) = measure.controlled(minute, minute_text[1], loaded, response).rates
    for arm in control.ARMS:
        flipped, expected = masks[one.rate, arm]
        np.testing.assert_allclose(after.samples[arm], expected @ costs + noise, rtol=1e-6, atol=1e-9)
        assert after.samples[arm].std() < 0.7 * (flipped @ costs).std()


def test_what_does_not_belong_together_is_refused(minute, minute_text, found, response, corrected):
    evaluation = minute_text[1]
    with pytest.raises(InvalidInput, match="own evaluation windows"):
        measure.controlled(minute, evaluation[:-1], found, response)
    with pytest.raises(InvalidInput, match="controlled before"):
        measure.controlled(minute, evaluation, corrected, response)
    other = dataclasses.replace(response, provenance={**response.provenance, "matrices": ["q_proj"]})
    with pytest.raises(InvalidInput, match="same matrices"):
        measure.controlled(minute, evaluation, found, other)
    nothing = {arm: np.full((2, len(evaluation)), np.nan) for arm in control.ARMS}
    broken = dataclasses.replace(
        found, rates=(RateLeverage.of(0.02, found.rates[0].flips, nothing, floor=0.0),)
    )
    assert measure.controlled(minute, evaluation, broken, response).rates[0] is broken.rates[0]
