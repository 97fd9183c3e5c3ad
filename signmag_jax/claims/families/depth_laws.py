"""Our recursions in depth: exact at infinite width, and why compounding cannot happen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from signmag_jax import simulate, theory
from signmag_jax.claims.claim import Claim, Supply, simulated_law
from signmag_jax.claims.levels import Level
from signmag_jax.claims.pieces import Results, Simulated
from signmag_jax.claims.supply import component, exact, extrapolated, pick
from signmag_jax.evidence import Estimate
from signmag_jax.perturb import MagnitudeShift, SignFlip

WIDTH = 512
RATE = 0.01
LAYERS = 6
# Chains without a published figure: narrow, at a rate at which a narrow row holds many flips all the same,
# so that the extrapolation in 1/width leaves less than half of the standard error.
NARROW = (64, 128)
NARROW_RATE = 0.1
SOURCE = "depth recursion, infinite width"
PROOFS = {"plain": "depth", "residual": "residual_depth"}
# [W_up, ReLU, W_down, norm], by the chain whose recursion it has.
MLPS = {"v2": "plain", "v3": "renormalised"}
PUBLISHED_AS = {"v2": "plain", "v3": "residual"}
SKIPS = {"v2": "without skips", "v3": "with skips"}


@dataclass(frozen=True)
class SimulatedChain:
    """A simulated chain of layers, by the arguments of `simulate.depth`.

    Args:
      options: what is neither width, rate nor depth.
      widths: simulated widths; two are extrapolated.
      rate: flip rate.
      hidden: rows of W_up as a multiple of the width; None for chains of single matrices.
      inputs: of each network. Behind the first layers its states gather, so that more tell little more.
      weight: networks, as a multiple of the level's: more where neighbouring layers are to be told apart.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    widths: tuple[int, ...] = (256, WIDTH)
    rate: float = RATE
    hidden: int | None = None
    inputs: int = 128
    weight: int = 1


UNIT_SILU = "plain.silu_at_unit_scale"
SILU = {"scale": "paper", "activation": "silu"}
MLP: dict[str, Any] = {"widths": NARROW, "rate": NARROW_RATE, "hidden": 4, "weight": 2}
CHAINS: dict[str, SimulatedChain] = {
    "plain.relu": SimulatedChain({"scale": "paper"}, weight=3),
    "residual.relu": SimulatedChain({"scale": "paper", "residual": True}, inputs=256),
    "plain.silu": SimulatedChain(SILU, widths=(WIDTH,)),
    "residual.silu": SimulatedChain({**SILU, "residual": True}, widths=(WIDTH,)),
    UNIT_SILU: SimulatedChain({"scale": "unit", "activation": "silu"}),
    "v2": SimulatedChain(**MLP),
    "v3": SimulatedChain({"residual": True}, **MLP),
}


def experiments(level: Level) -> Iterator[Simulated]:
    """Every chain at each of its widths."""
    for name, chain in CHAINS.items():
        for width in chain.widths:
            yield chain_at(level, name, width)


def chain_at(level: Level, name: str, width: int) -> Simulated[simulate.Depth]:
    """The simulation of a chain at one of its widths."""
    chain = CHAINS[name]
    hidden = {} if chain.hidden is None else {"hidden": chain.hidden * width}
    run = partial(simulate.depth, width, chain.rate, LAYERS, inputs=chain.inputs, **hidden, **chain.options)
    return Simulated(f"depth.{name}.{width}", run, chain.weight * level.depth_networks)


def ratio_behind(layer: int) -> Callable[[simulate.Depth], Estimate]:
    """Reads C_layer, layers counted from 1."""
    return lambda run: pick(run.transverse_ratio, layer - 1)


def rows(level: Level, results: Results) -> Iterator[Claim]:
    """The recursions at infinite width, their limits, and the compounding conjecture."""

    def infinite(name: str, layer: int) -> Supply:
        """C_layer at two widths, extrapolated in 1/width."""
        return extrapolated(
            *(
                (width, results.supply(chain_at(level, name, width), ratio_behind(layer)))
                for width in CHAINS[name].widths
            )
        )

    for chain in PROOFS:
        for layer in range(1, LAYERS + 1):
            yield _recursion(chain, layer, infinite(f"{chain}.relu", layer))
    for layer in range(1, LAYERS + 1):
        yield _unit_scale(layer, infinite(UNIT_SILU, layer))
    for name in MLPS:
        for layer in (1, LAYERS):
            yield _mlp(name, layer, infinite(name, layer))
    yield from _limits()
    yield _compounding()


def rival(chain: str, rate: float, layer: int) -> tuple[float, str]:
    """The nearest wrong answer for C_layer of a ReLU chain: no dependence on depth, or another chain."""
    if layer > 1:
        return first_ratio(rate, chain), "no dependence on depth"
    if chain == "plain":
        return float(theory.transverse_ratio(rate)), "the block's ratio, without normalising"
    if chain == "renormalised":
        return first_ratio(rate, "residual"), "the stream's ratio, without normalising"
    return first_ratio(rate, "plain"), "a plain chain"


