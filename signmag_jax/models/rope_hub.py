"""The rotation that a hub config describes: every parameter of its type used, and the others noted."""

from __future__ import annotations

import math
import sys
from typing import Any

from signmag_jax.evidence import invalid

from .config import Rope

_ORIGINAL = "original_max_position_embeddings"
_USED = {
    "default": frozenset(("rope_theta",)),
    # Scales with the length beyond the trained one, which no window exceeds here.
    "dynamic": frozenset(("rope_theta",)),
    "linear": frozenset(("rope_theta", "factor")),
    # Of factor 1 alone: the plain frequencies.
    "yarn": frozenset(("rope_theta",)),
    "llama3": frozenset(("rope_theta", "factor", "low_freq_factor", "high_freq_factor", _ORIGINAL)),
    "longrope": frozenset(("rope_theta", _ORIGINAL)),
}
_LONG = ("short_factor", "long_factor", "factor", "attention_factor")


def rope_from_hub(
    parameters: dict[str, Any], head_dim: int, positions: int, partial: bool
) -> tuple[Rope, int, tuple[str, ...]]:
    """The rotation, the longest window that it is computed for, and remarks.

    Args:
      parameters: `rope_parameters` of the config, as `transformers` reads it.
      head_dim, positions: of the model.
      partial: whether the family's model reads `partial_rotary_factor`.

    Raises:
      InvalidInput: for a type that the port does not know, and for parameters that are no numbers.
    """
    kind = parameters.get("rope_type", "default")
    scale = _scale_of_yarn(parameters, positions) if kind == "yarn" else 1.0
    if not isinstance(kind, str) or kind not in _USED or scale is None:
        received = f"yarn of factor {parameters.get('factor')}"[:60] if kind == "yarn" else kind
        raise invalid(
            f"RoPE type in {tuple(_USED)}, yarn with the factor 1",
            received,
            "this port knows no other; use another model",
        )
    numbers = _numbers(parameters, kind)
    part = parameters.get("partial_rotary_factor")
    # Of transformers' models only these read it themselves; what scales a rotation reads it in all of them.
    part = part if partial or kind != "default" else None
    if part not in (None, 1.0) and not (partial and _is_finite(part) and 0 < part < 1):
        raise invalid("a rotation of whole heads", f"partial_rotary_factor = {part}", "use another model")
    features = int(head_dim * part) if part not in (None, 1.0) else None
    common: dict[str, Any] = {"theta": float(numbers["rope_theta"]), "features": features}
    known = (
        _USED[kind]
        | {"rope_type", "type"}
        | {*{"longrope": _LONG, "yarn": ("attention_factor",)}.get(kind, ())}
        | {*(("partial_rotary_factor",) if partial else ())}
    )
    rest = {key: value for key, value in parameters.items() if key not in known and value is not None}
    if rest.get("partial_rotary_factor") == 1.0:
        del rest["partial_rotary_factor"]
    remarks = ()
    if rest:
        shown = ", ".join(f"{key} = {str(value)[:60]}" for key, value in sorted(rest.items())[:8])
        remarks = (f"without effect in this model's RoPE: {shown}",)
    if kind == "longrope":
        original = int(numbers[_ORIGINAL])
        remark = f"longrope: windows of at most {original} tokens, beyond which the rotation is another"
        return (
            _longrope(parameters, original, positions, common),
            min(original, positions),
            (*remarks, remark),
        )
    return (
        Rope(
            kind="default" if kind in ("dynamic", "yarn") else kind,
            factor=float(numbers.get("factor", 1.0)),
            low_frequency_factor=float(numbers.get("low_freq_factor", 1.0)),
            high_frequency_factor=float(numbers.get("high_freq_factor", 1.0)),
            original_positions=int(numbers.get(_ORIGINAL, 0)),
            scale=scale,
            **common,
        ),
        positions,
        remarks,
    )


def _numbers(parameters: dict[str, Any], kind: str) -> dict[str, Any]:
    numbers: dict[str, Any] = {name: parameters.get(name) for name in sorted(_USED[kind])}
    wrong = {name: value for name, value in numbers.items() if not _is_finite(value)}
    if wrong:
        raise invalid(
            f"every parameter of RoPE type {kind} a finite number",
            ", ".join(f"{name} = {str(value)[:40]}" for name, value in wrong.items()),
            "mend config.json",
        )
    return numbers


def _scale_of_yarn(parameters: dict[str, Any], positions: int) -> float | None:
    """What YaRN (arXiv:2309.00071) multiplies cosines and sines by; None where it changes frequencies too."""
    factor, scale = parameters.get("factor", 0), parameters.get("attention_factor")
    original = parameters.get(_ORIGINAL)
    if factor is None and _is_finite(original) and original:
        factor = positions / original
    if not _is_finite(factor) or factor != 1 or not (scale is None or _is_finite(scale)):
        return None
    return 1.0 if scale is None else float(scale)


def _longrope(parameters: dict[str, Any], original: int, positions: int, common: dict[str, Any]) -> Rope:
    """LongRoPE (arXiv:2402.13753) within the length before stretching: the short divisors alone."""
    divisors, factor = parameters.get("short_factor"), parameters.get("factor")
    scale = parameters.get("attention_factor")
    numbers = [*(divisors if isinstance(divisors, list) else ["none"]), factor or 1, scale or 1]
    if original < 2 or not all(map(_is_finite, numbers)):
        shown = (str(divisors)[:40], original, factor, scale)
        raise invalid(
            f"longrope: short_factor, {_ORIGINAL} > 1 and factors numbers", shown, "mend config.json"
        )
    stretch = float(positions / original if factor is None else factor)
    if scale is None:
        scale = 1.0 if stretch <= 1 else math.sqrt(1 + math.log(stretch) / math.log(original))
    return Rope(kind="divided", divisors=tuple(map(float, numbers[:-2])), scale=float(scale), **common)


def _is_finite(value: Any) -> bool:
    """Whether it is a number that float64 holds."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
