"""The four laws of sensitivity against the logits' Jacobian, and their sums by pool, layer and matrix."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
import scipy.stats
from conftest import with_block
from small_models import MINUTE

from signmag_jax import measure
from signmag_jax.evidence import InvalidInput
from signmag_jax.measure import column_costs, curvature, map_prediction, stretch
from signmag_jax.measure.column_costs import EXACT, FACTORISED, LAWS, OUTPUTS_ALIKE, TOKENWISE
from signmag_jax.models import MATRICES, SITE_OF, token_nll
from signmag_jax.models.layers import apply_linear

TOKENS = np.random.default_rng(4).integers(0, MINUTE.vocabulary, (1, 9)).astype(np.int32)
DRAWS = 900
KEY = jax.random.key(5)


@pytest.fixture(scope="module")
def seen(minute):
    """Every matrix's input at each token, and the derivative of all predicted logits in its outputs there."""
    shapes = {name: (MINUTE.layers, 9, MINUTE.shapes()[name][0]) for name in MATRICES}
    loss = curvature.WindowLoss.of(minute, TOKENS[0])

    def logits(added):
        transform = lambda w, layer, name: lambda x: apply_linear(x, w) + added[name][layer][None]  # noqa: E731
        return loss.transformed(transform)[0, :-1] @ minute.params["embed"].T

    look = quick.jit(lambda t: token_nll(MINUTE, minute.params, t, observe=lambda x, *_: x[0])[1])
    none = {name: jnp.zeros(shape) for name, shape in shapes.items()}
    inputs = {site: np.asarray(x) for site, x in look(jnp.asarray(TOKENS)).items()}
    chances = np.asarray(jax.nn.softmax(quick.jit(logits)(none)))
    slopes = {name: np.asarray(k) for name, k in quick.jit(jax.jacrev(logits))(none).items()}
    return inputs, chances, slopes


@pytest.fixture(scope="module")
def expected(minute, seen):
    """By law and matrix, (layers, columns): every label of every predicted token, weighed with its chance."""
    inputs, chances, slopes = seen
    # E over labels of the outer product of e_y − p, by enumeration.
    errors = np.eye(MINUTE.vocabulary)[None] - chances[:, None]
    covariance = np.einsum("sy,sya,syb->sab", chances, errors, errors) / len(chances)
    costs = {law: {} for law in LAWS}
    for name in MATRICES:
        x, w = inputs[SITE_OF[name]], np.asarray(minute.params["blocks"][name])
        k = slopes[name]  # predicted, vocabulary, layers, tokens, outputs
        square = np.einsum("salti,sab,sblti->lti", k, covariance, k, optimize=True)
        share = (x**2 / (x**2).sum(axis=-1, keepdims=True)).mean(axis=1)
        outer = np.einsum("salti,ltj->salij", k, x, optimize=True)
        diagonals = {
            OUTPUTS_ALIKE: np.broadcast_to(share[:, None], w.shape),
            FACTORISED: (x**2).mean(axis=1)[:, None] * square.sum(axis=1)[..., None],
            TOKENWISE: np.einsum("lti,ltj->lij", square, x**2),
            EXACT: np.einsum("salij,sab,sblij->lij", outer, covariance, outer, optimize=True),
        }
        for law, diagonal in diagonals.items():
            costs[law][name] = (diagonal * w**2).sum(axis=1)
    return costs


@pytest.fixture(scope="module")
def drawn(minute):
    """By law, (draws, all columns)."""
    loss = curvature.WindowLoss.of(minute, TOKENS[0])
    tables = column_costs.column_costs(loss, MATRICES, KEY, DRAWS)
    return {
        law: np.concatenate(
            [np.asarray(tables[name])[:, :, i].reshape(DRAWS, -1) for name in MATRICES], axis=1
        )
        for i, law in enumerate(LAWS)
    }


def flat(tables):
    return np.concatenate([tables[name].ravel() for name in MATRICES])


def off(rows, truth):
    """Distances of all columns in standard errors: the largest and the root mean square; then of the sum."""
    error = rows.std(axis=0, ddof=1) / np.sqrt(len(rows))
    distance = (rows.mean(axis=0) - truth) / error
    total = rows.sum(axis=1)
    whole = abs(total.mean() - truth.sum()) / (total.std(ddof=1) / np.sqrt(len(rows)))
    return np.abs(distance).max(), np.sqrt((distance**2).mean()), whole


