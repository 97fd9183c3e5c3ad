"""What the compiler is told: for the outermost of this package's programs alone, and by platform."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.core import eval_context

from signmag_jax.evidence import compiling, precision, timings
from signmag_jax.evidence.precision import law

REFUSED = {"xla_no_such_option": True}
"""An option that no XLA knows: a program that is compiled with it is an error."""


@compiling.jit
def _square(x):
    return x @ x


@pytest.fixture
def refusing(monkeypatch):
    monkeypatch.setitem(compiling.OPTIONS, jax.default_backend(), REFUSED)


@pytest.mark.usefixtures("refusing")
def test_the_outermost_program_gets_the_options():
    with pytest.raises(Exception, match="xla_no_such_option"):
        _square(jnp.ones((2, 2)))


@pytest.mark.usefixtures("refusing")
@pytest.mark.parametrize(
    "within",
    [
        lambda x: jax.jit(_square)(x),
        lambda x: jax.grad(lambda y: _square(y).sum())(x),
        lambda x: jax.vmap(_square)(x[None])[0],
        lambda x: jax.jit(lambda: _square(jnp.ones((2, 2))))(),
        lambda x: jax.eval_shape(_square, x),
    ],
    ids=["jit", "grad", "vmap", "jit of constants", "shapes"],
)
def test_a_callers_program_gets_none(within):
    assert within(jnp.ones((2, 2))).shape == (2, 2)


def test_options_that_are_known_change_nothing(monkeypatch):
    x = jnp.arange(4.0).reshape(2, 2)
    monkeypatch.setitem(compiling.OPTIONS, jax.default_backend(), compiling.OPTIONS["gpu"])
    assert jnp.array_equal(_square(x), x @ x)


def test_static_arguments_and_keywords_pass(monkeypatch):
    scaled = compiling.jit(lambda factor, x: factor * x, static_argnums=0)
    assert scaled(3, x=jnp.float32(2.0)) == 6
    monkeypatch.setitem(compiling.OPTIONS, jax.default_backend(), compiling.OPTIONS["gpu"])
    assert scaled(3, x=jnp.float32(2.0)) == 6


def test_the_platform_is_the_default_one_unless_another_is_named():
    assert compiling.platform() == jax.default_backend()
    with compiling.compiling_for("tpu"):
        assert compiling.platform() == "tpu"
        assert compiling.in_force() == {
            "xla_jf_fusion_max_instruction_count_for_window_config": 50,
            "xla_jf_convolution_performance_target": 0.9,
            "xla_tpu_scoped_vmem_limit_kib": 8192,
        }
    with compiling.compiling_for("cpu"):
        assert compiling.in_force() == {}
    with compiling.compiling_for("gpu"):
        assert compiling.in_force() == {"xla_gpu_enable_triton_gemm": False}
    assert compiling.platform() == jax.default_backend()


def test_within_a_run_a_law_is_compiled_plainly_to_the_same_bits():
    bell = law()(lambda x: jnp.sqrt(x) * jnp.exp(-x) + jnp.arccos(x / 3))
    x = np.linspace(0.1, 2, 37)
    before = bell(x)
    with compiling.compiled_sooner():
        assert compiling.of_laws() == compiling.PLAINLY
        np.testing.assert_array_equal(bell(x), before)
        # JAX refuses options within another program, which a law of known numbers is no part of.
        assert jax.jit(lambda y: y * bell(x[0]))(1.0) == pytest.approx(before[0], rel=1e-6)
    assert compiling.of_laws() == {}


def test_a_law_takes_the_options_of_laws_and_no_others(monkeypatch):
    monkeypatch.setattr(compiling, "PLAINLY", REFUSED)
    monkeypatch.setitem(compiling.OPTIONS, "cpu", REFUSED)
    double = law()(lambda x: 2 * x)
    assert double(0.5) == 1
    with compiling.compiled_sooner(), pytest.raises(jax.errors.JaxRuntimeError, match="xla_no_such_option"):
        double(0.5)


@pytest.mark.parametrize(("here", "alone"), [(eval_context, True), (jax.ensure_compile_time_eval, False)])
def test_a_law_is_one_program(monkeypatch, here, alone):
    """With the other way out of a caller's trace, each operation on its constants is one by itself."""
    monkeypatch.setattr(precision, "eval_context", here)
    shifted = law()(lambda x: x + jnp.cos(jnp.arange(37.0)).sum())
    with timings.recorded() as spent, timings.part("law"):
        assert shifted(1.0) == pytest.approx(1 + np.cos(np.arange(37.0)).sum())
    assert (spent.parts["law"].programs == 1) is alone
