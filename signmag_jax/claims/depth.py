"""Rows on depth: the chains of section 9.4 and D.1, and why compounding cannot happen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from signmag_jax import theory
from signmag_jax.perturb import MagnitudeShift, SignFlip

from .claim import Claim, Evidence, Route
from .published import row as published_row
from .supply import Supply, component, exact, extrapolated, found, printed, quotient

WIDTH = 512
NARROW_WIDTH = 256
RATE = 0.01
LAYERS = 6
LARGE_WIDTH = 2048
LARGE_RUN_RATES = (0.01, 0.05)
DECIMALS = 4
SAME_WIDTH: tuple[tuple[Route, Route], ...] = (("published", "simulated"),)
FINITE: tuple[tuple[Route, Route], ...] = (
    ("published", "predicted"),
    ("published", "simulated"),
    ("predicted", "simulated"),
)
UNIT_SILU = "plain.silu_at_unit_scale"
# Simulated chains by name: what `simulate.depth` is told, and at which widths if not at both.
CHAINS: dict[str, dict[str, Any]] = {
    "plain.relu": {"scale": "paper"},
    "residual.relu": {"scale": "paper", "residual": True},
    "plain.silu": {"scale": "paper", "activation": "silu"},
    UNIT_SILU: {"scale": "unit", "activation": "silu"},
}
WIDTHS_OF = {"plain.silu": (WIDTH,)}
SECTIONS = {"plain": "9.4, D.1", "residual": "D.2"}


def rows(simulated: Mapping[str, Evidence]) -> Iterator[Claim]:
    """Plain and residual ReLU chains, the chain that is called SiLU, and the compounding conjecture."""
    for chain in SECTIONS:
        for layer in range(1, LAYERS + 1):
            yield _chain(chain, "relu", layer, found(simulated, f"depth.{chain}.relu.{WIDTH}.{layer}"))
        for layer in range(1, LAYERS + 1):
            yield _recursion(chain, layer, _infinite(simulated, f"{chain}.relu", layer))
    for layer in range(1, LAYERS + 1):
        yield _chain("plain", "silu", layer, found(simulated, f"depth.plain.silu.{WIDTH}.{layer}"))
    for layer in range(1, LAYERS + 1):
        yield _unit_scale(layer, _infinite(simulated, UNIT_SILU, layer))
    for rate in LARGE_RUN_RATES:
        yield _first_layer(rate)
        yield _linear(rate)
    yield from _limits()
    yield _compounding()


def linear_ratio(rate: float, layer: int) -> float:
    """C_L of a linear chain: the cosine is multiplied by c/√v at each layer."""
    flip = (1 - 2 * rate) ** (2 * layer)
    moments = MagnitudeShift.matching(SignFlip(rate)).moments()
    return float((1 - flip) / (1 - (moments.c**2 / moments.v) ** layer))


def _predicted(chain: str, activation: str, layer: int) -> Supply:
    if activation == "silu":
        return exact(linear_ratio, RATE, layer, name="linear chain")
    if chain == "plain":
        return component(theory.finite_width_depth_ratios, layer - 1, RATE, LAYERS, WIDTH)
    return component(theory.depth_ratios, layer - 1, RATE, LAYERS, residual=True)


def _chain(chain: str, activation: str, layer: int, simulated: Supply) -> Claim:
    what = f"{chain} chain, {activation}" + (
        " at the paper's pre-activation scale" if activation == "silu" else ""
    )
    return Claim(
        name=f"depth.{chain}.{activation}.L={layer}",
        claimant="paper",
        source=f"section {SECTIONS[chain]}",
        statement=f"C_{layer} of the {what} at p = {RATE:g}, width {WIDTH}.",
        routes={
            "published": _published(chain, activation, WIDTH, RATE, layer),
            "predicted": _predicted(chain, activation, layer),
            "simulated": simulated,
        },
        compare=FINITE if (chain, activation) == ("plain", "relu") else SAME_WIDTH,
        rival=lambda: _rival(chain, activation, layer)[0],
        rival_is=_rival(chain, activation, layer)[1],
        note=_note(chain, activation),
    )


def _infinite(simulated: Mapping[str, Evidence], chain: str, layer: int) -> Supply:
    widths = (NARROW_WIDTH, WIDTH)
    return extrapolated(*((n, found(simulated, f"depth.{chain}.{n}.{layer}")) for n in widths))


def _recursion(chain: str, layer: int, simulated: Supply) -> Claim:
    rival, meaning = _rival(chain, "relu", layer)
    return Claim(
        name=f"depth.{chain}.exact.L={layer}",
        claimant="ours",
        source="depth recursion, infinite width",
        statement=f"C_{layer} of the {chain} ReLU chain at p = {RATE:g} is that of the exact recursion.",
        routes={
            "predicted": component(
                theory.depth_ratios, layer - 1, RATE, LAYERS, residual=chain == "residual"
            ),
            "simulated": simulated,
        },
        compare=(("predicted", "simulated"),),
        rival=lambda: rival,
        rival_is=meaning,
        proofs=("depth",) if chain == "plain" else ("residual_depth",),
    )


def _unit_scale(layer: int, simulated: Supply) -> Claim:
    return Claim(
        name=f"depth.{UNIT_SILU}.L={layer}",
        claimant="ours",
        source="depth recursion, infinite width",
        statement=f"C_{layer} of the plain chain, SiLU with pre-activations of deviation 1, at p = {RATE:g}.",
        routes={
            "predicted": component(theory.depth_ratios, layer - 1, RATE, LAYERS, activation="silu"),
            "simulated": simulated,
        },
        compare=(("predicted", "simulated"),),
        rival=lambda: linear_ratio(RATE, layer),
        rival_is="a linear chain, which is what SiLU at the paper's pre-activation scale makes",
        note="What a SiLU chain gives where SiLU bends; the rows above are at the paper's scale.",
    )


def _rival(chain: str, activation: str, layer: int) -> tuple[float, str]:
    relu = np.asarray(theory.depth_ratios(RATE, LAYERS, residual=chain == "residual"))
    if activation == "silu":
        return float(relu[layer - 1]), "a ReLU chain"
    if layer > 1:
        return float(relu[0]), "no dependence on depth"
    if chain == "plain":
        return float(theory.transverse_ratio(RATE)), "the block's ratio, without normalising"
    return float(np.ravel(theory.depth_ratios(RATE, 1))[0]), "a plain chain"


def _note(chain: str, activation: str) -> str:
    if activation == "silu":
        return (
            "Predicted: a linear network at infinite width. Pre-activations of deviation 1/√m make "
            "SiLU z/2: these runs test no nonlinearity."
        )
    if chain == "plain":
        return "Predicted: the recursion at the paper's own width, averaged over the flips of a row."
    return "Predicted: infinite width. Compared at the paper's own width; see the rows on the recursion."


def _published(chain: str, activation: str, width: int, rate: float, layer: int) -> Supply:
    table = published_row(f"depth_{chain}", activation=activation, width=width, p=rate)
    return printed(
        table["C_L"][layer - 1],
        decimals=DECIMALS,
        standard_error=table["se"][layer - 1],
        section=SECTIONS[chain],
        error="the author's own, over seeds whose number is not published,",
        what="mean over seeds",
    )


def _first_layer(rate: float) -> Claim:
    """Without v the first ratio is the block's: the difference is normalisation and not architecture."""
    return Claim(
        name=f"depth.first_layer.p={rate:g}",
        claimant="ours",
        source="depth recursion at finite width; section 9.4",
        statement=f"C_1 at p = {rate:g} is the block's ratio times v of the shift, by which one divides.",
        routes={
            "published": _published("plain", "relu", LARGE_WIDTH, rate, 1),
            "predicted": component(theory.finite_width_depth_ratios, 0, rate, 1, LARGE_WIDTH),
        },
        compare=(("published", "predicted"),),
        rival=lambda: float(theory.finite_width_ratio(rate, LARGE_WIDTH)),
        rival_is="the block's ratio: an effect of the architecture alone",
        proofs=("depth",),
        note="The paper's figure, at its width 2048. C_1 = v A(p) is derived; v is 1 for the flips.",
    )


