"""The plain chain with a trained model's own matrices (Exp B), beside two controls."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from signmag_jax import measure, theory
from signmag_jax.claims.claim import Claim, Evidence, Missing, Route, Supply
from signmag_jax.claims.levels import Level
from signmag_jax.claims.measured import Measured, ModelRun
from signmag_jax.claims.pieces import Results
from signmag_jax.claims.published import paper, printed
from signmag_jax.claims.supply import pick, with_origin
from signmag_jax.evidence import Estimate, InvalidInput
from signmag_jax.perturb import Weights

from . import depth_laws

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
    "trained": "The recursion knows of each matrix E|w|, E|w|³ and E w⁴, and no order among its entries: the "
    "row asks how far that describes trained ones. The paper's figure is of TinyLlama-1.1B.",
    "permuted": "Only the distribution of the entries is left of training, which the recursion knows. Of "
    "heavy tails it knows what they do to first order in 1/width.",
    CONTROL: "The control: the same code on what the law is about.",
}


def _measure(run: ModelRun, **options: Any) -> measure.TrainedChain:
    """C_l of the three kinds of weights."""
    check_width(run)
    return measure.trained_chain(run.model, **options)


def check_width(run: ModelRun) -> None:
    """Refuse a width at which the law has terms of higher order in 1/width, and ReLU may kill a whole state.

    Raises:
      Unmeasurable: naming it.
    """
    width = run.model.config.hidden
    if width < NARROWEST:
        raise measure.Unmeasurable(
            f"the recursion holds from width {NARROWEST} on, and the matrices have {width}"
        )


CHAIN = Measured(
    "trained_chain",
    _measure,
    options=lambda level: {"rates": RATES, "draws": level.chain_draws},
    amount=lambda level: level.chain_draws,
    what="Exp B",
)


def law_of(chain: measure.TrainedChain, kind: str, rates: Sequence[float] = RATES) -> Evidence:
    """What the recursion says of matrices of that width, Gaussian or of the entries' own moments."""
    depth, width, weights = len(chain.layers), chain.width, "gaussian"
    try:
        if kind != CONTROL:
            pairs = zip(chain.layers, chain.moments, strict=True)
            weights = [Weights(f"layer {layer}", *moments) for layer, moments in pairs]
        value = np.stack(
            [
                theory.finite_width_depth_ratios(round(rate * width**2) / width**2, depth, width, weights)
                for rate in rates
            ]
        )
    except InvalidInput as objection:
        return Missing("UNRESOLVED", str(objection))
    name = "closed form, averaged over the flips of a row"
    return Estimate.exact(
        value, estimator=name, provenance={"law": "finite_width_depth_ratios", "width": width}
    )


def rows(level: Level, results: Results) -> Iterator[Claim]:
    """Each kind of weights against the law, at two rates, behind the first and the sixth layer."""
    for kind in WEIGHTS:
        law = results.evidence(CHAIN, functools.partial(law_of, kind=kind))
        for rate in RATES:
            for layer in LAYERS:
                yield _row(kind, rate, layer, law, results)


def _row(kind: str, rate: float, layer: int, law: Evidence, results: Results) -> Claim:
    value, meaning = depth_laws.rival("plain", rate, layer)
    if kind != CONTROL:
        value, meaning = (
            float(np.ravel(theory.depth_ratios(rate, layer))[-1]),
            "the recursion of Gaussian matrices",
        )

    def ratio_of(ratios: Callable[[measure.TrainedChain], Any]) -> Supply:
        """C_layer at that rate, among `ratios` by rate and layer."""

        def read(chain: measure.TrainedChain) -> Evidence:
            depth = len(chain.layers)
            if layer > depth:
                return Missing("UNRESOLVED", f"the chain has only {depth} layers")
            table = ratios(chain)
            if isinstance(table, Missing):
                return table
            return with_origin(pick(table, (RATES.index(rate), layer - 1)), chain.provenance)

        return results.supply(CHAIN, read)

    routes: dict[Route, Supply] = {
        "predicted": ratio_of(lambda _: law),
        "measured": ratio_of(lambda chain: chain.ratio[kind]),
    }
    if kind in PUBLISHED:
        routes = {"published": _published(kind, rate, layer), **routes}
    return Claim(
        name=f"exp_b.{kind}.p={rate:g}.L={layer}",
        claimant="ours" if kind == CONTROL or (kind, layer) == ("permuted", 1) else "open",
        source=SECTION,
        statement=f"C_{layer} at p = {rate:g} of a chain of {WEIGHTS[kind]} is that of the recursion"
        f"{'' if kind == CONTROL else ', whose weights have the moments of theirs'}.",
        routes=routes,
        compare=(("predicted", "measured"),),
        rival=lambda: value,
        rival_is=meaning,
        runs_from="quick" if layer == 1 else "default",
        note=f"{NOTES[kind]} Published: width 2048, not compared. Measured: {results.model}.",
    )


def _published(kind: str, rate: float, layer: int) -> Supply:
    table = next(
        row
        for row in paper()["depth_trained"]["rows"]
        if (row["weights"], row["activation"], row["p"]) == (PUBLISHED[kind], "relu", rate)
    )
    return printed(
        table["C_L"][layer - 1],
        decimals=4,
        section="9.4",
        what="mean over seeds, 6 middle gate_proj matrices",
    )
