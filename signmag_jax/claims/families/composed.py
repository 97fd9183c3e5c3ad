"""Networks of layers: LayerNorm behind a block, and a gated residual branch, by the law of composition."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from signmag_jax import simulate, theory
from signmag_jax.claims.claim import Claim, Exact, simulated_law
from signmag_jax.claims.levels import Level, LevelName
from signmag_jax.claims.pieces import Results, Simulated
from signmag_jax.claims.supply import exact, extrapolated
from signmag_jax.simulate.composed import Difference

RATE, WIDTHS, INPUTS = 0.1, (64, 128), 128
FROM: LevelName = "default"
BRANCH = "rmsnorm, gate(serial(dense, relu), dense), dense"
NETWORKS = {"layernorm": "dense, relu, layernorm", "residual": f"dense, relu, residual({BRANCH})"}
DIFFERENCES: dict[str, Difference] = {"layernorm": "linear", "residual": "finite"}
BEHIND = {"linear": "behind the derivative of the norm at the end.", "finite": "of sin² of the angle."}
# Of the networks of a chain: the nearer the rival, the more.
TIMES = {"layernorm": 6, "residual": 4}
WITHOUT_RELU = f"dense, residual({BRANCH})"


def experiments(level: Level) -> Iterator[Simulated]:
    """Simulations of both networks at each width."""
    for network in NETWORKS:
        yield from (_simulated(level, network, width) for width in WIDTHS)


def rows(level: Level, results: Results) -> Iterator[Claim]:
    """One a network."""
    yield _row(
        "layernorm",
        f"Behind LayerNorm, which takes away the units' mean, the block's ratio at p = {RATE:g} is another.",
        exact(theory.block_ratio, RATE, norm="layer"),
        (lambda: float(theory.transverse_ratio(RATE)), "the ratio behind RMSNorm"),
        "block; LayerNorm",
        level,
        results,
    )
    yield _row(
        "residual",
        f"The ratio at p = {RATE:g} behind a residual ReGLU branch follows from its layers' laws.",
        exact(theory.network_ratio, RATE, NETWORKS["residual"], "finite"),
        (
            lambda: float(theory.network_ratio(RATE, WITHOUT_RELU, "finite")),
            "a stream of no mean, without the ReLU before the branch",
        ),
        "composition of layers",
        level,
        results,
    )


def _simulated(level: Level, network: str, width: int) -> Simulated[simulate.Composed]:
    run = partial(
        simulate.composed, width, RATE, NETWORKS[network], difference=DIFFERENCES[network], inputs=INPUTS
    )
    networks = TIMES[network] * level.depth_networks if level.runs(FROM) else 0
    return Simulated("network", run, networks, variant=f"{network}.{width}")


def _row(
    network: str,
    statement: str,
    predicted: Exact,
    rival: tuple[Callable[[], float], str],
    source: str,
    level: Level,
    results: Results,
) -> Claim:
    simulated = (
        (width, results.supply(_simulated(level, network, width), lambda run: run.transverse_ratio_of_means))
        for width in WIDTHS
    )
    return simulated_law(
        f"network.{network}",
        statement,
        predicted,
        extrapolated(*simulated),
        rival,
        source=source,
        note=f'The network is "{NETWORKS[network]}", its matrices Gaussian; a ratio of means '
        + BEHIND[DIFFERENCES[network]],
        runs_from=FROM,
    )
