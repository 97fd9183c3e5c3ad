"""Chains against the published figures and against a plain NumPy simulation."""

import numpy as np
import pytest

from signmag_jax import simulate

# arXiv:2605.18933, width 512, p = 0.01, layers 1 to 6: (C_l, standard errors).
PLAIN = (
    [3.5954, 3.4750, 3.3881, 3.2951, 3.1398, 3.0485],
    [0.0044, 0.0133, 0.0319, 0.0263, 0.0417, 0.0427],
)
RESIDUAL = (
    [1.2106, 1.2538, 1.3228, 1.3952, 1.4657, 1.5309],
    [0.0006, 0.0025, 0.0037, 0.0055, 0.0071, 0.0068],
)
SILU = (
    [3.6926, 3.6315, 3.5907, 3.5386, 3.4897, 3.4341],
    [0.0044, 0.0044, 0.0042, 0.0056, 0.0046, 0.0064],
)


@pytest.mark.slow  # the fast suite has narrower chains against the laws
@pytest.mark.parametrize(
    ("arguments", "published", "nearest_wrong"),
    [
        ({}, PLAIN, 2.644),  # without the norm's growth, the ratio of one block
        ({"residual": True}, RESIDUAL, 1.359),  # the skip's mean square without its mean
        ({"activation": "silu", "scale": "paper"}, SILU, 3.2015),  # unit scale
    ],
)
def test_published_width_512(arguments, published, nearest_wrong):
    found = simulate.depth(512, 0.01, 6, inputs=192, networks=24, seed=11, **arguments)
    ratio, (values, errors) = found.transverse_ratio, map(np.array, published)
    assert ratio.value.shape == (6,)
    combined = np.hypot(ratio.standard_error, errors)
    # Six layers at once: 3.5 standard errors are a family-wise level of 0.3%.
    assert np.all(np.abs(ratio.value - values) < 3.5 * combined)
    assert abs(ratio.value[0] - nearest_wrong) > 8 * combined[0]


def plain_numpy(rng, width, rate, depth, residual, act, layers, hidden, scale, inputs):
    """One network, written out: returns the transverse parts (flip, shift) after each layer."""
    deviation = 1.0 if scale == "unit" else width**-0.5
    stream = residual and hidden is None
    h = rng.standard_normal((inputs, width))
    h /= np.linalg.norm(h, axis=1)[:, None]
    if stream:
        h = h * deviation * width**0.5
    states = [h, h.copy(), h.copy()]
    out = []
    for layer in range(depth):
        rows = hidden or width
        clean = rng.standard_normal((rows, width))
        flipped = np.where(rng.random(clean.shape) < rate, -clean, clean)
        size = np.sqrt(((flipped - clean) ** 2).mean())
        shifted = clean + size * np.sign(clean)
        matrices = [clean, flipped, shifted] if layers == "all" or layer == 0 else [clean] * 3
        down = rng.standard_normal((width, rows)) / np.sqrt(rows * width) / deviation
        for i, matrix in enumerate(matrices):
            y = states[i]
            x = y / np.linalg.norm(y, axis=1)[:, None]
            z = act(deviation * x @ matrix.T)
            if hidden is not None:
                z = z @ down.T
                y = x + z if residual else z
                states[i] = y / np.linalg.norm(y, axis=1)[:, None]
            elif residual:
                states[i] = y + z
            else:
                states[i] = z / np.linalg.norm(z, axis=1)[:, None]
        parts = []
        for other in states[1:]:
            y = states[0]
            delta = other - y
            along = (delta * y).sum(1) / (y * y).sum(1)
            across = ((delta - along[:, None] * y) ** 2).sum(1)
            parts.append(across.mean() / (width if stream else 1))
        out.append(parts)
    return np.array(out)


def relu(z):
    return np.maximum(z, 0)


def silu(z):
    return z / (1 + np.exp(-z))


@pytest.mark.parametrize(
    ("residual", "activation", "layers", "hidden", "scale"),
    [
        # Each choice is made once; two are also compared with the published figures and with the recursions.
        (True, "silu", "first", None, "paper"),
        (False, "relu", "all", 48, "unit"),
        (True, "silu", "all", 48, "unit"),
        pytest.param(False, "relu", "all", None, "unit", marks=pytest.mark.slow),
        pytest.param(True, "relu", "all", None, "unit", marks=pytest.mark.slow),
        pytest.param(False, "silu", "first", None, "unit", marks=pytest.mark.slow),
        pytest.param(True, "relu", "first", 48, "paper", marks=pytest.mark.slow),
    ],
)
def test_against_plain_numpy(residual, activation, layers, hidden, scale):
    width, rate, depth, inputs, networks = 24, 0.1, 3, 32, 400
    arguments = {"residual": residual, "layers": layers, "hidden": hidden, "scale": scale}
    found = simulate.depth(
        width, rate, depth, activation=activation, inputs=inputs, networks=networks, seed=12, **arguments
    )
    rng = np.random.default_rng(13)
    act = {"relu": relu, "silu": silu}[activation]
    reference = np.array(
        [
            plain_numpy(rng, width, rate, depth, residual, act, layers, hidden, scale, inputs)
            for _ in range(networks)
        ]
    )
    for arm, estimate in enumerate((found.flip, found.shift)):
        mean = reference[:, :, arm].mean(0)
        error = reference[:, :, arm].std(0, ddof=1) / np.sqrt(networks)
        combined = np.hypot(error, estimate.standard_error)
        assert np.all(np.abs(estimate.value - mean) < 4 * combined)
        assert np.all(combined < 0.06 * mean)


def test_relu_chains_do_not_depend_on_the_scale():
    unit, paper = (
        simulate.depth(24, [0.1, 0.3], 3, residual=True, scale=scale, networks=4, inputs=32, seed=1)
        for scale in ("unit", "paper")
    )
    np.testing.assert_allclose(unit.transverse_ratio.value, paper.transverse_ratio.value, rtol=1e-4)
    assert unit.transverse_ratio.value.shape == (2, 3)


def test_depth_one_of_the_plain_chain_is_the_normalised_block():
    chain = simulate.depth(64, 0.05, 1, inputs=64, networks=300, seed=2).transverse_ratio
    block = simulate.block(
        64, 0.05, second_layer="none", difference="finite", inputs=64, networks=300, seed=3
    ).transverse_ratio
    assert chain.value.shape == (1,)
    assert abs(chain.value[0] - block.value) < 4 * np.hypot(chain.standard_error[0], block.standard_error)
