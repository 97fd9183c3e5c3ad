"""What errors of random signs cost in second order, against the divergence that drawn ones cause."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from small_models import MINUTE

from signmag_jax import measure
from signmag_jax.evidence import InvalidInput
from signmag_jax.models import MATRICES, logits
from signmag_jax.theory import matched_shift

RATE, DRAWS, SEEDS = 1e-4, 400, 100


def rest(w, size):
    """The shift of every layer's matrix, without its growth."""
    scale = np.sqrt(np.mean(w**2, axis=(1, 2), keepdims=True))
    b = np.mean(np.abs(w), axis=(1, 2), keepdims=True) / scale
    return (w + size * scale * np.sign(w)) / (1 + size * b) - w


@pytest.mark.slow
def test_costs_are_the_divergence_from_the_clean_model(minute, minute_text):
    """KL of small errors is ½ eᵀGe, in the mean over signs ½ Σ G_ii e_i²: nothing is differentiated."""
    tokens, names = minute_text[1], ("q_proj", "down_proj")
    weights = {name: np.asarray(minute.params["blocks"][name]) for name in names}
    size = float(matched_shift(RATE).size)
    found = [
        measure.incoherent_errors(minute, tokens, rate=RATE, matrices=names, seed=seed)
        for seed in range(SEEDS)
    ]

    @quick.jit
    def log_chances(blocks):
        params = minute.params | {"blocks": minute.params["blocks"] | blocks}
        return jax.nn.log_softmax(logits(MINUTE, params, jnp.asarray(tokens)))[:, :-1]

    clean, rng = np.asarray(log_chances({})), np.random.default_rng(5)
    for name in names:
        for arm, change in (("flips", size * weights[name]), ("scattered", rest(weights[name], size))):
            drawn = []
            for _ in range(DRAWS):
                moved = jnp.asarray(weights[name] + change * rng.choice([-1.0, 1.0], change.shape))
                after = np.asarray(log_chances({name: moved}))
                drawn.append((np.exp(clean) * (clean - after)).sum(axis=-1).mean())
            costs = [getattr(one, arm)[name].value for one in found]
            # Of the same windows: what is random are both kinds of signs.
            error = np.hypot(np.std(drawn) / np.sqrt(DRAWS), np.std(costs) / np.sqrt(SEEDS))
            assert 8 * error < np.mean(costs)
            assert abs(np.mean(drawn) - np.mean(costs)) < 4 * error


@pytest.mark.slow
def test_kinds_add_up_and_other_layers_have_no_part(tiny, windows):
    found = measure.incoherent_errors(tiny, windows[1][:4])
    for costs in (found.flips, found.scattered):
        assert costs["all"].value == pytest.approx(sum(costs[name].value for name in MATRICES))
    alone = measure.incoherent_errors(tiny, windows[1][:4], matrices=("v_proj",), layers=(0,))
    assert 0 < alone.flips["v_proj"].value < found.flips["v_proj"].value
    assert set(alone.ratio) == {"v_proj", "all"}
    assert len(found.rows()) == len(MATRICES) + 1


def test_a_rate_is_refused_before_anything_is_compiled(tiny, windows):
    with pytest.raises(InvalidInput, match=r"0 < rate <= 0\.5"):
        measure.incoherent_errors(tiny, windows[1][:4], rate=0.7)
