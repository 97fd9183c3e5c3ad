"""`signmag measure quantization-report`: measured, predicted, and what to protect."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signmag_jax.cli.request import Request

from .lines import written
from .verb import PLACES, Rows, Verb, calibration_passes

PROTECTED = 10
"""Matrices and columns that a terminal shows."""


def _options(request: Request) -> tuple[Any, Any]:
    from signmag_jax.measure.granularity import TENSOR
    from signmag_jax.measure.quantization_report import QUANTIZERS

    return request.quantizers or tuple(QUANTIZERS), request.scales or (TENSOR,)


def _check(request: Request) -> None:
    from signmag_jax.measure.quantization_report import checked_options

    checked_options(*_options(request))


@dataclass(frozen=True, eq=False)
class Report:
    """A quantisation report, what theory predicts for each entry, and the mask."""

    found: Any
    predicted: tuple[dict[str, float], ...]
    mask: Any

    def to_json(self) -> dict[str, Any]:
        """A strict-JSON object."""
        plain = self.found.to_json()
        for entry, law in zip(plain["entries"], self.predicted, strict=True):
            entry["predicted"] = law
        return plain | {"protect": self.mask.to_json()}


def _run(request: Request) -> Report:
    from signmag_jax import measure

    model, tokens, source = request.load()
    calibration, evaluation = request.divided(tokens)
    quantizers, scales = _options(request)
    found = measure.quantization_report(
        model,
        evaluation,
        quantizers=quantizers,
        scales=scales,
        layers=request.layers,
        matrices=request.matrices,
        resume=request.resume,
        source=source,
    )
    first = found.entries[0]
    profile = measure.alpha(model, calibration)
    chosen = "ternary" if "ternary" in quantizers else first.quantizer
    mask = measure.protection(model, profile, found, quantizer=chosen, scale=first.scale)
    if request.mask is not None:
        mask.write(request.mask)
    return Report(found, tuple(map(_predicted, found.entries)), mask)


def _predicted(entry: Any) -> dict[str, float]:
    """The laws for independent Gaussian weights, and for this matrix's own two moments."""
    from signmag_jax import theory
    from signmag_jax.measure.quantization_report import QUANTIZERS
    from signmag_jax.perturb import Moments

    @dataclass(frozen=True)
    class Own:
        def moments(self) -> Moments:
            return Moments.of(entry.c, entry.v)

    laws: dict[str, float] = {}
    for name, given in (("gaussian", QUANTIZERS[entry.quantizer]), ("own_moments", Own())):
        laws[f"cosine_squared_{name}"] = float(theory.cosine_squared(given))
        laws[f"output_error_{name}"] = float(given.moments().energy)
        if laws[f"output_error_{name}"] > 0:
            laws[f"output_radial_fraction_{name}"] = float(theory.radial_fraction(given, "identity"))
    return laws


def _summary(report: Report) -> dict[str, str]:
    found, mask = report.found, report.mask
    lines = {"noise floor": f"{found.noise_floor:.2g} nat/token"}
    laws = dict(zip(found.entries, report.predicted, strict=True))
    for each in found.ranked(mask.quantizer, mask.scale)[:PROTECTED]:
        law, parts = laws[each], each.parts
        radial = each.radial_fraction()
        lines[f"layer {each.layer} {each.matrix}, {each.quantizer}"] = (
            f"ΔNLL {written(each.damage.estimate)}; "
            f"cos² {each.cosine_squared:.4f} (Gaussian {law['cosine_squared_gaussian']:.4f}); "
            f"radial {'–' if radial is None else format(radial, '.3f')} "
            f"(law {law.get('output_radial_fraction_own_moments', 0.0):.3f}); "
            f"after the norm {parts['normalised']['error'].value:.3g}; "
            f"SQNR {'–' if each.sqnr is None else format(each.sqnr, '.2f')} dB"
        )
    costly = [each for each in mask.columns[:PROTECTED] if each[-1] > 0]
    for rank, (layer, name, column, score) in enumerate(costly, 1):
        lines[f"protect {rank}"] = f"column {column} of layer {layer} {name}, {score:.2g} nat/token"
    return lines if costly else lines | {"protect": "nothing: no matrix alone raised the loss"}


def _rows(report: Report) -> Rows:
    """One flat row an entry, with the predictions."""
    return [
        row | {f"predicted_{name}": value for name, value in law.items()}
        for row, law in zip(report.found.rows(), report.predicted, strict=True)
    ]


def _plot(report: Report, path: Path) -> None:
    import numpy as np

    from signmag_jax.report import figures, measured

    found, mask = report.found, report.mask
    some = found.ranked(mask.quantizer, mask.scale)
    layers, names = (
        sorted({each.layer for each in some}),
        list(dict.fromkeys(e.matrix for e in found.entries)),
    )
    table = np.full((len(names), len(layers)), np.nan)
    for each in some:
        table[names.index(each.matrix), layers.index(each.layer)] = each.damage.estimate.value
    title = f"{mask.quantizer} quantisation of one matrix alone"
    figures.save(measured.layers(table, names, list(map(str, layers)), title, "ΔNLL, nats per token"), path)


def _cost(request: Request) -> float:
    from signmag_jax import measure
    from signmag_jax.models import MATRICES

    # How many layers the model has is not known yet; thirty is usual.
    layers = len(request.layers or range(30))
    quantizers, scales = _options(request)
    once = measure.quantization_report_cost(
        request.windows,
        request.window,
        max(30, layers),
        layers * len(request.matrices or MATRICES),
        len(quantizers) * len(scales),
    )
    return once + calibration_passes(request)


def verb() -> Verb:
    """The measurement."""
    from signmag_jax.measure.inputs import MINIMUM_WINDOWS

    return Verb(
        _run,
        _summary,
        _cost,
        ("calibration", "quantizers", "scales", "mask", *PLACES, "resume"),
        MINIMUM_WINDOWS,
        (),
        _plot,
        _rows,
        _check,
    )
