"""What does an error in a network's weights cost, when its sign is wrong and when only its size is?

Three routes answer, and the package is their agreement: `theory` (closed forms, proved and enclosed),
`simulate` (Gaussian networks) and `measure` (trained language models, through `models`); `training` leads
from the second to the third.
Rooms load when first used, so `import signmag_jax` costs nothing.
"""

import importlib
from types import ModuleType

__all__ = [
    "claims",
    "evidence",
    "export",
    "frechet",
    "measure",
    "models",
    "perturb",
    "report",
    "simulate",
    "theory",
    "training",
]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
