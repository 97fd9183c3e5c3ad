"""Three products of TF32, emulated: far better than one, and the measurement can tell."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SIZE = 128


@pytest.fixture
def simulate_precision(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import simulate_precision

    return simulate_precision


def matrices():
    rng = np.random.default_rng(0)
    return [rng.standard_normal((SIZE, SIZE), np.float32) for _ in range(2)]


def test_three_products_are_nearly_as_good_as_one_of_float32_and_far_better_than_one_of_tf32(
    simulate_precision,
):
    a, b = matrices()
    right = a.astype(np.float64) @ b.astype(np.float64)
    errors = {}
    for kind in ("highest", simulate_precision.THREE_OF_TF32):
        with simulate_precision.products(kind):
            errors[kind] = simulate_precision.error(np.asarray(jnp.matmul(a, b)), right)
    single = simulate_precision.error(
        np.asarray(
            jax.jit(lambda a, b: simulate_precision.parts(a)[0] @ simulate_precision.parts(b)[0])(a, b)
        ),
        right,
    )
    highest, three = errors.values()
    assert highest < three < 4 * highest
    assert single > 100 * three


def test_a_product_of_another_type_stays_as_it_is(simulate_precision):
    whole = jnp.arange(9, dtype=jnp.int32).reshape(3, 3)
    with simulate_precision.products(simulate_precision.THREE_OF_TF32):
        assert np.array_equal(whole @ whole, np.asarray(whole) @ np.asarray(whole))


@pytest.mark.slow
def test_both_kinds_are_rounding_and_no_other_networks(simulate_precision):
    with simulate_precision.fixed_numerics():
        found = simulate_precision.measured("block", 64, 3)
    assert 1e-9 < found["error_highest"] < found["error_tf32_x3"] < 1e-5
    assert found["ratio"] == found["error_tf32_x3"] / found["error_highest"]
