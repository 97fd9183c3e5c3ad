"""Plans of sign flips: exactly k, in the right columns, independent, and undone by nothing."""

import jax
import numpy as np
import pytest
from conftest import applied, with_block
from scipy import stats

from signmag_jax.evidence import keys
from signmag_jax.measure import flips
from signmag_jax.measure import pools as pool_room
from signmag_jax.models import MATRICES, SITE_OF, window_nll

ARMS = ("outlier", "rest")


def draws_of(pools, k, seed=0, arms=ARMS):
    return flips.Draws(pools, dict.fromkeys(arms, k), keys.root(seed))


def flipped_masks(model, pools, arm, k, draw, seed=0, arms=ARMS):
    """Which weights the transform flips, from the weights themselves."""
    draws = draws_of(pools, k, seed, arms)
    masks = {}
    for name, (before, after) in applied(model, draws.transform(draws.recipe(arm, draw))).items():
        assert (before != 0).all()
        assert (np.abs(after) == np.abs(before)).all()
        masks[name] = after == -before
    return masks


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
    masks = flipped_masks(tiny, pools, "rest", k, 0, arms=("rest",))
    assert sum(mask.sum() for mask in masks.values()) == k


def test_layers_and_matrices_left_out_stay_untouched(tiny, profile):
    chosen = pool_room.Pools.of(tiny, profile.outliers(), (1,), ("up_proj", "o_proj"))
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
        recipe = draws_of(pools, 2).recipe("outlier", draw)
        counts += sum(np.asarray(count) for count in recipe.drawn.values())
    assert counts.sum() == 600
    assert stats.chisquare(counts).pvalue > 1e-4


def test_losses_equal_those_of_edited_weights(tiny, windows, pools):
    """The transform inside the forward pass, against weights flipped on the host."""
    k = pools.size("outlier") // 2
    other = tiny
    for name, mask in flipped_masks(tiny, pools, "outlier", k, 4).items():
        weight = np.asarray(tiny.params["blocks"][name])
        other = with_block(other, name, np.where(mask, -weight, weight))
    truth = window_nll(other, windows[1], batch=8).mean(axis=1)
    draws = draws_of(pools, k)
    transform = draws.transform(draws.recipe("outlier", 4))
    found = window_nll(tiny, windows[1], transform, 8).mean(axis=1)
    np.testing.assert_allclose(found, truth, rtol=0, atol=2e-6)
    clean = window_nll(tiny, windows[1], batch=8).mean(axis=1)
    assert np.abs(found - clean).max() > 1e-3
    in_parts = window_nll(tiny, windows[1], transform, 4).mean(axis=1)
    np.testing.assert_allclose(in_parts, truth, rtol=0, atol=2e-6)


def test_no_flips_reproduces_the_clean_loss(tiny, windows, pools):
    for k in (9, pools.size("outlier")):
        draws = draws_of(pools, k)
        transform = draws.transform(draws.recipe("outlier", 0).empty())
        found = window_nll(tiny, windows[1], transform, 8).mean(axis=1)
        clean = window_nll(tiny, windows[1], batch=8).mean(axis=1)
        np.testing.assert_allclose(found, clean, rtol=0, atol=1e-6)


def test_one_compilation_serves_both_arms_all_seeds_and_low_rates(tiny, windows, pools):
    def evaluate(k, arm, draw, batch=8):
        draws = draws_of(pools, k)
        window_nll(tiny, windows[1], draws.transform(draws.recipe(arm, draw)), batch)

    evaluate(11, "outlier", 0)
    jax.config.update("jax_no_tracing", True)  # from here on whatever would be compiled is an error
    try:
        for k in (11, 40):
            for arm in ARMS:
                for draw in range(3):
                    evaluate(k, arm, draw)
        with pytest.raises(RuntimeError, match="re-tracing"):
            evaluate(11, "outlier", 0, batch=5)
    finally:
        jax.config.update("jax_no_tracing", False)


def test_a_draw_does_not_depend_on_the_number_of_slots(pools):
    k = pools.size("outlier") // 3
    few = draws_of(pools, k)
    many = flips.Draws(pools, {"outlier": k, "rest": pools.size("rest") // 2}, few.key)
    short, long = (draws.coordinates(draws.recipe("outlier", 0)) for draws in (few, many))
    assert any(size < wider for (_, size), (_, wider) in zip(few.slots, many.slots, strict=True))
    for name, size in few.slots:
        for one, other in zip(short[name], long[name], strict=True):
            # rows past the last one and any column: nothing is flipped there
            np.testing.assert_array_equal(one, np.asarray(other)[:, :size])
        assert (np.asarray(long[name][0])[:, size:] == pools.outputs[name]).all()
