"""The embedded SmolLM2-135M: its outliers, its alignment, its leverage, and the weight that decides."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from signmag_jax import measure, models
from signmag_jax.evidence import Estimate

STREAM = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")


@pytest.fixture(scope="module", autouse=True)
def unoptimised():
    """Not here: this model runs for longer than its programs compile."""


@pytest.fixture(scope="module")
def model(smollm):
    return smollm


@pytest.fixture(scope="module")
def text(model):
    """4 calibration and 8 evaluation windows of 32 tokens of the standard library's own prose."""
    tokens = model.tokenizer.encode(models.text.load().content[:5_000])
    return models.text.windows(tokens, 32, 4), models.text.windows(tokens, 32, 8, skip=4)


@pytest.fixture(scope="module")
def profile(model, text):
    return measure.alpha(model, text[0], batch=4)


def test_a_few_columns_carry_the_stream(profile):
    for site in ("attention_in", "mlp_in"):
        share = profile.token_share[site].value
        features = share.shape[1]
        largest = features * share.max(axis=1)
        assert np.median(largest) > 30  # flat inputs have 1, Gaussian ones about 2
        assert features * np.median(share) < 0.8  # flat inputs have 1
        assert (
            np.take_along_axis(share, profile.outliers()[site], axis=1).sum(axis=1).min() > 0.15
        )  # flat: 0.05


@pytest.mark.slow  # `signmag reproduce` measures it
def test_rows_are_less_aligned_than_gaussian_ones(model):
    """cos² per row of a trained matrix: near 2/π and significantly below it."""
    found = measure.quantization(model, matrices=("q_proj", "up_proj"), spherical=16)
    overall = found.overall("sign", "rows")
    assert abs(overall.value - 2 / np.pi) < 0.04
    assert overall.value + 3 * overall.standard_error < 2 / np.pi
    assert found.overall("ternary", "rows").value > overall.value + 0.1


@pytest.fixture(scope="module")
def leverage(model, text, profile):
    # At this rate every draw holds hundreds of heavy weights: to find them would cost more than the draws.
    return measure.leverage(model, *text, rates=(0.02,), draws=3, matrices=STREAM, profile=profile, heavy=0)


@pytest.mark.slow  # `signmag reproduce` measures it, and planted columns are found in seconds
def test_flips_in_outlier_columns_cost_far_more(leverage):
    found = leverage.rates[0]
    assert found.flips == round(0.02 * leverage.pool_sizes["outlier"])
    outlier, rest = (found.damage[arm].estimate for arm in ("outlier", "rest"))
    assert outlier.value > 3 * outlier.standard_error
    assert outlier.value - 3 * outlier.standard_error > 5 * max(rest.value + 3 * rest.standard_error, 0)
    assert leverage.noise_floor < 1e-4 * outlier.value


@pytest.mark.slow  # twice the flips of the test that it controls
def test_columns_chosen_at_random_have_no_such_leverage(model, text, profile, leverage):
    rng = np.random.default_rng(0)
    mixed = {
        site: Estimate(rng.permuted(each.value, axis=1), each.standard_error, each.n)
        for site, each in profile.magnitude.items()
    }
    control = measure.leverage(
        model,
        *text,
        rates=(0.02,),
        draws=2,
        matrices=STREAM,
        profile=dataclasses.replace(profile, magnitude=mixed),
        heavy=0,
    )
    true, random = (found.rates[0].samples["outlier"].mean() for found in (leverage, control))
    assert true > 3 * abs(random)


def test_one_weight_decides(model, text):
    """Flipping layer 11 down_proj [507, 1229] alone costs more than a thousand random flips."""

    def flip(weight, layer, name):
        if name != "down_proj":
            return weight
        return jnp.where(layer == 11, weight.at[507, 1229].multiply(-1.0), weight)

    clean = measure.nll(model, text[1], batch=8)
    flipped = measure.nll(model, text[1], flip, batch=8)
    assert flipped.value - clean.value > 0.5
