"""Tensors that a checkpoint lacks and that whoever loads it fills in, always with the same numbers."""

from __future__ import annotations

import numpy as np

from .config import ModelConfig
from .names import expected
from .sources import FILLED, TensorSource

# llama.cpp adds a bias where there is one, and wants every gain.
_ENDS = {"hub": (".bias", "norm.weight"), "gguf": (".bias",)}
_SAID = {"hub": "gains are 1 and biases 0, as in transformers", "gguf": "biases are 0, as in llama.cpp"}
_SHOWN = 6


def filled(source: TensorSource, config: ModelConfig) -> TensorSource:
    """The tensors of a source, with gains and biases filled in where it lacks nothing else.

    A weight that is missing would be random in `transformers`: then nothing is filled in.
    """
    if config.layers > len(source.shapes):
        return source  # no checkpoint of so many layers, whatever its config claims
    wanted = expected(config, source.style)
    missing = {name: shape for name, shape in wanted.items() if name not in source.shapes}
    if not missing or not all(name.endswith(_ENDS[source.style]) for name in missing):
        return source
    return FilledSource(source, missing)


class FilledSource:
    """The tensors of another source, and those it lacks: gains of 1 and biases of 0."""

    def __init__(self, inner: TensorSource, missing: dict[str, tuple[int, ...]]):
        self._inner, self._missing = inner, missing
        self.style, self.files = inner.style, inner.files
        self.shapes = inner.shapes | missing
        self.dtypes = inner.dtypes | dict.fromkeys(missing, FILLED)
        names = [*missing]
        shown = ", ".join(names[:_SHOWN]) + (" ..." if len(names) > _SHOWN else "")
        said = f"{len(names)} tensors are not stored ({_SAID[inner.style]}): {shown}"
        self.notes = (*inner.notes, said)

    def read(self, name: str) -> np.ndarray:
        """The tensor as the other source reads it, or what is filled in."""
        if name not in self._missing:
            return self._inner.read(name)
        return np.full(self._missing[name], not name.endswith(".bias"), np.float32)
