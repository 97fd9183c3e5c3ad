"""Planted decisive weights: strata leave the mean alone and cover it, plain draws do not."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import MINUTE, build, with_block

from signmag_jax import measure
from signmag_jax.evidence import InvalidInput, bootstrap
from signmag_jax.measure.leverage import draws_of
from signmag_jax.measure.place import Place
from signmag_jax.measure.pools import OUTLIER, REST
from signmag_jax.measure.strata import RANKED, Ranking, Stratified
from signmag_jax.models import MATRICES, logits

SMALL = dataclasses.replace(MINUTE, vocabulary=60, hidden=16, intermediate=20)
WIDTH = {"attention_in": 16, "attention_out": 8, "mlp_in": 16, "mlp_mid": 20}
COLUMNS = {site: np.tile(np.arange(n // 4), (SMALL.layers, 1)) for site, n in WIDTH.items()}
"""A quarter of the columns, the first of each site, is called outliers."""
RATE, DRAWS, WINDOWS = 0.05, 11, 16
DOWN = MATRICES.index("down_proj")
PLACE = {OUTLIER: Place(DOWN, 1, 2, 1), REST: Place(DOWN, 1, 5, 12)}
PLANTED = {"numerator": (OUTLIER,), "denominator": (REST,), "neither": ()}


def own_text(model, count, seed):
    """Windows that the model wrote itself: its loss is minimal in the mean, so that flips cost."""
    forward = jax.jit(lambda tokens: logits(model.config, model.params, tokens))
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, model.config.vocabulary, (count, 9)).astype(np.int32)
    for at in range(1, 9):
        scores = np.asarray(forward(jnp.asarray(tokens)))[:, at - 1]
        tokens[:, at] = (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)
    return tokens


@functools.cache
def planted(name):
    """A model with a decisive weight in some pool, and text: (calibration, evaluation)."""
    model = build(seed=3, config=SMALL, loud=1.0, dtype=np.float64, scale=0.4)
    table = np.array(model.params["blocks"]["down_proj"])
    for arm in PLANTED[name]:
        _, layer, row, column = PLACE[arm]
        table[layer, row, column] = 25.0
    model = with_block(model, "down_proj", table)
    chosen = np.random.default_rng(1).integers(0, SMALL.vocabulary, (8, 9)).astype(np.int32)
    return model, (chosen, own_text(model, 160, 2))


def run(name, seed, heavy=4, draws=DRAWS, windows=WINDOWS):
    """Of so many of the windows, another choice with every seed."""
    model, (calibration, every) = planted(name)
    chosen = np.random.default_rng(seed).choice(len(every), windows, replace=False)
    return measure.leverage(
        model,
        calibration,
        every[chosen],
        rates=(RATE,),
        draws=draws,
        columns=COLUMNS,
        seed=seed,
        heavy=heavy,
    )


@functools.cache
def plain(name, draws=1200):
    """Draws without strata, and what they say of the truth: a route of its own."""
    return run(name, 10**6, heavy=0, draws=draws, windows=160).rates[0]


@pytest.fixture(scope="module")
def stratified():
    """Draws of 13 flips in each arm with three heavy weights in the rest, two of them in one matrix."""
    pools = run("neither", 0, heavy=0, draws=2).pools
    places = (PLACE[REST], PLACE[REST]._replace(row=7), PLACE[REST]._replace(layer=0))
    ranked = {OUTLIER: Ranking((), ()), REST: Ranking(places, (3.0, 1.0, 2.0, 0.1))}
    return Stratified.of(draws_of(pools, 40, 5), ranked)


def drawn(stratified, coordinates):
    """The weights of one draw."""
    found = set()
    for name, (rows, columns) in coordinates.items():
        for layer, slot in np.argwhere(np.asarray(rows) < stratified.draws.pools.outputs[name]):
            found.add((MATRICES.index(name), int(layer), int(rows[layer, slot]), int(columns[layer, slot])))
    return found


def test_light_draws_are_uniform_over_the_other_weights(stratified):
    count, hits = 300, {}
    for draw in range(count):
        plan, coordinates = stratified.light(REST, draw)
        weights = drawn(stratified, {"down_proj": coordinates["down_proj"]})
        assert len(weights) == np.asarray(plan.drawn["down_proj"]).sum()
        assert not weights & set(stratified.heavy[REST])
        for weight in weights:
            hits[weight] = hits.get(weight, 0) + 1
    size = 2 * stratified.draws.pools.matrix_size("down_proj", REST) - 3
    found = np.zeros(size)
    found[: len(hits)] = list(hits.values())
    part = found.mean() / count
    # Exactly so many a draw: the sum of squares has one degree of freedom less, as in a chi-squared test.
    chi = ((found - found.mean()) ** 2).sum() / (count * part * (1 - part))
    assert abs(chi - (size - 1)) < 4 * np.sqrt(2 * size)


def test_joint_draws_weigh_as_often_as_a_draw_flips_any_heavy_weight(stratified):
    weights, seen = [], []
    for draw in range(400):
        plan, coordinates, flipped, weight = stratified.joint(REST, draw)
        here = drawn(stratified, {"down_proj": coordinates["down_proj"]})
        assert flipped
        assert {stratified.heavy[REST][i] for i in flipped} == here & set(stratified.heavy[REST])
        assert len(here) == np.asarray(plan.drawn["down_proj"]).sum()
        weights.append(weight)
        seen.append(0 in flipped)
    rates = stratified.mean_rates(REST, 400)
    size = stratified.draws.pools.matrix_size("down_proj", REST)
    pair = rates[0] * (rates[0] * size - 1) / (size - 1)
    some = 1 - (1 - 2 * rates[0] + pair) * (1 - rates[2])
    for found, truth in ((weights, some), (np.asarray(weights) * seen, rates[0])):
        error = np.std(found, ddof=1) / 20
        assert error < 0.1 * truth
        assert abs(np.mean(found) - truth) < 4 * error


@pytest.mark.parametrize("name", ["numerator", "denominator"])
def test_the_planted_weight_is_found_and_its_cost_is_exact(name):
    found = run(name, 0, draws=4, windows=160)
    (arm,) = PLANTED[name]
    assert found.heavy[arm].places[0] == PLACE[arm]
    model, text = planted(name)
    flipped = np.array(model.params["blocks"]["down_proj"])
    flipped[PLACE[arm][1:]] *= -1
    clean, other = (
        measure.nll(each, text[1], batch=160).value
        for each in (model, with_block(model, "down_proj", flipped))
    )
    assert found.costs[arm][0].mean() == pytest.approx(other - clean, rel=1e-6)
    assert found.rates[0].strata[arm].known.mean() > 0.5 * RATE * (other - clean)
    assert (
        "never drawn"
        in found.summary()[f"rate {RATE:g}, {found.rates[0].flips} flips: left to chance, {arm}"]
    )


@pytest.mark.parametrize("arm", ["outlier", "rest"])
def test_what_hardly_any_draw_hits_is_bounded_from_its_ranking(arm):
    place = PLACE[arm]
    ranking = Ranking((place,), (9.0, 4.0, 2.0, 1.0))
    assert ranking.largest_left == 4.0
    assert ranking.hardly_seen(0.1, 30) == pytest.approx(0.1 * 4.0)
    assert ranking.hardly_seen(0.1, 15) == pytest.approx(0.1 * 6.0)
    assert ranking.hardly_seen(0.1, 1) == pytest.approx(0.1 * 7.0)
    full = Ranking((), tuple(np.full(RANKED, 2.0)))
    assert full.hardly_seen(1e-4, 3) == pytest.approx(1e-4 * 2.0 * 10_000)


def test_bad_numbers_of_heavy_weights_are_refused():
    with pytest.raises(InvalidInput, match="0 <= heavy"):
        run("neither", 0, heavy=-1)


def percentiles(rng, top, bottom):
    """The crossed bootstrap of a ratio: draws of both arms and their common windows."""
    windows = bootstrap.resample(rng, top.shape[1], 400)
    means = [
        bootstrap.weighted(table, bootstrap.resample(rng, len(table), 400), windows)
        for table in (top, bottom)
    ]
    return np.quantile(means[0] / means[1], (0.025, 0.975))


def by_percentiles(name):
    """How often the crossed bootstrap of plain draws covers the ratio, groups of draws drawn again."""
    one, rng = plain(name), np.random.default_rng(3)
    tables = [one.samples[arm] for arm in (OUTLIER, REST)]
    truth, hits = tables[0].mean() / tables[1].mean(), []
    for _ in range(400):
        windows = rng.choice(tables[0].shape[1], WINDOWS, replace=False)
        few = [table[rng.choice(len(table), DRAWS, replace=False)][:, windows] for table in tables]
        low, high = percentiles(rng, *few)
        hits.append(low <= truth <= high)
    return float(np.mean(hits))


def by_strata(name, runs):
    """Coverage of the ratio over draws and windows, where it is resolved, and how often that is."""
    one = plain(name)
    means = [one.damage[arm].estimate for arm in (OUTLIER, REST)]
    truth = means[0].value / means[1].value
    found = [run(name, seed).rates[0].leverage.interval for seed in range(runs)]
    kept = [each for each in found if each]
    return float(np.mean([each.low <= truth <= each.high for each in kept])), len(kept) / runs


@pytest.mark.slow  # hundreds of measurements
@pytest.mark.parametrize("name", list(PLANTED))
def test_coverage_with_planted_weights(name):
    """Prints a line of the table in CONTRIBUTING."""
    runs = 100
    covered, resolved = by_strata(name, runs)
    before = by_percentiles(name)
    print(f"\ndecisive weight: {name}; strata {covered:.1%} of {resolved:.0%}, bootstrap {before:.1%}")
    assert resolved > 0.5
    assert covered > 0.95 - 4 * np.sqrt(0.95 * 0.05 / (runs * resolved))
    if PLANTED[name]:
        assert before < 0.85
