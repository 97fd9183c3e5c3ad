"""Laws of weights in a simulation: which records they keep, and what of them is compiled."""

import jax
import numpy as np
import pytest

from signmag_jax import simulate
from signmag_jax.evidence import InvalidInput
from signmag_jax.perturb import Weights, empirical_weights
from signmag_jax.perturb.weights import student_t
from signmag_jax.simulate import gaussian
from signmag_jax.simulate.block_network import BlockSample
from signmag_jax.simulate.pairs import Matched
from signmag_jax.simulate.program import fixed_numerics

MATRIX = np.random.default_rng(3).standard_t(4, (50, 40))


def normal(key, shape, dtype):
    return jax.random.normal(key, shape, dtype)


def halved(key, shape, dtype):
    return jax.random.normal(key, shape, dtype) / 2


def test_two_laws_of_one_name_do_not_share_records(tmp_path):
    def run(law):
        return simulate.block(8, 0.3, weights=law, inputs=8, networks=2, resume=tmp_path / "run")

    first = run(Weights("mine", 0.9, draw=normal))
    assert run(Weights("mine", 0.9, draw=normal)).transverse_ratio.value == first.transverse_ratio.value
    for other in (Weights("mine", 0.9, draw=halved), Weights("mine", 0.8, draw=normal), "gaussian"):
        with pytest.raises(InvalidInput):
            run(other)


@pytest.mark.parametrize("law", ["laplace", "student_t:5", student_t(5.0), empirical_weights(MATRIX)])
def test_a_law_of_the_package_is_called_by_its_name(law):
    """By which another process finds its records again."""
    label, found = gaussian.drawn(law)
    assert label == found.name
    mine = Weights(found.name, 0.5, draw=found.draw)
    assert gaussian.drawn(mine)[0] != label or label.startswith("empirical")


def test_what_cannot_be_drawn_is_refused():
    for law in ("0.8", Weights("moments", 0.8)):
        with pytest.raises(InvalidInput, match=r"weights that can be drawn.*has no draw"):
            gaussian.drawn(law)


def test_a_network_knows_a_file_by_what_it_holds(tmp_path):
    """Also where another matrix has its name since."""
    path = tmp_path / "w.npy"

    def run(matrix):
        np.save(path, matrix)
        written = f"dense(weights={path}), relu"
        return simulate.composed(8, 0.3, written, inputs=8, networks=2, resume=tmp_path / "run")

    first = run(MATRIX).transverse_ratio
    assert first.provenance["weights"] == [empirical_weights(MATRIX).name]
    assert run(MATRIX).transverse_ratio.value == first.value
    with pytest.raises(InvalidInput, match="records of another run"):
        run(MATRIX**3)


def test_a_matrix_is_an_argument_of_the_program():
    """The program holds none of its numbers, and draws what it would draw with them."""
    sample = BlockSample(
        8,
        8,
        8,
        8,
        jax.nn.relu,
        "integrated",
        "linear",
        "float32",
        True,
        Matched(),
        law=empirical_weights(MATRIX),
    )
    rates = np.array([0.3])
    program, parameters = gaussian.compiled_apart(sample, rates)
    with fixed_numerics():
        key = jax.random.key(0)
        traced = jax.make_jaxpr(program)(parameters, key)
        assert all(np.size(constant) < MATRIX.size for constant in traced.consts)
        assert any(np.size(constant) >= MATRIX.size for constant in jax.make_jaxpr(sample)(rates, key).consts)
        ours, theirs = jax.jit(program)(parameters, key), jax.jit(sample)(rates, key)
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)
