"""Laws that report a traced argument outside their domain, where otherwise the result is NaN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax.experimental import checkify

from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.precision import is_traced

from .registry import Law, find


def checked(law: str | Law) -> Callable[..., Any]:
    """The law, for use under `jax.experimental.checkify.checkify`.

    A law cannot raise for a traced argument: outside its domain it gives NaN. This one states instead which
    invariant is broken, by which value, and the fix; under `jit`, `vmap` and `grad` too:

        error, value = jax.jit(checkify.checkify(theory.checked("transverse_ratio")))(rate=0.7)
        error.throw()   # `0 < rate <= 0.5` is required, received 0.7: pass a flip rate in (0, 1/2]

    Args:
      law: a name in `LAWS`, or a `Law`.

    Returns:
      A function of the law's arguments, by position in the order of `Law.arguments` or by name. Concrete
      arguments are judged as ever, with an exception.

    Raises:
      InvalidInput: for an unknown name; from the returned function, as the law does.
    """
    found = find(law)

    def call(*args: Any, **kwargs: Any) -> Any:
        arguments = dict(zip(found.arguments, args, strict=False)) | kwargs
        for name, interval in found.arguments.items():
            if isinstance(interval, Interval) and is_traced(arguments.get(name)):
                _check(name, interval, arguments[name])
        return found(**arguments)

    call.__name__ = call.__qualname__ = f"checked_{found.name}"
    call.__doc__ = found.doc
    return call


def _check(name: str, interval: Interval, value: Any) -> None:
    flat = jnp.ravel(jnp.asarray(value))
    outside = ~interval.contains(flat)
    first = flat[jnp.argmax(outside)] if flat.size else jnp.zeros((), flat.dtype)
    # The error of concrete input, in the form that checkify fills with the value.
    text = f"`{interval.describe(name)}` is required, received {{received}}: {interval.fix}"
    checkify.check(~jnp.any(outside), text, received=first)
