"""Definitions of "outlier" against NumPy on recorded activations, and what the leverage makes of them."""

import dataclasses
import json
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from conftest import LOUD
from scipy import stats
from small_models import TINY

from signmag_jax import measure
from signmag_jax.measure.column_statistics import INT8, ColumnStatistics
from signmag_jax.measure.pools import TooFewWeights
from signmag_jax.models import SITES


@pytest.fixture(scope="module")
def found(tiny, windows):
    return measure.column_statistics(tiny, windows[0])


@pytest.mark.parametrize("site", SITES)
def test_statistics_are_those_of_recorded_activations(found, activations, site):
    x = activations[site]
    x = x.reshape(len(x), -1, x.shape[-1])
    np.testing.assert_allclose(found.magnitude[site], np.abs(x).mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(found.square[site], (x**2).mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(found.exceeding[site], (np.abs(x) >= 6).mean(axis=1), atol=1e-7)
    central = stats.kurtosis(x, axis=1, fisher=False)
    np.testing.assert_allclose(found.kurtosis[site], central, rtol=1e-3)
    about_zero = (x**4).mean(axis=1) / (x**2).mean(axis=1) ** 2
    assert np.abs(about_zero / central - 1).max() > 1e-2


def test_a_column_that_does_not_vary_has_no_kurtosis(tiny, windows):
    """The first value head is its bias, whatever the tokens: what varies about the mean is rounding."""
    rng, layers, rows = np.random.default_rng(0), TINY.layers, TINY.kv_heads * TINY.head_dim
    blocks = dict(tiny.params["blocks"])
    blocks["v_proj"] = blocks["v_proj"].at[:, : TINY.head_dim].set(0)
    blocks["q_bias"] = jnp.zeros((layers, TINY.heads * TINY.head_dim), jnp.float32)
    blocks["k_bias"] = jnp.zeros((layers, rows), jnp.float32)
    blocks["v_bias"] = jnp.asarray(rng.uniform(0.1, 9, (layers, rows)), jnp.float32)
    config = dataclasses.replace(TINY, qkv_bias=True)
    model = tiny.replace(config=config, params=tiny.params | {"blocks": blocks})
    found = measure.column_statistics(model, windows[0]).kurtosis["attention_out"]
    constant, varying = np.split(found, 2, axis=1)  # each value head serves half of the queries
    assert (constant == 0).all()
    assert (varying > 1).all()


def test_the_known_outliers_are_named_by_size_and_not_by_kurtosis(found):
    named = found.definitions()
    for name in ("top 5% by mean |x|", "top 5% by mean x²", INT8):
        assert (named[name]["mlp_in"] == np.array(LOUD["mlp_norm"])).all()
    # A gain changes the size of a column and not the shape of its distribution.
    assert (named["top 5% by kurtosis"]["mlp_in"] != np.array(LOUD["mlp_norm"])).any()
    assert named["top 10% by mean |x|"]["mlp_in"].shape == (3, 4)


def test_the_int8_rule_takes_layers_and_positions():
    table = np.zeros((4, 6))
    table[:, 0] = 0.06  # just enough positions in every layer
    table[0, 1] = 0.24  # one layer of four, 6% of all positions
    table[0, 2] = 0.23  # too few positions
    table[:, 3] = 0.05  # too few positions
    named = ColumnStatistics(*(dict.fromkeys(SITES, table) for _ in range(4))).definitions()
    assert named[INT8]["mlp_in"].tolist() == [[0, 1]] * 4
    assert named[INT8]["mlp_mid"].shape == (4, 0)
    five = np.zeros((5, 6))
    five[0, 1] = 0.9  # one layer of five is less than a quarter
    assert ColumnStatistics(*({"mlp_in": five} for _ in range(4))).definitions()[INT8]["mlp_in"].size == 0


@pytest.fixture(scope="module")
def compared(tiny, windows):
    return measure.outlier_definitions(tiny, *windows, rate=0.2, draws=2, matrices=("up_proj",))


@pytest.mark.slow
def test_equal_columns_give_equal_damage_and_a_definition_without_columns_says_so(tiny, windows, compared):
    default = compared.definitions["top 5% by mean |x|"]
    plain = measure.leverage(tiny, *windows, rates=(0.2,), draws=2, matrices=("up_proj",))
    np.testing.assert_array_equal(
        default.result.rates[0].samples["outlier"], plain.rates[0].samples["outlier"]
    )
    assert default.shared == 1
    kurtosis = compared.definitions["top 5% by kurtosis"]
    assert kurtosis.shared < 0.5
    # On random text flips neither hurt nor help on average: the size of the change is what differs.
    sizes = [np.abs(each.result.rates[0].samples["outlier"]).mean() for each in (kurtosis, default)]
    assert 2 * sizes[0] < sizes[1]
    down = measure.outlier_definitions(tiny, *windows, rate=0.2, draws=2, matrices=("down_proj",))
    assert down.definitions[INT8].result is None
    assert "outlier pool" in down.definitions[INT8].leverage.reason
    json.dumps(down.to_json(), allow_nan=False)


def test_the_provenance_says_what_was_flipped(tiny, windows, monkeypatch):
    """Also where no definition has a leverage of its own to say it."""

    def none(*_, **__):
        raise TooFewWeights("too few")

    monkeypatch.setattr(sys.modules["signmag_jax.measure.outlier_definitions"], "leverage", none)
    found = measure.outlier_definitions(tiny, *windows, rate=0.2, draws=2, layers=(1,), matrices=("up_proj",))
    assert {each.leverage.reason for each in found.definitions.values()} == {"too few"}
    wanted = {"rate": 0.2, "draws": 2, "layers": [1], "matrices": ["up_proj"], "seed": 0}
    assert wanted.items() <= found.provenance.items()


@pytest.mark.slow
def test_cost_counts_every_evaluation(compared):
    flips = 2 * 2 + 2
    assert len(compared.definitions) == 7
    assert (
        measure.MEASUREMENTS["outlier-definitions"].passes(windows=8, window=33, rate=0.2, draws=2)
        == 7 * flips * 8 * 33 / 2048
    )
