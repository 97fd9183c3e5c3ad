"""The model and the text of `signmag measure`: checked first, then opened, then loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ReadingOptions:
    """A model, and windows of a text that it reads.

    Args:
      model, text, revision, mesh, file: as every command takes them.
      window: number of tokens in a window.
      windows: number of windows that are scored; one that repeats the calibration's text is passed over.
      calibration: number of windows before the scored ones, which choose columns, weights or widths.
      dtype: precision of the weights: float32, bfloat16, float16, or float64 under JAX_ENABLE_X64=1.
    """

    model: str | None = None
    revision: str | None = None
    text: str | None = None
    window: int = 512
    windows: int = 8
    calibration: int | None = 8
    dtype: str = "float32"
    mesh: dict[str, int] | None = None
    file: str | None = None

    def check(self, fewest: int) -> None:
        """Refuse whatever can be judged without model and text; at least `fewest` windows are scored.

        Raises:
          InvalidInput, MissingResource: with what must hold and what was given.
        """
        from signmag_jax import models
        from signmag_jax.evidence import invalid
        from signmag_jax.measure import inputs

        if self.window < 2:
            raise invalid("--window >= 2", self.window, "a window predicts window − 1 tokens")
        for option, value, least in (
            ("--windows", self.windows, fewest),
            ("--calibration", self.calibration, inputs.FEWEST_CALIBRATION),
        ):
            if value is not None and value < least:
                raise invalid(f"{option} >= {least}", value, "fewer give no standard error over windows")
        models.check_dtype(self.dtype)
        self.devices()

    def open(self, *, fetch: bool = True) -> tuple[Any, Any]:
        """The model without its weights, and the text's windows, as `models.open_reading` has them.

        Either is None where it is not opened for `fetch=False`, or where there are no windows to read.

        Raises:
          InvalidInput: if they do not suit each other.
          MissingResource: if the weights would not fit in memory.
        """
        from signmag_jax.models.load import open_checkpoint
        from signmag_jax.models.reading import open_reading
        from signmag_jax.models.resolve import ask_hub, is_local

        reading = checkpoint = None
        if self.windows:
            sizes = (self.window, self.calibration or 0, self.windows)
            where = {"revision": self.revision, "file": self.file}
            reading = open_reading(self.model, self.text, *sizes, fetch=fetch, **where)
            checkpoint = None if reading is None else reading.checkpoint
        elif self.model is not None and not fetch and not is_local(self.model):
            ask_hub(self.model, self.revision, self.file)
        if checkpoint is None and (fetch or is_local(self.model)):
            checkpoint = open_checkpoint(self.model, self.revision, self.file)
        if checkpoint is not None:
            checkpoint.check_memory(self.dtype, self.devices())
        return checkpoint, reading

    def described(self) -> tuple[Any, str]:
        """For a dry run, the model's architecture as far as it is here, and what that was read from.

        None where the model would have to be fetched first; of a folder with a config.json alone, that one.

        Raises:
          InvalidInput, MissingResource: as `open`.
        """
        from signmag_jax.models.embedded import find
        from signmag_jax.models.load import config_alone, open_checkpoint
        from signmag_jax.models.nll import check_window

        config = config_alone(self.model)
        if config is not None:
            if self.windows:
                check_window(config, self.window)
            return config, "config.json alone: the folder holds no weights, and a run would refuse it"
        checkpoint, _ = self.open(fetch=False)
        if self.model is None and find() is not None:
            checkpoint = open_checkpoint()
        return (None, "not here yet") if checkpoint is None else (checkpoint.config, "its files")

    def devices(self) -> Any:
        """The mesh of devices; None for one device.

        Raises:
          InvalidInput: if there are not as many.
        """
        from signmag_jax import models

        return None if self.mesh is None else models.make_mesh(**self.mesh)
