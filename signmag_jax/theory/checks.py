"""Laws whose domain `jax.experimental.checkify` reports, where traced input cannot raise."""

import functools
from collections.abc import Callable
from typing import Any

from signmag_jax.evidence import invalid
from signmag_jax.evidence.precision import checking

from .law import Law
from .registry import find


def checked(law: str | Law | Callable[..., Any]) -> Callable[..., Any]:
    """The law as a function whose traced input outside its domain is an error of `checkify`.

    Without it such input gives NaN. The error names the invariant, the first value that breaks it and what
    to pass instead; it goes through jit, vmap and grad. Concrete input, which `checkify` without any of these
    leaves concrete, raises `InvalidInput`, as always.

    >>> import jax
    >>> from jax.experimental import checkify
    >>> ratio = checkify.checkify(jax.jit(checked("transverse_ratio")))
    >>> print(ratio(0.75)[0].get().partition(" (`check` failed)")[0])
    `0 < rate <= 0.5` is required, received 0.75: pass a flip rate in (0, 1/2]

    Args:
      law: a name in `LAWS`, a `Law`, or any function of your own that calls laws. Under a JAX transformation
        it has to be within `checkify.checkify`, as every `checkify.check` has.

    Raises:
      InvalidInput: for an unknown name.
    """
    if not isinstance(law, str | Law) and not callable(law):
        raise invalid("law is a name, a Law or a function", law, "pass one of these")
    # A Law is callable too, by keywords only: its function takes its arguments in order.
    function = find(law).function if isinstance(law, str | Law) else law

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        with checking():
            return function(*arguments, **named)

    return call
