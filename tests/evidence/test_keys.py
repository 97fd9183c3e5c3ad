"""Keys depend on their names only, and never change between versions of this package."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signmag_jax.evidence import InvalidInput, keys


def data(key):
    return tuple(np.asarray(jax.random.key_data(key)).tolist())


def test_a_key_is_its_path():
    found = keys.fold(keys.root(7), "leverage", 3, "q_proj")
    stepwise = keys.fold(keys.fold(keys.fold(keys.root(7), "leverage"), 3), "q_proj")
    assert data(found) == data(stepwise)
    assert data(found) == data(jax.jit(lambda i: keys.fold(keys.root(7), "leverage", i, "q_proj"))(3))


def test_names_do_not_collide():
    names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "outlier", "rest"]
    paths = [(name, layer, seed) for name in names for layer in range(8) for seed in range(8)]
    assert len({data(keys.fold(keys.root(0), *path)) for path in paths}) == len(paths)
    assert data(keys.fold(keys.root(0), 1, 2)) != data(keys.fold(keys.root(0), 2, 1))


def test_string_words_do_not_depend_on_the_process():
    # the first word of SHA-256("abc"), FIPS 180-4's test vector
    assert data(keys.fold(keys.root(0), "abc")) == data(jax.random.fold_in(jax.random.key(0), 0xBA7816BF))


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_seed_out_of_range_is_refused(seed):
    with pytest.raises(InvalidInput, match="non-negative"):
        keys.root(seed)


def test_keys_of_every_combination_are_those_of_one_at_a_time():
    names, draw = ("q_proj", "", "down_proj"), jnp.int32(5)
    found = jax.jit(lambda draw: keys.each(keys.root(7), np.arange(4), names, draw[None]))(draw)
    assert found.shape == (4, 3, 1)
    for i, j in np.ndindex(4, 3):
        assert data(found[i, j, 0]) == data(keys.fold(keys.root(7), i, names[j], 5))
