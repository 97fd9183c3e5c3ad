"""The perturbed model beside the clean one, whatever is kept."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Array, Float, Int

from signmag_jax.evidence import ConfidenceInterval, bootstrap
from signmag_jax.evidence.compiling import jit
from signmag_jax.models import Llama, ModelConfig

from .against import Against, Spared
from .choice import Choice, KeptWeights
from .metrics import window_means
from .pools import ALL, Pools
from .protected import METRICS, UNITS, Metric
from .setup import Setup
from .sweep import Row

STORED = ("nll", *METRICS)
LOSS, DIVERGENCE = STORED.index("delta_nll"), STORED.index("kl")


class Trial:
    """The perturbed model beside the clean one, whatever is kept, by one program."""

    def __init__(self, setup: Setup, against: Against, choice: Choice) -> None:
        self.setup, self.against, self.choice = setup, against, choice
        pools = Pools.everything(setup.model, setup.layers, setup.matrices)
        self.draws = against.draws(pools, setup.seed)
        # The last draw alone: the budgets ask for it in turn, and of a large model it fills gigabytes.
        self.flips = functools.lru_cache(maxsize=1)(self._flips)

    def _flips(self, draw: int) -> Any:
        return None if self.draws is None else self.draws.transform(self.draws.recipe(ALL, draw))

    @functools.cached_property
    def clean(self) -> list[Array]:
        """States with everything kept: the same program, so that nothing kept apart makes no difference."""
        return [self._states(tokens, self.choice.all_or_none(True), 0) for tokens in self.setup.batches]

    def _states(self, tokens: Int[Array, "batch window"], kept: KeptWeights, draw: int) -> Array:
        error, model = self.against, self.setup.model
        spared = Spared(self.setup.matrices, error.quantizer, error.scale, self.flips(draw), kept)
        return _run(model.config, model.params, tokens, spared)

    def row(self, kept: Callable[[], KeptWeights], draw: int) -> Row:
        """Window means of `STORED`, one metric after the other."""
        masks = kept()
        states = lambda tokens: self._states(tokens, masks, draw)  # noqa: E731
        return window_means(self.setup, self.clean, states, STORED)


@functools.partial(jit, static_argnums=0)
def _run(
    config: ModelConfig, params: dict[str, Any], tokens: Int[Array, "batch window"], spared: Spared
) -> Float[Array, "batch window hidden"]:
    return Llama.of_parameters(config, params).run(tokens, spared)[0]


def averages(table: Float[np.ndarray, "draws metrics windows"]) -> Metric:
    """`METRICS` of a table of `STORED`, each over draws and windows."""
    return {name: interval(table[:, STORED.index(name)], UNITS[name]) for name in METRICS}


def interval(table: Float[np.ndarray, "draws windows"], unit: str = "nat/token") -> ConfidenceInterval | None:
    """The mean over draws and windows; None where one is not finite: the others' would be too gentle."""
    return bootstrap.mean(table, unit=unit) if np.isfinite(table).all() else None
