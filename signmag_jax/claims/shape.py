"""A JSON value against a JSON schema: the keywords that the ledger's schema uses, and no others."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

ANNOTATIONS = frozenset(("$schema", "$id", "$defs", "title"))


def fault(value: Any, schema: Mapping[str, Any]) -> str | None:
    """Where and how `value` breaks the schema first, or None where it satisfies it."""
    return next(_faults(value, schema, schema, ""), None)


def _faults(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], path: str) -> Iterator[str]:
    for keyword, wanted in schema.items():
        if keyword in ANNOTATIONS:
            continue
        if keyword in PLAIN:
            if not PLAIN[keyword](value, wanted):
                yield f"{path or 'the whole'} is not of {keyword} {wanted!r}"
        elif keyword == "$ref":
            yield from _faults(value, _resolved(wanted, root), root, path)
        elif keyword == "anyOf":
            if all(any(True for _ in _faults(value, one, root, path)) for one in wanted):
                yield f"{path or 'the whole'} is of none of the allowed kinds"
        elif keyword in NESTED:
            for name, inner in NESTED[keyword](value, wanted, schema):
                yield from _faults(value[name], inner, root, f"{path}/{name}")
        else:
            raise NotImplementedError(f"schema keyword {keyword!r}")
        if keyword == "type" and not PLAIN["type"](value, wanted):
            return  # what follows presumes the type


def _resolved(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond every float
        return False


_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": _is_number,
    "integer": lambda value: _is_number(value) and float(value).is_integer(),
}


def _is_of_type(value: Any, wanted: Any) -> bool:
    return any(_TYPES[name](value) for name in ([wanted] if isinstance(wanted, str) else wanted))


def _equal(value: Any, wanted: Any) -> bool:
    """JSON's equality, in which true is not 1."""
    return value == wanted and isinstance(value, bool) == isinstance(wanted, bool)


# A keyword for one kind of value says nothing about another.
PLAIN: dict[str, Callable[[Any, Any], bool]] = {
    "type": _is_of_type,
    "const": _equal,
    "enum": lambda value, wanted: any(_equal(value, one) for one in wanted),
    "minimum": lambda value, wanted: not _is_number(value) or value >= wanted,
    "minLength": lambda value, wanted: not isinstance(value, str) or len(value) >= wanted,
    "minItems": lambda value, wanted: not isinstance(value, list) or len(value) >= wanted,
    "maxItems": lambda value, wanted: not isinstance(value, list) or len(value) <= wanted,
    "required": lambda value, wanted: not isinstance(value, dict) or all(name in value for name in wanted),
}


def _properties(value: Any, wanted: Any, _: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        yield from ((name, inner) for name, inner in wanted.items() if name in value)


def _additional(value: Any, wanted: Any, schema: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        inner = {"enum": []} if wanted is False else wanted
        yield from ((name, inner) for name in value if name not in schema.get("properties", {}))


def _items(value: Any, wanted: Any, _: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, list):
        yield from ((index, wanted) for index in range(len(value)))


NESTED: dict[str, Callable[[Any, Any, Any], Iterator[tuple[Any, Any]]]] = {
    "properties": _properties,
    "additionalProperties": _additional,
    "items": _items,
}
