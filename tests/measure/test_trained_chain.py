"""Experiment B: the chain on a model's matrices, against NumPy, and Gaussian ones against the known ratio."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from conftest import build, with_block
from small_models import TINY

from signmag_jax import measure
from signmag_jax.evidence import Estimate, InvalidInput, keys
from signmag_jax.measure.trained_chain import _shuffled, _weights, flips_and_shift


@pytest.fixture(scope="module")
def found(tiny):
    return measure.trained_chain(tiny, rates=(0.05,), draws=40, samples=64)


def chain(stack, rate, rng, samples=64):
    """One draw by NumPy: E sin² of flips over that of shifts, layer by layer."""
    unit = lambda x: x / np.linalg.norm(x, axis=0)  # noqa: E731
    n = stack.shape[1]
    clean = unit(rng.normal(size=(n, samples)))
    one, other, ratios = clean, clean, []
    for w in stack:
        mask = np.zeros(n * n, bool)
        mask[rng.choice(n * n, round(rate * n * n), replace=False)] = True
        mask = mask.reshape(n, n)
        size = 2 * np.sqrt((w[mask] ** 2).sum() / (n * n))
        matrices = w, np.where(mask, -w, w), w + size * np.sign(w)
        clean, one, other = (
            unit(np.maximum(m @ x, 0)) for m, x in zip(matrices, (clean, one, other), strict=True)
        )
        ratios.append(np.divide(*((1 - (clean * x).sum(axis=0) ** 2).mean() for x in (one, other))))
    return ratios


def test_ratios_are_those_of_numpy(tiny, found):
    stack = np.asarray(tiny.params["blocks"]["gate_proj"], np.float64)[:, :40, :40]
    rng = np.random.default_rng(5)
    truth = Estimate.of_samples(
        np.array([chain(stack, 0.05, rng) for _ in range(60)]), estimator="mean over draws"
    )
    measured = found.ratio["trained"]
    ours = Estimate(measured.value[0], measured.standard_error[0], measured.n)
    assert (np.abs(ours.distance(truth)) < 4).all()
    # Small enough to tell the ratio of the first layer from that of the second.
    assert ours.standard_error[0] < (truth.value[0] - truth.value[1]) / 4
    assert (found.layers, found.width) == ((0, 1, 2), 40)
    json.dumps(found.to_json(), allow_nan=False)


def test_the_controls_tell_structure_from_the_distribution_of_weights():
    """A low-rank matrix is no longer one when its entries are shuffled; Gaussian entries know neither."""
    rng = np.random.default_rng(1)
    low = np.einsum("lik,lkj->lij", rng.normal(size=(3, 60, 2)), rng.normal(size=(3, 2, 40)))
    model = with_block(build(), "gate_proj", low.astype(np.float32))
    kinds = ("trained", "signs", "rows", "columns", "permuted")
    found = measure.trained_chain(model, rates=(0.05,), weights=kinds, draws=20, samples=64)
    trained, *shuffled = (found.ratio[kind] for kind in kinds)
    for other in shuffled:
        assert (np.abs(trained.distance(other)) > 5).any()
    same = measure.trained_chain(build(), rates=(0.05,), draws=20, samples=64)
    assert np.abs(same.ratio["trained"].distance(same.ratio["gaussian"]))[0, 0] < 5


@pytest.mark.parametrize("kind", ["signs", "rows", "columns", "permuted"])
def test_a_shuffle_keeps_what_its_name_says_and_nothing_else(kind):
    stack = np.random.default_rng(4).normal(size=(2, 30, 30)).astype(np.float32)
    drawn = np.asarray(_weights(stack, keys.root(1), kind, "trained"))
    ordered = {
        "signs": np.abs,
        "rows": lambda w: np.sort(w, axis=2),
        "columns": lambda w: np.sort(w, axis=1),
        "permuted": lambda w: np.sort(w.reshape(2, -1), axis=1),
    }
    # What "permuted" keeps all others but random signs keep.
    kept = {kind, "permuted"} - ({"permuted"} if kind == "signs" else set())
    for name, order in ordered.items():
        assert np.array_equal(order(drawn), order(stack)) == (name in kept)


def test_shuffles_are_those_of_jax():
    matrix = np.random.default_rng(4).normal(size=(30, 30)).astype(np.float32)
    key = keys.root(2)
    for kind, axis in (("rows", 1), ("columns", 0)):
        theirs = jax.random.permutation(key, matrix, axis=axis, independent=True)
        np.testing.assert_array_equal(_shuffled(key, matrix, kind), theirs)
    theirs = jax.random.permutation(key, matrix.ravel()).reshape(30, 30)
    np.testing.assert_array_equal(_shuffled(key, matrix, "permuted"), theirs)


def test_relu_does_not_see_the_scale_and_silu_does(tiny):
    options = {"rates": (0.05,), "draws": 2, "samples": 64}
    relu = [measure.trained_chain(tiny, scale=scale, **options) for scale in ("unit", "trained")]
    np.testing.assert_allclose(*(each.ratio["trained"].value for each in relu), rtol=1e-4)
    options |= {"activation": "silu"}
    silu = [measure.trained_chain(tiny, scale=scale, **options) for scale in ("unit", "trained")]
    assert np.abs(silu[0].ratio["trained"].value - silu[1].ratio["trained"].value).max() > 1e-2
    assert silu[0].ratio["trained"].value.shape == (1, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rates": (0.7,)}, "0 < rate <= 0.5"),
        ({"activation": "tanh"}, "activation in"),
        ({"scale": "x"}, "scale in"),
        ({"draws": 1}, "draws >= 2"),
        ({"weights": ("trained", "trained")}, "each once"),
        ({"weights": ()}, "each once"),
        ({"samples": 1}, "samples >= 2"),
        ({"layers": (TINY.layers,)}, "layers in"),
        ({"matrix": "w"}, "matrices in"),
    ],
)
def test_bad_options_are_refused(tiny, change, message):
    with pytest.raises(InvalidInput, match=message):
        measure.trained_chain(tiny, **change)


def test_matrices_of_one_size_have_moments_and_those_of_zeros_none():
    """Of binary checkpoints, to whose weights no law of a density belongs; and of a matrix never trained."""
    signs = np.sign(np.random.default_rng(3).normal(size=(3, 60, 40))).astype(np.float32)
    found = measure.trained_chain(with_block(build(), "gate_proj", signs), rates=(0.05,), draws=2, samples=8)
    assert found.moments == ((1.0, 1.0, 1.0),) * 3
    assert np.isfinite(found.ratio["trained"].value).all()
    signs[1] = 0
    with pytest.raises(measure.Unmeasurable, match=r"gate_proj that are not all 0.*in layer 1"):
        measure.trained_chain(with_block(build(), "gate_proj", signs), rates=(0.05,), draws=2, samples=8)


@pytest.mark.parametrize("flips", [1, 7, 50])
def test_exactly_k_signs_flip_and_the_shift_has_their_squared_error(flips):
    weight = jnp.asarray(np.random.default_rng(2).normal(size=(10, 10)))
    drawn = quick.jit(lambda key, flips: flips_and_shift(weight, key, flips, 50))
    signs, size = drawn(keys.root(4), jnp.int32(flips))
    hit = np.asarray(signs) == -1
    assert (hit.sum(), (np.asarray(signs) == 1).sum()) == (flips, 100 - flips)
    squares = np.asarray(weight) ** 2
    # A shift of that size adds it times the root mean square to every weight.
    assert float(size) ** 2 * squares.sum() == pytest.approx(4 * squares[hit].sum(), rel=1e-5)
    other = np.asarray(drawn(keys.root(5), jnp.int32(flips))[0]) == -1
    assert (hit != other).any()


def test_a_rate_below_one_flip_is_refused(tiny):
    with pytest.raises(InvalidInput, match="rate × weights >= 1 flip"):
        measure.trained_chain(tiny, rates=(1e-9,))