@pytest.mark.parametrize("law", [FACTORISED, TOKENWISE, EXACT])
def test_each_law_is_its_mean_over_all_labels(drawn, expected, law):
    largest, spread, whole = off(drawn[law], flat(expected[law]))
    assert largest < 5
    assert 0.7 < spread < 1.3
    assert whole < 4
    for wrong in LAWS:  # and is none of the others, nor without the factor of the tokens' number
        if wrong != law:
            assert off(drawn[law], flat(expected[wrong]))[0] > 8
    assert off(drawn[law], flat(expected[law]) * 9 / 8)[2] > 5


def test_the_law_of_equal_outputs_has_no_chance_in_it(drawn, expected):
    assert np.ptp(drawn[OUTPUTS_ALIKE], axis=0).max() == 0
    np.testing.assert_allclose(drawn[OUTPUTS_ALIKE][0], flat(expected[OUTPUTS_ALIKE]), rtol=1e-12)


def test_the_exact_law_is_the_probe_of_the_linear_response(minute, drawn):
    movable = stretch.Movable(MATRICES, jnp.ones(MINUTE.layers), {})
    loss = curvature.WindowLoss.of(minute, TOKENS[0])
    probe = curvature.fisher_probe(loss, movable, jax.random.fold_in(KEY, 3))
    np.testing.assert_allclose(
        drawn[EXACT][3], flat({name: np.asarray(t) for name, t in probe.items()}), rtol=1e-9
    )


@pytest.fixture(scope="module")
def found(minute, minute_text):
    return measure.sensitivity(minute, *minute_text, draws=3)


def test_costs_add_up_over_pools_matrices_and_layers(found, minute, minute_text):
    loss = curvature.WindowLoss.of(minute, minute_text[1][0])
    key = jax.random.fold_in(jax.random.key(0), 1)
    assert column_costs.column_costs(loss, MATRICES, key, 1)["q_proj"].shape == (1, MINUTE.layers, 4, 8)
    for index, law in enumerate(LAWS):
        whole = sum(float(found.cost(law, arm).value) for arm in ("outlier", "rest"))
        columns = sum(table[index].sum() for table in found.columns.values())
        by_matrix = sum(found.cost(law, arm, name).value for arm in ("outlier", "rest") for name in MATRICES)
        by_layer = sum(found.cost(law, arm, layer=i).value for arm in ("outlier", "rest") for i in (0, 1))
        rows = sum(row[law] for row in found.rows())
        np.testing.assert_allclose([columns, by_matrix, by_layer, rows], whole, rtol=1e-9)
    sizes = sum(np.size(minute.params["blocks"][name]) for name in MATRICES)
    assert sum(row["weights"] for row in found.rows()) == sizes


def test_pools_are_those_of_the_outlier_columns(found):
    """Column by column, without the masks of the measurement."""
    for index, law in enumerate(LAWS):
        inside = sum(
            table[index, layer, found.outliers[SITE_OF[name]][layer]].sum()
            for name, table in found.columns.items()
            for layer in range(MINUTE.layers)
        )
        assert found.cost(law, "outlier").value == pytest.approx(inside, rel=1e-9)
    weights = {arm: sum(r["weights"] for r in found.rows() if r["pool"] == arm) for arm in measure.pools.ARMS}
    costs = [found.cost(OUTPUTS_ALIKE, arm).value / size for arm, size in weights.items()]
    ratio = found.leverage[OUTPUTS_ALIKE].interval.estimate.value
    assert ratio == pytest.approx(costs[0] / costs[1], rel=1e-9)


def test_steps_are_paired_on_each_window(found):
    """Where all windows differ by common factors only, two laws' ratio has no error left."""
    hard = np.exp(np.random.default_rng(2).normal(size=(2, 1, found.costs.shape[3], 1, 1)))
    costs = np.broadcast_to(found.costs.mean(axis=(2, 3), keepdims=True), found.costs.shape) * hard
    step = dataclasses.replace(found, costs=costs).step(TOKENWISE, EXACT)
    assert step.estimate.standard_error < 1e-9
    means = {law: [found.cost(law, arm).value for arm in ("outlier", "rest")] for law in (TOKENWISE, EXACT)}
    ratio = np.divide(*means[TOKENWISE]) / np.divide(*means[EXACT])
    assert step.estimate.value == pytest.approx(np.log(ratio))
    assert found.step(TOKENWISE, EXACT).estimate.standard_error > 0.01


