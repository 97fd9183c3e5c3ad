"""Options of a command, from the signature and the docstring of the function that it calls."""

from __future__ import annotations

import builtins
import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from . import perturbations
from .shared import SHARED, Option, flag
from .values import FLAG, kind_of

SECTIONS = ("Returns:", "Raises:", "Source:", "Example:", "Yields:")
# Where another function's arguments, results or errors are meant.
REFERENCE = re.compile(r"\bArgs\b[\w, ]* as in `(\w+)`\.")
HELP = {"help_option_names": ["-h", "--help"]}


def options(
    function: Callable[..., Any], *, signature: inspect.Signature | None = None, leave: Iterable[str] = ()
) -> list[Option]:
    """Everything that a function takes and that can be typed, in the order of its signature.

    Args:
      function: with annotations, and an `Args:` section for the help.
      signature: another one of the same parameters, with other defaults.
      leave: parameters that the command fills in.
    """
    helps, hints = arguments_of(function), hints_of(function)
    derived: list[Option] = []
    for parameter in (signature or inspect.signature(function)).parameters.values():
        name, hint = parameter.name, hints.get(parameter.name, object)
        if name in leave:
            continue
        if parameter.kind is parameter.VAR_KEYWORD:
            derived += _unpacked(hint, leave)
            continue
        kind = SHARED[name].kind if name in SHARED else kind_of(hint)
        if kind is None:
            continue
        required = parameter.default is parameter.empty
        many = parameter.kind is parameter.VAR_POSITIONAL
        positional = required and parameter.kind is not parameter.KEYWORD_ONLY
        help_, default = helps.get(name, ""), "" if required else shown(parameter.default)
        option = SHARED.get(name, Option(name, kind, help_))
        if kind is FLAG and parameter.default is True:
            option = replace(option, flags=(f"{flag(name)}/--no-{flag(name)[2:]}",))
        derived.append(replace(option, default=default or option.default, positional=positional, many=many))
    return derived


def passing_on(inner: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: `**options` of a function are the keyword arguments of `inner`, its types and docstring."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        own = {
            name: each
            for name, each in inspect.signature(function).parameters.items()
            if each.kind is not each.VAR_KEYWORD
        }
        # With what `inner` takes as a `TypedDict` of its own.
        taken = {
            name: each
            for name, each in inspect.signature(inner).parameters.items()
            if each.kind in (each.KEYWORD_ONLY, each.VAR_KEYWORD) and name not in own
        }
        helps, hints = arguments_of(inner), hints_of(inner)
        lines = (f"  {name}: {helps[name]}" for name in taken if name in helps)
        # The arguments come last in a docstring, but for an example.
        doc, mark, example = (inspect.getdoc(function) or "").partition("\n\nExample:")
        function.__doc__ = "\n".join([doc, *lines]) + mark + example
        function.__annotations__ |= {name: hints[name] for name in taken}
        function.__signature__ = inspect.Signature([*own.values(), *taken.values()])  # pyright: ignore[reportFunctionMemberAccess]
        return function

    return decorate


def _unpacked(hint: Any, leave: Iterable[str]) -> list[Option]:
    """Options of a `TypedDict` of keyword arguments, all of which may be left out."""
    table = next(iter(typing.get_args(hint)), None)
    if table is None:
        return []
    helps, hints = arguments_of(table), hints_of(table)
    kinds = {name: kind_of(hint) for name, hint in hints.items() if name not in leave}
    return [
        SHARED.get(name, Option(name, kind or FLAG, helps.get(name, "")))
        for name, kind in kinds.items()
        if kind is not None or name in SHARED
    ]


def command(function: Callable[..., Any], options: list[Option]) -> Callable[..., Any]:
    """A function for Typer with these options, which calls `function` with those that were given."""

    joins = {option.name: option.kind.join for option in options if not option.positional}

    def call(**given: Any) -> Any:
        known = {}
        for name, value in given.items():
            if (join := joins.get(name)) is None:
                known |= {} if value is None else {name: value}
            elif value:
                known[name] = join(value)
        return function(**known)

    return with_parameters(call, [option.parameter() for option in options])


def with_parameters(call: Callable[..., Any], parameters: list[inspect.Parameter]) -> Callable[..., Any]:
    """The function, which now shows these parameters to whoever inspects it."""
    call.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    call.__annotations__ = {each.name: each.annotation for each in parameters}
    return call


def shown(default: Any) -> str:
    """A default as it would be typed."""
    if default is None or isinstance(default, bool):
        return "on" if default is True else ""
    if isinstance(default, float):
        return f"{default:g}"
    if isinstance(default, tuple | list):
        return ",".join(map(shown, default))
    if isinstance(default, Mapping):
        return ",".join(map(shown, default.values()))
    return perturbations.typed(default) or str(default)


def arguments_of(function: Any) -> dict[str, str]:
    """The sentences of a docstring's `Args:` section, by name, and of the function that it refers to."""
    doc = inspect.getdoc(function) or ""
    other = REFERENCE.search(doc)
    helps = arguments_of(getattr(sys.modules[_package(function)], other[1])) if other else {}
    names: list[str] = []
    inside = False
    for line in doc.splitlines():
        if line.strip() == "Args:":
            inside = True
        elif line.startswith(SECTIONS):
            inside = False
        elif inside and (entry := re.match(r"  (\w+(?:, \w+)*): (.*)", line)):
            names = entry[1].split(", ")
            helps |= dict.fromkeys(names, _sentence(entry[2]))
        elif inside and line.strip():
            helps |= {name: f"{helps[name]} {line.strip()}" for name in names}
    return {name: text.replace("`", "") for name, text in helps.items()}


def _package(function: Any) -> str:
    return function.__module__.rpartition(".")[0]


def _sentence(text: str) -> str:
    first = text.partition(" ")[0].rstrip(",;:")
    # A symbol keeps its case: σ is not Σ.
    is_word = first == "a" or (len(first) > 1 and first.isascii() and first.isalpha())
    return text[:1].upper() + text[1:] if is_word else text


def summary_of(function: Any) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(function) or "").partition("\n")[0]


def help_of(function: Any) -> str:
    """A docstring without its sections, and without a reference to those of another function."""
    prose = re.split(rf"^(?:Args:|{'|'.join(SECTIONS)})", inspect.getdoc(function) or "", flags=re.M)[0]
    return REFERENCE.sub("", prose).replace("`", "").strip()


def example_of(function: Any) -> str:
    """The command line that a docstring gives after `Example:`."""
    example = re.search(r"^Example: (.*)", inspect.getdoc(function) or "", flags=re.M)
    return example[1] if example else ""


def hints_of(function: Any) -> dict[str, Any]:
    """The types of the parameters and of the result, also of names that only type checkers import."""
    room = getattr(inspect.unwrap(function), "__globals__", None)
    room = vars(inspect.getmodule(function)) if room is None else room
    target = function.__init__ if isinstance(function, type) and "__init__" in vars(function) else function
    return {name: _hint(raw, room) for name, raw in target.__annotations__.items()}


def _hint(raw: Any, room: Mapping[str, Any]) -> Any:
    raw = raw.__forward_arg__ if isinstance(raw, typing.ForwardRef) else raw
    if not isinstance(raw, str):
        return raw
    try:
        return eval(raw, {}, _Names(room))
    except (AttributeError, TypeError, SyntaxError):  # a part of something that is not imported
        return object


class _Names(dict[str, Any]):
    """The names of a module; one that it lacks is an empty class of that name."""

    def __missing__(self, name: str) -> Any:
        return getattr(builtins, name) if hasattr(builtins, name) else type(name, (), {})
