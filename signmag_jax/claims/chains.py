"""The chains of layers that the ledger simulates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .claim import Evidence
from .supply import Supply, extrapolated, found

WIDTH = 512
RATE = 0.01
LAYERS = 6
# Chains without a published figure: narrow, at a rate at which a narrow row holds many flips all the same,
# so that the extrapolation in 1/width leaves less than half of the standard error.
NARROW = (64, 128)
NARROW_RATE = 0.1


@dataclass(frozen=True)
class Chain:
    """One of them, by the arguments of `simulate.depth`.

    Args:
      options: what is neither width, rate nor depth.
      widths: simulated widths; two are extrapolated.
      rate: flip rate.
      hidden: rows of W_up as a multiple of the width; None for chains of single matrices.
      inputs: of each network. Behind the first layers its states gather, so that more tell little more.
      weight: networks, as a multiple of the level's: more where neighbouring layers are to be told apart.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    widths: tuple[int, ...] = (256, WIDTH)
    rate: float = RATE
    hidden: int | None = None
    inputs: int = 128
    weight: int = 1

    def arguments(self, width: int, networks: int) -> dict[str, Any]:
        """Of `simulate.depth` at one of the widths."""
        sizes = {"networks": self.weight * networks, "inputs": self.inputs}
        hidden = {} if self.hidden is None else {"hidden": self.hidden * width}
        return {"width": width, "rate": self.rate, "depth": LAYERS, **sizes, **hidden, **self.options}


UNIT_SILU = "plain.silu_at_unit_scale"
SILU = {"scale": "paper", "activation": "silu"}
MLP: dict[str, Any] = {"widths": NARROW, "rate": NARROW_RATE, "hidden": 4, "weight": 2}
CHAINS: dict[str, Chain] = {
    "plain.relu": Chain({"scale": "paper"}, weight=3),
    "residual.relu": Chain({"scale": "paper", "residual": True}, inputs=256),
    "plain.silu": Chain(SILU, widths=(WIDTH,)),
    "residual.silu": Chain({**SILU, "residual": True}, widths=(WIDTH,)),
    UNIT_SILU: Chain({"scale": "unit", "activation": "silu"}),
    "v2": Chain(**MLP),
    "v3": Chain({"residual": True}, **MLP),
}


def label(name: str, width: int) -> str:
    """The part of a run that simulates this chain at this width."""
    return f"depth.{name}.{width}"


def simulated_at(simulated: Mapping[str, Evidence], name: str, width: int, layer: int) -> Supply:
    """C_layer at one width."""
    return found(simulated, f"{label(name, width)}.{layer}")


def infinite(simulated: Mapping[str, Evidence], name: str, layer: int) -> Supply:
    """C_layer at two widths, extrapolated in 1/width."""
    return extrapolated(
        *((width, simulated_at(simulated, name, width, layer)) for width in CHAINS[name].widths)
    )
