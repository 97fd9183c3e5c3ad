"""The checkify variant of every law: a traced argument outside is reported, one inside passes unchanged."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import checkify

from signmag_jax import theory
from signmag_jax.evidence import InvalidInput

INSIDE = {"rate": 0.02, "alpha": 0.2, "share": 0.3, "fraction": 0.05, "rows": 64.0}
# What a law needs besides, left concrete: widths and depths are shapes of what is computed.
OTHERS = {"depth": 2, "n": 100, "perturbation": theory.matched_shift(0.01)}
# Computed on the host, for concrete rates only.
CONCRETE = {"finite_width_depth_ratios"}


def cases():
    for law in theory.LAWS.values():
        known = set(law.required) <= {*INSIDE, *OTHERS} and law.name not in CONCRETE
        yield from ((law.name, name) for name in law.required if known and name in INSIDE)


def test_the_cases_are_most_laws_with_a_domain():
    assert len({law for law, _ in cases()}) >= 20


def outside(interval):
    return interval.high + 1 if np.isfinite(interval.high) else interval.low - 1


@pytest.mark.parametrize(("law", "name"), list(cases()))
def test_a_traced_argument_outside_is_named_with_its_value(law, name):
    rest = {other: {**INSIDE, **OTHERS}[other] for other in theory.LAWS[law].required if other != name}

    def call(value):
        return theory.checked(law)(**{name: value}, **rest)

    run = jax.jit(checkify.checkify(call))
    interval = theory.LAWS[law].arguments[name]
    error, value = run(INSIDE[name])
    assert error.get() is None
    exact = theory.LAWS[law](**{name: INSIDE[name]}, **rest)
    np.testing.assert_allclose(value, exact, rtol=1e-4 if value.dtype == "float32" else 1e-11)
    error, value = run(outside(interval))
    assert np.all(np.isnan(value))
    assert interval.describe(name) in error.get()
    assert interval.fix in error.get()
    assert f"received {outside(interval):g}" in error.get()


def test_under_vmap_and_grad():
    law = theory.checked("transverse_ratio")
    error, values = checkify.checkify(jax.vmap(law))(jnp.asarray([0.01, 0.1]))
    assert error.get() is None
    np.testing.assert_allclose(values, theory.transverse_ratio(np.array([0.01, 0.1])), rtol=1e-5)
    error, _ = checkify.checkify(jax.vmap(law))(jnp.asarray([0.01, 0.75]))
    assert "received 0.75" in error.get()
    error, slope = checkify.checkify(jax.grad(law))(0.1)
    assert error.get() is None
    np.testing.assert_allclose(slope, jax.grad(theory.transverse_ratio)(0.1), rtol=1e-6)
    assert "0 < rate <= 0.5" in checkify.checkify(jax.grad(law))(-0.1)[0].get()


def test_arrays_name_the_first_that_is_outside_and_nan_is_outside():
    law = jax.jit(checkify.checkify(theory.checked("transverse_ratio")))
    assert "received 0.625" in law(jnp.asarray([0.1, 0.625, 0.875]))[0].get()
    assert "received nan" in law(jnp.nan)[0].get()


def test_the_plain_law_is_silent_where_the_checked_one_speaks():
    error, value = jax.jit(checkify.checkify(theory.transverse_ratio))(0.7)
    assert error.get() is None
    assert np.isnan(value)


def test_concrete_arguments_are_judged_as_ever():
    with pytest.raises(InvalidInput, match=r"0 < rate <= 0.5"):
        theory.checked("transverse_ratio")(0.7)
    with pytest.raises(InvalidInput, match="law is a name"):
        theory.checked("transverse")
    assert theory.checked("transverse_ratio")(0.1) == theory.transverse_ratio(0.1)
