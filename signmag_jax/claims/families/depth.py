"""Depth: the paper's chains of section 9.4, D.1 and D.2, at its own widths."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from signmag_jax import simulate, theory
from signmag_jax.claims.claim import Claim, Supply
from signmag_jax.claims.levels import Level, LevelName
from signmag_jax.claims.pieces import Results, Simulated
from signmag_jax.claims.published import paper, path_of_row, printed
from signmag_jax.claims.published import row as published_row
from signmag_jax.claims.supply import component, exact, pick, quotient
from signmag_jax.evidence import Estimate

from . import depth_laws
from .depth_laws import LAYERS, RATE, WIDTH, chain_at, linear_ratio, ratio_behind

LARGE_WIDTH = 2048
LARGE_RUN_RATES = (0.01, 0.05)
# The rate at which 20 seeds tell a nonlinearity apart.
LINEAR_RATE = 0.05
# Layers that are simulated at that width.
WIDE_LAYERS = {"relu": 1, "silu": 2}
# There, 4 million weights a network, of which inputs cost little.
WIDE_INPUTS = 64
DECIMALS = 4
SECTIONS = {"plain": "9.4, D.1", "residual": "D.2"}
ACTIVATIONS: tuple[simulate.ActivationName, ...] = ("relu", "silu")
LABELS = {"plain": "V2", "residual": "V3"}
AT_SCALE = {"relu": "", "silu": " at the paper's pre-activation scale,"}
LINEAR = "Pre-activations of deviation 1/√m make SiLU z/2: these runs test no nonlinearity."
NO_DOWN = "The paper calls this chain V3; its runs have no W_down."

# At the paper's scale SiLU is z/2: to a stream that it is added to, half of a linear layer.
SILU_SLOPE = 0.5


def experiments(level: Level) -> Iterator[Simulated]:
    """The paper's widest chains; the others are those of our recursions."""
    yield from depth_laws.experiments(level)
    for activation in ACTIVATIONS:
        yield wide_chain(level, activation)


def wide_chain(level: Level, activation: simulate.ActivationName) -> Simulated[simulate.Depth]:
    """The layers of the paper's widest chains that rows speak of: one of ReLU, two of what it calls SiLU."""
    run = partial(
        simulate.depth,
        LARGE_WIDTH,
        list(LARGE_RUN_RATES),
        WIDE_LAYERS[activation],
        activation=activation,
        scale="paper",
        inputs=WIDE_INPUTS,
    )
    # No row compares what is called SiLU at that width: it stands beside the figures where there is time.
    shown = activation == "relu" or level.runs("default")
    return Simulated("depth.wide", run, level.wide_networks if shown else 0, variant=activation)


def wide_ratio(rate: float, layer: int) -> Callable[[simulate.Depth], Estimate]:
    """Reads C_layer of a widest chain at one of its rates."""
    return lambda run: pick(run.transverse_ratio, (LARGE_RUN_RATES.index(rate), layer - 1))


def rows(level: Level, results: Results) -> Iterator[Claim]:
    """The paper's chains and our recursions beside them, the chains that are called SiLU, the conjecture."""
    for layer in range(1, LAYERS + 1):
        yield _plain(layer)
    for chain, activation in (("plain", "silu"), ("residual", "relu"), ("residual", "silu")):
        for layer in range(1, LAYERS + 1):
            simulated = chain_at(level, f"{chain}.{activation}", WIDTH)
            yield _chain(chain, activation, layer, results.supply(simulated, ratio_behind(layer)))
    yield from depth_laws.rows(level, results)
    relu, silu = (wide_chain(level, activation) for activation in ACTIVATIONS)
    for rate in LARGE_RUN_RATES:
        yield _first_layer(rate, results.supply(relu, wide_ratio(rate, 1)))
    layers = (results.supply(silu, wide_ratio(LINEAR_RATE, layer)) for layer in (1, 2))
    yield _linear(LINEAR_RATE, _second_over_first(*layers, error="both"))


def _plain(layer: int) -> Claim:
    """The plain chain at the widest of the paper's widths, where 20 seeds tell neighbouring layers apart."""
    first = theory.finite_width_depth_ratios(RATE, 1, LARGE_WIDTH)
    return Claim(
        name=f"depth.plain.relu.L={layer}",
        claimant="paper",
        source=f"section {SECTIONS['plain']} (V2)",
        statement=f"C_{layer} of the plain chain, relu at p = {RATE:g}, width {LARGE_WIDTH}.",
        routes={
            "published": _published("plain", "relu", LARGE_WIDTH, RATE, layer),
            "predicted": component(theory.finite_width_depth_ratios, layer - 1, RATE, LAYERS, LARGE_WIDTH),
        },
        compare=(("published", "predicted"),),
        rival=lambda: (
            float(np.ravel(first)[0]) if layer > 1 else float(theory.finite_width_ratio(RATE, LARGE_WIDTH))
        ),
        rival_is="no dependence on depth" if layer > 1 else "the block's ratio, without normalising",
        quotes=_quotes("plain", "relu", LARGE_WIDTH, RATE, layer),
        note="Predicted: the recursion at the paper's own width, averaged over the flips of a row. The paper "
        "calls this chain V2; its runs have no W_down. Simulated: see the rows on the recursion.",
    )


