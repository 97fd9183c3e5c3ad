"""Matrices that a checkpoint stores as one, read as those they are made of."""

from __future__ import annotations

import numpy as np

from signmag_jax.evidence import invalid

from .config import ModelConfig
from .names import layer_tensor
from .sources import TensorSource

FUSED_FAMILIES = ("phi3",)
# Tensor of a layer by format -> the parameters whose rows it holds, one after another.
_FUSED = {
    "hub": {
        "self_attn.qkv_proj.weight": ("q_proj", "k_proj", "v_proj"),
        "mlp.gate_up_proj.weight": ("gate_proj", "up_proj"),
    },
    "gguf": {
        "attn_qkv.weight": ("q_proj", "k_proj", "v_proj"),
        "ffn_up.weight": ("gate_proj", "up_proj"),
    },
}
FUSED = frozenset(part for parts in _FUSED["hub"].values() for part in parts)
"""Matrices that have no tensor of their own in such a checkpoint."""


class SplitSource:
    """The tensors of another source, with fused matrices under the names of their parts.

    Raises:
      InvalidInput: for a fused matrix that has not as many rows as its parts.
    """

    def __init__(self, inner: TensorSource, config: ModelConfig):
        self._inner = inner
        self.style, self.files, self.notes = inner.style, inner.files, inner.notes
        self.shapes, self.dtypes = dict(inner.shapes), dict(inner.dtypes)
        self._rows: dict[str, tuple[str, int, int]] = {}
        shapes, prefix = config.shapes(), layer_tensor("q_proj", 0, inner.style).partition("0.")[0]
        for whole in [name for name in inner.shapes if name.startswith(prefix)]:
            layer, _, kind = whole.removeprefix(prefix).partition(".")
            if kind not in _FUSED[inner.style] or not layer.isdecimal():
                continue
            parts = _FUSED[inner.style][kind]
            rows = sum(shapes[part][0] for part in parts)
            if self.shapes.pop(whole) != (rows, config.hidden):
                wanted = (rows, config.hidden)
                raise invalid(
                    f"{whole} of shape {wanted}",
                    inner.shapes[whole],
                    "the checkpoint and its config do not belong together",
                )
            dtype, first = self.dtypes.pop(whole), 0
            for part in parts:
                name, last = layer_tensor(part, int(layer), inner.style), first + shapes[part][0]
                self._rows[name] = (whole, first, last)
                self.shapes[name], self.dtypes[name] = (last - first, config.hidden), dtype
                first = last

    def read(self, name: str) -> np.ndarray:
        """The tensor as the other source reads it, or the rows of a fused one."""
        if name not in self._rows:
            return self._inner.read(name)
        whole, first, last = self._rows[name]
        return self._inner.read(whole)[first:last]
