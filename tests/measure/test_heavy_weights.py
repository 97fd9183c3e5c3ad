"""Planted decisive weights: strata leave the mean alone and cover it, plain draws do not."""

import functools
import importlib

import numpy as np
import pytest
from planted import COLUMNS, SATURATED, WEIGHTS, flipped, own_text, planted

from signmag_jax import measure
from signmag_jax.claims.levels import LEVELS
from signmag_jax.evidence import InvalidInput, bootstrap
from signmag_jax.measure import screening
from signmag_jax.measure.leverage import draws_of
from signmag_jax.measure.pools import OUTLIER, REST
from signmag_jax.measure.ranking import Ranking
from signmag_jax.measure.stratified import Stratified
from signmag_jax.models import MATRICES
from signmag_jax.models.text import divided

RATE, DRAWS, WINDOWS, EVERY = 0.05, 11, 64, 400
ABOVE, BELOW = SATURATED, "saturated gate, no outlier"
"""Weights that no derivative sees: one carries much of the numerator, the other of the denominator."""
PLANTED = {"numerator": (ABOVE,), "denominator": (BELOW,), "both": (ABOVE, BELOW), "neither": ()}
PLACE = {OUTLIER: WEIGHTS[ABOVE][0], REST: WEIGHTS[BELOW][0]}


@functools.cache
def text(name):
    """Calibration, and windows that have nothing in common with it."""
    model = planted(*PLANTED[name])
    chosen, others = own_text(model, 16, 1), own_text(model, 2 * EVERY, 2)
    return divided(np.concatenate([chosen, others]).ravel(), chosen.shape[1], len(chosen), EVERY)


@pytest.fixture(autouse=True)
def ranked_once(monkeypatch):
    """The ranking does not depend on the evaluation windows, nor the draws on the ranking's seed."""
    known = {}

    def rankings(model, calibration, profile, pools, heavy, seed):
        key = id(model), heavy
        if key not in known:
            known[key] = screening.rankings(model, calibration, profile, pools, heavy, 0)
        return known[key]

    module = importlib.import_module("signmag_jax.measure.chosen")
    monkeypatch.setattr(module, "rankings", rankings)


def run(name, seed, heavy=16, draws=DRAWS, windows=WINDOWS):
    """Of so many of the windows, another choice with every seed."""
    calibration, every = text(name)
    chosen = np.random.default_rng(seed).choice(len(every), windows, replace=False)
    return measure.leverage(
        planted(*PLANTED[name]),
        calibration,
        every[chosen],
        rates=(RATE,),
        draws=draws,
        columns=COLUMNS,
        seed=seed,
        heavy=heavy,
        batch=16,
    )


@pytest.fixture(scope="module")
def stratified():
    """Draws of 13 flips in each arm with three heavy weights in the rest, two of them in one matrix."""
    pools = run("neither", 0, heavy=0, draws=2).pools
    first = WEIGHTS["down, no outlier"][0]
    places = (first, first._replace(row=7), first._replace(layer=0))
    ranked = {REST: Ranking(places, (3.0, 1.0, 2.0), (0.1,))}
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
        recipe, coordinates = stratified.light(REST, draw)
        weights = drawn(stratified, {"down_proj": coordinates["down_proj"]})
        assert len(weights) == np.asarray(recipe.drawn["down_proj"]).sum()
        assert not weights & set(stratified.heavy(REST))
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
        recipe, coordinates, flipped, weight = stratified.joint(REST, draw)
        here = drawn(stratified, {"down_proj": coordinates["down_proj"]})
        assert flipped
        assert {stratified.heavy(REST)[i] for i in flipped} == here & set(stratified.heavy(REST))
        assert len(here) == np.asarray(recipe.drawn["down_proj"]).sum()
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


@pytest.mark.slow  # a hundred programs: that what is measured alone is taken is tested in `test_control`
@pytest.mark.parametrize(("name", "arm"), [("numerator", OUTLIER), ("denominator", REST)])
def test_the_planted_weight_is_measured_alone(name, arm):
    found, model = run(name, 0, draws=4, windows=EVERY), planted(*PLANTED[name])
    index = found.heavy[arm].places.index(PLACE[arm])
    clean, other = (
        measure.nll(each, text(name)[1], batch=EVERY).value for each in (model, flipped(model, PLACE[arm]))
    )
    assert found.costs[arm][index].mean() == pytest.approx(other - clean, rel=1e-6)
    assert found.rates[0].strata[arm].known.mean() > 0.25 * found.rates[0].flips / found.pool_sizes[arm] * (
        other - clean
    )
    key = f"rate {RATE:g}, {found.rates[0].flips} flips: left to chance, {arm}"
    assert "never drawn" in found.summary()[key]


