"""The simulated column: which Gaussian experiments the ledger runs, at which sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from signmag_jax import simulate, theory
from signmag_jax.evidence import Estimate, Incomplete

from . import block, chains, depth, outliers, proposition_1, second_table, theorem_3, theorem_4
from .claim import Evidence, Missing
from .levels import Level
from .parts import records, subseed
from .published import figures
from .supply import inverse, pick, scaled

Results = dict[str, Evidence]
Pairs = Iterator[tuple[str, Estimate]]
Part = tuple[str, Callable[[dict[str, Any]], Pairs]]
# The cosine of a row does not depend on how many rows there are: many small matrices give a sound error.
ROW_NETWORKS = 64
ROWS = 64
FEW_INPUTS = 8
# Enough to tell the best ternary threshold from the rule of thumb.
BEST_NETWORKS = 128
# At the widest of the paper's widths: 4 million weights a network, of which inputs cost little.
WIDE_INPUTS = 64
# Of the block whose second layer is drawn: an input costs three times as many products, networks pay more.
EXPLICIT_INPUTS = 256


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
    yield "paper_block", partial(_paper_block, 2 * level.paper_networks)
    yield "v0", partial(_v0, 2 * level.paper_networks)
    for width in second_table.widths() if level.table_networks else ():
        yield f"crossings.{width}", partial(_crossings, width, level.table_networks)
    yield "depth.wide", partial(_wide_chains, level.wide_networks)
    for row in figures()["theorem_4_synthetic"]["rows"]:
        yield f"theorem_4.row_cosine.{row['n']}", partial(_row_cosine, row["n"])
    for width in theorem_4.WIDTHS:
        yield f"theorem_4.{width}", partial(_quantizers, width, level.paper_networks)
        yield f"ternary_best.{width}", partial(_best_threshold, width)
    for width, weight in ((outliers.NARROW_WIDTH, 16), (outliers.PAPER_WIDTH, 4)):
        yield f"single_flip.{width}", partial(_single_flip, width, weight * level.paper_networks)
    yield "column_pool", partial(_column_pool, 2 * level.paper_networks)
    yield "proposition_1", partial(_proposition_1, level.paper_networks)
    for name, chain in chains.CHAINS.items():
        for width in chain.widths:
            label = chains.label(name, width)
            yield label, partial(_depth, label, chain.arguments(width, level.depth_networks))


def _block(width: int, networks: int, common: dict[str, Any]) -> Pairs:
    rates = figures()["theorem_3_V1"]["p"]
    found = simulate.block(width, rates, networks=networks, **common)
    for index, rate in enumerate(rates):
        yield f"block.{width}.{rate}", pick(found.transverse_ratio, index)


def _paper_block(networks: int, common: dict[str, Any]) -> Pairs:
    rates = figures()["theorem_3_V1"]["p"]
    sizes = {"inputs": EXPLICIT_INPUTS, "networks": networks}
    found = simulate.block(theorem_3.SCRIPT_WIDTH, rates, second_layer="explicit", **sizes, **common)
    for index, rate in enumerate(rates):
        yield f"paper_block.{rate}", pick(found.transverse_ratio, index)
    first = rates.index(block.RATE)
    yield "paper_block.radial.flip", pick(found.first.radial_fraction, first)
    yield "paper_block.radial.shift", pick(found.second.radial_fraction, first)


def _v0(networks: int, common: dict[str, Any]) -> Pairs:
    found = simulate.block(
        block.V0_WIDTH,
        block.V0_RATE,
        second_layer="none",
        difference="finite",
        networks=networks,
        **common,
    )
    yield "v0", found.transverse_ratio


def _crossings(width: int, networks: int, common: dict[str, Any]) -> Pairs:
    rates = second_table.rates(width)
    found = simulate.crossings(width, rates, networks=networks, **common)
    for index, rate in enumerate(rates):
        yield f"crossings.{width}.{rate}", pick(found.transverse_ratio, index)


def _wide_chains(networks: int, common: dict[str, Any]) -> Pairs:
    """The layers of the paper's widest chains that rows speak of: one of ReLU, two of what it calls SiLU."""
    sizes: dict[str, Any] = {"scale": "paper", "inputs": WIDE_INPUTS, "networks": networks}
    for activation, layers in depth.WIDE_LAYERS.items():
        under = _under(common, activation)
        chain = simulate.depth(
            depth.LARGE_WIDTH, list(depth.LARGE_RUN_RATES), layers, activation=activation, **sizes, **under
        )
        for at in np.ndindex(len(depth.LARGE_RUN_RATES), layers):
            name = f"depth.wide.{activation}.{depth.LARGE_RUN_RATES[at[0]]}.{at[1] + 1}"
            yield name, pick(chain.transverse_ratio, at)


def _row_cosine(n: int, common: dict[str, Any]) -> Pairs:
    found = simulate.quantizer(n, rows=ROWS, inputs=FEW_INPUTS, networks=ROW_NETWORKS, **common)
    yield f"theorem_4.row_cosine.{n}", found.row_cosine


def _quantizers(width: int, networks: int, common: dict[str, Any]) -> Pairs:
    for kind in ("sign", "ternary", "ternary_bitnet"):
        quantizer = theorem_4.QUANTIZERS[kind]
        found = simulate.quantizer(width, quantizer, networks=networks, **_under(common, kind))
        yield f"{kind}.cosine.{width}", found.row_cosine
        yield f"{kind}.vector_cosine.{width}", found.vector_cosine
        yield f"{kind}.pre_relu.{width}", found.pre_radial_fraction
        yield f"{kind}.post_relu.{width}", found.post_radial_fraction


def _best_threshold(width: int, common: dict[str, Any]) -> Pairs:
    """The cosine alone, which needs no inputs."""
    quantizer = theorem_4.QUANTIZERS["ternary_best"]
    found = simulate.quantizer(width, quantizer, inputs=FEW_INPUTS, networks=BEST_NETWORKS, **common)
    yield f"ternary_best.cosine.{width}", found.row_cosine


def _single_flip(width: int, networks: int, common: dict[str, Any]) -> Pairs:
    found = simulate.single_flip(width, outliers.PAPER_ALPHA, networks=networks, **common)
    yield f"single_flip.{width}", found.amplification


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
    yield "proposition_1.radial_noise", scaled(found.magnitude_radial_fraction, float(width))
    yield "proposition_1.transverse_ratio", scaled(found.transverse_ratio, 1 - rate)
    shift = simulate.proposition_1(
        width, rate, magnitude="shift", networks=networks, **_under(common, "shift")
    )
    yield "proposition_1.shift", inverse(shift.transverse_ratio)


def _depth(label: str, arguments: Mapping[str, Any], common: dict[str, Any]) -> Pairs:
    found = simulate.depth(**arguments, **common)
    for layer in range(chains.LAYERS):
        yield f"{label}.{layer + 1}", pick(found.transverse_ratio, layer)


def _under(common: dict[str, Any], name: str) -> dict[str, Any]:
    """Seed and records of one of several runs of a part."""
    resume = common["resume"]
    return {"seed": subseed(common["seed"], name), "resume": None if resume is None else f"{resume}.{name}"}
