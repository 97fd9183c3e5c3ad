"""Plans of sign flips: exactly k, in the right columns, independent, and undone by nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from signmag_jax.evidence import keys
from signmag_jax.measure import flips
from signmag_jax.measure import pools as pool_room
from signmag_jax.measure.activations import alpha
from signmag_jax.models import MATRICES, SITE_OF, nll, window_nll

ARMS = ("outlier", "rest")


@jax.jit
def _applied(transform, blocks):
    def body(_, piece):
        layer, weights = piece
        return None, {name: transform(weight, layer, name) for name, weight in weights.items()}

    layers = jnp.arange(len(blocks["q_proj"]), dtype=jnp.int32)
    return jax.lax.scan(body, None, (layers, blocks))[1]


def draws_of(pools, k, seed=0, arms=ARMS):
    return flips.Draws(pools, dict.fromkeys(arms, k), keys.root(seed))


def flipped_masks(model, pools, arm, k, draw, seed=0):
    """Which weights the transform flips, from the weights themselves."""
    blocks = {name: jnp.asarray(model.params["blocks"][name]) for name in MATRICES}
    draws = draws_of(pools, k, seed)
    after = _applied(draws.transform(draws.plan(arm, draw)), blocks)
    masks = {}
    for name, before in blocks.items():
        before, now = np.asarray(before), np.asarray(after[name])
        assert (before != 0).all()
        assert (np.abs(now) == np.abs(before)).all()
        masks[name] = now == -before
    return masks


@pytest.fixture(scope="module")
def pools(tiny, windows):
    return pool_room.Pools.of(tiny, alpha(tiny, windows[0]).outliers(), range(3), MATRICES)


def in_pool(pools, name, arm):
    site = SITE_OF[name]
    offset, width = pools.span(site, arm)
    mask = np.zeros(pools.order[site].shape, bool)
    np.put_along_axis(mask, pools.order[site][:, offset : offset + width], True, axis=1)
    return mask


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("rate", [0.002, 0.3, 0.5, 0.51, 1.0])
def test_exactly_k_flips_inside_the_arms_columns(tiny, pools, arm, rate):
    k = max(1, round(rate * pools.size("outlier")))
    for draw in range(3):
        masks = flipped_masks(tiny, pools, arm, k, draw)
        assert sum(mask.sum() for mask in masks.values()) == k
        for name, mask in masks.items():
            columns = in_pool(pools, name, arm)[:, None, :]
            assert not (mask & ~columns).any()
            share = k * pools.matrix_size(name, arm) / pools.size(arm)
            assert (np.abs(mask.sum(axis=(1, 2)) - share) < 1).all()


def test_rest_arm_inverted(tiny, pools):
    """More flips than half of a pool are drawn as those that stay; here in the larger pool."""
    k = round(0.8 * pools.size("rest"))
    blocks = {name: jnp.asarray(tiny.params["blocks"][name]) for name in MATRICES}
    draws = draws_of(pools, k, arms=("rest",))
    after = _applied(draws.transform(draws.plan("rest", 0)), blocks)
    assert sum(int((np.asarray(after[name]) == -np.asarray(blocks[name])).sum()) for name in MATRICES) == k


def test_layers_and_matrices_left_out_stay_untouched(tiny, windows):
    chosen = pool_room.Pools.of(tiny, alpha(tiny, windows[0]).outliers(), (1,), ("up_proj", "o_proj"))
    for k in (5, chosen.size("outlier")):
        masks = flipped_masks(tiny, chosen, "outlier", k, 0)
        assert sum(mask.sum() for mask in masks.values()) == k
        for name, mask in masks.items():
            assert name in ("up_proj", "o_proj") or not mask.any()
            assert not mask[[0, 2]].any()


def test_masks_differ_between_layers_matrices_seeds_arms_and_roots(tiny, pools):
    k = pools.size("outlier") // 3
    one, again = (flipped_masks(tiny, pools, "outlier", k, 0) for _ in range(2))
    assert all((one[name] == again[name]).all() for name in MATRICES)
    for other in (
        flipped_masks(tiny, pools, "outlier", k, 1),
        flipped_masks(tiny, pools, "outlier", k, 0, seed=1),
        flipped_masks(tiny, pools, "rest", k, 0),
    ):
        assert all((one[name] != other[name]).any() for name in MATRICES)
    # same shape and same columns, so equal masks would show a shared key
    assert (one["gate_proj"] != one["up_proj"]).any()
    assert (one["k_proj"] != one["v_proj"]).any()
    relative = [one["up_proj"][layer][:, in_pool(pools, "up_proj", "outlier")[layer]] for layer in range(3)]
    assert (relative[0] != relative[1]).any()
    assert (relative[1] != relative[2]).any()


def correlation(first, second):
    """Correlation of two 0/1 tables over all their cells."""
    return np.corrcoef(first.ravel(), second.ravel())[0, 1]


def test_masks_are_independent_across_matrices(tiny, pools):
    """Counts of a matrix vary by at most 1 between draws, so positions must carry no correlation."""
    k = pools.size("outlier") // 4
    draws = [flipped_masks(tiny, pools, "outlier", k, draw) for draw in range(60)]

    def cells(name, layer):
        return np.stack([mask[name][layer][:, in_pool(pools, name, "outlier")[layer]] for mask in draws])

    gate, up = cells("gate_proj", 0), cells("up_proj", 0)
    bound = 4.5 / np.sqrt(gate.size)
    assert abs(correlation(gate, up)) < bound
    assert abs(correlation(gate, cells("gate_proj", 1))) < bound
    assert abs(correlation(gate[:-1], gate[1:])) < bound
    assert abs(correlation(gate, gate)) > bound  # a mask shared between matrices is seen


def test_flips_are_uniform_over_columns_and_rows(tiny, pools):
    k = pools.size("rest") // 20
    total = dict.fromkeys(MATRICES, 0)
    for draw in range(120):
        for name, mask in flipped_masks(tiny, pools, "rest", k, draw).items():
            total[name] = total[name] + mask.astype(int)
    columns = np.concatenate(
        [total[name].sum(axis=1)[in_pool(pools, name, "rest")] / pools.outputs[name] for name in MATRICES]
    )
    # a column of m rows expects 120·k·m/N flips; every weight has the same chance, less what k fixes
    chance = 120 * k / pools.size("rest")
    rows = np.concatenate(
        [np.full(in_pool(pools, name, "rest").sum(), pools.outputs[name]) for name in MATRICES]
    )
    variance = chance * (1 - k / pools.size("rest")) / rows
    statistic = ((columns - chance) ** 2 / variance).sum()
    assert 1e-4 < stats.chi2.sf(statistic, len(columns)) < 1 - 1e-4
    tilted = columns * np.linspace(0.9, 1.1, len(columns))  # the same test sees a 10% tilt
    assert stats.chi2.sf(((tilted - chance) ** 2 / variance).sum(), len(columns)) < 1e-4


def test_no_layer_is_favoured_when_there_are_fewer_flips_than_matrices(tiny, pools):
    counts = np.zeros(3)
    for draw in range(300):
        plan = draws_of(pools, 2).plan("outlier", draw)
        counts += sum(np.asarray(count) for count in plan.drawn.values())
    assert counts.sum() == 600
    assert stats.chisquare(counts).pvalue > 1e-4


def test_losses_equal_those_of_edited_weights(tiny, windows, pools):
    """The transform inside the forward pass, against weights flipped on the host."""
    k = pools.size("outlier") // 2
    masks = flipped_masks(tiny, pools, "outlier", k, 4)
    before = tiny.params["blocks"]
    edited = {name: jnp.where(mask, -before[name], before[name]) for name, mask in masks.items()}
    other = tiny.replace(params=tiny.params | {"blocks": tiny.params["blocks"] | edited})
    truth = window_nll(other, windows[1], batch=8).mean(axis=1)
    draws = draws_of(pools, k)
    transform = draws.transform(draws.plan("outlier", 4))
    found = window_nll(tiny, windows[1], transform, 8).mean(axis=1)
    np.testing.assert_allclose(found, truth, rtol=0, atol=2e-6)
    clean = window_nll(tiny, windows[1], batch=8).mean(axis=1)
    assert np.abs(found - clean).max() > 1e-3
    in_parts = window_nll(tiny, windows[1], transform, 3).mean(axis=1)
    np.testing.assert_allclose(in_parts, truth, rtol=0, atol=2e-6)


def test_no_flips_reproduces_the_clean_loss(tiny, windows, pools):
    for k in (9, pools.size("outlier")):
        draws = draws_of(pools, k)
        transform = draws.transform(draws.plan("outlier", 0).empty())
        found = window_nll(tiny, windows[1], transform, 8).mean(axis=1)
        clean = window_nll(tiny, windows[1], batch=8).mean(axis=1)
        np.testing.assert_allclose(found, clean, rtol=0, atol=1e-6)


def test_an_identity_transform_changes_nothing_at_all(tiny, windows):
    clean = window_nll(tiny, windows[1], batch=8)
    same = window_nll(tiny, windows[1], lambda weight, layer, name: weight, batch=8)
    assert (clean == same).all()


def test_one_compilation_serves_both_arms_all_seeds_and_low_rates(tiny, windows, pools):
    nll._nll.clear_cache()
    flips._coordinates.clear_cache()
    for k in (11, 40):
        draws = draws_of(pools, k)
        for arm in ARMS:
            for draw in range(3):
                window_nll(tiny, windows[1], draws.transform(draws.plan(arm, draw)), 8)
    assert nll._nll._cache_size() == 1
    assert flips._coordinates._cache_size() == 1


def test_a_draw_does_not_depend_on_the_number_of_slots(pools):
    k = pools.size("outlier") // 3
    draws = draws_of(pools, k)
    plan, few, rows = draws.plan("outlier", 0), draws.slots, tuple(pools.outputs.items())
    many = tuple((name, 2 * size + 7) for name, size in few)
    short, long = (flips._coordinates(pools.order, plan, slots, rows) for slots in (few, many))
    for name, size in few:
        for one, other in zip(short[name], long[name], strict=True):
            # rows past the last one and any column: nothing is flipped there
            np.testing.assert_array_equal(one, np.asarray(other)[:, :size])
        assert (np.asarray(long[name][0])[:, size:] == pools.outputs[name]).all()
