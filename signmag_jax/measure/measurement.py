"""A measurement as the command line knows it: what it calls, what it refuses, and what it takes."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jax.sharding import Mesh

from signmag_jax.models import ModelConfig

from . import sweep
from .footprint import peak_bytes

LAYERS = 30
"""Layers of the embedded model, for the cost of another whose config is not known yet."""


@dataclass(frozen=True)
class Measurement:
    """A measurement, and what it takes.

    Args:
      function: the measurement; its keyword options are those of the command line.
      evaluations: forward passes over the evaluation windows, from some of the function's keyword options
        and `layers_of_model`.
      calibrations: forward passes over the calibration windows; 0 where it reads none.
      fewest: evaluation windows that it takes at least.
      arrays: arrays of the weights' size and dtype that exist at one time, the weights among them.
      check: refuses some of the keyword options before a model is opened.
      float32_arrays: others of the weights' size, in float32 whatever the weights' dtype.
      check_files: refuses places where its files could not be written.
      fixed: forward passes of 2,048 tokens, whatever the windows, from some of the keyword options.
    """

    function: Callable[..., Any]
    evaluations: Callable[..., float]
    calibrations: int = 0
    fewest: int = 1
    arrays: int = 1
    check: Callable[..., Any] | None = None
    fixed: Callable[..., float] = lambda: 0.0
    check_files: Callable[..., Any] | None = None
    float32_arrays: int | float = 0

    def peak_bytes(
        self, config: ModelConfig, dtype: Any, *, windows: int, window: int, mesh: Mesh | None, **options: Any
    ) -> int | float:
        """Memory at its peak; arguments as of `passes` and of `footprint.peak_bytes`."""
        batch = self._called(lambda batch=1: batch, options) or windows
        return peak_bytes(
            config,
            dtype,
            arrays=self.arrays,
            float32_arrays=self.float32_arrays,
            batch=batch,
            window=window,
            mesh=mesh,
        )

    def passes(
        self,
        *,
        windows: int,
        window: int,
        calibration: int = 0,
        layers_of_model: int = LAYERS,
        **options: Any,
    ) -> int | float:
        """Cost in forward passes of 2,048 tokens.

        Args:
          windows: evaluation windows.
          window: tokens of a window.
          calibration: calibration windows; 0 leaves their cost out.
          layers_of_model: layers of the model, where only some of them are run.
          options: keyword options of the measurement; the others have their defaults.
        """
        scored = self._called(self.evaluations, options | {"layers_of_model": layers_of_model}) * windows
        fixed = self._called(self.fixed, options | {"window": window})
        return fixed + (scored + self.calibrations * calibration) * window / sweep.PASS_TOKENS

    def of(self, function: Callable[..., Any], check_files: Callable[..., Any] | None = None) -> Measurement:
        """A copy that calls another function, one with more options, which writes files."""
        return dataclasses.replace(self, function=function, check_files=check_files)

    def refuse(self, options: dict[str, Any]) -> None:
        """Raises InvalidInput for keyword options that can be judged before a model is opened."""
        for check in (self.check, self.check_files):
            if check is not None:
                self._called(check, options)

    def _called(self, function: Callable[..., Any], options: dict[str, Any]) -> Any:
        """A function of some of the keyword options, those that were not given at their defaults."""
        parameters = inspect.signature(self.function).parameters.values()
        known = {each.name: each.default for each in parameters if each.default is not each.empty} | options
        return function(
            **{name: known[name] for name in inspect.signature(function).parameters if name in known}
        )
