"""Derivatives and single flips against the loss itself, for every weight of a minute model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from minute import PLACES, SHAPES, by_column, joined, loss_of, unpacked, weights_of
from small_models import MINUTE

from signmag_jax.evidence import keys
from signmag_jax.measure import Place, curvature, singles, stretch
from signmag_jax.measure.place import Changed, flipped
from signmag_jax.models import MATRICES, Prefixes, window_nll

TOKENS = np.random.default_rng(4).integers(0, MINUTE.vocabulary, (1, 9)).astype(np.int32)
STEP = 1e-4
EVERYWHERE = stretch.Movable(MATRICES, jnp.ones(MINUTE.layers), {})


@pytest.fixture(scope="module")
def weights(minute):
    return weights_of(minute)


def window_loss(model):
    return curvature.WindowLoss.of(model, TOKENS[0])


@pytest.fixture(scope="module")
def loss(minute):
    return loss_of(minute, TOKENS)


@pytest.fixture(scope="module")
def curved(minute, weights):
    """A weight vector times the Gauss–Newton matrix times another, from all logits."""

    def outputs(flat):
        states = window_loss(minute).states(unpacked(flat))
        return states[0, :-1] @ minute.params["embed"].T

    def product(flat, one, other):
        p = jax.nn.softmax(outputs(flat))
        a, b = (jax.jvp(outputs, (flat,), (along,))[1] for along in (one, other))
        return ((p * a * b).sum(axis=1) - (p * a).sum(axis=1) * (p * b).sum(axis=1)).mean()

    @quick.jit
    def every(others):
        """Each unit vector with its row of `others`."""
        return jax.lax.map(lambda pair: product(jnp.asarray(weights), *pair), (jnp.eye(weights.size), others))

    return every


@pytest.fixture(scope="module")
def newton(curved, weights):
    """Diagonal of the Gauss–Newton matrix."""
    return np.asarray(curved(jnp.eye(weights.size)))


@pytest.fixture(scope="module")
def scaled_losses(weights, loss):
    """Loss with weight i multiplied by 1 − 2s, by editing it, for every weight and a few s."""

    @quick.jit
    def every(flat, amounts):
        one = lambda i: jax.vmap(lambda s: loss(flat.at[i].multiply(1 - 2 * s)))(amounts)  # noqa: E731
        return jax.lax.map(one, jnp.arange(flat.size))

    return np.asarray(every(jnp.asarray(weights), jnp.array([-STEP, 0.0, STEP, 1.0])))


@pytest.fixture(scope="module")
def brackets(scaled_losses):
    """First and second order of each flip, by central differences."""
    down, middle, up, _ = scaled_losses.T
    return (up - down) / (2 * STEP), (up - 2 * middle + down) / (2 * STEP**2)


@pytest.fixture(scope="module")
def flips(scaled_losses):
    return scaled_losses[:, 3] - scaled_losses[:, 1]


def columns_of(values):
    """Sums over columns, one after the other like those of the probes."""
    return joined(by_column(values))


def test_slopes_are_the_exact_first_order_sums(minute, brackets):
    found = joined(curvature.slopes(window_loss(minute), EVERYWHERE))
    np.testing.assert_allclose(-2 * found, columns_of(brackets[0]), rtol=1e-5, atol=1e-8)


@pytest.mark.slow  # compiles both ways
def test_a_probe_is_the_product_with_the_residual_by_dense_weights(minute, weights, loss, curved):
    """The same signs, products over all weights as one vector: equal in every column."""
    key = jax.random.key(11)
    drawn = [
        np.asarray(stretch.signs(keys.fold(key, name, layer), shape[1:], float)).ravel()
        for name, shape in SHAPES.items()
        for layer in range(shape[0])
    ]
    along = jnp.asarray(np.concatenate(drawn) * weights)
    bent = second_derivative(loss, weights, along)
    newton = curved(jnp.broadcast_to(along, (along.size, along.size)))
    probe = curvature.residual_probe(window_loss(minute), EVERYWHERE, key)
    expected = columns_of(np.asarray(along * (bent - newton)))
    np.testing.assert_allclose(joined(probe), expected, rtol=1e-6, atol=1e-9)
    assert not np.allclose(joined(probe), columns_of(np.asarray(along * bent)), rtol=0.1)


def second_derivative(loss, at, along):
    """The Hessian times a vector."""
    return quick.jit(lambda w, v: jax.jvp(jax.grad(loss), (w,), (v,))[1])(jnp.asarray(at), jnp.asarray(along))


def test_bent_is_the_second_derivative_along_columns(minute, weights, loss):
    rng = np.random.default_rng(6)
    columns = {name: rng.integers(0, 2, (2, s[0], s[2])).astype(float) for name, s in SHAPES.items()}
    traced = {name: jnp.asarray(mask) for name, mask in columns.items()}
    found = np.asarray(curvature.bent(window_loss(minute), EVERYWHERE, traced))
    for pool, value in enumerate(found):
        inside = [np.broadcast_to(columns[n][pool][:, None], s).ravel() for n, s in SHAPES.items()]
        along = np.concatenate(inside) * weights
        product = second_derivative(loss, weights, along)
        assert value == pytest.approx(float(along @ np.asarray(product)), rel=1e-8)
    assert found[0] != pytest.approx(found[1], rel=0.01)


def test_packed_signs_are_fair_and_independent():
    drawn = np.asarray(stretch.signs(jax.random.key(2), (4001, 97), np.float32))
    assert set(np.unique(drawn)) == {-1.0, 1.0}
    size = drawn.size
    assert abs(drawn.sum()) < 4 * np.sqrt(size)
    flat = drawn.ravel()
    for lag in (1, 7, 31, 32, 33, 97, 1024):
        assert abs((flat[lag:] * flat[:-lag]).sum()) < 4.5 * np.sqrt(size)


@pytest.mark.parametrize(
    ("probe", "count"),
    [
        pytest.param(curvature.fisher_probe, 600, id="signs"),
        pytest.param(curvature.gauss_newton_probe, 900, id="products", marks=pytest.mark.slow),
    ],
)
def test_probes_estimate_the_gauss_newton_diagonal(minute, weights, newton, brackets, probe, count):
    right = columns_of(newton * weights**2)
    hessian, doubled, unweighted = brackets[1].sum() / 2, 2 * right.sum(), newton.sum()
    check_unbiased(minute, probe, count, right, (unweighted, doubled, hessian))


def test_both_probes_add_up_to_the_second_order_of_single_flips(minute, weights, newton, brackets):
    """Brute force: central differences of every single weight. Either part alone is told apart."""

    def both(*arguments):
        parts = [probe(*arguments) for probe in (curvature.fisher_probe, curvature.residual_probe)]
        return {name: parts[0][name] + parts[1][name] for name in MATRICES}

    right, part = columns_of(brackets[1] / 2), (newton * weights**2).sum()
    check_unbiased(minute, both, 900, right, (part, right.sum() - part, 2 * right.sum()))


def check_unbiased(minute, probe, count, truth, rivals):
    """Every column's mean over probes, and their sum, against the truth; the sum against wrong variants."""
    loss = window_loss(minute)
    one = lambda key: probe(loss, EVERYWHERE, key)  # noqa: E731
    found = quick.jit(lambda keys: jax.lax.map(one, keys))(jax.random.split(jax.random.key(0), count))
    rows = np.concatenate([np.asarray(found[name]).reshape(count, -1) for name in MATRICES], axis=1)
    error = rows.std(axis=0, ddof=1) / np.sqrt(count)
    distance = (rows.mean(axis=0) - truth) / error
    assert np.abs(distance).max() < 5
    assert 0.7 < np.sqrt((distance**2).mean()) < 1.3
    total, spread = rows.sum(axis=1).mean(), rows.sum(axis=1).std(ddof=1) / np.sqrt(count)
    assert abs(total - truth.sum()) < 4 * spread
    for wrong in rivals:
        assert abs(wrong - truth.sum()) > 8 * spread


