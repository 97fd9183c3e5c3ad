"""Traced input outside a law's domain: an error of checkify, with the invariant, the value and the fix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import checkify

from signmag_jax import theory
from signmag_jax.evidence import InvalidInput
from signmag_jax.evidence.domain import Interval

INSIDE = {"rate": 0.02, "alpha": 0.2, "n": 100.0, "rows": 64.0, "share": 0.3, "fraction": 0.05}
# Counts that are Python integers never are traced; x and the columns have tests of their own.
COUNTED = ("finite_width_ratio", "finite_width_expansion", "finite_width_saturation", "chain_ratios",
           "finite_width_saturation_expansion", "finite_width_depth_ratios")  # fmt: skip
# Expansions in many flips a row.
MANY_FLIPS = {"finite_width_expansion", "profile_width_expansion"}
STATIC = {
    "depth": 2,
    "x": np.array([1.0, -2.0, 0.5, 1.5]),
    "pool": np.array([True, False, False, True]),
    "network": "dense, relu, rmsnorm",
}


def traced_arguments(law):
    """Arguments with a domain that a trace can reach."""
    integers = ("n", "depth") if law.name in COUNTED else ("depth",)
    return [
        name
        for name in law.required
        if isinstance(law.arguments[name], Interval) and name in INSIDE and name not in integers
    ]


CASES = [
    (name, argument)
    for name, law in theory.LAWS.items()
    if "perturbation" not in law.required and name != "finite_width_depth_ratios"
    for argument in traced_arguments(law)
]


@pytest.mark.parametrize(("name", "argument"), CASES)
def test_every_law_with_a_domain(name, argument):
    law, check = theory.LAWS[name], theory.checked(name)
    fixed = {key: INSIDE.get(key, STATIC.get(key)) for key in law.required if key != argument}
    if name in COUNTED and "n" in fixed:
        fixed["n"] = 64
    run = checkify.checkify(jax.jit(lambda value: check(**fixed, **{argument: value})))
    error, value = run(jnp.asarray(0.5 if name in MANY_FLIPS else INSIDE[argument]))
    assert error.get() is None
    assert np.all(np.isfinite(value))
    error, _ = run(jnp.asarray(-3.0))
    domain = law.arguments[argument]
    assert f"`{domain.describe(argument)}` is required, received -3" in error.get()
    assert domain.fix in error.get()


def test_through_jit_vmap_and_grad():
    ratio = theory.checked("transverse_ratio")
    mapped = checkify.checkify(jax.jit(jax.vmap(ratio)))
    error, values = mapped(jnp.array([0.01, 0.875, 0.5]))
    assert "received 0.875" in error.get()
    assert np.isnan(values[1])
    assert np.all(np.isfinite(values[jnp.array([0, 2])]))
    with pytest.raises(checkify.JaxRuntimeError, match=r"0 < rate <= 0.5.*received 0.875"):
        error.throw()
    assert mapped(jnp.array([0.01, 0.2, 0.5]))[0].get() is None
    slope = checkify.checkify(jax.grad(ratio))
    assert slope(0.1)[0].get() is None
    assert "received 0.0" in slope(0.0)[0].get()


def test_a_function_of_ones_own_and_what_is_refused():
    twice = checkify.checkify(jax.jit(theory.checked(lambda p: 2 * theory.transverse_ratio(p))))
    assert "received 0.75" in twice(jnp.asarray(0.75))[0].get()
    scaled = theory.checked(lambda s: theory.depth_ratios(0.1, 1, activation="relu_squared", scale=s))
    assert "`0 < scale` is required" in checkify.checkify(jax.jit(scaled))(jnp.asarray(-1.0))[0].get()
    # Without it the same input is NaN and no error.
    error, value = checkify.checkify(jax.jit(theory.transverse_ratio))(jnp.asarray(0.75))
    assert error.get() is None
    assert np.isnan(value)
    with pytest.raises(InvalidInput, match=r"0 < rate <= 0.5"):
        theory.checked("transverse_ratio")(0.7)
    with pytest.raises(InvalidInput, match=r"theory\.LAWS"):
        theory.checked("ratio")


def test_new_values_compile_nothing():
    """One program for each shape, whatever the rates."""
    traced = []

    @jax.jit
    def laws(rates):
        traced.append(rates.shape)
        one = lambda p: (theory.transverse_ratio(p), theory.depth_ratios(p, 6))  # noqa: E731
        return jax.vmap(one)(rates)

    for low in (1e-9, 0.01, 0.3):
        ratio, chain = laws(jnp.linspace(low, 0.5, 8))
        assert np.all(np.isfinite(ratio))
        assert chain.shape == (8, 6)
    assert traced == [(8,)]
    laws(jnp.linspace(0.1, 0.5, 9))
    assert traced == [(8,), (9,)], "the count would have seen a second program"
