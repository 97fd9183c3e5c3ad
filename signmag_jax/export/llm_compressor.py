"""llm-compressor: a recipe whose `ignore` list names what is not quantised."""

from __future__ import annotations

import json
from typing import Any

from signmag_jax.measure.widths import GROUP

from .decision import BITS, HEAD, Decision, module

FILE = "llm-compressor.yaml"
USE = (
    f"llmcompressor.oneshot(model=..., recipe='{FILE}', ...); the modifier and its bits are yours to change, "
    "with the same `ignore`.",
)


def files(decision: Decision) -> dict[str, str]:
    """The recipe, with the notes as its comments."""
    groups = {"rest": {"targets": ["Linear"], "weights": integers(BITS)}}
    if decision.planned:
        targets: dict[int, list[str]] = {}
        for at, one in decision.planned.items():
            targets.setdefault(one.bits, []).append(module(at))
        groups = {
            f"bits_{bits}": {"targets": names, "weights": integers(bits)}
            for bits, names in sorted(targets.items())
        }
    ignore = [HEAD, *map(module, decision.whole)]
    return {FILE: recipe((*decision.notes, *USE), groups, ignore)}


def integers(bits: int) -> dict[str, Any]:
    """Symmetric integers of so many bits with a scale for each group."""
    return {"num_bits": bits, "type": "int", "symmetric": True, "strategy": "group", "group_size": GROUP}


def recipe(notes: tuple[str, ...], groups: dict[str, Any], ignore: list[str]) -> str:
    """The text of a recipe; what stands behind a colon in YAML may be JSON."""
    lines = [f"# {note}" for note in notes]
    lines += ["quant_stage:", "  quant_modifiers:", "    QuantizationModifier:", "      config_groups:"]
    lines += [f"        {name}: {json.dumps(group)}" for name, group in groups.items()]
    return "\n".join([*lines, f"      ignore: {json.dumps(ignore)}"]) + "\n"
