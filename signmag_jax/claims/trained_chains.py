"""Rows on the plain chain with a trained model's own matrices (Exp B), beside two controls."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from signmag_jax import measure, theory
from signmag_jax.evidence import Estimate

from . import depth_laws
from .claim import Claim, Evidence, Missing, Route
from .measured import Measured
from .model_run import ModelRun, unresolved
from .published import figures
from .supply import Supply, found, pick, printed, traced

RATES = (0.01, 0.05)
NARROWEST = 128
LAYERS = (1, 6)
SECTION = "section 9.4, Exp B"
CONTROL = "gaussian"
WEIGHTS = {
    "trained": "a model's own gate_proj matrices",
    "permuted": "the numbers of its gate_proj matrices, in random places,",
    CONTROL: "Gaussian matrices of their size",
}
PUBLISHED = {"trained": "trained", CONTROL: "iid_baseline"}
NOTES = {
    "trained": "The law is that of Gaussian matrices: the row says how far it describes trained ones. "
    "In the paper: TinyLlama-1.1B.",
    "permuted": "Only the distribution of the entries is left of training.",
    CONTROL: "The control: the same code on what the law is about.",
}


def measured(run: ModelRun) -> dict[str, Evidence]:
    """C_l of the three kinds of weights, and what the recursion says at their width."""
    names = [_name(kind, rate, layer) for kind in ("law", *WEIGHTS) for rate in RATES for layer in LAYERS]
    draws = run.level.chain_draws
    if not draws:
        return run.left_out(names, "Exp B")
    width = run.model.config.hidden
    if width < NARROWEST:  # the law has terms of higher order in 1/width, and ReLU may kill a whole state
        reason = f"the recursion holds from width {NARROWEST} on, and the matrices have {width}"
        return dict.fromkeys(names, Missing("UNRESOLVED", reason))
    try:
        chain = measure.trained_chain(run.model, rates=RATES, draws=draws, **run.options("trained_chain"))
    except measure.Unmeasurable as error:
        return unresolved(names, error)
    ratios, depth = {"law": _law(chain), **chain.ratio}, len(chain.layers)
    short = Missing("UNRESOLVED", f"the chain has only {depth} layers")
    return {
        _name(kind, rate, layer): traced(pick(ratio, (row, layer - 1)), chain.provenance)
        if layer <= depth
        else short
        for kind, ratio in ratios.items()
        for row, rate in enumerate(RATES)
        for layer in LAYERS
    }


def _law(chain: measure.TrainedChain) -> Estimate:
    """What the recursion says of Gaussian matrices of that width."""
    depth, width = len(chain.layers), chain.width
    value = np.stack(
        [theory.finite_width_depth_ratios(round(rate * width**2) / width**2, depth, width) for rate in RATES]
    )
    name = "closed form, averaged over the flips of a row"
    return Estimate.exact(
        value, estimator=name, provenance={"law": "finite_width_depth_ratios", "width": width}
    )


def rows(measured: Measured) -> Iterator[Claim]:
    """Each kind of weights against the law, at two rates, behind the first and the sixth layer."""
    for kind in WEIGHTS:
        for rate in RATES:
            for layer in LAYERS:
                yield _row(kind, rate, layer, measured)


def _row(kind: str, rate: float, layer: int, measured: Measured) -> Claim:
    value, meaning = depth_laws.rival("plain", rate, layer)
    routes: dict[Route, Supply] = {
        "predicted": found(measured.results, _name("law", rate, layer)),
        "measured": found(measured.results, _name(kind, rate, layer)),
    }
    if kind in PUBLISHED:
        routes = {"published": _published(kind, rate, layer), **routes}
    return Claim(
        name=f"exp_b.{kind}.p={rate:g}.L={layer}",
        claimant="ours" if kind == CONTROL else "paper",
        source=SECTION,
        statement=f"C_{layer} at p = {rate:g} of a chain of {WEIGHTS[kind]} is that of the recursion.",
        routes=routes,
        compare=(("predicted", "measured"),),
        rival=lambda: value,
        rival_is=meaning,
        note=f"{NOTES[kind]} Published: width 2048, not compared. Measured: {measured.model}.",
    )


def _published(kind: str, rate: float, layer: int) -> Supply:
    table = next(
        row
        for row in figures()["depth_trained"]["rows"]
        if (row["weights"], row["activation"], row["p"]) == (PUBLISHED[kind], "relu", rate)
    )
    return printed(table["C_L"][layer - 1], decimals=4, section="9.4", what="6 middle gate_proj matrices")


def _name(kind: str, rate: float, layer: int) -> str:
    return f"exp_b.{kind}.{rate}.{layer}"
