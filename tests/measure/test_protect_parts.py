"""The parts of `protect`: budgets, exact cuts, the diagonal token by token, and what is spared."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from conftest import applied
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from small_models import MINUTE

from signmag_jax.evidence import InvalidInput
from signmag_jax.measure import quantized
from signmag_jax.measure.against import Against, Spared
from signmag_jax.measure.budget import Budget, budgets_of
from signmag_jax.measure.criteria import unit_of
from signmag_jax.measure.cut import cuts, kept
from signmag_jax.measure.pools import ALL, Pools
from signmag_jax.measure.token_fisher import token_fisher
from signmag_jax.models import MATRICES, logits
from signmag_jax.perturb import Ternarize, UniformQuantize

# Small whole numbers, so that many scores are equal, beside numbers over the whole range.
SCORES = st.one_of(st.integers(0, 3).map(float), st.floats(0, 2.0**100, width=32, allow_subnormal=False))


def by_sorting(scores, layers, count):
    """The first `count` places of a stable sort, as masks."""
    places = [(name, layer) for name in scores for layer in layers]
    flat = np.concatenate([scores[name][layer].ravel() for name, layer in places])
    chosen = np.zeros(flat.size, bool)
    chosen[np.argsort(-flat, kind="stable")[:count]] = True
    masks, start = {name: np.ones(table.shape, bool) for name, table in scores.items()}, 0
    for name, layer in places:
        size = scores[name][layer].size
        masks[name][layer] = chosen[start : start + size].reshape(scores[name][layer].shape)
        start += size
    return masks


@settings(max_examples=30, deadline=None)
@given(
    arrays(np.float32, (3, 2, 5), elements=SCORES),
    arrays(np.float32, (3, 4, 2), elements=SCORES),
    st.sampled_from([(0, 1, 2), (0, 2), (1,)]),
    st.lists(st.floats(0, 1), min_size=1, max_size=3),
)
def test_a_cut_is_exactly_the_first_of_a_stable_sort(a, b, layers, shares):
    scores = {"a": a, "b": b}
    total = len(layers) * 18
    counts = [max(1, round(share * total)) for share in shares]
    tables = {name: jnp.asarray(table) for name, table in scores.items()}
    for count, cut in zip(counts, cuts(tables, layers, counts), strict=True):
        masks = {name: np.asarray(mask) for name, mask in kept(tables, cut, layers).items()}
        wanted = by_sorting(scores, layers, count)
        for name in scores:
            np.testing.assert_array_equal(masks[name], wanted[name])
        assert sum(masks[name][list(layers)].sum() for name in scores) == count == cut.weights


def test_whole_columns_are_left_out_where_they_do_not_fit():
    columns = np.broadcast_to(np.float32([[[3, 1, 2, 2]]]), (1, 5, 4))
    for count, held in ((4, 0), (5, 5), (14, 5), (15, 15), (19, 15), (20, 20)):
        (cut,) = cuts({"a": jnp.asarray(columns)}, (0,), [count], whole=True)
        mask = np.asarray(kept({"a": jnp.asarray(columns)}, cut, (0,))["a"])
        assert mask.sum() == held == cut.weights


def test_scores_that_are_not_numbers_are_refused():
    with pytest.raises(InvalidInput, match="layer 1 a"):
        cuts({"a": jnp.asarray(np.float32([[[1.0]], [[np.nan]]]))}, (0, 1), [1])


@pytest.mark.parametrize(
    ("text", "unit", "share"),
    [
        ("0.5%", "weights", 0.005),
        (".5%", "weights", 0.005),
        ("0.005", "weights", 0.005),
        ("1e-3", "weights", 0.001),
        ("100%", "weights", 1.0),
        ("0.48b", "weights", 0.01),
        ("0.16b", "columns", 0.01),
    ],
)
def test_a_budget_is_a_share_of_the_weights(text, unit, share):
    assert Budget.of(text, unit).share == pytest.approx(share)


@pytest.mark.parametrize(
    "text", ["0", "0%", "101%", "-1%", "1.5", "half", "", "nan", "inf", "1%%", "0b", "50b"]
)
def test_what_is_no_budget_is_refused(text):
    with pytest.raises(InvalidInput, match="budget"):
        Budget.of(text)


def test_budgets_are_distinct_and_ascending_and_pay_for_something():
    assert [each.text for each in budgets_of(("2%", "0.1%"))] == ["0.1%", "2%"]
    for texts in ((), ("0.5%", "0.005")):
        with pytest.raises(InvalidInput, match="distinct budgets"):
            budgets_of(texts)
    with pytest.raises(InvalidInput, match="unit in"):
        budgets_of(("1%",), "rows")
    with pytest.raises(InvalidInput, match="all in bits"):
        budgets_of(("1%", "0.2b"))
    assert [each.text for each in budgets_of(("0.2b", "0.1b"))] == ["0.1b", "0.2b"]
    assert Budget.of("0.15%").weights(1000) == 2
    for limit in ("0.09b", "0.09B"):
        assert Budget.of(limit).weights(1000) == 1  # bits are a limit: 1.9 weights
    with pytest.raises(InvalidInput, match="at least 1 of 100 weights"):
        Budget.of("0.1%").weights(100)


def test_bits_buy_three_times_as_many_weights_of_columns():
    bits, share = Budget.of("0.48b"), Budget.of("1%")
    assert bits.exchanged(100, "weights", "columns") == 300
    assert Budget.of("0.48b", "columns").exchanged(100, "columns", "weights") == 33
    assert share.exchanged(100, "weights", "columns") == bits.exchanged(100, "weights", "weights") == 100
    assert unit_of("awq") == unit_of("llm_int8") == unit_of("imatrix") == "columns"
    assert {unit_of(name) for name in ("size", "random", "imatrix_weights", "imatrix_error")} == {"weights"}


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        *((name, None) for name in ("int4", "q9", "q1", "q44", "ternary:2", "flips")),
        *((name, None) for name in ("flips:0", "flips:2", "flips:x")),
        ("flips:0.1", 32),
        ("ternary", "block"),
    ],
)
def test_an_unknown_error_is_refused(name, scale):
    with pytest.raises(InvalidInput):
        Against.of(name, scale)


def test_errors_by_name():
    ternary, four = Against.of("ternary"), Against.of("q4")
    assert (ternary.quantizer, ternary.scale) == (Ternarize(), "tensor")
    assert (four.quantizer, four.scale) == (UniformQuantize(4), 32)
    assert Against.of("q4", "row").scale == "row"
    assert Against.of("flips:0.25").rate == 0.25


def test_the_last_layers_diagonal_is_exact(minute, minute_text):
    """Against the Jacobian of all logits. One sample a token: the mean over 200 draws, within its error."""
    window = minute_text[1][0]
    found = np.stack(
        [
            np.asarray(token_fisher(minute, window[None], ("down_proj",), seed)["down_proj"][-1])
            for seed in range(200)
        ]
    )
    last = minute.params["blocks"]["down_proj"][-1]

    def predicted(w):
        table = minute.params["blocks"]["down_proj"].at[-1].set(w)
        params = minute.params | {"blocks": minute.params["blocks"] | {"down_proj": table}}
        return logits(MINUTE, params, jnp.asarray(window[None]))[0, :-1]

    jacobian = np.asarray(quick.jit(jax.jacfwd(predicted))(last))
    p = np.asarray(jax.nn.softmax(predicted(last)))
    mean = np.einsum("tv,tvoi->toi", p, jacobian)
    exact = np.einsum("tv,tvoi->oi", p, jacobian**2) / len(p) - (mean**2).mean(axis=0)
    error = found.std(axis=0, ddof=1) / 200**0.5
    assert np.median(error / exact) < 0.15
    assert np.abs((found.mean(axis=0) - exact) / error).max() < 5
    # The nearest wrong answer: the square of a mean over tokens, a factor of their number off.
    assert np.median(np.abs(found.mean(axis=0) - exact / len(p)) / error) > 10


@pytest.mark.parametrize("name", ["ternary", "q4", "flips:0.25"])
def test_what_is_kept_is_kept_and_the_rest_is_perturbed(tiny, name):
    against, rng = Against.of(name), np.random.default_rng(5)
    layers, names = (0, 2), ("q_proj", "down_proj")
    draws = against.draws(Pools.everything(tiny, layers, names), 0)
    flips = None if draws is None else draws.transform(draws.recipe(ALL, 0))
    masks = {
        which: jnp.asarray(rng.random(tiny.params["blocks"][which].shape) < 0.3).at[1].set(True)
        for which in names
    }
    found = applied(tiny, Spared(names, against.quantizer, against.scale, flips, masks))
    changed = 0
    for which, (before, after) in found.items():
        if which not in names:
            np.testing.assert_array_equal(before, after)
            continue
        mask = np.asarray(masks[which])
        np.testing.assert_array_equal(after[mask], before[mask])
        if flips is None:
            whole = np.stack(
                [np.asarray(quantized(against.quantizer, jnp.float32(w), against.scale)) for w in before]
            )
            np.testing.assert_allclose(after[~mask], whole[~mask], rtol=1e-6, atol=1e-7)
        else:
            assert set(np.unique(after[~mask] / before[~mask])) == {-1.0, 1.0}
            changed += (after != before).sum()
    if flips is not None:
        total = sum(2 * tiny.params["blocks"][which][0].size for which in names)
        everything = {which: jnp.asarray(mask & ~mask).at[1].set(True) for which, mask in masks.items()}
        free = applied(tiny, Spared(names, None, "tensor", flips, everything))
        assert sum((free[w][0] != free[w][1]).sum() for w in names) == round(0.25 * total)
        assert 0.4 < changed / round(0.25 * total) < 1.0
    assert set(MATRICES) == set(found)
