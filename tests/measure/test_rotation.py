"""The rotated model is the same function of the tokens, and another one of its weights."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from conftest import build
from small_models import TINY

from signmag_jax import measure, models
from signmag_jax.measure.column_statistics import column_statistics
from signmag_jax.measure.rotation import READERS, orthogonal

logits = functools.partial(quick.jit, static_argnums=0)(models.logits)
CONFIGS = {
    "tied, loud": TINY,
    "untied, norms of heads": dataclasses.replace(TINY, tied=False, qk_norm="head"),
}


def with_biases(model, rng):
    config = dataclasses.replace(model.config, qkv_bias=True, o_bias=True, mlp_bias=True)
    dtype = model.params["embed"].dtype
    biases = {
        name: jnp.asarray(rng.normal(0, 0.3, (config.layers, *shape)), dtype)
        for name, shape in config.shapes().items()
        if name.endswith("_bias")
    }
    return model.replace(config=config, params=model.params | {"blocks": model.params["blocks"] | biases})


@pytest.mark.parametrize("name", CONFIGS)
def test_logits_stay_the_same(windows, name):
    model = build(seed=2, config=CONFIGS[name], dtype=np.float64 if jax.config.jax_enable_x64 else np.float32)
    model = with_biases(model, np.random.default_rng(1))
    norm = jnp.asarray(np.random.default_rng(0).uniform(0.5, 2, 40), model.params["norm"].dtype)
    model = model.replace(params=model.params | {"norm": norm})
    turned = measure.rotated(model, 1)
    tokens = jnp.asarray(windows[1][:2])
    before, after = (np.asarray(logits(m.config, m.params, tokens)) for m in (model, turned))
    np.testing.assert_allclose(after, before, atol=1e-4)
    # A writer that is not turned, or a gain that is lost, is seen.
    for name in ("o_bias", "down_proj", "mlp_norm"):
        blocks = turned.params["blocks"] | {name: model.params["blocks"][name]}
        wrong = np.asarray(logits(turned.config, turned.params | {"blocks": blocks}, tokens))
        assert np.abs(wrong - before).max() > 1e-2
    assert turned.report.notes


def test_the_matrix_is_orthogonal_and_depends_on_the_seed():
    turn = orthogonal(40, 3)
    np.testing.assert_allclose(turn @ turn.T, np.eye(40), atol=1e-14)
    assert np.abs(turn - orthogonal(40, 4)).max() > 0.1
    # Uniform: without the signs of R's diagonal all diagonal entries would lean one way.
    diagonal = [np.diag(orthogonal(8, seed)) for seed in range(200)]
    assert abs(np.mean(diagonal)) < 4.5 / np.sqrt(8 * 1600)


@pytest.fixture(scope="module")
def found(tiny, windows):
    return measure.rotation(tiny, *windows, rate=0.05, draws=2)


@pytest.mark.slow
def test_the_loss_stays_and_the_outliers_go(found):
    assert abs(found.difference.value) < 1e-5
    assert found.difference.standard_error < 1e-5
    for site in ("attention_in", "mlp_in"):
        trained, rotated = (found.largest[which][site] for which in ("trained", "rotated"))
        # Two of 40 columns carry 144 times the energy of the others; Gaussian columns have n·max α² near 5.
        assert (trained > 10).all()
        assert (rotated < 0.5 * trained).all()
    json.dumps(found.to_json(), allow_nan=False)
    assert {"calibration_sha256", "evaluation_sha256", "rate", "draws"} <= found.provenance.keys()


@pytest.mark.slow
def test_total_energy_is_what_the_weights_make_of_it(tiny, windows, found):
    """Σ_j E x_j²‖W_·j‖² by hand for one matrix; shares of ‖x‖² would depend on where the gains stand."""
    turned = measure.rotated(tiny, 0)
    totals, shares = [], []
    for model in (tiny, turned):
        share = measure.alpha(model, windows[0]).token_share["mlp_in"].value
        square = column_statistics(model, windows[0]).square["mlp_in"]
        norms = (np.asarray(model.params["blocks"]["up_proj"], np.float64) ** 2).sum(axis=1)
        totals.append((square * norms).sum(axis=1))
        shares.append((share * norms).sum(axis=1))
    np.testing.assert_allclose(found.total["up_proj"], totals[1] / totals[0], rtol=1e-6)
    assert (np.abs(found.total["up_proj"] * shares[0] / shares[1] - 1) > 0.5).all()
    assert set(found.total) == set(READERS)
    assert set(found.flips) == {"trained", "rotated"}
    a, b = (found.flips[which].values["kl"].estimate.value for which in ("trained", "rotated"))
    assert min(a, b) > 0
    assert a != b
