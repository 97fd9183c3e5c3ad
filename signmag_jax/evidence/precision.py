"""The rule of precision of every law: float64 on concrete input, the caller's precision on traced input."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer, eval_context
from jax.experimental import checkify

from .compiling import of_laws
from .domain import Interval, reals
from .errors import invalid

P = ParamSpec("P")
R = TypeVar("R")

Real = jax.Array | np.ndarray | np.floating[Any]
"""What a law returns: float64 NumPy for concrete input, a JAX array for traced input."""


_checking: contextvars.ContextVar[bool] = contextvars.ContextVar("checking", default=False)


@contextlib.contextmanager
def checking() -> Iterator[None]:
    """A context in which laws of traced input state their domains to `jax.experimental.checkify`."""
    token = _checking.set(True)
    try:
        yield
    finally:
        _checking.reset(token)


def check_traced(interval: Interval, name: str, value: jax.Array) -> None:
    """Where checks are on, have `checkify` report a traced `value` of which an element lies outside."""
    if not _checking.get():
        return
    inside = jnp.ravel(interval.contains(value))
    received = jnp.ravel(value)[jnp.argmin(inside)] if inside.size else jnp.zeros(())
    message = f"`{interval.describe(name)}` is required, received {{received}}: {interval.fix}"
    checkify.check(jnp.all(inside), message, received=received)


def is_traced(*trees: Any) -> bool:
    """Whether any leaf is under a JAX transformation, so that its value cannot be known here."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(trees))


def law(
    *,
    static: tuple[str, ...] = (),
    domain: Mapping[str, Interval] | None = None,
    read: Mapping[str, Callable[[Any], Any]] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function of arrays a law.

    Concrete input is converted to float64, checked against `domain`, computed in one jitted call under
    `jax.enable_x64(True)` on the CPU, and returned as float64 NumPy, whatever the caller's flags.
    If any argument is traced, all follow the caller's precision; elements outside `domain` become NaN, and
    within `checking` an error of `checkify` besides.

    Args:
      static: arguments that are not arrays (hashable; a new value compiles anew).
      domain: for each array argument that is restricted, where it may lie.
      read: for each argument that is no array as it is passed, a function that makes a tree of numbers of it.

    Raises:
      InvalidInput: from the decorated function, for concrete input outside `domain`.
    """
    intervals, readers = dict(domain or {}), dict(read or {})

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.cache
        def compiled(options: tuple[tuple[str, bool | int | float | str], ...]) -> Callable[P, R]:
            return jax.jit(function, static_argnames=static, compiler_options=dict(options) or None)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            for name, convert in readers.items():
                bound.arguments[name] = convert(bound.arguments[name])
            arguments = {name: value for name, value in bound.arguments.items() if name not in static}
            if is_traced(arguments):
                bound.arguments.update(_restrict(arguments, intervals))
                return function(*bound.args, **bound.kwargs)
            for name, interval in intervals.items():
                interval.require(name, arguments[name])
            # Outside of a caller's own trace. `jax.ensure_compile_time_eval` would compile each constant
            # within the law by itself besides.
            with eval_context(), jax.enable_x64(True), jax.default_device(_cpu()):
                bound.arguments.update(jax.tree.map(_float64, arguments, is_leaf=_is_list))
                result = compiled(tuple(of_laws().items()))(*bound.args, **bound.kwargs)
                return jax.tree.map(lambda leaf: np.asarray(leaf)[()], result)

        return call

    return decorate


def _is_list(value: Any) -> bool:
    """Whether numbers come as a list, which stands for an array and not for many arguments."""
    return type(value) in (list, tuple)


def _float64(leaf: Any) -> np.ndarray:
    try:
        return reals(leaf)
    except (TypeError, ValueError, OverflowError):
        raise invalid("argument is a real number or an array of them", leaf, "pass numbers") from None


def _restrict(arguments: dict[str, Any], intervals: dict[str, Interval]) -> dict[str, Any]:
    dtype = _common_dtype(arguments)
    arrays = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype=dtype), arguments)
    for name, interval in intervals.items():
        check_traced(interval, name, arrays[name])
        # A factor, not a choice: the derivative outside would be 0.
        arrays[name] = arrays[name] * jnp.where(interval.contains(arrays[name]), 1, jnp.nan)
    return arrays


def _common_dtype(arguments: dict[str, Any]) -> Any:
    traced = [leaf for leaf in jax.tree.leaves(arguments) if isinstance(leaf, Tracer)]
    floating = [leaf.dtype for leaf in traced if jnp.issubdtype(leaf.dtype, jnp.floating)]
    if not floating:
        return jnp.result_type(float)
    return at_least_float32(max(floating, key=lambda dtype: jnp.finfo(dtype).bits))


def at_least_float32(dtype: Any) -> Any:
    """The precision to compute in: half precisions are lifted, wider ones kept."""
    return jnp.dtype(jnp.float32) if jnp.finfo(dtype).bits < 32 else jnp.dtype(dtype)


def unit_of(x: jax.Array, axis: int | tuple[int, ...] | None = None) -> jax.Array:
    """The power of two just below the largest magnitude along `axis`, kept with length 1; 1 for zeros.

    Dividing by it is exact, and the squares of what is left neither overflow nor vanish, whatever the scale.
    In at least float32. NaN and infinity stay visible in the quotients.
    """
    wide = jnp.abs(x).astype(at_least_float32(x.dtype))
    largest = jnp.max(wide, axis=axis, keepdims=axis is not None, initial=0.0)
    _, exponent = jnp.frexp(jnp.where(jnp.isfinite(largest), largest, jnp.ones_like(largest)))
    # Neither the unit nor its reciprocal may be subnormal: processors flush those to 0.
    lowest = jnp.finfo(wide.dtype).minexp
    exponent = jnp.clip(exponent - 1, lowest, -lowest)
    unit = jnp.ldexp(jnp.ones_like(largest), exponent)
    return jnp.where(largest > 0, jnp.where(jnp.isfinite(largest), unit, largest), jnp.ones_like(largest))


def floating(name: str, value: Any) -> jax.Array:
    """A value as a JAX array of real floating-point numbers; lists and integers take the default precision.

    Raises:
      InvalidInput: for anything else, such as booleans, text, complex numbers or lists of unequal length.
    """
    try:
        array = jnp.asarray(value) if is_traced(value) or isinstance(value, jax.Array) else np.asarray(value)
    except (TypeError, ValueError):
        raise invalid(f"{name} is an array of real numbers", value, "pass lists of equal length") from None
    if jnp.issubdtype(array.dtype, jnp.integer):
        return jnp.asarray(array, dtype=jnp.result_type(float))
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise invalid(f"{name} is an array of real numbers", str(array.dtype), "pass floating-point numbers")
    return jnp.asarray(array)


def _cpu() -> Any:
    return jax.local_devices(backend="cpu")[0]
