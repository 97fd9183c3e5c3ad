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
    groups = {"rest": {"targets": ["Linear"], "weights": integers(BITS, GROUP)}}
    if decision.by_row:  # a name goes before a class
        named = [rf"re:.*\.{name}$" for name in decision.by_row]
        groups["rest_by_row"] = {"targets": named, "weights": integers(BITS, None)}
    if decision.planned:
        targets: dict[tuple[int, int | None], list[str]] = {}
        for at, one in decision.planned.items():
            targets.setdefault((one.bits, one.group), []).append(module(at))
        groups = {
            f"bits_{bits}{'' if group else '_by_row'}": {"targets": names, "weights": integers(bits, group)}
            for (bits, group), names in sorted(targets.items(), key=lambda each: each[0][0])
        }
    ignore = [HEAD, *map(module, decision.whole)]
    return {FILE: recipe((*decision.notes_of_groups, *USE), groups, ignore)}


def integers(bits: int, group: int | None) -> dict[str, Any]:
    """Symmetric integers of so many bits with a scale for each group, or for each row."""
    shared = {"strategy": "group", "group_size": group} if group else {"strategy": "channel"}
    return {"num_bits": bits, "type": "int", "symmetric": True, **shared}


def recipe(notes: tuple[str, ...], groups: dict[str, Any], ignore: list[str]) -> str:
    """The text of a recipe; what stands behind a colon in YAML may be JSON."""
    lines = [f"# {note}" for note in notes]
    lines += ["quant_stage:", "  quant_modifiers:", "    QuantizationModifier:", "      config_groups:"]
    lines += [f"        {name}: {json.dumps(group)}" for name, group in groups.items()]
    return "\n".join([*lines, f"      ignore: {json.dumps(ignore)}"]) + "\n"
