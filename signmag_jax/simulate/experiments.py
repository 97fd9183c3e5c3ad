"""Every Gaussian experiment by name, as the command line offers them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from signmag_jax.evidence.errors import invalid
from signmag_jax.perturb import Ternarize

from .block import block
from .depth import depth
from .proposition_1 import proposition_1
from .quantizer import quantizer
from .result import Result


@dataclass(frozen=True)
class Named:
    """An experiment: a function and the arguments that make it this one.

    Args:
      summary: one line.
      function: `block`, `depth`, `proposition_1` or `quantizer`.
      fixed: arguments that define the experiment.
      defaults: arguments that may be overridden; the paper's or a small, quick size.
      takes: names of further arguments that a user may set.
      primary: the field of the result that a standard error refers to.
    """

    summary: str
    function: Callable[..., Result]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    takes: tuple[str, ...] = ()
    primary: str = "transverse_ratio"

    def run(self, **arguments: Any) -> Result:
        """Run with the defaults, overridden by `arguments`.

        Raises:
          InvalidInput: for an argument that this experiment does not take, or as its function does.
        """
        unknown = sorted(set(arguments) - set(self.arguments))
        if unknown:
            raise invalid(
                "arguments of the experiment", unknown[0], f"it takes {', '.join(sorted(self.arguments))}"
            )
        return self.function(**{**self.defaults, **arguments, **self.fixed})

    @property
    def arguments(self) -> tuple[str, ...]:
        """Every argument that may be set."""
        return tuple(dict.fromkeys((*self.defaults, *self.takes, "inputs", "dtype", *TARGETS)))


TARGETS = ("networks", "standard_error", "max_networks", "seconds", "seed", "resume", "mesh")
ONE = {"width": 256, "rate": 0.01}
CHAIN = {"width": 512, "rate": 0.01, "depth": 6}
MLP = {**CHAIN, "hidden": 2048}
BLOCK = ("hidden", "outputs", "activation", "match", "antipodal")
LAYERS = ("activation", "layers", "match", "scale")

EXPERIMENTS: dict[str, Named] = {
    "block": Named(
        "V1, flips over shift across the normalised output, W2 integrated out exactly", block, {}, ONE, BLOCK
    ),
    "block-explicit": Named(
        "V1 with W2 drawn, as the paper runs it", block, {"second_layer": "explicit"}, ONE, BLOCK
    ),
    "block-v0": Named(
        "V0, the block without W2: finite change of its normalised output",
        block,
        {"second_layer": "none", "difference": "finite"},
        ONE,
        BLOCK,
    ),
    "proposition-1": Named(
        "one matrix without ReLU: flips against Gaussian noise of the magnitudes",
        proposition_1,
        {"magnitude": "noise"},
        ONE,
        ("rows", "match"),
    ),
    "proposition-1-shift": Named(
        "one matrix without ReLU: flips against the coherent shift",
        proposition_1,
        {"magnitude": "shift"},
        ONE,
        ("rows", "match"),
    ),
    "theorem-4": Named(
        "the sign quantiser: cosines of rows and outputs, radial fractions before and after a ReLU",
        quantizer,
        {},
        {"width": 1024},
        ("rows", "granularity"),
        "row_cosine",
    ),
    "ternary": Named(
        "the ternary quantiser with BitNet's threshold and the least-squares scale",
        quantizer,
        {"perturbation": Ternarize()},
        {"width": 1024, "granularity": "tensor"},
        ("rows",),
        "row_cosine",
    ),
    "ternary-bitnet": Named(
        "the ternary quantiser with BitNet's threshold and BitNet's scale",
        quantizer,
        {"perturbation": Ternarize(scale="mean_abs")},
        {"width": 1024, "granularity": "tensor"},
        ("rows",),
        "row_cosine",
    ),
    "depth": Named("plain chain of normalised layers", depth, {"residual": False}, CHAIN, LAYERS),
    "depth-residual": Named(
        "residual chain, its stream unnormalised", depth, {"residual": True}, CHAIN, LAYERS
    ),
    "depth-v2": Named("V2: [W_up, act, W_down, norm] without skips", depth, {"residual": False}, MLP, LAYERS),
    "depth-v3": Named("V3: [W_up, act, W_down, norm] with skips", depth, {"residual": True}, MLP, LAYERS),
}


def experiment(name: str) -> Named:
    """The experiment of that name.

    Raises:
      InvalidInput: for an unknown name; the known ones are shown.
    """
    if name not in EXPERIMENTS:
        raise invalid("name of an experiment", name, f"choose one of {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]
