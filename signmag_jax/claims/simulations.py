"""The simulated column: which Gaussian experiments the ledger runs, at which sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from signmag_jax import simulate, theory
from signmag_jax.evidence import Estimate, Incomplete
from signmag_jax.perturb import SignQuantize, Ternarize

from . import depth, outliers, proposition_1, theorem_3, theorem_4
from .claim import Evidence, Missing
from .levels import Level
from .parts import records, subseed
from .published import figures
from .supply import pick, scaled

Results = dict[str, Evidence]
Pairs = Iterator[tuple[str, Estimate]]
Part = tuple[str, Callable[[dict[str, Any]], Pairs]]
# The cosine of a row does not depend on how many rows there are: many small matrices give a sound error.
ROW_NETWORKS = 64
ROWS = 64
FEW_INPUTS = 8


def simulations(level: Level, seed: int, resume: Path | None) -> list[tuple[str, Callable[[], Results]]]:
    """Every experiment of the ledger, by name: each is keyed by it, so they may run in any order."""
    return [(name, partial(_results, name, run, seed, resume)) for name, run in _parts(level)]


def _results(name: str, run: Callable[[dict[str, Any]], Pairs], seed: int, resume: Path | None) -> Results:
    """The numbers of one experiment by the names that the rows ask for, or why there are none."""
    try:
        return dict(run({"seed": subseed(seed, name), "resume": records(resume, name)}))
    except Incomplete as reason:
        return {name: Missing("UNRESOLVED", str(reason))}


def _parts(level: Level) -> Iterator[Part]:
    for width, networks in zip(level.widths, level.networks, strict=True):
        yield f"block.{width}", partial(_block, width, networks)
    yield "paper_block", partial(_paper_block, level.paper_networks)
    for row in figures()["theorem_4_synthetic"]["rows"]:
        yield f"theorem_4.row_cosine.{row['n']}", partial(_row_cosine, row["n"])
    for width in theorem_4.WIDTHS:
        yield f"theorem_4.{width}", partial(_quantizers, width, level.paper_networks)
    yield "single_flip", partial(_single_flip, 16 * level.paper_networks)
    yield "column_pool", partial(_column_pool, 2 * level.paper_networks)
    yield "proposition_1", partial(_proposition_1, level.paper_networks)
    for name, options in depth.CHAINS.items():
        for width in depth.WIDTHS_OF.get(name, (depth.NARROW_WIDTH, depth.WIDTH)):
            label = f"depth.{name}.{width}"
            yield label, partial(_depth, label, width, level.depth_networks, options)


def _block(width: int, networks: int, common: dict[str, Any]) -> Pairs:
    rates = figures()["theorem_3_V1"]["p"]
    found = simulate.block(width, rates, networks=networks, **common)
    for index, rate in enumerate(rates):
        yield f"block.{width}.{rate}", pick(found.transverse_ratio, index)


def _paper_block(networks: int, common: dict[str, Any]) -> Pairs:
    rates = figures()["theorem_3_V1"]["p"]
    found = simulate.block(
        theorem_3.SCRIPT_WIDTH, rates, second_layer="explicit", networks=networks, **common
    )
    for index, rate in enumerate(rates):
        yield f"paper_block.{rate}", pick(found.transverse_ratio, index)


def _row_cosine(n: int, common: dict[str, Any]) -> Pairs:
    found = simulate.quantizer(n, rows=ROWS, inputs=FEW_INPUTS, networks=ROW_NETWORKS, **common)
    yield f"theorem_4.row_cosine.{n}", found.row_cosine


def _quantizers(width: int, networks: int, common: dict[str, Any]) -> Pairs:
    for kind, quantizer in (("sign", SignQuantize()), ("ternary", Ternarize())):
        found = simulate.quantizer(width, quantizer, networks=networks, **_under(common, kind))
        yield f"{kind}.cosine.{width}", found.row_cosine
        yield f"{kind}.pre_relu.{width}", found.pre_radial_fraction
        yield f"{kind}.post_relu.{width}", found.post_radial_fraction


def _single_flip(networks: int, common: dict[str, Any]) -> Pairs:
    alpha, width = outliers.PAPER_ALPHA, outliers.NARROW_WIDTH
    yield "single_flip", simulate.single_flip(width, alpha, networks=networks, **common).amplification


def _column_pool(networks: int, common: dict[str, Any]) -> Pairs:
    found = simulate.column_pool(
        outliers.POOL_WIDTH,
        outliers.POOL_RATE,
        profile=outliers.profile().tolist(),
        fraction=outliers.PAPER_POOL,
        networks=networks,
        **common,
    )
    yield "column_pool", found.leverage


def _proposition_1(networks: int, common: dict[str, Any]) -> Pairs:
    rate, width = proposition_1.SIMULATED_RATE, proposition_1.SIMULATED_WIDTH
    found = simulate.proposition_1(width, rate, networks=networks, **common)
    yield "proposition_1.energy", found.energy_ratio
    law = float(theory.flip_matrix_radial_fraction(rate, width))
    yield "proposition_1.radial_flip", scaled(found.flip_radial_fraction, 1 / law)
    yield "proposition_1.transverse_ratio", scaled(found.transverse_ratio, 1 - rate)


def _depth(
    label: str, width: int, networks: int, options: Mapping[str, Any], common: dict[str, Any]
) -> Pairs:
    found = simulate.depth(width, depth.RATE, depth.LAYERS, networks=networks, **options, **common)
    for layer in range(depth.LAYERS):
        yield f"{label}.{layer + 1}", pick(found.transverse_ratio, layer)


def _under(common: dict[str, Any], name: str) -> dict[str, Any]:
    """Seed and records of one of several runs of a part."""
    resume = common["resume"]
    return {"seed": subseed(common["seed"], name), "resume": None if resume is None else f"{resume}.{name}"}
