"""Every simulated experiment by name, as the command line offers them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from signmag_jax.evidence.errors import invalid
from signmag_jax.perturb import Ternarize

from .block import block
from .column_pool import column_pool
from .composed import EXAMPLE, composed
from .crossings import crossings
from .depth import depth
from .engine import Options, prepared
from .network import Experiment
from .proposition_1 import proposition_1
from .quantizer import quantizer
from .result import Result
from .single_flip import single_flip
from .stop import Stop


@dataclass(frozen=True)
class Named:
    """An experiment: a function with the arguments that make it this one. Called like that function.

    Args:
      summary: one line.
      function: `block`, `depth` or another of this room.
      fixed: arguments that define the experiment and cannot be changed.
      defaults: arguments that can, of a size that takes seconds, or the paper's.
      primary: the field of the result that a standard error refers to.
    """

    summary: str
    function: Callable[..., Result]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    primary: str = "transverse_ratio"

    def __call__(self, **arguments: Any) -> Result:
        """Run with the defaults, overridden by `arguments`.

        Raises:
          InvalidInput: for an argument that this experiment does not take, or as its function does.
        """
        unknown = sorted(set(arguments) - set(self.arguments))
        if unknown:
            raise invalid(
                "an argument of the experiment", unknown[0], f"it takes {', '.join(sorted(self.arguments))}"
            )
        if arguments.get("perturbations") is not None:  # they stand in place of the default rate
            arguments = {"rate": None, **arguments}
        return self.function(**{**self.defaults, **arguments, **self.fixed})

    def prepared(self, **arguments: Any) -> tuple[Experiment, Stop]:
        """What a call with these arguments would simulate and when it would stop; nothing is computed.

        Raises:
          InvalidInput: as the call does.
        """
        return prepared(lambda: self(**arguments))

    def cost(self, **arguments: Any) -> dict[str, Any]:
        """Operations and memory of a call with these arguments, from its sizes; nothing is computed.

        Raises:
          InvalidInput: as the call does.
        """
        experiment, stop = self.prepared(**arguments)
        sizes = experiment.arguments
        width, inputs = sizes["width"], sizes["inputs"]
        rows = sizes.get("hidden") or sizes.get("rows") or width
        rates = max(np.size(arguments.get(many, 0.0)) for many in ("rate", "alpha"))
        work, size = round(experiment.work), 8 if sizes["dtype"] == "float64" else 4
        # Ten of each matrix, measured: with its random bits, what they become on the way, and its errors.
        explicit = sizes.get("second_layer") == "explicit"
        matrices = rows * width + (rows * sizes["outputs"] if explicit else 0)
        return {
            "networks": "until the target is met" if stop.total is None else stop.total,
            "floating_point_operations_per_network": work,
            "floating_point_operations": "depends on the target" if stop.total is None else work * stop.total,
            "memory_mib": round(size * (10 * matrices + (2 + 4 * rates) * rows * inputs) / 2**20, 1),
        }

    @property
    def __signature__(self) -> inspect.Signature:
        """The function's, without what is fixed and with the defaults of this experiment."""
        signature = inspect.signature(self.function)
        free = [one for one in signature.parameters.values() if one.name not in self.fixed]
        keyword = [
            one
            if one.kind is one.VAR_KEYWORD
            else one.replace(kind=one.KEYWORD_ONLY, default=self.defaults.get(one.name, one.default))
            for one in free
        ]
        return signature.replace(parameters=keyword)

    @property
    def arguments(self) -> tuple[str, ...]:
        """Every argument that may be set, the targets of `Options` included."""
        own = (one.name for one in self.__signature__.parameters.values() if one.kind is one.KEYWORD_ONLY)
        return (*own, *Options.__annotations__)


ONE = {"width": 256, "rate": 0.01}
CHAIN = {"width": 512, "rate": 0.01, "depth": 6}
MLP = {**CHAIN, "hidden": 2048}
V0 = {"second_layer": "none", "difference": "finite"}
COSINE = "row_cosine"

EXPERIMENTS: dict[str, Named] = {
    "block": Named("V1: flips over shift across the normalised output, W2 integrated out", block, {}, ONE),
    "block_explicit": Named("V1 with W2 drawn, as in the paper", block, {"second_layer": "explicit"}, ONE),
    "block_fast": Named(
        "V1's ratio of means by the rows that change sign: the fast estimator", crossings, {}, ONE
    ),
    "gated": Named(
        "a gated block, φ(W_g x)·(W_u x), across the normalised output", block, {}, {**ONE, "gated": "both"}
    ),
    "v0": Named("V0: the block without W2, finite change of its normalised output", block, V0, ONE),
    "proposition_1": Named(
        "one matrix without ReLU: flips against Gaussian noise of the magnitudes", proposition_1, {}, ONE
    ),
    "proposition_1_shift": Named(
        "one matrix without ReLU: flips against the coherent shift",
        proposition_1,
        {"magnitude": "shift"},
        ONE,
    ),
    "quantizer": Named(
        "Theorem 4: the sign quantiser's cosines, and radial fractions before and after a ReLU",
        quantizer,
        {},
        {"width": 1024},
        COSINE,
    ),
    "ternary": Named(
        "the ternary quantiser, BitNet's threshold at the least-squares scale",
        quantizer,
        {"perturbation": Ternarize()},
        {"width": 1024, "granularity": "tensor"},
        COSINE,
    ),
    "ternary_bitnet": Named(
        "the ternary quantiser, BitNet's threshold at BitNet's scale",
        quantizer,
        {"perturbation": Ternarize(scale="mean_abs")},
        {"width": 1024, "granularity": "tensor"},
        COSINE,
    ),
    "depth": Named("a chain of layers, plain unless `residual` is set", depth, {}, CHAIN),
    "depth_residual": Named("a residual chain, its stream unnormalised", depth, {"residual": True}, CHAIN),
    "v2": Named("V2: [W_up, act, W_down, norm] without skips", depth, {"residual": False}, MLP),
    "v3": Named("V3: [W_up, act, W_down, norm] with skips", depth, {"residual": True}, MLP),
    "network": Named(
        "a network of layers as written: dense, activations, gates, norms, residual branches",
        composed,
        {},
        {**ONE, "network": EXAMPLE},
    ),
    "single_flip": Named(
        "R(α, n): one flipped sign a row at an outlier against one at a delocalised entry",
        single_flip,
        {},
        {"width": 2048, "alpha": 0.26},
        "amplification",
    ),
    "column_pool": Named(
        "flips in the top columns of heavy-tailed inputs against as many in the rest",
        column_pool,
        {},
        {"width": 1024, "rate": 0.01},
        "leverage",
    ),
}


def experiment(name: str) -> Named:
    """The experiment of that name.

    Raises:
      InvalidInput: for an unknown name; the known ones are shown.
    """
    if name not in EXPERIMENTS:
        raise invalid("name of an experiment", name, f"choose one of {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]
