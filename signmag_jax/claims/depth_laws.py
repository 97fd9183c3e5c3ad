"""Rows on our recursions in depth: exact at infinite width, and why compounding cannot happen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from signmag_jax import theory
from signmag_jax.perturb import MagnitudeShift, SignFlip

from .chains import LAYERS, NARROW_RATE, RATE, UNIT_SILU, infinite
from .claim import Claim, Evidence
from .simulated_law import simulated_law
from .supply import component, exact

SOURCE = "depth recursion, infinite width"
PROOFS = {"plain": "depth", "residual": "residual_depth"}
# [W_up, ReLU, W_down, norm], by the chain whose recursion it has.
MLPS = {"v2": "plain", "v3": "renormalised"}
SKIPS = {"v2": "without skips", "v3": "with skips"}


def rows(simulated: Mapping[str, Evidence]) -> Iterator[Claim]:
    """The recursions at infinite width, their limits, and the compounding conjecture."""
    for chain in PROOFS:
        for layer in range(1, LAYERS + 1):
            yield _recursion(chain, layer, simulated)
    for layer in range(1, LAYERS + 1):
        yield _unit_scale(layer, simulated)
    for name in MLPS:
        for layer in (1, LAYERS):
            yield _mlp(name, layer, simulated)
    yield from _limits()
    yield _compounding()


def rival(chain: str, rate: float, layer: int) -> tuple[float, str]:
    """The nearest wrong answer for C_layer of a ReLU chain: no dependence on depth, or another chain."""
    if layer > 1:
        return float(np.ravel(theory.chain_ratios(rate, 1, chain))[0]), "no dependence on depth"
    if chain == "plain":
        return float(theory.transverse_ratio(rate)), "the block's ratio, without normalising"
    if chain == "renormalised":
        stream = np.ravel(theory.chain_ratios(rate, 1, "residual"))
        return float(stream[0]), "the stream's ratio, without normalising"
    return float(np.ravel(theory.depth_ratios(rate, 1))[0]), "a plain chain"


def linear_ratio(rate: float, layer: int) -> float:
    """C_L of a linear chain: the cosine is multiplied by c/√v at each layer."""
    flip = (1 - 2 * rate) ** (2 * layer)
    moments = MagnitudeShift.matching(SignFlip(rate)).moments()
    return float((1 - flip) / (1 - (moments.c**2 / moments.v) ** layer))


def _recursion(chain: str, layer: int, simulated: Mapping[str, Evidence]) -> Claim:
    value, meaning = rival(chain, RATE, layer)
    return simulated_law(
        f"depth.{chain}.exact.L={layer}",
        f"C_{layer} of the {chain} ReLU chain at p = {RATE:g} is that of the exact recursion.",
        component(theory.depth_ratios, layer - 1, RATE, LAYERS, residual=chain == "residual"),
        infinite(simulated, f"{chain}.relu", layer),
        (lambda: value, meaning),
        source=SOURCE,
        proofs=(PROOFS[chain],),
    )


def _unit_scale(layer: int, simulated: Mapping[str, Evidence]) -> Claim:
    return simulated_law(
        f"depth.{UNIT_SILU}.L={layer}",
        f"C_{layer} of the plain chain, SiLU with pre-activations of deviation 1, at p = {RATE:g}.",
        component(theory.depth_ratios, layer - 1, RATE, LAYERS, activation="silu"),
        infinite(simulated, UNIT_SILU, layer),
        (
            lambda: linear_ratio(RATE, layer),
            "a linear chain, which is what SiLU at the paper's pre-activation scale makes",
        ),
        source=SOURCE,
        note="What a SiLU chain gives where SiLU bends; the rows above are at the paper's scale.",
    )


def _mlp(name: str, layer: int, simulated: Mapping[str, Evidence]) -> Claim:
    chain = MLPS[name]
    value, meaning = rival(chain, NARROW_RATE, layer)
    return simulated_law(
        f"depth.{name}.L={layer}",
        f"C_{layer} of {name.upper()}, [W_up, ReLU, W_down, norm] {SKIPS[name]}, at p = {NARROW_RATE:g} is "
        f"that of the {chain} recursion.",
        component(theory.chain_ratios, layer - 1, NARROW_RATE, LAYERS, chain),
        infinite(simulated, name, layer),
        (lambda: value, meaning),
        source=SOURCE,
        proofs=("depth",) if chain == "plain" else ("residual_depth",),
        note="The paper describes this chain; no figure of it is published.",
    )


def _limits() -> Iterator[Claim]:
    yield Claim(
        name="depth.floor",
        claimant="ours",
        source="depth recursion, p → 0",
        statement="In plain chains the ratio falls with depth, as p → 0 to (π/(π−2))^(2/3).",
        routes={"predicted": exact(theory.depth_floor)},
        kind="proof",
        proofs=("depth",),
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
        "second, as the paper's own figures do.",
    )


def _compounding() -> Claim:
    return Claim(
        name="depth.no_compounding",
        claimant="ours",
        source="abstract (conjecture not supported)",
        statement="The ratio is bounded in depth, in plain and in residual chains: it cannot compound.",
        routes={},
        kind="proof",
        proofs=("depth", "residual_depth"),
    )
