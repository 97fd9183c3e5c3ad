"""What `signmag measure` was asked for: checked first, then opened, then loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .options import check_resume


@dataclass(frozen=True)
class Request:
    """What was asked for, after parsing, with the defaults of the measurement.

    Args:
      model, text: names.
      window: tokens of a window.
      windows: windows that are scored.
      calibration: windows before them that choose columns; None where the measurement has none.
      rates: flip rates; empty where it has none.
      draws: masks, one number or one per rate; None for the measurement's own.
      layers, matrices: where errors fall; None for everywhere.
      dtype: of the weights.
      seed: root seed.
      resume: folder of records.
      columns: sampled columns of a matrix; None for the measurement's own.
      quantizers, scales: of a quantisation report; None for its own.
      perturbation: as typed; None for the measurement's own.
      mask: file for the columns and weights to protect.
      revision: of a model on the hub.
      mesh: sizes of the axes of a mesh of devices; None for one device.
    """

    model: str | None
    text: str | None
    window: int
    windows: int
    calibration: int | None
    rates: tuple[float, ...]
    draws: int | tuple[int, ...] | None
    layers: tuple[int, ...] | None
    matrices: tuple[str, ...] | None
    dtype: str
    seed: int
    resume: Path | None
    columns: int | None = None
    quantizers: tuple[str, ...] | None = None
    scales: tuple[str, ...] | None = None
    perturbation: str | None = None
    mask: Path | None = None
    revision: str | None = None
    mesh: dict[str, int] | None = None

    def check(self, fewest: int) -> None:
        """Refuse whatever can be judged without model and text; at least `fewest` windows are scored.

        Raises:
          InvalidInput, MissingResource: with what must hold and what was given.
        """
        from signmag_jax import models
        from signmag_jax.evidence import invalid
        from signmag_jax.measure import inputs
        from signmag_jax.measure.association import FEWEST
        from signmag_jax.measure.leverage import draws_per_rate

        if self.window < 2:
            raise invalid("--window >= 2", self.window, "a window predicts window − 1 tokens")
        for option, value, least in (
            ("--windows", self.windows, fewest),
            ("--calibration", self.calibration, inputs.FEWEST_CALIBRATION),
        ):
            if value is not None and value < least:
                raise invalid(f"{option} >= {least}", value, "fewer give no standard error over windows")
        if self.rates:
            draws_per_rate(inputs.check_rates(self.rates), self.draws)
        layers = self.layers or ()
        if len(set(layers)) < len(layers) or any(layer < 0 for layer in layers):
            # Which layers the model has is known only when its config is read.
            raise invalid("distinct layers >= 0", layers, "name layers of the model, from 0")
        inputs.check_matrices(self.matrices)
        if self.columns is not None and self.columns < FEWEST:
            raise invalid(f"--columns >= {FEWEST}", self.columns, "fewer have no ranks to speak of")
        models.check_dtype(self.dtype)
        self.devices()
        check_resume(self.resume)

    def open(self, *, fetch: bool = True) -> Any:
        """The text's windows and the model without its weights, as `models.open_reading` has them.

        Raises:
          InvalidInput: if they do not suit each other, or the model has no such layer.
          MissingResource: if the weights would not fit in memory.
        """
        from signmag_jax import models
        from signmag_jax.measure import inputs

        count = self.windows + (self.calibration or 0)
        reading = models.open_reading(
            self.model, self.text, self.window, count, fetch=fetch, revision=self.revision
        )
        if reading is not None:
            reading.checkpoint.check_memory(self.dtype, self.devices())
            inputs.selected(reading.checkpoint.config, self.layers, self.matrices)
        return reading

    def devices(self) -> Any:
        """The mesh of devices; None for one device.

        Raises:
          InvalidInput: if there are not as many.
        """
        from signmag_jax import models

        return None if self.mesh is None else models.make_mesh(**self.mesh)

    def load(self) -> tuple[Any, Any, dict[str, str]]:
        """Model, windows of the text (those of the calibration first), and the text's identity."""
        reading = self.open()
        text = reading.text
        model = reading.checkpoint.load(self.dtype, self.devices())
        return model, reading.windows, {"text": text.source, "text_sha256": text.sha256}

    def divided(self, tokens: Any) -> tuple[Any, Any]:
        """The windows that choose columns, and those that are scored."""
        return tokens[: self.calibration], tokens[self.calibration :]

    @property
    def count(self) -> int | None:
        """Draws, where they are the same for all rates; None for the measurement's own."""
        return self.draws if isinstance(self.draws, int) else None

    def seeded(self, source: Any, part: str = "") -> dict[str, Any]:
        """Options of a measurement that draws and keeps records; a part of it has a folder of its own."""
        resume = None if self.resume is None else self.resume / part
        return {"seed": self.seed, "resume": resume, "source": source}

    def placed(self, source: Any, part: str = "") -> dict[str, Any]:
        """Those of a measurement that falls on chosen layers and matrices, too."""
        return {"layers": self.layers, "matrices": self.matrices, **self.seeded(source, part)}

    def passes(self) -> float:
        """Forward passes of 2,048 tokens, each window read once."""
        return (self.windows + (self.calibration or 0)) * self.window / 2048
