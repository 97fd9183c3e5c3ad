"""`jax.jit` for this package's own programs, with what the compiler needs to be told on each platform."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

Options = dict[str, bool | int | float | str]
OPTIONS: dict[str, Options] = {
    # Float32 products of HIGHEST precision would be autotuned through Triton, every shape anew: 55 s for one
    # pass of 512 tokens on an H200, against 1.9 s without it, and no faster afterwards.
    "gpu": {"xla_gpu_enable_triton_gemm": False},
    # For a kernel of many operations, as of random numbers, a TPU's compiler tries hundreds of ways to cut
    # its arrays: 7 s for 2^20 normal numbers and their norms, against 0.2 s; half of a whole block's.
    # A float32 product of HIGHEST precision takes seconds too, each anew, until the best cut is found: to
    # stop at nine tenths of what it deems possible takes 0.2 s, and costs 15 to 20% of a product's cycles.
    # What a kernel may fill of fast memory takes time too, and 8 of its 16 MiB are enough. With 4 MiB
    # its compiler aborts where something is summed up in order, as in a draw of flips.
    "tpu": {
        "xla_jf_fusion_max_instruction_count_for_window_config": 50,
        "xla_tpu_scoped_vmem_limit_kib": 8192,
        "xla_jf_convolution_performance_target": 0.9,
    },
}
"""Options beyond XLA's defaults, by platform; a caller's own programs are left alone."""


PLAINLY: Options = {"xla_cpu_use_fusion_emitters": False, "xla_cpu_parallel_codegen_split_count": 1}
"""Options that compile a CPU's small programs in two thirds of the time."""

SOONER: Options = {"xla_backend_optimization_level": 1, **PLAINLY}
"""Options that compile a CPU's programs in half the time; they run nearly as fast, since a library multiplies
the matrices. At level 0 a simulation takes ten times as long."""

HALVES: Options = {"xla_disable_hlo_passes": "while-loop-invariant-code-motion"}
"""Options for a CPU's programs of half precision. XLA slices only float32 there, and converts a stack of
weights to slice one layer: moved out of the loop over layers, that makes a copy of twice their size."""

_target: ContextVar[str | None] = ContextVar("target", default=None)
_sooner = False


@contextlib.contextmanager
def compiling_for(target: str) -> Iterator[None]:
    """A context in which programs are traced for "cpu", "gpu" or "tpu", whichever this process has."""
    token = _target.set(target)
    try:
        yield
    finally:
        _target.reset(token)


@contextlib.contextmanager
def compiled_sooner(wanted: bool = True) -> Iterator[None]:
    """Have all threads compile a CPU's programs as `SOONER` says: for hundreds of short runs."""
    global _sooner
    before, _sooner = _sooner, wanted
    try:
        yield
    finally:
        _sooner = before


def platform() -> str:
    """The platform for which programs are traced: the default one, unless `compiling_for` says otherwise."""
    return _target.get() or jax.default_backend()


def in_force() -> Options:
    """The options that this package's programs are compiled with on this platform."""
    options = OPTIONS.get(platform(), {})
    return options | SOONER if _sooner and platform() == "cpu" and _knows_sooner() else options


def of_laws() -> Options:
    """The options that closed forms are compiled with, on whatever machine: they are computed on its CPU.

    They are not optimised less: where numbers have no error, the last bit shows.
    """
    return PLAINLY if _sooner and _knows_sooner() else {}


@functools.cache
def _knows_sooner() -> bool:
    """Whether this version of XLA knows these options: it refuses a program that is given others."""
    try:
        jax.jit(lambda x: -x, compiler_options=SOONER).lower(0.0).compile()
    except Exception:
        return False
    return True


def held(arrays: Any) -> Any:
    """The arrays themselves, which a program for an accelerator then computes once and keeps.

    XLA puts what makes random numbers into each of their consumers, where a TPU's compiler takes seconds for
    every such program. A CPU's programs stay as they are: another fusion rounds otherwise.
    """
    return arrays if platform() == "cpu" else jax.lax.optimization_barrier(arrays)


def one_by_one(function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    """The function of each item in turn, which is compiled once in a program for an accelerator.

    A CPU's programs stay as they are, for the same reason as in `held`.
    """
    if platform() == "cpu":
        return [function(item) for item in items]
    stacked = jax.lax.map(function, jax.tree.map(lambda *leaves: jnp.stack(leaves), *items))
    return [jax.tree.map(lambda leaf, index=index: leaf[index], stacked) for index in range(len(items))]


def jit(function: Callable[..., Any], **how: Any) -> Callable[..., Any]:
    """`jax.jit(function, **how)`, compiled with the platform's `OPTIONS` where it is the outermost program.

    Within another program, the options are those of that one: JAX refuses others.
    """
    plain = jax.jit(function, **how)

    @functools.cache
    def tuned(options: tuple[tuple[str, bool | int | str], ...]) -> Callable[..., Any]:
        return jax.jit(function, compiler_options=dict(options), **how)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        # The platform is asked for at the call: to ask at import would start it.
        options = in_force() | (HALVES if platform() == "cpu" and _has_halves(args, kwargs) else {})
        if not options or _is_inside(args, kwargs):
            return plain(*args, **kwargs)
        return tuned(tuple(options.items()))(*args, **kwargs)

    return call


def _has_halves(*arguments: Any) -> bool:
    """Whether an array of half precision is among the arguments of a call."""
    types = (getattr(leaf, "dtype", None) for leaf in jax.tree.leaves(arguments))
    return any(each in (jnp.bfloat16, jnp.float16) for each in types if each is not None)


def _is_inside(*arguments: Any) -> bool:
    """Whether a call with these arguments becomes part of another program."""
    leaves = (*jax.tree.leaves(arguments), jnp.zeros(()))  # within a program, a constant is traced too
    return any(isinstance(leaf, Tracer) for leaf in leaves)
