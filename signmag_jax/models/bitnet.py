"""Ternary matrices of BitNet checkpoints: packed with a scale beside each, or floats to round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from signmag_jax.evidence import invalid

from .decoder_layer import MATRICES
from .sources import FLOAT_TYPES, PACKED, TensorSource

IN_A_BYTE = 4
_SUFFIXES = tuple(f".{name}.weight" for name in MATRICES)


@dataclass(frozen=True)
class Ternary:
    """How a checkpoint holds its ternary matrices; `quantization_config` of its config.json.

    Args:
      online: they are floats, W → s·round(W/s) within ±s for s = mean |W|, whenever the model runs.
      divides: the stored scale divides ("bitlinear"), it does not multiply ("autobitlinear").
    """

    online: bool
    divides: bool


def ternary_of(stored: dict[str, Any]) -> Ternary:
    """What a `quantization_config` of method bitnet says.

    Raises:
      InvalidInput: for what `transformers` computes otherwise than the port.
    """
    kind, mode = stored.get("linear_class", "bitlinear"), stored.get("quantization_mode", "offline")
    kept = stored.get("modules_to_not_convert")
    if (
        kind not in ("bitlinear", "autobitlinear")
        or mode not in ("online", "offline")
        or (kind, mode) == ("bitlinear", "online")
        or stored.get("use_rms_norm")
        or kept not in (None, ["lm_head"])
    ):
        raise invalid(
            "BitNet's linear_class autobitlinear, or bitlinear offline, for all matrices but the head",
            f"linear_class {kind}, {mode}, use_rms_norm {stored.get('use_rms_norm', False)}, "
            f"modules_to_not_convert {kept}"[:160],
            "this port has no other; use another checkpoint of the model",
        )
    return Ternary(online=mode == "online", divides=kind == "bitlinear")


class TernarySource:
    """The tensors of another source, with the ternary matrices as numbers."""

    def __init__(self, inner: TensorSource, ternary: Ternary):
        self._inner, self._ternary = inner, ternary
        self.style, self.files, self.notes = inner.style, inner.files, inner.notes
        self.shapes, self.dtypes = dict(inner.shapes), dict(inner.dtypes)
        self._matrices = {name for name in inner.shapes if name.endswith(_SUFFIXES)}
        if ternary.online:
            return
        scales = {f"{name}_scale" for name in self._matrices}
        if absent := sorted(scales - set(inner.shapes)):
            raise invalid(
                "a weight_scale beside each ternary matrix",
                f"no {', '.join(absent[:4])}",
                "the checkpoint is incomplete",
            )
        for name in self._matrices:
            if inner.dtypes[name] == "U8":
                rows, *rest = inner.shapes[name]
                self.shapes[name], self.dtypes[name] = (IN_A_BYTE * rows, *rest), PACKED
            elif ternary.divides and inner.dtypes[name] in FLOAT_TYPES:
                raise invalid(
                    "bitlinear matrices packed as U8", f"{name} as {inner.dtypes[name]}", "use another"
                )
        for name in scales:
            del self.shapes[name], self.dtypes[name]

    def read(self, name: str) -> np.ndarray:
        """The tensor in its stored dtype; a ternary matrix in float32."""
        stored = self._inner.read(name)
        if name not in self._matrices:
            return stored
        if self._ternary.online:
            return made_ternary(stored.astype(np.float32))
        scale = self._inner.read(f"{name}_scale").astype(np.float32).reshape(-1)
        if scale.size != 1 or not np.isfinite(scale[0]) or scale[0] == 0:
            raise invalid(f"{name}_scale one number other than 0", scale[:4].tolist(), "the file is damaged")
        values = unpacked(stored, name) if self.dtypes[name] == PACKED else stored.astype(np.float32)
        return values / scale[0] if self._ternary.divides else values * scale[0]


def unpacked(packed: np.ndarray, name: str = "a matrix") -> np.ndarray:
    """Four rows of −1, 0, 1 out of each of bytes; the lowest two bits hold the first quarter of the rows."""
    digits = np.concatenate([packed >> 2 * quarter & 3 for quarter in range(IN_A_BYTE)])
    if (digits == 3).any():
        raise invalid(f"{name} of ternary digits", "a fourth digit", "the file is damaged")
    return digits.astype(np.float32) - 1


def made_ternary(weight: np.ndarray) -> np.ndarray:
    """`s·clip(round(W/s), −1, 1)` for s = mean |W|: absmean quantisation (arXiv:2402.17764)."""
    # In float32 and in this order, as `transformers` has it: a weight near s/2 could be rounded the other
    # way.
    scale = np.float32(1) / np.maximum(np.abs(weight).mean(dtype=np.float32), np.float32(1e-5))
    return np.clip(np.round(weight * scale), -1, 1) / scale
