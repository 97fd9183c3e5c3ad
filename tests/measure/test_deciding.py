"""A planted weight is found on one text, and its cost on another is that of editing it."""

import json

import numpy as np
import pytest
import scipy.stats
from conftest import with_block

from signmag_jax import measure
from signmag_jax.evidence import InvalidInput
from signmag_jax.measure import deciding, inputs
from signmag_jax.models import MATRICES, window_nll

HEAVY = measure.Place(MATRICES.index("down_proj"), 1, 3, 5)


@pytest.fixture(scope="module")
def heavy(minute):
    """One weight of down_proj is a hundred times as large as its neighbours."""
    edited = np.array(minute.params["blocks"]["down_proj"])
    edited[1, 3, 5] = 20.0
    return with_block(minute, "down_proj", edited)


@pytest.fixture(scope="module")
def found(heavy, minute_text):
    return measure.deciding_weights(heavy, *minute_text, shortlisted=30, verified=12, probes=0)


def edited_cost(model, place, tokens):
    weight = np.array(model.params["blocks"][place.name])
    weight[place.layer, place.row, place.column] *= -1
    return (window_nll(with_block(model, place.name, weight), tokens) - window_nll(model, tokens)).mean()


def test_the_planted_weight_is_shortlisted(found, minute, minute_text):
    assert HEAVY in [each.place for each in found.weights]
    control = measure.deciding_weights(minute, *minute_text, shortlisted=30, verified=12, probes=0)
    assert dict(control.shortlist).get(HEAVY, 0.0) < dict(found.shortlist)[HEAVY]


def test_costs_are_those_of_edited_weights(found, heavy, minute_text):
    for each in found.weights[::4]:
        assert each.flip.value == pytest.approx(edited_cost(heavy, each.place, minute_text[1]), rel=1e-6)


def test_the_shortlist_does_not_see_the_evaluation_text(found, heavy, minute_text):
    other = minute_text[1][::-1, ::-1].copy()
    again = measure.deciding_weights(heavy, minute_text[0], other, shortlisted=30, verified=12, probes=0)
    assert again.shortlist == found.shortlist
    assert again.weights[0].flip.value != found.weights[0].flip.value


def test_rank_correlation_is_spearmans_with_its_interval(found):
    interval = found.rank_correlation["second order"]
    flips = [each.flip.value for each in found.weights]
    bracket = [each.first.value + each.second.value for each in found.weights]
    assert interval.estimate.value == pytest.approx(scipy.stats.spearmanr(bracket, flips).statistic)
    assert interval.low <= interval.estimate.value <= interval.high


def test_rank_correlation_of_known_orders():
    values = np.arange(8.0)[:, None] + np.zeros((8, 3))
    assert deciding.rank_correlation(values, np.exp(values)).estimate.value == pytest.approx(1)
    assert deciding.rank_correlation(values, -values).high == pytest.approx(-1)
    assert deciding.rank_correlation(values, np.ones((8, 3))) is None


def test_share_of_the_outlier_pool(heavy, minute_text):
    """Against a response whose pool has a known slope on each window."""
    response = object.__new__(measure.LinearResponse)
    slope = np.linspace(3, 5, 16)[None] + np.zeros((2, 1))
    outliers = {"mlp_mid": np.array([[0], [5]])}
    outliers |= {site: np.array([[0], [0]]) for site in ("attention_in", "attention_out", "mlp_in")}
    sha = inputs.sha256_of_tokens(minute_text[1])
    for name, value in {
        "samples": {"outlier": slope},
        "outliers": outliers,
        "taking_part": (0, 1),
        "matrices": dict.fromkeys(MATRICES),
        "provenance": {"evaluation_sha256": sha},
    }.items():
        object.__setattr__(response, name, value)
    found = measure.deciding_weights(heavy, *minute_text, shortlisted=30, verified=12, response=response)
    inside = [each for each in found.weights if each.outlier]
    assert HEAVY in [each.place for each in inside]
    assert len(inside) < len(found.weights)
    share = found.explained.interval.estimate.value
    assert share == pytest.approx(sum(each.flip.value for each in inside) / 4, rel=1e-9)
    with pytest.raises(InvalidInput, match="same evaluation windows"):
        measure.deciding_weights(heavy, minute_text[0], minute_text[1][:8], response=response)


def test_resumption_and_json(heavy, minute_text, tmp_path):
    options = {"shortlisted": 30, "verified": 12, "probes": 0, "resume": tmp_path}
    first = measure.deciding_weights(heavy, *minute_text, **options).to_json()
    (tmp_path / "record-00000002.json").unlink()
    again = measure.deciding_weights(heavy, *minute_text, **options).to_json()
    assert json.dumps(first, allow_nan=False) == json.dumps(again)
    assert first["explained"]["interval"] is None
    cost = measure.MEASUREMENTS["deciding-weights"].passes
    alone = cost(windows=4, window=1024, verified=50, probes=0, shortlist="fisher")
    assert alone == 2 * (1 + 50 * 5)
    assert cost(windows=4, window=1024, verified=50, probes=0) > alone


@pytest.mark.parametrize("change", [{"verified": 2}, {"shortlisted": 5, "verified": 6}])
def test_bad_counts_are_refused(minute, minute_text, change):
    with pytest.raises(InvalidInput, match="verified <= shortlisted"):
        measure.deciding_weights(minute, *minute_text, **change)
