"""How much is sampled: quick, default and full runs do the same things with different counts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from signmag_jax.evidence import invalid
from signmag_jax.measure import registry
from signmag_jax.measure.deciding import SHORTLIST_PASSES

from . import second_table
from .chains import CHAINS
from .depth import WIDE_LAYERS


@dataclass(frozen=True)
class Level:
    """Sample sizes of one run of the ledger.

    Args:
      widths: widths of the simulated block, ascending; the last three are extrapolated in 1/width.
      networks: independent networks for each width.
      paper_networks: networks for the experiments at the paper's own sizes.
      depth_networks: networks for each depth chain; some take a multiple of it.
      window: tokens of an evaluation window.
      windows: evaluation windows.
      calibration_windows: windows on which columns are chosen and activations described.
      leverage_rates: flips per sign of the outlier pool.
      leverage_draws: mask draws of each arm, for each rate: more where single weights decide.
      column_draws: draws for the comparison over all columns.
      pool_draws: draws of each arm of Exp D; of two, one always carries half of the mean. 0: not run.
      chain_draws: draws of masks and inputs for the chain of trained matrices (Exp B). 0: not run.
      flipped_columns: columns that are flipped one by one (Exp F and G). 0: not run.
      probes: Hessian probes of each window for the linear response. 0: not run.
      singles: weights whose exact cost replaces the linear response's bracket.
      verified: weights of the shortlist that are flipped singly. 0: not run.
      rotation_draws: draws of flips in the trained and in the rotated model. 0: not run.
    """

    name: str
    widths: tuple[int, ...]
    networks: tuple[int, ...]
    paper_networks: int
    depth_networks: int
    wide_networks: int
    table_networks: int
    window: int
    windows: int
    calibration_windows: int
    leverage_rates: tuple[float, ...]
    leverage_draws: tuple[int, ...]
    column_draws: int
    pool_draws: int
    chain_draws: int = 0
    flipped_columns: int = 0
    probes: int = 0
    singles: int = 0
    verified: int = 0
    rotation_draws: int = 0

    def to_json(self) -> dict[str, Any]:
        """The sizes as a JSON object."""
        return asdict(self)


TOKENS_OF_A_PASS = 2048
# Of the experiments at the paper's sizes, in units of `paper_networks`, and of cosines alone.
PAPER_RUNS, COSINES = 34, 512
_RATES = (0.001, 0.005, 0.05)

LEVELS = {
    chosen.name: chosen
    for chosen in (
        Level(
            name="quick",
            widths=(64, 128, 256),
            networks=(192, 192, 96),
            paper_networks=32,
            depth_networks=24,
            wide_networks=8,
            table_networks=0,
            window=64,
            windows=8,
            calibration_windows=8,
            leverage_rates=_RATES,
            leverage_draws=(3, 3, 3),
            column_draws=2,
            pool_draws=0,
            chain_draws=6,
        ),
        Level(
            name="default",
            widths=(64, 128, 256, 512),
            networks=(256, 256, 256, 96),
            paper_networks=64,
            depth_networks=48,
            wide_networks=24,
            table_networks=32,
            window=96,
            windows=16,
            calibration_windows=8,
            leverage_rates=_RATES,
            leverage_draws=(11, 6, 3),
            column_draws=5,
            pool_draws=3,
            chain_draws=16,
            flipped_columns=12,
            probes=2,
            singles=12,
            verified=3,
            rotation_draws=5,
        ),
        Level(
            name="full",
            widths=(64, 128, 256, 512, 1024),
            networks=(1024, 768, 512, 384, 192),
            paper_networks=256,
            depth_networks=128,
            wide_networks=96,
            table_networks=128,
            window=1024,
            windows=16,
            calibration_windows=16,
            leverage_rates=_RATES,
            leverage_draws=(48, 24, 12),
            column_draws=8,
            pool_draws=6,
            chain_draws=48,
            flipped_columns=40,
            probes=3,
            singles=24,
            verified=24,
            rotation_draws=8,
        ),
    )
}


def level(name: str) -> Level:
    """The level of that name."""
    if name not in LEVELS:
        raise invalid(f"level in {sorted(LEVELS)}", name, "choose one of them")
    return LEVELS[name]


def cost(chosen: Level) -> dict[str, Any]:
    """What a run of this level costs beside its synthetic part: forward passes and memory."""
    tokens = chosen.window * chosen.windows
    arms = 2 * (sum(chosen.leverage_draws) + chosen.column_draws)
    # Clean and A/A for leverage, clean for the comparison over all columns.
    passes = ((arms + 3) * tokens + 2 * chosen.calibration_windows * chosen.window) / TOKENS_OF_A_PASS
    if chosen.pool_draws:  # whose columns are chosen again
        passes += _passes("outlier-flips", chosen, draws=chosen.pool_draws)
        passes += chosen.calibration_windows * chosen.window / TOKENS_OF_A_PASS
    passes += _of_derivatives(chosen) + _of_columns(chosen)
    return {
        "level": chosen.name,
        "forward_passes_of_2048_tokens": round(passes, 1),
        "simulated_networks": _networks(chosen),
        "peak_memory_gib": "below 4 for the embedded model",
    }


def _passes(name: str, chosen: Level, **options: Any) -> float:
    """Forward passes over the evaluation windows of the measurement of that name."""
    measurement = registry.MEASUREMENTS[name]
    return measurement.passes(windows=chosen.windows, window=chosen.window, **options)


def _of_derivatives(chosen: Level) -> float:
    """Forward passes of the linear response and of the single weights."""
    windows, window = chosen.windows, chosen.window
    passes = 0.0
    if chosen.probes:
        passes += _passes("linear-response", chosen, probes=chosen.probes, singles=chosen.singles)
        passes += registry.CONTROLLED.passes(windows=windows, window=window)
        passes += SHORTLIST_PASSES * chosen.calibration_windows * window / TOKENS_OF_A_PASS
    if chosen.verified:
        passes += _passes("deciding-weights", chosen, verified=chosen.verified, probes=0)
        passes += SHORTLIST_PASSES * chosen.calibration_windows * window / TOKENS_OF_A_PASS
    return passes


def _of_columns(chosen: Level) -> float:
    """Forward passes of Exp F and G and of the rotated model."""
    window, columns = chosen.window, chosen.flipped_columns
    passes = 0.0
    if columns:  # which choose their columns again
        passes += _passes("flip-energies", chosen, columns=columns)
        passes += _passes("column-flips", chosen, columns=columns)
        passes += 2 * chosen.calibration_windows * window / TOKENS_OF_A_PASS
    if chosen.rotation_draws:
        passes += _passes("rotation", chosen, draws=chosen.rotation_draws)
        passes += 4 * chosen.calibration_windows * window / TOKENS_OF_A_PASS  # inputs of both models, twice
    return passes


def _networks(chosen: Level) -> int:
    """Of all experiments of `simulations`."""
    depth = sum(chain.weight * len(chain.widths) for chain in CHAINS.values())
    at_paper_sizes = PAPER_RUNS * chosen.paper_networks
    wide = len(WIDE_LAYERS) * chosen.wide_networks + len(second_table.widths()) * chosen.table_networks
    return sum(chosen.networks) + at_paper_sizes + depth * chosen.depth_networks + wide + COSINES
