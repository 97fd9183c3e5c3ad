"""Experiment D: exact counts, the matched norm, independent masks, and losses of edited weights."""

import json

import numpy as np
import pytest
from conftest import applied, with_block

from signmag_jax import measure
from signmag_jax.evidence import InvalidInput
from signmag_jax.measure.flips import Flips
from signmag_jax.measure.outlier_flips import ARMS, MATCHED, MatchedFlips, draws_at, factors
from signmag_jax.models import SITE_OF, window_nll

RATE = 0.1


@pytest.fixture(scope="module")
def found(tiny, windows):
    return measure.outlier_flips(tiny, *windows, rate=RATE, draws=2)


@pytest.fixture(scope="module")
def draws(pools):
    return draws_at(RATE, pools, 0)


def changed(tiny, draws, arm, draw):
    """Weights under an arm, in float64, by matrix."""
    kind = MatchedFlips if arm in MATCHED else Flips
    return applied(tiny, draws.transform(draws.recipe(ARMS[arm], draw), kind))


@pytest.mark.parametrize("arm", ARMS)
def test_exactly_k_weights_change_and_only_in_the_pool(tiny, draws, arm):
    total = 0
    for name, (before, after) in changed(tiny, draws, arm, 1).items():
        mask = before != after
        total += mask.sum()
        site = SITE_OF[name]
        offset, width = draws.pools.span(site, ARMS[arm])
        inside = np.zeros((3, before.shape[2]), bool)
        np.put_along_axis(inside, draws.pools.order[site][:, offset : offset + width], True, axis=1)
        assert not (mask & ~inside[:, None, :]).any()
        if arm not in MATCHED:
            assert (after[mask] == -before[mask]).all()
    assert total == draws.flips[ARMS[arm]] == round(RATE * draws.pools.size(ARMS[arm]))


@pytest.mark.parametrize("arm", MATCHED)
def test_matched_errors_have_the_norm_of_flips_anywhere(tiny, draws, arm):
    found = []
    for name, (before, after) in changed(tiny, draws, arm, 0).items():
        for layer, (w, v) in enumerate(zip(before, after, strict=True)):
            drawn, pool = (w != v).sum(), draws.pools.matrix_size(name, ARMS[arm])
            expected = 4 * drawn / pool * (w**2).sum()
            assert ((v - w) ** 2).sum() == pytest.approx(expected, rel=1e-4)
            factor = v[w != v] / w[w != v]
            assert np.ptp(factor) < 1e-4
            found.append(factor.mean())
            assert layer < 3
    # 5% of equal columns have 1/√20 of the norm: 1 − 2√20 = −7.9. One flip, or none, would be −1 or 1.
    assert np.median(found) < -6 if arm.startswith("outlier") else -1.5 < np.median(found) < -0.7
    matched = draws.transform(draws.recipe(ARMS[arm], 0), MatchedFlips)
    np.testing.assert_allclose(factors(tiny, matched), found, rtol=1e-3)


def test_masks_are_independent_across_matrices_layers_arms_and_seeds(tiny, draws):
    one, other = (changed(tiny, draws, "anywhere", seed) for seed in (0, 1))
    masks = {name: before != after for name, (before, after) in one.items()}
    assert (masks["gate_proj"] != masks["up_proj"]).any()
    assert (masks["gate_proj"][0] != masks["gate_proj"][1]).any()
    assert (masks["gate_proj"] != (other["gate_proj"][0] != other["gate_proj"][1])).any()
    # Shared masks would be seen: the same share of each matrix flips, at correlation 0 and not 1.
    first, second = masks["gate_proj"].ravel(), masks["up_proj"].ravel()
    assert abs(np.corrcoef(first, second)[0, 1]) < 4.5 / np.sqrt(first.size)
    matched = changed(tiny, draws, "outlier, matched", 0), changed(tiny, draws, "outlier", 0)
    assert all(
        ((m[0] != m[1]) == (f[0] != f[1])).all() for m, f in zip(*map(dict.values, matched), strict=True)
    )


def test_damage_is_that_of_edited_weights(tiny, windows, draws, found):
    clean = window_nll(tiny, windows[1], batch=8).mean(axis=1)
    for arm in ("rest", "outlier, matched"):
        other = tiny
        for name, (_, after) in changed(tiny, draws, arm, 1).items():
            other = with_block(other, name, after.astype(np.float32))
        truth = window_nll(other, windows[1], batch=8).mean(axis=1) - clean
        np.testing.assert_allclose(found.samples[arm][1], truth, atol=5e-6)
        assert np.abs(truth).max() > 1e-3


def test_result(tiny, windows, found, tmp_path):
    assert found.noise_floor < 1e-6
    assert set(found.ratios) == {
        "outlier over rest", "outlier over rest, matched", "outlier, matched, over anywhere"
    }  # fmt: skip
    plain = json.dumps(found.to_json(), allow_nan=False)
    first = measure.outlier_flips(tiny, *windows, rate=RATE, draws=2, resume=tmp_path)
    again = measure.outlier_flips(tiny, *windows, rate=RATE, draws=2, resume=tmp_path)
    assert json.dumps(first.to_json()) == json.dumps(again.to_json()) == plain
    count = len(list(tmp_path.glob("record-*"))) - 1
    assert (
        measure.MEASUREMENTS["outlier-flips"].passes(windows=8, window=33, draws=2) == count * 8 * 33 / 2048
    )


def test_flips_anywhere_can_be_left_out(tiny, windows, found):
    fewer = measure.outlier_flips(tiny, *windows, rate=RATE, draws=2, anywhere=False)
    assert set(found.samples) - set(fewer.samples) == {"anywhere"}
    for arm, table in fewer.samples.items():
        np.testing.assert_array_equal(table, found.samples[arm])
    assert set(fewer.ratios) == {"outlier over rest", "outlier over rest, matched"}
    cost = measure.MEASUREMENTS["outlier-flips"].passes
    assert cost(windows=8, window=256, draws=2) - cost(windows=8, window=256, draws=2, anywhere=False) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate": 0.6}, "0 < rate <= 0.5"),
        ({"rate": 1e-6}, "rate × pool >= 1 flip"),
        ({"draws": 1}, "draws >= 2"),
        ({"layers": (9,)}, "layers in"),
    ],
)
def test_bad_options_are_refused(tiny, windows, change, message):
    with pytest.raises(InvalidInput, match=message):
        measure.outlier_flips(tiny, *windows, **change)
    with pytest.raises(InvalidInput, match="disjoint"):
        measure.outlier_flips(tiny, windows[1], windows[1])
