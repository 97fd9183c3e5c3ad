"""Weights that decide are known beforehand, whatever their matrix: also where no derivative sees them."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from conftest import build, with_block
from planted import COLUMNS, SATURATED, SMALL, WEIGHTS, arm, flipped, own_text, planted

from signmag_jax import measure
from signmag_jax.measure import screening
from signmag_jax.measure.pools import OUTLIER, REST, Pools
from signmag_jax.measure.ranking import Ranking
from signmag_jax.measure.singles import costs_of, largest, predicted_costs
from signmag_jax.models import MATRICES, window_nll

HEAVY = 8
LAYERS = tuple(range(SMALL.layers))


def ranked(model, text, heavy=HEAVY):
    pools = Pools.of(model, COLUMNS, LAYERS, MATRICES)
    return screening.rankings(model, text, measure.alpha(model, text), pools, heavy, 0)


@pytest.mark.parametrize("kind", list(WEIGHTS))
def test_a_planted_weight_is_heavy_and_its_price_is_about_right(kind):
    model, (where, _) = planted(kind), WEIGHTS[kind]
    calibration, other = own_text(model, 16, 5), own_text(model, 64, 9)
    found = ranked(model, calibration)
    assert where in found[arm(kind)].places
    price = dict(zip(found[arm(kind)].places, found[arm(kind)].costs, strict=False))[where]
    truth = float((window_nll(flipped(model, where), other) - window_nll(model, other)).mean())
    assert 0.3 * truth < price < 3 * truth + 0.1  # nats, on text of 128 tokens
    assert sum(len(each.places) for each in found.values()) == HEAVY


def test_derivatives_alone_do_not_see_a_saturated_gate():
    """The negative control: it costs most and is among the last of 2,688 weights by `2 G w²`."""
    model, (where, _) = planted(SATURATED), WEIGHTS[SATURATED]
    text = own_text(model, 16, 5)
    listed = largest(predicted_costs(model, text, LAYERS, MATRICES, 0), 2688)
    places = [place for place, _ in listed]
    assert where not in places or places.index(where) > 2000
    found = ranked(model, text)[OUTLIER]
    assert found.places[0] == where
    assert found.costs[0] > 0.5  # nat per token


def test_the_widest_weights_of_a_pool_are_its_own():
    """Also where all of its own are 0, as after pruning, and where it has no column at all."""
    model = build(seed=3, config=SMALL, loud=1.0, dtype=np.float64)
    table = np.array(model.params["blocks"]["gate_proj"])
    table[:, :, COLUMNS["mlp_in"].shape[1] :] = 0
    model = with_block(model, "gate_proj", table)
    none = COLUMNS | {"mlp_mid": np.zeros((SMALL.layers, 0), int)}
    pools = Pools.of(model, none, LAYERS, MATRICES)
    scales = screening.input_scales(measure.alpha(model, own_text(model, 4, 5)), MATRICES)
    for which in (OUTLIER, REST):
        found = [each for layer in screening.widest(model, scales, pools, which) for each in layer]
        assert found
        assert all(pools.member(each.name, which)[each.layer, each.column] for each in found)


def test_a_flip_within_its_layer_changes_what_the_next_normalisation_makes():
    """Against a whole model of as many layers whose weight is flipped."""
    model, (where, _) = planted("v"), WEIGHTS["v"]
    text = own_text(model, 4, 5)
    one = dataclasses.replace(model.config, layers=1)

    def first_layer(each):
        blocks = {name: table[:1] for name, table in each.params["blocks"].items()}
        params = each.params | {"blocks": blocks, "norm": jnp.ones(SMALL.hidden)}
        return np.asarray(screening.hidden(one, params, jnp.asarray(text)))

    change = np.mean((first_layer(flipped(model, where)) - first_layer(model)) ** 2)
    found = screening.within_layers(model, text, {"any": [[where], []]})
    assert found["any"][where] == pytest.approx(change, rel=1e-9)
    assert change > 0.01


def test_a_loss_that_is_not_finite_counts_like_knowing_nothing():
    model = build(seed=3, config=SMALL, loud=1.0, dtype=np.float64)
    text = own_text(model, 2, 5)
    where, _ = WEIGHTS["down"]
    broken = model.replace(params=model.params | {"norm": model.params["norm"] * np.inf})
    (found,) = screening.tried_costs(broken, text, [where]).values()
    assert found == (pytest.approx(np.log(SMALL.vocabulary)), False)
    (known,) = screening.tried_costs(model, text, [where]).values()
    assert known.finite


def test_what_hardly_any_draw_hits_is_bounded_from_its_ranking():
    ranking = Ranking((WEIGHTS["down"][0],), (9.0,), (4.0, 2.0, 1.0))
    assert ranking.largest_left == 4.0
    assert ranking.hardly_seen(0.1, 30) == pytest.approx(0.1 * 4.0)
    assert ranking.hardly_seen(0.1, 15) == pytest.approx(0.1 * 6.0)
    assert ranking.hardly_seen(0.1, 1) == pytest.approx(0.1 * 7.0)
    full = Ranking(left=(2.0,) * 100, beyond=2.0)
    assert full.hardly_seen(1e-4, 3) == pytest.approx(1e-4 * 2.0 * 10_000)
    assert Ranking.of_record(ranking.to_record(), SMALL) == ranking
    assert ranking.without_heavy().hardly_seen(0.1, 30) == pytest.approx(0.1 * 9.0)


def test_heavy_weights_go_to_the_pool_whose_mean_they_carry():
    places = [WEIGHTS["down"][0]._replace(row=row) for row in range(4)]
    tried = {OUTLIER: dict.fromkeys(places, 1.0), REST: dict.fromkeys(places, 3.0)}
    assert screening._heavy(tried, {OUTLIER: 2.0, REST: 60.0}, 4) == {OUTLIER: places, REST: []}


def test_costs_of_the_steepest_are_read_where_they_were_not_chosen():
    """Against the mean over many random signs; the control is read from the windows that chose."""
    model, seeds = build(seed=3, config=SMALL, loud=1.0, dtype=np.float64), 40
    text, pools = own_text(model, 2, 5), Pools.of(model, COLUMNS, LAYERS, MATRICES)

    def mean(half):
        tables = [predicted_costs(model, text, LAYERS, MATRICES, seed, half) for seed in range(100, 160)]
        return {name: sum(table[name] for table in tables) / len(tables) for name in MATRICES}

    truth, ratios = [mean(half) for half in (slice(0, None, 2), slice(1, None, 2))], []
    for seed in range(seeds):
        found, read, _ = screening._steepest(model, text, pools, seed)
        place, chosen = found[REST][0]
        both = zip((chosen, read[REST][0]), truth, strict=True)
        ratios.append([one / costs_of(table, [place])[0] for one, table in both])
    (chosen, apart), errors = np.mean(ratios, axis=0), np.std(ratios, axis=0, ddof=1) / np.sqrt(seeds)
    assert errors.max() < 0.4
    assert abs(apart - 1) < 4 * errors[1]
    assert chosen > 1 + 4 * errors[0]
