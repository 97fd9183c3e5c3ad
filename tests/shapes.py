"""Shapes checked at run time: here and only here, so that users pay nothing for it."""

import dataclasses
import importlib.util
import re
from pathlib import Path

import jaxtyping


def check():
    """Functions and dataclasses of the package that state a shape refuse another, if imported from now on.

    What states none is left to pyright: two functions in three would take longer to check than to run.
    """
    package = Path(importlib.util.find_spec("signmag_jax").origin).parent
    modules = [
        ".".join(file.relative_to(package.parent).with_suffix("").parts)
        for file in package.rglob("*.py")
        if "jaxtyping" in file.read_text()
    ]
    checked = jaxtyping.jaxtyped

    def where_stated(*, typechecker):
        return lambda found: checked(found, typechecker=typechecker) if states_shapes(found) else found

    # The hook decorates everything in a module with what it finds under this name.
    jaxtyping.jaxtyped = where_stated
    jaxtyping.install_import_hook(modules, "beartype.beartype")


def states_shapes(found):
    """Whether an annotation of a function, or of a dataclass' fields, names a type of jaxtyping."""
    function = found.__init__ if dataclasses.is_dataclass(found) else found
    if isinstance(function, type):
        return False
    kinds = {
        name
        for name, value in function.__globals__.items()
        if getattr(value, "__module__", None) == "jaxtyping"
    }
    # Some are text still, others say themselves where their type is from.
    words = re.findall(r"\w+", " ".join(map(str, function.__annotations__.values())))
    return not kinds.isdisjoint(words) or "jaxtyping" in words
