"""The paired metrics and the paper's experiments, as `signmag measure` runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import quantised
from .measurements import Verb, calibration_passes, written
from .request import Request

Rows = list[dict[str, Any]]
PERTURBATION = "flip:0.01"
PLACES = ("layers", "matrices")


@dataclass(frozen=True, eq=False)
class Several:
    """Results of one measurement in several places."""

    results: tuple[Any, ...]

    def to_json(self) -> dict[str, Any]:
        """A strict-JSON object."""
        return {"results": [found.to_json() for found in self.results]}


def _one_rate(request: Request) -> None:
    from signmag_jax.evidence import invalid
    from signmag_jax.measure.outlier_flips import check_rate

    if len(request.rates) != 1:
        raise invalid("one value of --rates", request.rates, "run the measurement once for each rate")
    check_rate(request.rates[0])


def _at_most_half(request: Request) -> None:
    from signmag_jax.measure.outlier_flips import check_rate

    for rate in request.rates:
        check_rate(rate)
    _one_number(request)


def _one_number(request: Request) -> None:
    from signmag_jax.evidence import invalid

    if isinstance(request.seeds, tuple):
        raise invalid("one value of --seeds", request.seeds, "these draws are the same for all rates")


def _one_seed_and_rate(request: Request) -> None:
    _one_rate(request)
    _one_number(request)


def _perturbation(request: Request) -> Any:
    from .perturbations import parse

    return parse(request.perturbation or PERTURBATION)


def _check_metrics(request: Request) -> None:
    from signmag_jax.measure.metrics import SEEDS, check_draws

    _one_number(request)
    check_draws(_count(request), SEEDS)
    _perturbation(request)


def _count(request: Request) -> int | None:
    return request.seeds if isinstance(request.seeds, int) else None


def _metrics(request: Request) -> Any:
    from signmag_jax import measure

    model, tokens, source = request.load()
    return measure.metrics(
        model,
        tokens,
        _perturbation(request),
        seeds=_count(request),
        layers=request.layers,
        matrices=request.matrices,
        root=request.seed,
        resume=request.resume,
        source=source,
    )


def _metrics_summary(found: Any) -> dict[str, str]:
    lines = {"clean nll": written(found.clean)}
    for name, value in found.values.items():
        lines[name] = "not finite" if value is None else written(value.estimate)
    floor = ", ".join(f"{name} {value:.2g}" for name, value in found.noise_floor.items())
    return lines | {"noise floor (A/A)": floor}


def _metrics_rows(found: Any) -> Rows:
    return [
        {"metric": name, "seed": seed, "window": window, "value": float(value)}
        for name, table in found.samples.items()
        if table is not None
        for seed, row in enumerate(table)
        for window, value in enumerate(row)
    ]


def _outlier_flips(request: Request) -> Any:
    from signmag_jax import measure

    model, tokens, source = request.load()
    return measure.outlier_flips(
        model,
        *request.divided(tokens),
        rate=request.rates[0],
        seeds=_count(request),
        layers=request.layers,
        matrices=request.matrices,
        root=request.seed,
        resume=request.resume,
        source=source,
    )


def _outlier_flips_summary(found: Any) -> dict[str, str]:
    lines = {"noise floor": f"{found.noise_floor:.2g} nat/token"}
    for arm, damage in found.damage.items():
        scaled = f", drawn weights × {found.factor[arm]:.2f}" if arm in found.factor else ""
        value = "not finite" if damage is None else written(damage.estimate)
        lines[f"ΔNLL {arm}, {found.flips[arm]} flips{scaled}"] = value
    for name, ratio in found.ratios.items():
        lines[name] = written(ratio.interval.estimate) if ratio.resolved else f"UNRESOLVED: {ratio.reason}"
    return lines


def _outlier_flips_rows(found: Any) -> Rows:
    return [
        {"arm": arm, "seed": seed, "window": window, "delta_nll": float(value)}
        for arm, table in found.samples.items()
        if table is not None
        for seed, row in enumerate(table)
        for window, value in enumerate(row)
    ]


def _outlier_flips_plot(found: Any, path: Path) -> None:
    from signmag_jax.report import figures, measured

    values = {
        arm: (damage.estimate.value, damage.low, damage.high)
        for arm, damage in found.damage.items()
        if damage is not None
    }
    title = f"Flips of {found.rate:.2%} of the signs, by where they fall"
    figures.save(measured.bars(values, "ΔNLL, nats per token", title), path)


def _places(request: Request, model: Any) -> Iterator[tuple[int, str, Path | None]]:
    for layer in request.layers or (model.config.layers // 2,):
        for name in request.matrices or ("q_proj",):
            folder = None if request.resume is None else request.resume / f"layer-{layer}-{name}"
            yield layer, name, folder


def _column_flips(request: Request) -> Any:
    from signmag_jax import measure

    model, tokens, source = request.load()
    return Several(
        tuple(
            measure.column_flips(
                model,
                *request.divided(tokens),
                layer=layer,
                matrix=name,
                columns=_columns(request),
                resume=folder,
                source=source,
            )
            for layer, name, folder in _places(request, model)
        )
    )


def _columns(request: Request) -> int:
    from signmag_jax.measure.column_sample import COLUMNS

    return COLUMNS if request.columns is None else request.columns


def _place(sample: Any) -> str:
    return f"layer {sample.layer} {sample.matrix}"


def _association(name: str, found: Any) -> dict[str, str]:
    slope = f"UNRESOLVED: {found.reason}" if found.slope is None else written(found.slope.estimate)
    interval = found.rank_correlation
    rank = f"{written(interval.estimate)}, 95% interval [{interval.low:.3f}, {interval.high:.3f}]"
    return {f"{name}: rank correlation": rank, f"{name}: log-log slope": slope}


def _column_flips_summary(found: Several) -> dict[str, str]:
    lines = {}
    for each in found.results:
        place = _place(each.sample)
        means = each.samples.mean(axis=1)
        top = int(means.argmax())
        lines[f"{place}: most costly of {len(means)} columns"] = (
            f"column {each.sample.columns[top]}, ΔNLL {written(each.damage[top].estimate)}"
        )
        lines[f"{place}: columns whose flip lowers the loss"] = str(int((means < 0).sum()))
        lines |= _association(f"{place}, α²‖w‖²", each.association)
        lines |= _association(f"{place}, α² alone", each.by_alpha)
    return lines


def _column_flips_rows(found: Several) -> Rows:
    return [
        {
            "layer": each.sample.layer,
            "matrix": each.sample.matrix,
            "column": int(column),
            "alpha_squared": float(each.sample.alpha_squared[i]),
            "norm_squared": float(each.sample.norm_squared[i]),
            "window": window,
            "delta_nll": float(value),
        }
        for each in found.results
        for i, column in enumerate(each.sample.columns)
        for window, value in enumerate(each.samples[i])
    ]


def _column_flips_plot(found: Several, path: Path) -> None:
    from signmag_jax.report import figures, measured

    series = {
        _place(each.sample): (
            each.sample.predictor,
            each.samples.mean(axis=1),
            [damage.estimate.standard_error for damage in each.damage],
        )
        for each in found.results
    }
    title = "Flipping one whole column"
    figures.save(measured.points(series, "α²‖w‖²", "ΔNLL, nats per token", title), path)


def _column_flips_cost(request: Request) -> float:
    from signmag_jax import measure

    places = len(request.layers or (0,)) * len(request.matrices or ("",))
    one = measure.column_flips_cost(request.windows, request.window, _columns(request))
    return places * (one + calibration_passes(request))


def _flip_energies(request: Request) -> Any:
    from signmag_jax import measure

    model, tokens, source = request.load()
    return Several(
        tuple(
            measure.flip_energies(
                model,
                *request.divided(tokens),
                layer=layer,
                matrix=name,
                columns=_columns(request),
                rate=request.rates[0],
                seeds=_count(request),
                root=request.seed,
                source=source,
            )
            for layer, name, _ in _places(request, model)
        )
    )


def _flip_energies_summary(found: Several) -> dict[str, str]:
    lines = {}
    for each in found.results:
        for level, association in each.association.items():
            lines |= _association(f"{_place(each.sample)}, {level}", association)
    return lines


def _flip_energies_rows(found: Several) -> Rows:
    return [
        {
            "layer": each.sample.layer,
            "matrix": each.sample.matrix,
            "column": int(column),
            "alpha_squared": float(each.sample.alpha_squared[i]),
            "norm_squared": float(each.sample.norm_squared[i]),
            "flips": each.flips,
            "level": level,
            "seed": seed,
            "window": window,
            "energy": float(value),
        }
        for each in found.results
        for level, table in each.samples.items()
        for i, column in enumerate(each.sample.columns)
        for seed, row in enumerate(table[i])
        for window, value in enumerate(row)
    ]


def _flip_energies_plot(found: Several, path: Path) -> None:
    from signmag_jax.report import figures, measured

    each = found.results[0]
    series = {
        level: (each.sample.predictor, energy.value, energy.standard_error)
        for level, energy in each.energy.items()
    }
    title = f"{_place(each.sample)}: {each.flips} flips in one column"
    figures.save(measured.points(series, "α²‖w‖²", "energy of the change over the signal's", title), path)


def _flip_energies_cost(request: Request) -> float:
    from signmag_jax import measure

    places = len(request.layers or (0,)) * len(request.matrices or ("",))
    # How many layers the model has is not known yet; ten is few.
    one = measure.flip_energies_cost(request.windows, request.window, 10, _columns(request), _count(request))
    return places * (one + calibration_passes(request))


def _check_chain(request: Request) -> None:
    from signmag_jax.evidence import invalid

    _at_most_half(request)
    if request.matrices is not None and len(request.matrices) > 1:
        raise invalid("one value of --matrices", request.matrices, "a chain is made of one kind of matrix")


def _trained_chain(request: Request) -> Any:
    from signmag_jax import measure

    model, _, source = request.load()
    return measure.trained_chain(
        model,
        rates=request.rates,
        layers=request.layers,
        matrix=(request.matrices or ("gate_proj",))[0],
        seeds=_count(request),
        root=request.seed,
        resume=request.resume,
        source=source,
    )


def _trained_chain_summary(found: Any) -> dict[str, str]:
    from signmag_jax.report.numbers import with_error

    lines = {"matrices of layers": ", ".join(map(str, found.layers)), "width": str(found.width)}
    for kind, ratio in found.ratio.items():
        for rate, value, error in zip(found.rates, ratio.value, ratio.standard_error, strict=True):
            lines[f"C_1..C_{len(found.layers)}, {kind}, rate {rate:g}"] = "  ".join(
                map(with_error, value, error)
            )
    return lines


def _trained_chain_rows(found: Any) -> Rows:
    return [
        {
            "weights": kind,
            "rate": rate,
            "depth": depth + 1,
            "ratio": float(ratio.value[i, depth]),
            "standard_error": float(ratio.standard_error[i, depth]),
        }
        for kind, ratio in found.ratio.items()
        for i, rate in enumerate(found.rates)
        for depth in range(len(found.layers))
    ]


def _trained_chain_plot(found: Any, path: Path) -> None:
    from signmag_jax.report import figures, measured

    series = {
        f"{kind}, rate {rate:g}": (ratio.value[i], ratio.standard_error[i])
        for kind, ratio in found.ratio.items()
        for i, rate in enumerate(found.rates)
    }
    figures.save(
        measured.curves(series, "layers L", "transverse ratio C_L", "Trained matrices in a chain"), path
    )


def _definitions(request: Request) -> Any:
    from signmag_jax import measure

    model, tokens, source = request.load()
    return measure.outlier_definitions(
        model,
        *request.divided(tokens),
        rate=request.rates[0],
        seeds=_count(request),
        layers=request.layers,
        matrices=request.matrices,
        root=request.seed,
        resume=request.resume,
        source=source,
    )


def _definitions_summary(found: Any) -> dict[str, str]:
    lines = {}
    for name, each in found.definitions.items():
        ratio = each.leverage
        value = written(ratio.interval.estimate) if ratio.resolved else f"UNRESOLVED: {ratio.reason}"
        counts = ", ".join(f"{site} {count:g}" for site, count in each.columns.items())
        lines[f"leverage, {name} (columns a layer: {counts})"] = value
    return lines


def _definitions_cost(request: Request) -> float:
    from signmag_jax import measure

    scored = measure.outlier_definitions_cost(
        request.windows, request.window, request.rates[0], _count(request)
    )
    return scored + 2 * calibration_passes(request)


def _rotation(request: Request) -> Any:
    from signmag_jax import measure

    model, tokens, source = request.load()
    return measure.rotation(
        model,
        *request.divided(tokens),
        rate=request.rates[0],
        seeds=_count(request),
        root=request.seed,
        resume=request.resume,
        source=source,
    )


def _rotation_summary(found: Any) -> dict[str, str]:
    import numpy as np

    lines = {"nll rotated − trained": written(found.difference)}
    for which, table in found.largest.items():
        for site, values in table.items():
            lines[f"largest nα² at {site}, median over layers, {which}"] = f"{np.median(values):.4g}"
    for name, values in found.total.items():
        lines[f"Σα²‖w‖² of {name}, rotated over trained, median"] = f"{np.median(values):.3g}"
    for which, flips in found.flips.items():
        damage = flips.values["delta_nll"]
        lines[f"ΔNLL of flips, {which}"] = "not finite" if damage is None else written(damage.estimate)
    return lines


def _comparison_rows(found: Any) -> Rows:
    """ΔNLL of every draw and window of `leverage` and `all-columns`."""
    return [
        {"rate": rate.rate, "flips": rate.flips, "arm": arm, "seed": seed, "window": i, "delta_nll": float(x)}
        for rate in found.rates
        for arm, table in rate.samples.items()
        if table is not None
        for seed, row in enumerate(table)
        for i, x in enumerate(row)
    ]


def _cost(function: str) -> Callable[[Request], float]:
    def cost(request: Request) -> float:
        from signmag_jax import measure

        scored = getattr(measure, function)(request.windows, request.window, _count(request))
        return scored + calibration_passes(request)

    return cost


def tables() -> dict[str, Callable[[Any], Rows]]:
    """Flat rows of the measurements that a Parquet file can hold."""
    return {
        "leverage": _comparison_rows,
        "all-columns": _comparison_rows,
        "metrics": _metrics_rows,
        "outlier-flips": _outlier_flips_rows,
        "column-flips": _column_flips_rows,
        "flip-energies": _flip_energies_rows,
        "trained-chain": _trained_chain_rows,
        "quantization-report": quantised.rows,
    }


def verbs() -> dict[str, Verb]:
    """These measurements by name."""
    from signmag_jax.measure import inputs
    from signmag_jax.measure.flip_energies import RATE as ENERGY_RATE
    from signmag_jax.measure.outlier_definitions import RATE as DEFINITION_RATE
    from signmag_jax.measure.outlier_flips import RATE
    from signmag_jax.measure.rotation import RATE as ROTATION_RATE
    from signmag_jax.measure.trained_chain import RATES

    spread, ratios = inputs.FEWEST_CALIBRATION, inputs.MINIMUM_WINDOWS
    draws: Sequence[str] = ("seeds", *PLACES, "resume")
    return {
        "metrics": Verb(
            _metrics,
            _metrics_summary,
            _cost("metrics_cost"),
            ("perturbation", *draws),
            ratios,
            check=_check_metrics,
        ),
        "outlier-flips": Verb(
            _outlier_flips,
            _outlier_flips_summary,
            _cost("outlier_flips_cost"),
            ("calibration", "rates", *draws),
            ratios,
            (RATE,),
            _outlier_flips_plot,
            _one_seed_and_rate,
        ),
        "column-flips": Verb(
            _column_flips,
            _column_flips_summary,
            _column_flips_cost,
            ("calibration", "columns", *PLACES, "resume"),
            ratios,
            (),
            _column_flips_plot,
        ),
        "flip-energies": Verb(
            _flip_energies,
            _flip_energies_summary,
            _flip_energies_cost,
            ("calibration", "columns", "rates", "seeds", *PLACES),
            spread,
            (ENERGY_RATE,),
            _flip_energies_plot,
            _one_seed_and_rate,
        ),
        "trained-chain": Verb(
            _trained_chain,
            _trained_chain_summary,
            lambda _: 1.0,  # about: no window is read, and six matrices meet a few hundred inputs
            ("rates", *draws),
            1,
            RATES,
            _trained_chain_plot,
            _check_chain,
        ),
        "quantization-report": quantised.verb(),
        "outlier-definitions": Verb(
            _definitions,
            _definitions_summary,
            _definitions_cost,
            ("calibration", "rates", *draws),
            ratios,
            (DEFINITION_RATE,),
            check=_one_seed_and_rate,
        ),
        "rotation": Verb(
            _rotation,
            _rotation_summary,
            _cost("rotation_cost"),
            ("calibration", "rates", "seeds", "resume"),
            ratios,
            (ROTATION_RATE,),
            check=_one_seed_and_rate,
        ),
    }