def _chain(chain: str, activation: str, layer: int, simulated: Supply) -> Claim:
    """A chain at the narrowest of the paper's widths, beside a simulation of that width."""
    linear = activation == "silu"
    rival, meaning = _rival(chain, activation, layer)
    return Claim(
        name=f"depth.{chain}.{activation}.L={layer}",
        claimant="paper",
        source=f"section {SECTIONS[chain]} ({LABELS[chain]})",
        statement=f"C_{layer} of the {chain} chain, {activation}{AT_SCALE[activation]} "
        f"at p = {RATE:g}, width {WIDTH}.",
        routes={
            "published": _published(chain, activation, WIDTH, RATE, layer),
            "predicted": _predicted(chain, activation, layer),
            "simulated": simulated,
        },
        compare=(("published", "simulated"),),
        rival=lambda: rival,
        rival_is=meaning,
        runs_from=_runs_from(chain, activation, layer),
        quotes=_quotes(chain, activation, WIDTH, RATE, layer),
        note=f"Predicted: {'a linear network at ' if linear else ''}infinite width. Compared at the paper's "
        f"own width. {LINEAR if linear else NO_DOWN}",
    )


def _predicted(chain: str, activation: str, layer: int) -> Supply:
    if chain == "plain":
        return exact(linear_ratio, RATE, layer, name="linear chain")
    linear = {"activation": "identity", "scale": SILU_SLOPE} if activation == "silu" else {}
    return component(theory.depth_ratios, layer - 1, RATE, LAYERS, residual=True, **linear)


def _rival(chain: str, activation: str, layer: int) -> tuple[float, str]:
    if activation == "silu":
        relu = np.asarray(theory.depth_ratios(RATE, LAYERS, residual=chain == "residual"))
        return float(relu[layer - 1]), "a ReLU chain"
    return depth_laws.rival(chain, RATE, layer)


def _runs_from(chain: str, activation: str, layer: int) -> LevelName:
    """A second layer of ReLU differs little from the first, and a first one of SiLU from ReLU."""
    if (activation, layer) == ("relu", 2):
        return "full"
    return "default" if (chain, activation, layer) == ("plain", "silu", 1) else "quick"


def _quotes(chain: str, activation: str, width: int, rate: float, *layers: int) -> tuple[str, ...]:
    row = path_of_row(f"depth_{chain}", activation=activation, width=width, p=rate)
    return tuple(f"{row}.C_L.{layer - 1}" for layer in layers)


def _published(chain: str, activation: str, width: int, rate: float, layer: int) -> Supply:
    table = published_row(f"depth_{chain}", activation=activation, width=width, p=rate)
    seeds = paper()[f"depth_{chain}"]["seeds"]
    return printed(
        table["C_L"][layer - 1],
        decimals=DECIMALS,
        standard_error=table["se"][layer - 1],
        n=seeds,
        section=SECTIONS[chain],
        error=f"the author's own, over {seeds} seeds",
        what=f"mean over {seeds} seeds",
    )


def _first_layer(rate: float, simulated: Supply) -> Claim:
    """The first layer: without v its ratio is the block's, so the difference lies in the normalisation."""
    return Claim(
        name=f"depth.first_layer.p={rate:g}",
        claimant="ours",
        source="depth recursion at finite width; section 9.4",
        statement=f"C_1 at p = {rate:g} is the block's ratio times v of the shift, by which one divides.",
        routes={
            "published": _published("plain", "relu", LARGE_WIDTH, rate, 1),
            "predicted": component(theory.finite_width_depth_ratios, 0, rate, 1, LARGE_WIDTH),
            "simulated": simulated,
        },
        compare=(("published", "predicted"), ("predicted", "simulated")),
        rival=lambda: float(theory.finite_width_ratio(rate, LARGE_WIDTH)),
        rival_is="the block's ratio: an effect of the architecture alone",
        proofs=("depth",),
        note="The paper's figure, at its width 2048. C_1 = v A(p) is derived; v is 1 for the flips.",
    )


def _linear(rate: float, simulated: Supply) -> Claim:
    """Compared with the slope that is left to a nonlinearity, since the law is that of infinite width."""
    return Claim(
        name=f"depth.silu_is_linear.p={rate:g}",
        claimant="ours",
        source="section 9.4, D.1 (SiLU)",
        statement=f"The paper's SiLU chain at p = {rate:g} loses in its second layer what a linear one does.",
        routes={
            "published": _second_over_first(
                *(_published("plain", "silu", LARGE_WIDTH, rate, layer) for layer in (1, 2)),
                error="both of the author's and rounding to 4 decimals",
            ),
            "predicted": exact(
                lambda: linear_ratio(rate, 2) / linear_ratio(rate, 1), name="C_2/C_1 of a linear chain"
            ),
            "simulated": simulated,
        },
        compare=(("published", "predicted"),),
        rival=lambda: _fall(theory.depth_ratios(rate, LAYERS, activation="silu")),
        rival_is="SiLU at unit pre-activation scale",
        note="Pre-activations of deviation 1/√m make SiLU z/2. In C_2/C_1 the width's terms cancel to first "
        "order; the two published errors are taken as independent, and so are the simulated ones, which are "
        "of the same networks: too large an error to be compared with.",
    )


def _fall(ratios: Any) -> float:
    """C_2/C_1, from the ratios of a chain."""
    return float(ratios[1] / ratios[0])


def _second_over_first(first: Supply, second: Supply, error: str) -> Supply:
    return lambda: quotient(second(), first(), f"C_2 over C_1; error: {error}, taken as independent")
