"""Flips against shifts of equal Frobenius norm, matrix by matrix."""

import json

import numpy as np
import pytest
from conftest import applied, with_block

from signmag_jax import measure
from signmag_jax.evidence import InvalidInput, keys
from signmag_jax.measure import flips, shift_parts
from signmag_jax.measure import pools as pool_room
from signmag_jax.measure.shift_parts import matching
from signmag_jax.models import MATRICES, window_nll


@pytest.mark.parametrize("layers", [range(3), (1,)])
def test_the_shift_has_the_mean_norm_of_masks(tiny, layers):
    """Over masks, and not of any of them: of 4·flips/weights·Σw², matrix by matrix."""
    pools = pool_room.Pools.everything(tiny, layers, MATRICES)
    k = round(0.1 * pools.size("all"))
    draws = flips.Draws(pools, {"all": k}, keys.root(3))
    by_shift = applied(tiny, matching(pools, k / pools.size("all")))
    by_flip = [applied(tiny, draws.transform(draws.recipe("all", draw))) for draw in range(40)]
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


def test_growth_after_the_rest_is_the_shift(tiny):
    """The rest has no component along the weights, and the growth has no other."""
    pools = pool_room.Pools.everything(tiny, (1,), MATRICES)
    transforms = [matching(pools, 0.01, part) for part in shift_parts.SHIFT_PARTS]
    transforms.append(shift_parts.Scattered(transforms[-1], keys.root(1)))
    shift, growth, rest, scattered = (applied(tiny, each) for each in transforms)
    for name, (w, shifted) in shift.items():
        untouched = rest[name][1][0], scattered[name][1][0]
        assert all(np.array_equal(one, w[0]) for one in untouched)  # layers that take no part
        w, shifted, grown, turned, loose = (
            x[1] for x in (w, shifted, growth[name][1], rest[name][1], scattered[name][1])
        )
        b = np.abs(w).mean() / np.sqrt((w**2).mean())
        np.testing.assert_allclose(grown, (1 + 0.2 * b) * w, rtol=1e-5)
        np.testing.assert_allclose(turned * (1 + 0.2 * b), shifted, rtol=1e-5, atol=1e-7)
        assert (turned * w).sum() / (w * w).sum() == pytest.approx(1, rel=1e-5)
        assert abs((shifted * w).sum() / (w * w).sum() - 1) > 0.1  # the shift itself grows
        np.testing.assert_allclose(np.abs(loose - w), np.abs(turned - w), atol=1e-6)
        same = np.sign(loose - w) == np.sign(turned - w)
        assert abs(same.mean() - 0.5) < 4 / (2 * np.sqrt(w.size))


def test_growth_alone_is_what_editing_the_weights_costs(tiny, windows):
    found = measure.all_columns(tiny, windows[1], rates=(0.01,), draws=2, matrices=("up_proj",))
    w = np.asarray(tiny.params["blocks"]["up_proj"], np.float64)
    b = np.abs(w).mean(axis=(1, 2)) / np.sqrt((w**2).mean(axis=(1, 2)))
    flips = found.rates[0].flips / w.size
    grown = with_block(tiny, "up_proj", ((1 + 2 * np.sqrt(flips) * b)[:, None, None] * w).astype(np.float32))
    cost = (window_nll(grown, windows[1]) - window_nll(tiny, windows[1])).mean()
    assert found.growth[0].estimate.value == pytest.approx(cost, rel=1e-2, abs=1e-6)
    assert found.rest[0].damage["rest"].estimate.value != pytest.approx(cost, rel=0.1)
    squares = (w**2).sum(axis=(1, 2))
    assert found.cosine == pytest.approx(np.sqrt((squares * b**2).sum() / squares.sum()), rel=1e-6)


def test_result_cost_and_resumption(tiny, windows, tmp_path):
    first = measure.all_columns(tiny, windows[1], rates=(0.1,), draws=2, scattered=2, resume=tmp_path)
    assert len(list(tmp_path.glob("record-*"))) * 8 * 33 / 2048 == measure.MEASUREMENTS["all-columns"].passes(
        windows=8, window=33, rates=(0.1,), draws=2, scattered=2
    )
    again = measure.all_columns(tiny, windows[1], rates=(0.1,), draws=2, scattered=2, resume=tmp_path)
    plain = json.dumps(first.to_json(), allow_nan=False)
    assert plain == json.dumps(again.to_json(), allow_nan=False)
    found = first.rates[0]
    assert found.flips == round(0.1 * first.pool_size)
    assert set(found.samples) == {"flip", "shift"}
    assert set(first.rest[0].samples) == {"flip", "rest"}
    assert np.ptp(first.scattered[0].samples["scattered"], axis=0).max() > 0
    assert np.array_equal(first.rest[0].samples["flip"], found.samples["flip"])
    # Nothing of a shift is drawn: what is measured once stands beside every mask.
    spread = {arm: np.abs(np.diff(table, axis=0)).max() for arm, table in found.samples.items()}
    assert spread["shift"] == 0 < spread["flip"]


def test_a_kind_of_matrix_alone_is_what_a_run_of_it_measures(tiny, windows):
    options = {"rates": (0.1,), "draws": 2}
    kinds = ("k_proj", "up_proj")
    found = measure.all_columns(tiny, windows[1], by_matrix=True, matrices=kinds, **options)
    assert tuple(found.by_matrix) == kinds
    one = measure.all_columns(tiny, windows[1], matrices=kinds[1:], **options)
    both = (found.by_matrix["up_proj"].rates[0].samples, one.rates[0].samples)
    assert all(np.array_equal(both[0][arm], both[1][arm]) for arm in ("flip", "shift"))
    assert not np.array_equal(found.by_matrix["k_proj"].rates[0].samples["shift"], both[0]["shift"])
    assert {row["matrix"] for row in found.rows()} == {"all", *kinds}
    assert any(line.startswith("up_proj, rate 0.1") for line in found.summary())
    # Beside every ratio, in text and JSON: two draws of a tenth leave 0.9² of the weights.
    chance = [line for name, line in found.summary().items() if name.endswith("left to chance")]
    assert [line.split(" of ")[0] for line in chance] == ["81.0%"] * 3
    assert found.to_json()["by_matrix"]["up_proj"]["left_to_chance"] == chance[2:]
    passes = measure.MEASUREMENTS["all-columns"].passes
    plain, more = (passes(windows=8, window=33, by_matrix=each, **options) for each in (False, True))
    assert more == 8 * plain


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rates": (1e-9,)}, "rate × weights >= 1 flip"),
        ({"rates": (2.0,)}, "0 < rate <= 1"),
        ({"draws": 1}, "draws >= 2"),
        ({"scattered": 1}, "scattered >= 2"),
        ({"matrices": ("x",)}, "matrices in"),
    ],
)
def test_bad_options_are_refused(tiny, windows, change, message):
    with pytest.raises(InvalidInput, match=message):
        measure.all_columns(tiny, windows[1], **change)


def test_too_few_windows_are_refused(tiny, windows):
    with pytest.raises(InvalidInput, match="at least 8 evaluation windows"):
        measure.all_columns(tiny, windows[1][:5])