def test_brackets_of_single_weights_are_exact(minute, brackets):
    for i in np.random.default_rng(0).choice(len(PLACES), 12, replace=False):
        first, second = singles.brackets(minute, TOKENS[0], PLACES[i])
        assert first == pytest.approx(brackets[0][i], rel=1e-5, abs=1e-9)
        assert second == pytest.approx(brackets[1][i], rel=1e-4, abs=5e-7)


def test_brackets_predict_the_flip_of_every_weight(weights, brackets, flips):
    first, second = brackets
    bracket = first + second

    def miss(prediction):
        return np.sqrt(((flips - prediction) ** 2).mean())

    assert miss(bracket) < 0.25 * np.sqrt((flips**2).mean())
    for wrong in (first, first + second / 2, first + second / weights**2, 2 * bracket, -bracket):
        assert miss(wrong) > 1.5 * miss(bracket)


def test_single_flips_equal_edits(minute, flips):
    prefixes = Prefixes(minute, TOKENS)
    clean = prefixes.nll(flipped([]), 0).mean()
    for i in np.random.default_rng(1).choice(len(PLACES), 12, replace=False):
        found = prefixes.nll(flipped([PLACES[i]]), PLACES[i].layer).mean() - clean
        assert found == pytest.approx(flips[i], rel=1e-6, abs=1e-13)


def test_the_remainder_of_the_bracket_is_of_third_order(minute):
    place = Place(MATRICES.index("down_proj"), 1, 3, 5)
    first, second = singles.brackets(minute, TOKENS[0], place)

    def loss(amount):
        moved = Changed.of([place], factor=1 - 2 * amount)
        return float(window_nll(minute, TOKENS, moved).mean())

    sizes = np.array([0.1, 0.05, 0.025])
    rest = [abs(loss(s) - loss(0.0) - s * first - s**2 * second) for s in sizes]
    slope = np.polyfit(np.log(sizes), np.log(rest), 1)[0]
    assert 2.8 < slope < 3.2


def test_fixed_weights_and_other_layers_take_no_part(minute, brackets):
    layers, rows, columns = jnp.array([1, 1]), jnp.array([2, 3]), jnp.array([5, 5])
    movable = stretch.Movable(MATRICES, jnp.array([0.0, 1.0]), {"up_proj": (layers, rows, columns)})
    found = curvature.slopes(window_loss(minute), movable)
    part = brackets[0].copy()
    for i, place in enumerate(PLACES):
        held = place.name == "up_proj" and place.column == 5 and place.row in (2, 3)
        if place.layer == 0 or held:
            part[i] = 0
    np.testing.assert_allclose(-2 * joined(found), columns_of(part), rtol=1e-5, atol=1e-8)


def test_shortlist_ranks_by_the_labelled_fisher_cost(minute, weights, newton):
    tokens = np.repeat(TOKENS, 200, axis=0)
    found = singles.shortlist(minute, tokens, 20, range(MINUTE.layers), MATRICES, 0)
    truth = dict(zip(PLACES, 2 * newton * weights**2, strict=True))
    values = np.array([value for _, value in found])
    assert (np.diff(values) <= 0).all()
    # 200 draws of a squared normal have a relative error of about √(2/200) each
    assert np.abs(values / [truth[place] for place, _ in found] - 1).max() < 5 * np.sqrt(2 / 200)
    best = sorted(truth, key=truth.__getitem__)[::-1]
    assert found[0][0] in best[:3]
    assert {place for place, _ in found} <= set(best[:60])