def test_bad_numbers_of_heavy_weights_are_refused():
    with pytest.raises(InvalidInput, match="0 <= heavy"):
        run("neither", 0, heavy=-1)


@functools.cache
def plain(name, draws=1200):
    """Draws without strata."""
    return run(name, 10**6, heavy=0, draws=draws, windows=EVERY)


@functools.cache
def truth(name, arm):
    """The mean by plain draws, by how often one must hit the planted weight and not by how often it did."""
    found = plain(name)
    rows = found.rates[0].samples[arm].mean(axis=1)
    if (kind := {OUTLIER: ABOVE, REST: BELOW}[arm]) not in PLANTED[name]:
        return rows.mean()
    draws = draws_of(found.pools, found.rates[0].flips, 10**6)
    where, hits, rates = WEIGHTS[kind][0], [], []
    for draw in range(len(rows)):
        recipe = draws.recipe(arm, draw)
        table = draws.coordinates(recipe)[where.name]
        rows_hit, columns_hit = (np.asarray(part[where.layer]) for part in table)
        hits.append(((rows_hit == where.row) & (columns_hit == where.column)).any())
        rates.append(draws.flipped_part(recipe, arm, where.name)[where.layer])
    hits, rate = np.asarray(hits), np.mean(rates)
    assert abs(hits.mean() - rate) < 4 * np.sqrt(rate / len(rows))
    return rate * rows[hits].mean() + (1 - rate) * rows[~hits].mean()


GROUPS = 400


def percentiles(rng, top, bottom):
    """The crossed bootstrap of a ratio: draws of both arms and their common windows."""
    windows = bootstrap.resample(rng, top.shape[1], 400)
    means = [
        bootstrap.weighted(table, bootstrap.resample(rng, len(table), 400), windows)
        for table in (top, bottom)
    ]
    return np.quantile(means[0] / means[1], (0.025, 0.975))


def by_percentiles(name):
    """How often the crossed bootstrap of plain draws covers the ratio: groups of draws, all windows."""
    one, rng = plain(name).rates[0], np.random.default_rng(3)
    tables, hits = [one.samples[arm] for arm in (OUTLIER, REST)], []
    for _ in range(GROUPS):
        few = [table[rng.choice(len(table), DRAWS, replace=False)] for table in tables]
        low, high = percentiles(rng, *few)
        hits.append(low <= truth(name, OUTLIER) / truth(name, REST) <= high)
    return float(np.mean(hits))


def by_strata(name, runs, **sizes):
    """Coverage of the ratio over draws and windows, where it is resolved, how often that is, and the median
    ratio over the true one."""
    expected = truth(name, OUTLIER) / truth(name, REST)
    found = [run(name, seed, **sizes).rates[0].leverage.interval for seed in range(runs)]
    kept = [each for each in found if each]
    covered = float(np.mean([each.low <= expected <= each.high for each in kept]))
    return covered, len(kept) / runs, float(np.median([each.estimate.value for each in kept])) / expected


@pytest.mark.slow  # hundreds of measurements
@pytest.mark.parametrize("name", list(PLANTED))
def test_coverage_with_planted_weights(name):
    """Prints a line of the table in CONTRIBUTING."""
    runs = 150
    covered, resolved, _ = by_strata(name, runs)
    before = by_percentiles(name)
    print(f"\ndecisive weight: {name}; strata {covered:.1%} of {resolved:.0%}, bootstrap {before:.1%}")
    assert resolved > 0.5
    assert covered > 0.95 - 3 * np.sqrt(0.95 * 0.05 / (runs * resolved))
    assert before < 0.95 - 3 * np.sqrt(0.95 * 0.05 / GROUPS)


@pytest.mark.slow  # hundreds of measurements
@pytest.mark.parametrize("draws", sorted(LEVELS["default"].leverage_draws))
@pytest.mark.parametrize("name", ["numerator", "both"])
def test_what_is_resolved_of_few_draws_lies_low(name, draws):
    """Draws and windows of the default level: a denominator that came out too large is told from 0 sooner."""
    runs = 80
    covered, resolved, median = by_strata(name, runs, draws=draws, windows=LEVELS["default"].windows)
    print(f"\n{name}, {draws} draws: {covered:.0%} of {resolved:.0%}, median {median:.2f} of the truth")
    assert covered > 0.95 - 3 * np.sqrt(0.95 * 0.05 / (runs * resolved))
    assert median < 1
