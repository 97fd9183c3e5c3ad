"""Experiments F and G: single columns, against edited weights and full forward passes."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from conftest import LOUD, build, streams, with_block
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from small_models import TINY

from signmag_jax import measure
from signmag_jax.evidence import InvalidInput, keys
from signmag_jax.measure.flip_energies import flipped_rows
from signmag_jax.models import window_nll


@pytest.fixture(scope="module")
def column(tiny, windows):
    return measure.column_flips(tiny, *windows, layers=(2,), matrices=("up_proj",), columns=8).results[0]


def flipped(model, name, layer, column, rows=slice(None)):
    weight = np.array(model.params["blocks"][name])
    weight[layer, rows, column] *= -1
    return with_block(model, name, weight)


def test_damage_of_each_column_is_that_of_edited_weights(tiny, windows, column):
    clean = window_nll(tiny, windows[1], batch=8).mean(axis=1)
    for index, j in enumerate(column.sample.columns):
        truth = window_nll(flipped(tiny, "up_proj", 2, j), windows[1], batch=8).mean(axis=1) - clean
        np.testing.assert_allclose(column.samples[index], truth, atol=5e-6)
    elsewhere = window_nll(flipped(tiny, "up_proj", 1, j), windows[1], batch=8).mean(axis=1) - clean
    assert np.abs(column.samples[index] - elsewhere).max() > 1e-3
    assert column.noise_floor < 1e-6


def test_all_columns_are_kept_and_the_outlier_is_among_them(column):
    assert len(column.damage) == len(set(column.sample.columns.tolist())) == 8
    assert column.sample.columns[-1] in LOUD["mlp_norm"]
    assert (np.diff(column.sample.alpha_squared) >= 0).all()
    means = column.samples.mean(axis=1)
    rank = stats.spearmanr(column.sample.predictor, means)[0]
    assert column.association.rank_correlation.estimate.value == pytest.approx(rank)
    assert (column.association.slope is None) == bool((means <= 0).any())
    json.dumps(column.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("name", "layer"), [("down_proj", 0), pytest.param("q_proj", 1, marks=pytest.mark.slow)]
)
def test_energies_are_those_of_a_full_forward_pass(tiny, windows, name, layer):
    """The layer run on its own, against the whole model with edited weights."""
    options = {"layers": (layer,), "matrices": (name,), "columns": 5, "draws": 1, "rate": 0.2, "batch": 4}
    (found,) = measure.flip_energies(tiny, windows[0], windows[1][:4], **options).results
    key = keys.fold(keys.root(0), "flip energies", layer, name)
    columns, outputs = jnp.asarray(found.sample.columns, jnp.int32), TINY.shapes()[name][0]
    rows = np.asarray(flipped_rows(key, columns, outputs, found.flips, 1))[-1, 0]
    assert found.flips == round(0.2 * outputs) == len(set(rows.tolist()))
    other = flipped(tiny, name, layer, int(columns[-1]), rows)
    behind = []
    for model in (tiny, other):
        kept = np.array(model.params["blocks"]["down_proj"])
        if name != "down_proj":
            kept[layer] = 0  # then the layer ends with the stream that enters its second normalisation
        behind.append(streams(with_block(model, "down_proj", kept), windows[1])[layer, :4])
    before, after = behind
    truth = (((after - before) ** 2).sum(-1) / (before**2).sum(-1)).mean(axis=1)
    np.testing.assert_allclose(found.samples["stream"][-1, 0], truth, rtol=2e-3)
    unit = [x / np.sqrt((x**2).mean(-1, keepdims=True) + tiny.config.eps) for x in behind]
    truth = (((unit[1] - unit[0]) ** 2).sum(-1) / (unit[0] ** 2).sum(-1)).mean(axis=1)
    np.testing.assert_allclose(found.samples["normalised"][-1, 0], truth, rtol=2e-3)


def test_output_energy_is_proportional_to_the_law_only_with_the_weights(windows):
    """Columns of very unequal norms: α² alone ranks them wrongly, and shuffled flips would not follow."""
    model = build(seed=3)
    weight = np.array(model.params["blocks"]["gate_proj"])
    weight *= np.geomspace(0.05, 5, weight.shape[2]).astype(np.float32)
    options = {"matrices": ("gate_proj",), "columns": 12, "draws": 16, "batch": 8}
    (found,) = measure.flip_energies(with_block(model, "gate_proj", weight), *windows, **options).results
    output = found.association["output"]
    assert output.rank_correlation.estimate.value > 0.95
    slope = output.slope.estimate
    assert abs(slope.value - 1) < 4 * slope.standard_error
    assert slope.standard_error < 0.1
    alone = measure.associate(found.sample.alpha_squared, found.samples["output"].mean(axis=1))
    assert alone.rank_correlation.high < output.rank_correlation.estimate.value


def test_association_by_hand():
    rng = np.random.default_rng(0)
    x = np.geomspace(1, 100, 12)
    damage = 0.3 * x[:, None] ** 0.8 * (1 + 0.01 * rng.normal(size=(12, 9)))
    found = measure.associate(x, damage)
    assert found.rank_correlation.estimate.value == 1
    assert found.slope.low < 0.8 < found.slope.high
    assert abs(found.slope.estimate.value - 1) > 10 * found.slope.estimate.standard_error
    damage[0] -= 1
    negative = measure.associate(x, damage)
    assert negative.slope is None
    assert "1 of 12 damages are not positive" in negative.reason
    assert negative.rank_correlation.estimate.value == 1
    noise = measure.associate(x, rng.normal(size=(12, 9)))
    assert noise.rank_correlation.low < 0 < noise.rank_correlation.high
    with pytest.raises(InvalidInput, match="at least 5 items"):
        measure.associate(x[:4], damage[:4])


@given(
    st.lists(st.integers(-30, 30), min_size=5, max_size=9, unique=True),
    st.floats(0.1, 2),
    st.sampled_from([1, -1]),
)
@settings(max_examples=30)
def test_the_slope_of_a_power_law_has_no_error(exponents, power, sign):
    """Of 2,000 resamples of 5 items three consist of one item, which has no slope and adds nothing."""
    x = 1.37 ** np.asarray(exponents)
    slope = measure.associate(x, 0.3 * x[:, None] ** (sign * power) * np.ones(3)).slope
    assert slope.estimate.value == pytest.approx(sign * power)
    assert slope.estimate.standard_error < 1e-9
    assert slope.high - slope.low < 1e-9


def test_items_that_a_predictor_cannot_tell_apart_have_no_slope():
    rng = np.random.default_rng(0)
    damage = rng.uniform(1, 2, (6, 4))
    for x in (np.full(6, 0.1), 0.1 * (1 + 1e-8 * rng.normal(size=6)), np.repeat([0.1, 0.2], [5, 1])):
        found = measure.associate(x, damage)
        assert found.slope is None
        assert found.reason == "the predictor does not vary in more than 5% of the resamples"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": (3,)}, r"layers in 0\.\.2"),
        ({"matrices": ("w",)}, "matrices in"),
        ({"columns": 4}, "5 <= columns <= 40"),
        ({"columns": 41}, "5 <= columns <= 40"),
    ],
)
def test_bad_options_are_refused(tiny, windows, change, message):
    for experiment in (measure.column_flips, measure.flip_energies):
        with pytest.raises(InvalidInput, match=message):
            experiment(tiny, *windows, **change)


def test_a_resumed_run_is_the_same(tiny, windows, tmp_path):
    options = {"layers": (2,), "matrices": ("up_proj",), "columns": 8, "resume": tmp_path}
    first = measure.column_flips(tiny, *windows, **options)
    (tmp_path / "layer-2-up_proj" / "record-00000004.json").unlink()
    again = measure.column_flips(tiny, *windows, **options)
    assert json.dumps(first.to_json()) == json.dumps(again.to_json())


def test_exactly_k_signs_of_each_column_flip_and_draws_are_independent():
    """By the rows that are flipped in 4 columns and 200 draws of each; the control shares a key."""
    rows = np.asarray(flipped_rows(keys.root(3), jnp.arange(4, dtype=jnp.int32), 50, 10, 200))
    assert rows.shape == (4, 200, 10)
    assert (np.diff(np.sort(rows, axis=-1), axis=-1) > 0).all()
    assert rows.min() >= 0
    assert rows.max() < 50
    flipped = (rows[..., None] == np.arange(50)).any(axis=-2)
    bound = 4.5 / np.sqrt(flipped[0].size)

    def correlation(one, other):
        return abs(np.corrcoef(one.ravel(), other.ravel())[0, 1])

    assert correlation(flipped[0], flipped[1]) < bound
    assert correlation(flipped[:, :-1], flipped[:, 1:]) < bound
    assert correlation(flipped[0], flipped[0]) > bound
