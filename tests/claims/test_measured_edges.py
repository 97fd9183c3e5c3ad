"""The measured column where there is nothing to measure: a reason in words, not NaN or an end of the run."""

import json

import numpy as np
import pytest

from signmag_jax import measure, models
from signmag_jax.claims import measurements
from signmag_jax.claims.claim import Missing
from signmag_jax.claims.levels import Level
from signmag_jax.claims.model_run import ModelRun
from signmag_jax.claims.run import check
from signmag_jax.evidence import Estimate, InvalidInput
from signmag_jax.measure import ColumnEnergy

POOL = np.array([[True, False, False, False], [False, True, False, False]])
ALPHA = np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.5, 0.2, 0.2]])
SMALL = Level("small", (64,), (2,), 2, 2, 2, 0, 16, 8, 4, (1e-4,), (2,), 2, 2)


def energy(norm, alpha=ALPHA):
    return ColumnEnergy(alpha, np.asarray(norm, float), POOL, 0.01 * alpha)


def law(*energies):
    return measurements._pool_law({str(i): each for i, each in enumerate(energies)}, 8, {"a": 1})


@pytest.mark.parametrize("scale", [1e-70, 1.0, 1e90])
def test_the_law_of_pools_has_no_scale(scale):
    norms = np.array([[1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]])
    found = law(energy(norms * scale), energy(norms[::-1] * scale))
    cost = np.concatenate([ALPHA * norms, ALPHA * norms[::-1]])
    pool = np.concatenate([POOL, POOL])
    assert found.value == pytest.approx(cost[pool].mean() / cost[~pool].mean())
    assert 0 < found.standard_error < 0.1 * found.value


@pytest.mark.parametrize(("norm", "where"), [(~POOL, "2 outlier columns"), (POOL, "6 other columns")])
def test_a_pool_that_costs_nothing_is_unresolved(norm, where):
    found = law(energy(norm))
    assert isinstance(found, Missing)
    assert found.status == "UNRESOLVED"
    assert where in found.reason
    assert isinstance(law(energy(np.zeros((2, 4)))), Missing)


def test_a_layer_without_weights_leaves_the_picture_finite():
    norms = np.array([[0.0, 0.0, 0.0, 0.0], [1e-300, 0.0, 1.0, 2.0]])
    readers = {name: energy(norms) for name in ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")}
    series = measurements._column_series(readers)
    json.dumps(series, allow_nan=False)
    assert np.argmax(series["attention_in"][1]) == 3


def test_a_column_that_is_never_active_has_alpha_zero():
    share = Estimate(np.zeros(2), np.zeros(2), 8, "1", "test")
    found = measurements._root(share, 0.0, 0.0, 3)
    assert (found.value, found.standard_error) == (0.0, 0.0)


def test_a_model_too_small_for_a_rate_leaves_that_row_unresolved(hub_folder):
    model = models.load(hub_folder)
    tokens = np.random.default_rng(4).integers(0, 90, (12, 16)).astype(np.int32)
    profile = measure.alpha(model, tokens[:4])
    run = ModelRun(model, tokens[:4], tokens[4:], SMALL, 0, None, {"text": "none"}, profile)
    row = measurements._by_rate(SMALL, measurements._leverage(run))["leverage.0.0001"]
    assert isinstance(row, Missing)
    assert row.status == "UNRESOLVED"
    assert "rate × outlier pool >= 1 flip" in row.reason


def test_other_mistakes_still_end_the_run(hub_folder, monkeypatch):
    def foreign(*_, **__):
        raise InvalidInput("folder 'x' holds the records of another run")

    monkeypatch.setattr(measure, "leverage", foreign)
    model = models.load(hub_folder)
    tokens = np.random.default_rng(4).integers(0, 90, (12, 16)).astype(np.int32)
    # The activations alone: what comes before is not what is tested.
    monkeypatch.setattr(measurements, "_quantization", lambda *_: {})
    with pytest.raises(InvalidInput, match="another run"):
        measurements.measure_all(model, tokens[:4], tokens[4:], SMALL, 0, None, {"text": "none"})


def test_windows_that_recur_are_refused_before_the_weights(hub_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(models.Checkpoint, "load", lambda *_: pytest.fail("the weights were read"))
    (tmp_path / "text.txt").write_text("abcdefgh" * 100)
    with pytest.raises(InvalidInput, match="calibration and evaluation windows disjoint"):
        check(SMALL, out=tmp_path / "run", model=str(hub_folder), text=str(tmp_path / "text.txt"))
