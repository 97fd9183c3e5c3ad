"""All symbolic laws by their names, whichever file of `theory.symbolic` they stand in."""

import importlib
import pkgutil
from types import SimpleNamespace

from signmag_jax.theory import symbolic as room

_FILES = [
    importlib.import_module(f"{room.__name__}.{file.name}")
    for file in pkgutil.iter_modules(room.__path__)
    if file.name != "forms"
]
symbolic = SimpleNamespace(
    **{
        name: law
        for file in _FILES
        for name, law in vars(file).items()
        if getattr(law, "__module__", None) == file.__name__
    }
)
