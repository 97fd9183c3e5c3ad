"""Compiling without optimisation: for tests that run a program once, on little, and wait for its compiler."""

import functools

import jax
import jax.numpy as jnp

_OPTIONS = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}


def jit(function, **options):
    """`jax.jit` of the same program, compiled several times faster on a CPU and running slower."""
    return jax.jit(function, compiler_options=_known_options(), **options)


@functools.cache
def _known_options():
    """The options, where this version of XLA knows them."""
    try:
        jax.jit(jnp.negative, compiler_options=_OPTIONS).lower(1.0).compile()
    except Exception:
        return None
    return _OPTIONS
