"""NLL and perplexity as estimates."""

import jax
import numpy as np
import pytest
from conftest import with_block

from signmag_jax import measure
from signmag_jax.evidence import Estimate, InvalidInput
from signmag_jax.measure import inputs
from signmag_jax.models import window_nll


def test_nll_is_the_mean_over_windows(tiny, windows):
    found = measure.nll(tiny, windows[1], batch=8, source={"text_sha256": "abc"})
    rows = window_nll(tiny, windows[1], batch=8).mean(axis=1)
    assert found.value == pytest.approx(rows.mean(), rel=1e-12)
    assert found.standard_error == pytest.approx(rows.std(ddof=1) / np.sqrt(8), rel=1e-12)
    assert (found.n, found.unit, found.provenance["text_sha256"]) == (8, "nat/token", "abc")


def test_perplexity_and_its_error():
    loss = Estimate(2.0, 0.1, 8, "nat/token", "mean over windows")
    found = measure.perplexity(loss)
    assert found.value == pytest.approx(np.e**2)
    slope = (np.exp(2 + 1e-6) - np.exp(2 - 1e-6)) / 2e-6
    assert found.standard_error == pytest.approx(0.1 * slope, rel=1e-6)
    with pytest.raises(InvalidInput):
        measure.perplexity(Estimate(1000.0, 0.1, 8))


def test_a_single_window_says_what_its_error_means(tiny, windows):
    found = measure.nll(tiny, windows[1][:1])
    assert found.n == 32
    assert "one window" in found.estimator
    assert measure.nll(tiny, windows[1][:1, :2]).estimator == "one predicted token"


def test_transform_reaches_the_loss(tiny, windows):
    clean = measure.nll(tiny, windows[1], batch=8)
    same = measure.nll(tiny, windows[1], lambda weight, layer, name: weight, batch=8)
    other = measure.nll(tiny, windows[1], lambda weight, layer, name: -weight, batch=8)
    assert clean.value == same.value != other.value


def test_a_loss_that_is_not_finite_is_named(tiny, windows):
    broken = np.array(tiny.params["blocks"]["v_proj"])
    broken[0] = np.nan
    with pytest.raises(InvalidInput, match=r"loss finite.*window 0"):
        measure.nll(with_block(tiny, "v_proj", broken), windows[1], batch=8)


def test_on_an_accelerator_the_provenance_says_what_attention_was_made_of(tiny, monkeypatch):
    made = {"float32, 1 x 8 tokens, 4 heads of 8": "spans of queries", "bfloat16, 1 x 8": "another model's"}
    monkeypatch.setattr(inputs, "taken", lambda: made)
    assert "attention" not in inputs.provenance_of(tiny, None)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    (only,) = inputs.provenance_of(tiny, None)["attention"].items()
    assert only == ("float32, 1 x 8 tokens, 4 heads of 8", "spans of queries")
