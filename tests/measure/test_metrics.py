"""Paired metrics against full logits in float64, against themselves, and against edited weights."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from conftest import with_block
from scipy import special

from signmag_jax import measure
from signmag_jax.evidence import InvalidInput, keys
from signmag_jax.measure.metrics import PAIRED, STORED, compare_states, judged, perturbing
from signmag_jax.models import MATRICES, logits, window_nll
from signmag_jax.perturb import SignFlip, SignQuantize


@pytest.fixture(scope="module")
def found(tiny, windows):
    return measure.metrics(tiny, windows[1], SignFlip(0.02), draws=3)


@quick.jit
def flipped(blocks, draw):
    """Weights perturbed outside the forward pass, from the documented keys."""
    key = keys.fold(keys.root(0), "metrics")
    return {
        name: jnp.stack(
            [SignFlip(0.02).apply(keys.fold(key, i, name, draw), w) for i, w in enumerate(blocks[name])]
        )
        for name in MATRICES
    }


def test_every_metric_equals_full_logits_in_float64(tiny, windows, found):
    forward = quick.jit(lambda params: logits(tiny.config, params, jnp.asarray(windows[1])))
    p = special.log_softmax(np.asarray(forward(tiny.params), np.float64)[:, :-1], axis=-1)
    for draw in range(3):
        other = tiny
        for name, weight in flipped(tiny.params["blocks"], jnp.asarray(draw, jnp.int32)).items():
            other = with_block(other, name, weight)
        q = special.log_softmax(np.asarray(forward(other.params), np.float64)[:, :-1], axis=-1)
        truth = {
            "delta_nll": np.take_along_axis(p - q, windows[1][:, 1:, None], axis=-1)[..., 0],
            "kl": (np.exp(p) * (p - q)).sum(axis=-1),
            "reverse_kl": (np.exp(q) * (q - p)).sum(axis=-1),
            "agreement": p.argmax(axis=-1) == q.argmax(axis=-1),
        }
        for name in PAIRED:
            np.testing.assert_allclose(found.samples[name][draw], truth[name].mean(axis=1), atol=3e-5)
        # The two divergences differ by more than that: neither stands for the other.
        assert np.abs(truth["kl"].mean() - truth["reverse_kl"].mean()) > 3e-4
    assert found.clean.value == pytest.approx(window_nll(tiny, windows[1], batch=8).mean(), rel=1e-6)
    assert found.values["perplexity"].estimate.value == pytest.approx(
        np.exp(found.values["nll"].estimate.value)
    )


compared = functools.partial(quick.jit, static_argnums=4)(compare_states)
STATES = np.random.default_rng(0).normal(size=(2, 2, 33, 40)).astype(np.float32)


def test_a_distribution_does_not_diverge_from_itself(tiny, windows):
    tokens, states = windows[1][:2], STATES[0]
    same = compared(states, states, tokens, tiny.params["embed"], 9)
    assert all((np.asarray(same[name]) == 0).all() for name in PAIRED[:3])
    assert (np.asarray(same["agreement"]) == 1).all()
    other = compared(states, states[::-1], tokens, tiny.params["embed"], 9)
    assert (np.asarray(other["kl"]) > 0).all()
    assert np.asarray(other["agreement"]).mean() < 0.5


def test_chunks_do_not_change_a_token(tiny, windows):
    whole, parts = (compared(*STATES, windows[1][:2], tiny.params["embed"], chunk) for chunk in (1000, 9))
    for name in PAIRED:
        np.testing.assert_allclose(whole[name], parts[name], rtol=1e-5, atol=1e-5)


def test_the_floor_is_far_below_the_effect(found):
    assert found.noise_floor["delta_nll"] < 1e-5 < 1e-3 * found.values["kl"].estimate.value
    assert found.noise_floor["kl"] < 1e-6
    assert found.noise_floor["disagreement"] == 0
    assert 0 < found.values["agreement"].high < 1
    json.dumps(found.to_json(), allow_nan=False)


def test_draws_that_cannot_be_told_apart_have_no_spread_over_seeds(tiny, windows, found, tmp_path):
    options = {"draws": 2, "matrices": ("up_proj",), "resume": tmp_path}
    fixed = measure.metrics(tiny, windows[1], SignQuantize(), **options)
    assert (np.diff(fixed.samples["kl"], axis=0) == 0).all()
    assert (np.diff(found.samples["kl"], axis=0) != 0).all()
    again = measure.metrics(tiny, windows[1], SignQuantize(), **options)
    assert json.dumps(again.to_json()) == json.dumps(fixed.to_json())
    with pytest.raises(InvalidInput, match=r"different: .*perturbation"):
        measure.metrics(tiny, windows[1], SignFlip(0.1), **options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"draws": 0}, "draws >= 1"),
        ({"layers": (7,)}, "layers in"),
        ({"perturbation": SignFlip(np.array([0.1]))}, "plain numbers"),
    ],
)
def test_bad_options_are_refused(tiny, windows, change, message):
    options = {"perturbation": SignFlip(0.1)} | change
    with pytest.raises(InvalidInput, match=message):
        measure.metrics(tiny, windows[1], **options)
    with pytest.raises(InvalidInput, match="at least 8 evaluation windows"):
        measure.metrics(tiny, windows[1][:7], SignFlip(0.1))


def test_masks_are_independent_across_matrices_layers_and_seeds():
    """By the signs of ones in 300 draws; the control is a mask that two matrices share."""
    names, part = ("gate_proj", "up_proj"), np.array([True, True])

    @quick.jit
    def flipped(layer, seeds):
        def one(draw):
            transform = perturbing(SignFlip(0.2), names, jnp.asarray(part), keys.root(1), draw)
            return jnp.stack([transform(jnp.ones((8, 8)), layer, name) for name in names])

        return jax.vmap(one)(seeds) < 0

    seeds = jnp.arange(300, dtype=jnp.int32)
    first, second = (np.asarray(flipped(jnp.int32(layer), seeds)) for layer in (0, 1))
    gate, up, below = first[:, 0], first[:, 1], second[:, 0]
    bound = 4.5 / np.sqrt(gate.size)

    def correlation(one, other):
        return abs(np.corrcoef(one.ravel(), other.ravel())[0, 1])

    assert abs(gate.mean() - 0.2) < 0.4 * bound
    for other in (up, below, np.roll(gate, 1, axis=0)):
        assert correlation(gate, other) < bound
    assert correlation(gate, gate) > bound


def test_the_floor_is_what_the_second_clean_run_differs_by():
    """Control: a program that is not clean when nothing is perturbed shows in the floor."""
    rows = np.zeros((4, len(STORED), 8))
    rows[:, STORED.index("agreement")] = 1
    rows[2:] += np.random.default_rng(0).normal(0, 0.1, (2, len(STORED), 8))
    assert set(judged(rows, {}).noise_floor.values()) == {0.0}
    rows[1, :, 3] += 0.25
    rows[1, STORED.index("agreement"), 3] = 0.5
    floor = judged(rows, {}).noise_floor
    assert floor == {"delta_nll": 0.25, "kl": 0.25, "reverse_kl": 0.25, "disagreement": 0.5}


def test_what_is_not_random_is_measured_once(tiny, windows):
    once = measure.metrics(tiny, windows[1], SignQuantize(), draws=4)
    assert {len(table) for table in once.samples.values() if table is not None} == {1}
    several = measure.metrics(tiny, windows[1], SignFlip(0.02), draws=2)
    assert {len(table) for table in several.samples.values() if table is not None} == {2}
