"""What flips do in one block, against plain NumPy and against what a planted column must do."""

import functools

import jax
import numpy as np
import pytest
import quick

from signmag_jax.training import Architecture
from signmag_jax.training.architecture import ENTERING
from signmag_jax.training.block_effects import block_effects, flipped, outlier_columns

WIDTH, RATE, DRAWS = 64, 0.05, 64


def block(activation, seed=0, width=WIDTH):
    rng = np.random.default_rng(seed)
    matrices = {
        name: (rng.normal(size=(width, width)) / width**0.5).astype(np.float32)
        for name in (*ENTERING[activation], "down")
    }
    state = rng.normal(size=(32, width)).astype(np.float32)
    return Architecture(activation, 1, width, 4), matrices, state


@functools.cache
def program(network, rate):
    return quick.jit(lambda *given: block_effects(network, *given, rate, DRAWS))


def rms(x):
    return x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True))


def by_numpy(matrices, x):
    up = x @ matrices["up"].T
    gate = x @ matrices["gate"].T if "gate" in matrices else None
    hidden = np.maximum(up, 0) if gate is None else gate / (1 + np.exp(-gate)) * up
    return hidden @ matrices["down"].T


def transverse(clean, moved):
    difference = moved - clean
    along = np.sum(difference * clean, axis=-1, keepdims=True) / np.sum(clean**2, axis=-1, keepdims=True)
    return np.mean(np.sum((difference - along * clean) ** 2, axis=-1) / np.sum(clean**2, axis=-1))


def redrawn(matrices, state, draws, seed):
    """A and leverage, with masks of NumPy's own."""
    rng = np.random.default_rng(seed)
    matrices = {name: np.asarray(w, float) for name, w in matrices.items()}
    x = rms(np.asarray(state, float))
    entering = [name for name in ("gate", "up") if name in matrices]
    chosen = np.argsort(-np.abs(x).mean(axis=0))[: outlier_columns(x.shape[1])]
    inside = np.isin(np.arange(x.shape[1]), chosen)
    clean, found = by_numpy(matrices, x), np.zeros((draws, 4))

    def signs(weight, columns, count):
        places = np.flatnonzero(np.broadcast_to(columns, weight.shape))
        mask = np.ones(weight.size)
        mask[rng.choice(places, count, replace=False)] = -1
        return mask.reshape(weight.shape)

    for draw in found:
        flips, shift, among, elsewhere = {}, {}, {}, {}
        for name in entering:
            w = matrices[name]
            flips[name] = w * signs(w, True, round(RATE * w.size))
            error = np.linalg.norm(flips[name] - w)
            shift[name] = w + error / np.sqrt(w.size) * np.sign(w)
            few = round(RATE * inside.mean() * w.size)
            among[name] = w * signs(w, inside, few)
            elsewhere[name] = w * signs(w, ~inside, few)
        arms = (flips, shift, among, elsewhere)
        draw[:] = [transverse(clean, by_numpy(matrices | arm, x)) for arm in arms]
    return found


@pytest.mark.parametrize("activation", ["relu", "swiglu"])
def test_damage_is_what_numpy_measures(activation):
    network, matrices, state = block(activation)
    # The first five are the outliers, whatever the draw.
    state[:, :5] *= 2
    found = program(network, RATE)(matrices, state, jax.random.key(3))
    arms = redrawn(matrices, state, 400, seed=4)
    for ours, (above, below) in ((found.ratio, (0, 1)), (found.leverage, (2, 3))):
        ratio = arms[:, above].mean() / arms[:, below].mean()
        linear = (arms[:, above] - ratio * arms[:, below]) / arms[:, below].mean()
        # Ours has fewer draws.
        error = linear.std(ddof=1) * np.sqrt(1 / 400 + 1 / DRAWS)
        assert error < 0.1 * ratio
        assert abs(float(ours) - ratio) < 4 * error
    x = rms(np.asarray(state, float))
    np.testing.assert_allclose(found.alpha_squared, (x**2).mean(axis=0) / (x**2).mean(), rtol=1e-5)
    assert set(np.flatnonzero(found.outliers)) <= set(range(5))


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.5])
def test_exactly_so_many_signs_flip_and_only_in_these_columns(rate):
    weight = np.random.default_rng(0).normal(size=(20, 30)).astype(np.float32)
    columns = (np.arange(30) % 2 == 0).astype(np.float32)
    draw = quick.jit(lambda weight, columns, key: flipped(weight, columns, rate, key))
    changed = np.asarray(draw(weight, columns, jax.random.key(1))) != weight
    assert changed.sum() == round(rate * 600)
    assert not changed[:, 1::2].any()


def test_a_larger_input_is_an_outlier_and_costs_its_square():
    network, matrices, state = block("relu", width=128)
    planted = state.copy()
    planted[:, np.arange(6) * 20] *= 4
    found, flat = (program(network, 0.02)(matrices, inputs, jax.random.key(5)) for inputs in (planted, state))
    assert set(np.flatnonzero(found.outliers)) == {0, 20, 40, 60, 80, 100}
    assert 10 < float(found.leverage) < 17
    # The control: nothing planted, nothing found.
    assert float(flat.leverage) < 2
