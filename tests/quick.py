"""Compiling with less optimisation, since a test waits for the compiler longer than for what it compiles."""

import contextlib
import functools
import os
import subprocess
import sys

import jax
import jax.numpy as jnp

_NONE = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
# Compiled in half of the time, and nearly as fast. A simulation takes ten times as long at level 0.
_LESS = (
    "--xla_backend_optimization_level=1",
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_cpu_parallel_codegen_split_count=1",
)


def jit(function, **options):
    """`jax.jit` of the same program without optimisation: for what a test runs once, on little."""
    return jax.jit(function, compiler_options=_known_options(), **options)


@contextlib.contextmanager
def unoptimised(wanted=True):
    """Within, if wanted, programs are compiled without optimisation, as suits those that run briefly."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", wanted)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)


@functools.cache
def _known_options():
    """The options, where this version of XLA knows them."""
    try:
        jax.jit(jnp.negative, compiler_options=_NONE).lower(1.0).compile()
    except Exception:
        return None
    return _NONE


def everywhere():
    """Less optimisation for this process, before its first program, and for all that it starts.

    Returns:
      Whether this version of XLA knows how; one that does not ends a process that asks it.
    """
    given = os.environ.get("XLA_FLAGS", "")
    if _LESS[0] in given:
        return True
    # What stands last counts: whoever sets the variable decides.
    flags = " ".join((*_LESS, given))
    asked = subprocess.run(
        [sys.executable, "-c", "import jax; jax.devices()"],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
    )
    if asked.returncode == 0:
        os.environ["XLA_FLAGS"] = flags
    return asked.returncode == 0


def devices(count):
    """The flags of a process that this one starts on so many devices: the same bits, compiled alike."""
    return f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}"
