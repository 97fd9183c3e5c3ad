"""Flips against shifts of equal Frobenius norm, matrix by matrix."""

import json

import numpy as np
import pytest
from conftest import applied

from signmag_jax import measure
from signmag_jax.evidence import InvalidInput, keys
from signmag_jax.measure import flips
from signmag_jax.measure import pools as pool_room
from signmag_jax.measure.all_columns import matching
from signmag_jax.models import MATRICES


@pytest.mark.parametrize("layers", [range(3), (1,)])
def test_the_shift_has_the_mean_norm_of_masks(tiny, layers):
    """Over masks, and not of any of them: of 4·flips/weights·Σw², matrix by matrix."""
    pools = pool_room.Pools.everything(tiny, layers, MATRICES)
    k = round(0.1 * pools.size("all"))
    draws = flips.Draws(pools, {"all": k}, keys.root(3))
    by_shift = applied(tiny, matching(pools, k / pools.size("all")))
    by_flip = [applied(tiny, draws.transform(draws.plan("all", draw))) for draw in range(40)]
    taking_part = np.isin(np.arange(3), layers)
    for name, (w, shifted) in by_shift.items():
        energy = ((shifted - w) ** 2).sum(axis=(1, 2))
        masks = np.array([((one[name][1] - w) ** 2).sum(axis=(1, 2)) for one in by_flip])
        error = masks.std(axis=0, ddof=1) / np.sqrt(len(masks))
        assert (np.abs(energy - masks.mean(axis=0)) <= 4 * error).all()
        # The errors tell it from a shift of half the rate.
        assert (4 * error <= energy / 2).all()
        assert ((energy > 0) == taking_part).all()
        step = ((shifted - w) * np.sign(w))[taking_part]
        assert (step.std(axis=(1, 2)) < 1e-5 * step.mean(axis=(1, 2))).all()


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
    # Nothing of a shift is drawn: what is measured once stands beside every mask.
    spread = {arm: np.abs(np.diff(table, axis=0)).max() for arm, table in found.samples.items()}
    assert spread["shift"] == 0 < spread["flip"]


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
