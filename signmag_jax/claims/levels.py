"""How much is sampled: quick, default and full runs do the same things with different counts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from signmag_jax.evidence import invalid

LevelName = Literal["quick", "default", "full"]
TOKENS_OF_A_PASS = 2048


@dataclass(frozen=True)
class Level:
    """Sample sizes of one run of the ledger.

    Args:
      widths: widths of the simulated block, ascending; the last three are extrapolated in 1/width.
      networks: independent networks for each width.
      paper_networks: networks for the experiments at the paper's own sizes.
      depth_networks: networks for each chain of layers; some take a multiple of it.
      wide_networks: networks for each of the paper's widest chains.
      table_networks: networks for each width of the paper's second table of blocks. 0: not run.
      window: tokens of an evaluation window.
      windows: evaluation windows.
      calibration_windows: windows on which columns are chosen and activations described.
      leverage_rates: flips per sign of the outlier pool.
      leverage_draws: mask draws of each arm, for each rate; by 3 a ratio is never resolved. 0: not run.
      column_draws: draws for the comparison over all columns. 0: not run.
      pool_draws: draws of each arm of Exp D; by 3 a ratio is never resolved. 0: not run.
      chain_draws: draws of masks and inputs for the chain of trained matrices (Exp B). 0: not run.
      flipped_columns: columns that are flipped one by one (Exp F and G). 0: not run.
      probes: Hessian probes of each window for the linear response. 0: not run.
      singles: weights whose exact cost replaces the linear response's bracket.
      verified: weights of the shortlist of deciding weights that are flipped singly. 0: not run.
      rotation_draws: draws of flips in the trained and in the rotated model. 0: not run.
      leverage_heavy: weights that are flipped one by one and left out of the draws.
      kind_draws: draws of flips in each kind of matrix alone, on little text. 0: not run.
      matrix_draws: draws of masks and inputs for each trained matrix by itself (Fact 1). 0: not run.
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
    leverage_heavy: int = 0
    kind_draws: int = 0
    matrix_draws: int = 0

    @property
    def calibration_passes(self) -> float:
        """Forward passes of 2,048 tokens that reading the calibration windows once costs."""
        return self.calibration_windows * self.window / TOKENS_OF_A_PASS

    def runs(self, lowest: LevelName) -> bool:
        """Whether this level runs what runs from `lowest` on; one of another name runs all."""
        names = list(LEVELS)
        return self.name not in names or names.index(self.name) >= names.index(lowest)

    def to_json(self) -> dict[str, Any]:
        """The sizes as a JSON object."""
        return asdict(self)


# At the quick, the default and the full level. Those of the default level follow from the power of its rows
# against their rivals, for which `tests/claims/test_rule_errors.py` searches a run. Draws scatter more than
# windows do, so that it reads few and short ones.
_RATES = (0.001, 0.005, 0.05)
_SIZES: dict[str, tuple[Any, Any, Any]] = {
    "widths": ((64, 128, 256), (64, 128, 256, 512), (64, 128, 256, 512, 1024)),
    "networks": ((192, 192, 96), (256, 256, 256, 96), (1024, 768, 512, 384, 192)),
    "paper_networks": (32, 64, 256),
    "depth_networks": (24, 48, 128),
    "wide_networks": (8, 8, 96),
    "table_networks": (0, 32, 128),
    "window": (64, 64, 512),
    "windows": (8, 12, 32),
    "calibration_windows": (8, 12, 32),
    "leverage_rates": ((0.001,), _RATES, _RATES),
    "leverage_draws": ((0,), (6, 5, 4), (64, 24, 24)),
    "column_draws": (0, 12, 24),
    "pool_draws": (0, 4, 6),
    "chain_draws": (6, 32, 96),
    "flipped_columns": (0, 16, 80),
    "probes": (0, 2, 3),
    "singles": (0, 12, 24),
    "verified": (0, 0, 26),
    "rotation_draws": (0, 0, 16),
    "leverage_heavy": (0, 24, 24),
    "kind_draws": (0, 0, 64),
    "matrix_draws": (0, 12, 48),
}
LEVELS = {
    name: Level(name, **{size: values[i] for size, values in _SIZES.items()})
    for i, name in enumerate(("quick", "default", "full"))
}


def level(name: str) -> Level:
    """The level of that name."""
    if name not in LEVELS:
        raise invalid(f"level in {sorted(LEVELS)}", name, "choose one of them")
    return LEVELS[name]
