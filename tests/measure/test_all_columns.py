"""Flips against shifts of equal Frobenius norm, matrix by matrix."""

import json

import numpy as np
import pytest
from conftest import applied

from signmag_jax import measure
from signmag_jax.evidence import InvalidInput, keys
from signmag_jax.measure import flips
from signmag_jax.measure import pools as pool_room
from signmag_jax.measure.all_columns import ARMS
from signmag_jax.models import MATRICES


@pytest.mark.parametrize("rate", [0.1, 0.8])
def test_the_shift_has_the_norm_of_the_very_mask(tiny, rate):
    pools = pool_room.Pools.everything(tiny, range(3), MATRICES)
    k = round(rate * pools.size("all"))
    draws = flips.Draws(pools, {"all": k}, keys.root(3))
    plan = draws.plan("all", 1)
    by_flip, by_shift = (applied(tiny, draws.transform(plan, kind)) for kind in ARMS.values())
    total = 0
    for name, (w, flipped) in by_flip.items():
        shifted = by_shift[name][1]
        total += (flipped != w).sum()
        energy = ((flipped - w) ** 2).sum(axis=(1, 2))
        np.testing.assert_allclose(((shifted - w) ** 2).sum(axis=(1, 2)), energy, rtol=1e-4)
        step = (shifted - w) * np.sign(w)
        assert (step.std(axis=(1, 2)) < 1e-5 * step.mean(axis=(1, 2))).all()
        # the expected norm, 4·rate·Σw², is the nearest wrong answer: it misses the mask's own sum
        expected = 4 * rate * (w**2).sum(axis=(1, 2))
        assert np.abs(energy / expected - 1).max() > 1e-3
    assert total == k


def test_result_cost_and_resumption(tiny, windows, tmp_path):
    first = measure.all_columns(tiny, windows[1], rates=(0.1,), draws=2, resume=tmp_path)
    assert len(list(tmp_path.glob("record-*"))) * 8 * 33 / 2048 == measure.MEASUREMENTS["all-columns"].passes(
        windows=8, window=33, rates=(0.1,), draws=2
    )
    again = measure.all_columns(tiny, windows[1], rates=(0.1,), draws=2, resume=tmp_path)
    plain = json.dumps(first.to_json(), allow_nan=False)
    assert plain == json.dumps(again.to_json(), allow_nan=False)
    found = first.rates[0]
    assert found.flips == round(0.1 * first.pool_size)
    assert set(found.samples) == {"flip", "shift"}
    # a mask changes the shift by its own norm only, so the two shifted draws nearly coincide
    spread = {arm: np.abs(np.diff(table, axis=0)).max() for arm, table in found.samples.items()}
    assert spread["shift"] < 0.2 * spread["flip"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rates": (1e-9,)}, "rate × weights >= 1 flip"),
        ({"rates": (2.0,)}, "0 < rate <= 1"),
        ({"draws": 1}, "draws >= 2"),
        ({"matrices": ("x",)}, "matrices in"),
    ],
)
def test_bad_options_are_refused(tiny, windows, change, message):
    with pytest.raises(InvalidInput, match=message):
        measure.all_columns(tiny, windows[1], **change)


def test_too_few_windows_are_refused(tiny, windows):
    with pytest.raises(InvalidInput, match="at least 8 evaluation windows"):
        measure.all_columns(tiny, windows[1][:5])
