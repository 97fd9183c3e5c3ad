"""A network of infinite width from its layers in one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from signmag_jax.evidence import written

from .layers import Dense, Layer, LayerNorm, RMSNorm
from .network import Gate, Network, Residual, as_layer, serial

MADE: dict[str, Callable[..., Layer]] = {
    "dense": Dense,
    "rmsnorm": RMSNorm,
    "layernorm": LayerNorm,
    "residual": Residual,
    "gate": Gate,
    "serial": serial,
}


def parse(text: str, number: Callable[[str], Any] = float) -> Network:
    """A network from its layers between commas.

    Args:
      text: as `evidence.written.layers` reads it, activations by name, each layer with the arguments of its
        class.
      number: what a number is read as.

    Raises:
      InvalidInput: for what does not read so, or is no network.
    """
    return serial(*written.layers(text, MADE, as_layer, number))
