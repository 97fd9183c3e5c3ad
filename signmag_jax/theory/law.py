"""What a law of the theory is: a function, its arguments and where it comes from."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from signmag_jax.evidence import invalid
from signmag_jax.evidence.domain import Interval

Domain = Interval | tuple[Any, ...] | None
"""Where an argument may lie, or the values that it may take; None where the law itself decides."""


@dataclass(frozen=True)
class Law:
    """One law of the theory.

    Args:
      function: the float64 array function.
      arguments: its arguments in order, each with its domain.
      source: where the law comes from.
      estimator: "closed form", "recursion" or "quadrature".
      unit: of the value.
      expansion: name of the law that approximates it for small errors, or wide layers. It may lack options:
        where one is given that it does not take, there is no expansion.
    """

    function: Callable[..., Any]
    arguments: Mapping[str, Domain] = field(default_factory=dict)
    source: str = ""
    estimator: str = "closed form"
    unit: str = "1"
    expansion: str | None = None

    @property
    def name(self) -> str:
        """The name in `LAWS`: that of the function."""
        return self.function.__name__

    @property
    def doc(self) -> str:
        """The first line of the function's documentation: the formula in words."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    @property
    def required(self) -> tuple[str, ...]:
        """The arguments without a default."""
        parameters = inspect.signature(self.function).parameters.values()
        return tuple(p.name for p in parameters if p.default is inspect.Parameter.empty)

    def __call__(self, **arguments: Any) -> Any:
        """The value, after a check that the names of the arguments fit.

        Raises:
          InvalidInput: for a missing or unknown argument, or a value outside its domain.
        """
        self.check(arguments)
        return self.function(**arguments)

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Refuse arguments whose names do not fit.

        Raises:
          InvalidInput: for a missing or unknown argument, or an option that is none of those allowed.
        """
        unknown = sorted(set(arguments) - set(self.arguments))
        missing = [name for name in self.required if name not in arguments]
        if unknown or missing:
            wanted = f"arguments of {self.name} are ({', '.join(self.arguments)})"
            raise invalid(wanted, sorted(arguments), "pass these by name, each required one once")
        for name, value in arguments.items():
            allowed = self.arguments[name]
            # An array compares entry by entry.
            if isinstance(allowed, tuple) and (getattr(value, "shape", ()) or value not in allowed):
                raise invalid(f"{name} in {allowed}", value, "choose one of these")