def first_ratio(rate: float, chain: str) -> float:
    """C_1 of a ReLU chain: that of the longer one, whose program is compiled already."""
    return float(np.ravel(theory.chain_ratios(rate, LAYERS, chain))[0])


def linear_ratio(rate: float, layer: int) -> float:
    """C_L of a linear chain: the cosine is multiplied by c/√v at each layer."""
    flip = (1 - 2 * rate) ** (2 * layer)
    moments = MagnitudeShift.matching(SignFlip(rate)).moments()
    return float((1 - flip) / (1 - (moments.c**2 / moments.v) ** layer))


def _recursion(chain: str, layer: int, simulated: Supply) -> Claim:
    value, meaning = rival(chain, RATE, layer)
    return simulated_law(
        f"depth.{chain}.exact.L={layer}",
        f"C_{layer} of the {chain} ReLU chain at p = {RATE:g} is that of the exact recursion.",
        component(theory.depth_ratios, layer - 1, RATE, LAYERS, residual=chain == "residual"),
        simulated,
        (lambda: value, meaning),
        source=SOURCE,
        proofs=(PROOFS[chain],),
        # The nearer a layer is to the first, the less it differs.
        runs_from="full" if layer == 2 else "default" if 2 < layer < LAYERS else "quick",
    )


def _unit_scale(layer: int, simulated: Supply) -> Claim:
    return simulated_law(
        f"depth.{UNIT_SILU}.L={layer}",
        f"C_{layer} of the plain chain, SiLU with pre-activations of deviation 1, at p = {RATE:g}.",
        component(theory.depth_ratios, layer - 1, RATE, LAYERS, activation="silu"),
        simulated,
        (
            lambda: linear_ratio(RATE, layer),
            "a linear chain, which is what SiLU at the paper's pre-activation scale makes",
        ),
        source=SOURCE,
        note="What a SiLU chain gives where SiLU bends; the rows above are at the paper's scale.",
        # Where states gather, the scatter between networks grows.
        runs_from="quick" if layer < 4 else "default",
    )


def _mlp(name: str, layer: int, simulated: Supply) -> Claim:
    chain = MLPS[name]
    value, meaning = rival(chain, NARROW_RATE, layer)
    return simulated_law(
        f"depth.{name}.L={layer}",
        f"C_{layer} of {name.upper()}, [W_up, ReLU, W_down, norm] {SKIPS[name]}, at p = {NARROW_RATE:g} is "
        f"that of the {chain} recursion.",
        component(theory.chain_ratios, layer - 1, NARROW_RATE, LAYERS, chain),
        simulated,
        (lambda: value, meaning),
        source=SOURCE,
        proofs=("depth",) if chain == "plain" else ("residual_depth",),
        note=f"What the author publishes as {name.upper()} is of chains without W_down, in the rows "
        f"depth.{PUBLISHED_AS[name]}; of the chain that the paper describes no figure is published.",
        runs_from="quick" if layer == 1 or (name, layer) == ("v2", LAYERS) else "default",
    )


def _limits() -> Iterator[Claim]:
    yield Claim(
        name="depth.floor",
        claimant="ours",
        source="depth recursion, p → 0",
        statement="As p → 0 the losses at the fixed points of plain chains are as (π/(π−2))^(2/3) to 1.",
        routes={"predicted": exact(theory.depth_floor)},
        kind="proof",
        proofs=("depth",),
        note="Proved of fixed points that tend to 1 with p. That a chain comes to them, and falls with "
        "depth, is computed and not proved.",
    )
    yield Claim(
        name=f"depth.residual.limit.p={RATE:g}",
        claimant="ours",
        source="depth recursion, residual, L → ∞",
        statement=f"In residual chains the ratio tends to a limit at every rate, shown for p = {RATE:g}; as "
        "p → 0 it rises with every layer, from 3π/(3π−2) to π/(π−2).",
        routes={"predicted": exact(theory.residual_limit, RATE)},
        kind="proof",
        proofs=("residual_limit", "residual_rise"),
        note="At finite rates it need not rise at once: at p = 1/20 it falls from the first layer to the "
        "second, as the paper's own figures do. The limit is proved if the mean loss of L layers is that at "
        "cosine 1 up to 1/√L, the rise of the recursion to first order in p.",
    )


def _compounding() -> Claim:
    return Claim(
        name="depth.no_compounding",
        claimant="ours",
        source="abstract (conjecture not supported)",
        statement="The ratio cannot compound: it is bounded in depth, in plain chains at every rate below "
        "1/2, in residual ones under two hypotheses.",
        routes={},
        kind="proof",
        proofs=("depth", "residual_depth"),
        note="In plain chains by induction over the layers. The two hypotheses, which the proof prints: "
        "L layers of flips add at most L/2, and L layers of shifts at least L/2 times the loss of the first.",
    )
