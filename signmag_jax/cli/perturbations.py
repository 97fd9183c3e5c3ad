"""Perturbations as they are typed on the command line."""

from __future__ import annotations

from typing import Any

import typer

PERTURBATIONS = (
    "flip:0.01, shift:0.2, noise:0.2, sign, ternary:0.5:1.2, ternary:twn, prune:0.5, scale:2, "
    "uniform:4:absmax, lloyd-max:2, with a scale for every 32 neighbours sign@32, for every row ternary@row, "
    "or several in turn: flip:0.01+ternary"
)


# What is typed: the class, and how many numbers at least and at most.
KINDS = {
    "flip": ("SignFlip", 1, 1),
    "shift": ("MagnitudeShift", 1, 1),
    "noise": ("MagnitudeNoise", 1, 1),
    "sign": ("SignQuantize", 0, 0),
    "ternary": ("Ternarize", 0, 2),
    "prune": ("Prune", 1, 1),
    "scale": ("Scale", 1, 1),
    "uniform": ("UniformQuantize", 1, 3),
    "lloyd-max": ("LloydMax", 1, 1),
}


def parse(text: str) -> Any:
    """One perturbation, or several joined by "+", the first applied first."""
    import functools

    from signmag_jax import perturb

    return functools.reduce(perturb.Compose, map(_parsed, _stages(text)))


def _parsed(stage: tuple[str, list[str], str]) -> Any:
    from signmag_jax import perturb

    name, rest, group = stage
    one = getattr(perturb, name)(*map(_number_or_name, rest))
    if not group:
        return one
    return perturb.Grouped(one, int(group) if group.isdecimal() else group)


def exact(text: str) -> str:
    """The perturbation as text for `theory.enclose`, with the very decimals that were typed."""
    return "+".join(
        f"{name}({', '.join(rest)})" + (f"@{group}" if group else "") for name, rest, group in _stages(text)
    )


def _stages(text: str) -> list[tuple[str, list[str], str]]:
    """Class, numbers and what shares a scale, if not the tensor."""
    stages = []
    for part in text.split("+"):
        head, at, group = part.partition("@")
        kind, *rest = head.split(":")
        name, least, most = KINDS.get(kind, ("", 0, -1))
        if not least <= len(rest) <= most or bool(at) != bool(group):
            raise typer.BadParameter(f"--perturbation is like {PERTURBATIONS}, not {text!r}")
        stages.append((name, rest, group))
    return stages


def _number_or_name(text: str) -> int | float | str:
    try:
        # Bits and counts are integers; to everything else 2 and 2.0 are the same.
        return int(text) if text.strip().lstrip("+-").isdigit() else float(text)
    except ValueError:
        return text


def typed(perturbation: Any) -> str:
    """A perturbation as it is typed; empty for what is none of them."""
    for kind, (name, _, most) in KINDS.items():
        if type(perturbation).__name__ == name:
            values = list(vars(perturbation).values())[:most] if hasattr(perturbation, "__dict__") else []
            return ":".join(
                [kind, *(f"{value:g}" if isinstance(value, float) else str(value) for value in values)]
            )
    return ""
