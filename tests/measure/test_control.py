"""The control variate: what each draw flipped, what derivatives say of it, and a mean left alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import MINUTE

from signmag_jax import measure
from signmag_jax.evidence import InvalidInput
from signmag_jax.measure import control
from signmag_jax.measure.comparison import RateLeverage
from signmag_jax.models import MATRICES, SITE_OF, token_nll

PLACES = tuple(
    measure.Place(MATRICES.index(name), *(int(i) for i in where))
    for name in MATRICES
    for where in np.ndindex((MINUTE.layers, *MINUTE.shapes()[name]))
)
SOME = PLACES[::40]
RATES = (0.02, 0.7)
"""The second flips more than half of the outlier pool: the weights that stay are drawn."""
DRAWS = 8


@pytest.fixture(scope="module")
def found(minute, minute_text):
    return measure.leverage(minute, *minute_text, rates=RATES, draws=DRAWS, fraction=0.2, seed=3)


@pytest.fixture(scope="module")
def response(minute, minute_text):
    return measure.linear_response(minute, *minute_text, probes=2, singles=SOME, fraction=0.2)


@pytest.fixture(scope="module")
def masks(found):
    """By rate and arm, which of all weights each draw flipped, and how probable that was."""
    made = {}
    for one in found.rates:
        known = control._Known(control.draws_of(found.pools, one.flips, 3), one.draws, PLACES)
        for arm in control.ARMS:
            pairs = [known.flipped(arm, *draw) for draw in known.made(arm)]
            made[one.rate, arm] = tuple(np.stack(part) for part in zip(*pairs, strict=True))
    return made


@pytest.fixture(scope="module")
def slopes(minute, minute_text):
    """`−2 g w` of every weight on every window, dense."""

    def loss(blocks, window):
        params = minute.params | {"blocks": minute.params["blocks"] | blocks}
        return token_nll(MINUTE, params, window[None]).mean()

    blocks = {name: minute.params["blocks"][name] for name in MATRICES}
    gradient = jax.jit(jax.grad(loss))
    rows = []
    for window in minute_text[1]:
        g = gradient(blocks, jnp.asarray(window))
        rows.append(np.concatenate([-2 * np.ravel(g[name] * blocks[name]) for name in MATRICES]))
    return np.stack(rows, axis=1)


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
    clean = loss_of(minute, minute_text[1], np.zeros(len(PLACES), bool))
    for draw in (0, 6):
        damage = loss_of(minute, minute_text[1], flipped[draw]) - clean
        np.testing.assert_allclose(damage, one.samples["outlier"][draw], rtol=1e-6, atol=1e-9)
        assert not np.allclose(damage, one.samples["outlier"][draw + 1], rtol=1e-3)


def loss_of(model, windows, flipped):
    blocks = {name: np.array(model.params["blocks"][name]) for name in MATRICES}
    for place, flip in zip(PLACES, flipped, strict=True):
        if flip:
            blocks[place.name][place.layer, place.row, place.column] *= -1
    changed = {name: jnp.asarray(w) for name, w in blocks.items()}
    params = model.params | {"blocks": model.params["blocks"] | changed}
    return np.asarray(token_nll(model.config, params, jnp.asarray(windows))).mean(axis=1)


def test_what_is_taken_is_the_first_order_of_each_draw_less_its_mean(
    minute, minute_text, found, response, masks, slopes
):
    """Dense masks times dense derivatives; weights of known cost carry that instead."""
    cost = slopes.copy()
    cost[[PLACES.index(place) for place in SOME]] = response.costs
    corrected = measure.controlled(minute, minute_text[1], found, response)
    for before, after in zip(found.rates, corrected.rates, strict=True):
        for arm in control.ARMS:
            flipped, expected = masks[before.rate, arm]
            taken = before.samples[arm] - after.samples[arm]
            np.testing.assert_allclose(taken, (flipped - expected) @ cost, rtol=1e-6, atol=1e-9)
            assert not np.allclose(taken, flipped @ cost, rtol=1e-2)


def test_scatter_goes_and_the_mean_stays(minute, minute_text, found, response, masks, slopes):
    """Draws whose damage is of first order, and some noise: only that and the mean are left."""
    cost = slopes.copy()
    cost[[PLACES.index(place) for place in SOME]] = response.costs
    one = found.rates[0]
    noise = 1e-3 * cost.std() * np.random.default_rng(1).normal(size=(DRAWS, cost.shape[1]))
    tables = {arm: masks[one.rate, arm][0] @ cost + noise for arm in control.ARMS}
    loaded = dataclasses.replace(found, rates=(RateLeverage.of(one.rate, one.flips, tables, floor=0.0),))
    (after,) = measure.controlled(minute, minute_text[1], loaded, response).rates
    for arm in control.ARMS:
        flipped, expected = masks[one.rate, arm]
        np.testing.assert_allclose(after.samples[arm], expected @ cost + noise, rtol=1e-6, atol=1e-9)
        assert after.samples[arm].std() < 0.7 * (flipped @ cost).std()


def test_what_does_not_belong_together_is_refused(minute, minute_text, found, response):
    evaluation = minute_text[1]
    with pytest.raises(InvalidInput, match="own evaluation windows"):
        measure.controlled(minute, evaluation[:-1], found, response)
    once = measure.controlled(minute, evaluation, found, response)
    with pytest.raises(InvalidInput, match="controlled before"):
        measure.controlled(minute, evaluation, once, response)
    other = dataclasses.replace(response, provenance={**response.provenance, "matrices": ["q_proj"]})
    with pytest.raises(InvalidInput, match="same matrices"):
        measure.controlled(minute, evaluation, found, other)
    nothing = {arm: np.full((2, len(evaluation)), np.nan) for arm in control.ARMS}
    broken = dataclasses.replace(
        found, rates=(RateLeverage.of(0.02, found.rates[0].flips, nothing, floor=0.0),)
    )
    assert measure.controlled(minute, evaluation, broken, response).rates[0] is broken.rates[0]
