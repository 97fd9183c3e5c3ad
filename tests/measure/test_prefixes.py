"""A model that differs from some layer on, run from there, against the same model run whole."""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from conftest import build
from small_models import MINUTE

from signmag_jax.evidence import InvalidInput
from signmag_jax.models import MATRICES, Prefixes, prefixes, window_nll

# Layers of both kinds of attention: each must see its own window, wherever the run begins.
CONFIG = dataclasses.replace(MINUTE, layers=5, sliding=(None, 3, 3, None, 2))
WINDOWS = np.random.default_rng(5).integers(0, CONFIG.vocabulary, (5, 9)).astype(np.int32)
BATCH = 2


@pytest.fixture(scope="module")
def model():
    return build(seed=8, config=CONFIG, loud=1.0, dtype=np.float64, scale=0.5)


class Flipped(NamedTuple):
    """Signs of one matrix in that layer and all after it: as data, so that all share a program."""

    first: np.int32
    matrix: np.int32

    def __call__(self, weight, layer, name):
        return jnp.where((MATRICES.index(name) == self.matrix) & (layer >= self.first), -weight, weight)


def flipped_from(first, name):
    return Flipped(np.int32(first), np.int32(MATRICES.index(name)))


@pytest.mark.parametrize("apart", [1, 2, 3, 9])
def test_any_layer_on_equals_the_whole_run(model, monkeypatch, apart):
    stream = WINDOWS.size * CONFIG.hidden * 8
    monkeypatch.setattr(prefixes, "MOST", -(-CONFIG.layers * stream // apart))
    run = Prefixes(model, WINDOWS, BATCH)
    # From a late layer first: what lies before it is made then, and what lies further on later.
    for layer, name in ((3, "down_proj"), (0, "q_proj"), (4, "gate_proj"), (1, "v_proj"), (2, "o_proj")):
        transform = flipped_from(layer, name)
        found = run.nll(transform, layer)
        np.testing.assert_allclose(found, window_nll(model, WINDOWS, transform, BATCH), rtol=1e-12)
    kept = {len(streams) for streams in run._streams}
    assert kept == {-(-CONFIG.layers // apart)}


@pytest.mark.parametrize("name", MATRICES)
def test_what_changes_before_the_layer_is_missed(model, name):
    run, whole = Prefixes(model, WINDOWS, BATCH), window_nll(model, WINDOWS, flipped_from(1, name), BATCH)
    np.testing.assert_allclose(run.nll(flipped_from(1, name), 1), whole, rtol=1e-12)
    assert np.abs(run.nll(flipped_from(1, name), 2) - whole).max() > 1e-3


def test_windows_are_checked_as_ever(model):
    with pytest.raises(InvalidInput, match=r"token ids in 0\.\.23"):
        Prefixes(model, WINDOWS + 99)
