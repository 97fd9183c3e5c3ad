"""How much of the direction of trained matrices and of their outputs quantised weights keep: the results."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from signmag_jax.evidence import Estimate, Picture, Result, bootstrap, invalid
from signmag_jax.evidence.result import KEPT_OUT

KINDS = ("rows", "spherical", "real")
"""Kinds of inputs: none (rows are compared), uniform ones, and the model's own."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """cos² between a matrix and its quantised version; estimates of shape (layers,).

    Args:
      rows: mean over rows of cos²(w_i, q_i), error over rows.
      spherical: mean over inputs of cos²(Wx, Qx), x uniform on the sphere, error over inputs.
      real: the same for activations of the model, error over windows; None without text.
      windows: what `real` is the mean of, matrices × windows; None without text.
    """

    rows: Estimate
    spherical: Estimate
    real: Estimate | None
    windows: Float[np.ndarray, "layers windows"] | None = field(default=None, metadata=KEPT_OUT)

    @classmethod
    def of(
        cls,
        rows: Float[np.ndarray, "layers rows"],
        spherical: Float[np.ndarray, "layers inputs"],
        windows: Float[np.ndarray, "layers windows"] | None,
        layers: Sequence[int],
    ) -> Alignment:
        """The alignment from cos² of every row, spherical input and, with text, window, in all layers."""

        def mean(table: np.ndarray, of: str) -> Estimate:
            samples = table.astype(np.float64)[list(layers)]
            return Estimate.of_samples(samples.T, estimator=f"mean over {of}")

        known = mean(rows, "rows of cos²"), mean(spherical, "spherical inputs of cos²")
        if windows is None:
            return cls(*known, None)
        kept = windows.astype(np.float64)[list(layers)]
        return cls(*known, mean(windows, "windows of cos² of outputs"), kept)


@dataclass(frozen=True, eq=False)
class Quantization(Result):
    """Result of `quantization`.

    Args:
      alignments: by quantiser ("sign", "ternary") and matrix.
      layers: the layers that the arrays stand for.
      provenance: model, text and versions.
    """

    alignments: dict[str, dict[str, Alignment]]
    layers: tuple[int, ...]
    provenance: Mapping[str, Any]

    def overall(self, quantizer: str = "sign", which: str = "rows") -> Estimate:
        """Mean over all matrices of all layers, with a standard error of its own.

        That of rows and spherical inputs is the scatter of matrices, each of which has rows and inputs of
        its own. Real inputs come from windows that all matrices share: the crossed bootstrap resamples
        matrices and windows.

        Args:
          quantizer: "sign" or "ternary".
          which: "rows", "spherical" or "real".

        Raises:
          InvalidInput: for an unknown name, or "real" without text.
        """
        if quantizer not in self.alignments or which not in KINDS:
            raise invalid(
                f"quantizer in {tuple(self.alignments)} and which in {KINDS}",
                (quantizer, which),
                "name one of them",
            )
        estimates = [getattr(each, which) for each in self.alignments[quantizer].values()]
        if any(each is None for each in estimates):
            raise invalid("text for real inputs", None, "pass calibration windows to `quantization`")
        if which == "real":
            return self._over_windows(quantizer)
        values, first = np.concatenate([each.value for each in estimates]), estimates[0]
        if len(values) == 1:
            # Matrices of one do not scatter: what is left is the error within it.
            return Estimate(values[0], first.standard_error[0], first.n, "1", first.estimator)
        name = f"mean over matrices of the {first.estimator}"
        return Estimate.of_samples(values, estimator=name, provenance=self.provenance)

    def _over_windows(self, quantizer: str) -> Estimate:
        tables = [each.windows for each in self.alignments[quantizer].values() if each.windows is not None]
        mean = bootstrap.mean(np.concatenate(tables), provenance=self.provenance).estimate
        name = "mean over matrices and windows of cos² of outputs, crossed bootstrap"
        return dataclasses.replace(mean, estimator=name)

    def _kinds(self) -> list[str]:
        """The kinds of input that were measured."""
        some = next(iter(next(iter(self.alignments.values())).values()))
        return [which for which in KINDS if getattr(some, which) is not None]

    def summary(self) -> dict[str, str]:
        """The mean cos² by quantiser and kind of input."""
        return {
            f"cos², {quantizer}, {which}": str(self.overall(quantizer, which))
            for quantizer in self.alignments
            for which in self._kinds()
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row for each quantiser, matrix and layer: cos² by kind of input, with its error."""
        rows = []
        for quantizer, table in self.alignments.items():
            for name, each in table.items():
                for index, layer in enumerate(self.layers):
                    row = {"quantizer": quantizer, "matrix": name, "layer": layer}
                    for which in self._kinds():
                        row |= getattr(each, which).cells(which, index)
                    rows.append(row)
        return rows

    def picture(self) -> Picture:
        """cos² of every matrix and layer."""
        which = self._kinds()[-1]
        tables = {
            f"{quantizer}, {name}": getattr(each, which).value
            for quantizer, table in self.alignments.items()
            for name, each in table.items()
        }
        title = f"What quantised weights keep of the direction: {which}"
        named = {"table": list(tables.values()), "rows": list(tables), "columns": list(map(str, self.layers))}
        return Picture("layers", {**named, "title": title, "label": "cos²"})
