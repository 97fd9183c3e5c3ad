"""What weights are protected against: a quantiser, or sign flips at random."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from signmag_jax.evidence import invalid, keys
from signmag_jax.evidence.compiling import jit
from signmag_jax.perturb import Perturbation, UniformQuantize

from .flips import Draws, Flips
from .granularity import TENSOR, Scale, check_scales, quantized
from .pools import ALL, Pools, flips_at
from .quantization_report import QUANTIZERS
from .widths import GROUP

KNOWN = f"one of {', '.join(QUANTIZERS)}, q2 to q8, or flips:RATE"


@dataclass(frozen=True)
class Against:
    """An error of the weights, by its name.

    Args:
      name: as it was typed.
      quantizer: of a quantiser; None for flips.
      scale: what shares one scale of a quantiser.
      rate: part of the weights whose sign flips; None for a quantiser.
    """

    name: str
    quantizer: Perturbation | None
    scale: Scale
    rate: float | None

    @classmethod
    def of(cls, name: str, scale: Scale | None = None) -> Against:
        """An error by its name: ternary, sign, bitnet, q2 to q8, or flips:0.01.

        Args:
          name: of the error.
          scale: "tensor", "row" or a group of neighbours; by default "tensor", and 32 for q2 to q8.

        Raises:
          InvalidInput: for another name, a rate outside of (0, 1], or a scale of flips.
        """
        kind, colon, rest = str(name).strip().partition(":")
        if kind == "flips" and colon:
            if scale is not None:
                raise invalid("no scale for flips", scale, "leave it out: a flip has none")
            return cls(name, None, TENSOR, _rate(rest))
        bits = kind[1:] if kind[:1] == "q" else ""
        if colon or not (kind in QUANTIZERS or (len(bits) == 1 and bits in "2345678")):
            raise invalid(f"against is {KNOWN}", name, "pass one of these")
        # As they are in use: k bits in llama.cpp's groups, one-bit and ternary weights by tensor.
        quantizer, usual = (UniformQuantize(int(bits)), GROUP) if bits else (QUANTIZERS[kind], TENSOR)
        return cls(name, quantizer, check_scales([usual if scale is None else scale])[0], None)

    def draws(self, pools: Pools, seed: int) -> Draws | None:
        """Draws of exactly round(rate · weights) flips among all; None for a quantiser.

        Raises:
          TooFewWeights: if there are none.
        """
        if self.rate is None:
            return None
        flips = {ALL: flips_at(self.rate, pools.size(ALL))}
        return Draws(pools, flips, keys.fold(keys.root(seed), "protect", "flips"))

    def change(self, weights: Float[Array, "layers outputs inputs"]) -> Float[Array, "layers _ _"]:
        """w' − w of every weight, that of its flip for flips."""
        if self.quantizer is None:
            return -2 * weights
        return _error(self.quantizer, self.scale, weights)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate <= 1:
        raise invalid("flips:RATE with 0 < RATE <= 1", text, "pass a part of the weights, such as flips:0.01")
    return rate


@functools.partial(jit, static_argnums=(0, 1))
def _error(quantizer: Perturbation, scale: Scale, weights: Array) -> Array:
    # In the weights' dtype before the difference: the error is that of what the model would hold.
    return jax.lax.map(lambda w: quantized(quantizer, w, scale).astype(w.dtype) - w, weights)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Spared:
    """The weight transform that perturbs all weights but those that are kept.

    A quantiser sees the whole matrix, kept weights and all: what the others become does not depend on which
    are kept.

    Args:
      names: matrices that take part.
      quantizer, scale: of `Against`.
      flips: the draw of flips; None for a quantiser.
      kept: by matrix, 1 for a weight that stays as it is.
    """

    names: tuple[str, ...] = field(metadata={"static": True})
    quantizer: Perturbation | None = field(metadata={"static": True})
    scale: Scale = field(metadata={"static": True})
    flips: Flips | None
    kept: Mapping[str, Bool[Array, "layers _ _"]]

    def __call__(self, weight: Float[Array, "outputs inputs"], layer: Array, name: str) -> Any:
        """The transformed weight, as `models.token_nll` asks for it."""
        if name not in self.names:
            return weight
        if self.flips is not None:
            changed = self.flips(weight, layer, name)
        else:
            assert self.quantizer is not None
            changed = quantized(self.quantizer, weight, self.scale)
        return jnp.where(self.kept[name][layer], weight, changed.astype(weight.dtype))