def _linear(rate: float) -> Claim:
    """Compared with the slope that is left to a nonlinearity, since the law is that of infinite width."""
    return Claim(
        name=f"depth.silu_is_linear.p={rate:g}",
        claimant="ours",
        source="section 9.4, D.1 (SiLU)",
        statement=f"The paper's SiLU chain at p = {rate:g} loses in its second layer what a linear one does.",
        routes={
            "published": _second_over_first(rate),
            "predicted": exact(
                lambda: linear_ratio(rate, 2) / linear_ratio(rate, 1), name="C_2/C_1 of a linear chain"
            ),
        },
        compare=(("published", "predicted"),),
        rival=lambda: float(np.divide(*np.asarray(theory.depth_ratios(rate, 2, activation="silu"))[::-1])),
        rival_is="SiLU at unit pre-activation scale",
        note="Pre-activations of deviation 1/√m make SiLU z/2. In C_2/C_1 the width's terms cancel to first "
        "order; the two published errors are taken as independent.",
    )


def _second_over_first(rate: float) -> Supply:
    def supply() -> Evidence:
        first, second = (_published("plain", "silu", LARGE_WIDTH, rate, layer)() for layer in (1, 2))
        return quotient(
            second,
            first,
            "C_2 over C_1; error: both of the author's and rounding to 4 decimals, taken as independent",
        )

    return supply


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