def test_outputs_that_the_loss_hardly_sees_count_for_the_first_law_alone(minute, minute_text):
    """Rows of up_proj that down_proj ignores: their weights are large, and their flips cost nothing."""
    down, up = (np.array(minute.params["blocks"][name]) for name in ("down_proj", "up_proj"))
    down[:, :, :5] = 0
    model = with_block(with_block(minute, "down_proj", down), "up_proj", up)
    up[:, :5] *= 100
    loud = with_block(model, "up_proj", up)
    before, after = (
        measure.sensitivity(each, *minute_text, draws=1, matrices=["up_proj"]) for each in (model, loud)
    )
    for law in LAWS:
        change = after.cost(law, "rest").value / before.cost(law, "rest").value
        assert change > 100 if law == OUTPUTS_ALIKE else change == pytest.approx(1, rel=1e-9)


def test_a_law_of_all_columns_alike_ranks_as_its_probe_does():
    rng = np.random.default_rng(0)
    truth = np.exp(rng.normal(size=400))
    noise = lambda: truth * rng.chisquare(6, (3, 12, 400)) / 6  # noqa: E731
    law, probe = noise()[:, :, None], noise()[:, :, None]
    told = map_prediction.of({"q_proj": np.stack([law, 2 * probe])})["q_proj"]
    right = scipy.stats.spearmanr(law[0].mean(axis=0)[0], probe[1].mean(axis=0)[0]).statistic
    assert told.rank_correlation.low < right < told.rank_correlation.high
    assert told.slope.low < 1 < told.slope.high
    assert told.total.interval.low < 2 < told.total.interval.high
    shuffled = map_prediction.of({"q_proj": np.stack([law, rng.permuted(probe, axis=-1)])})["q_proj"]
    assert shuffled.rank_correlation.high < 0.5
    assert not shuffled.slope.low < 1 < shuffled.slope.high


def test_the_map_compares_different_draws():
    """Signs that both had by chance would be taken for agreement."""
    rng = np.random.default_rng(1)
    chance = rng.chisquare(1, (4, 12, 1, 300))
    told = map_prediction.of({"q_proj": np.stack([chance, chance])})["q_proj"]
    assert abs(told.rank_correlation.estimate.value) < 0.2


def test_one_draw_has_no_map_and_dead_columns_no_correlation(minute, minute_text):
    assert measure.sensitivity(minute, *minute_text, draws=1, matrices=["up_proj"]).map == {}
    assert map_prediction.of({"q_proj": np.zeros((2, 2, 3, 1, 8))})["q_proj"].summary().keys() == {
        "columns: probes over prediction"
    }


@pytest.mark.slow  # compiles the linear response
def test_with_a_linear_response_the_whole_law_stands_beside_the_others(minute, minute_text, response):
    found = measure.sensitivity(minute, *minute_text, draws=3, fraction=0.2, response=response)
    assert found.leverage["whole_response"] == response.leverage
    first = found.pools["first_order"]["rest"]
    assert first.value == response.pools["rest"].first.value
    with pytest.raises(InvalidInput, match="other outlier columns"):
        measure.sensitivity(minute, *minute_text, draws=3, fraction=0.3, response=response)
    with pytest.raises(InvalidInput, match="other windows"):
        measure.sensitivity(
            minute, minute_text[0], minute_text[1][:8], draws=3, fraction=0.2, response=response
        )


def test_what_does_not_fit_is_refused(minute, minute_text):
    with pytest.raises(InvalidInput, match="draws >= 1"):
        measure.sensitivity(minute, *minute_text, draws=0)
    with pytest.raises(InvalidInput, match="probes >= 2"):
        measure.sensitivity(minute, *minute_text, probes=1)
    with pytest.raises(InvalidInput, match="disjoint"):
        measure.sensitivity(minute, minute_text[1], minute_text[1])
