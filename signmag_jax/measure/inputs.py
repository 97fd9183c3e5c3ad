"""What every measurement checks before it spends time, and the provenance that it leaves behind."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int

from signmag_jax.evidence import InvalidInput, invalid, provenance
from signmag_jax.models import MATRICES, LanguageModel, ModelConfig, check_windows, fetch, text
from signmag_jax.models.attention_kernel import taken

# With 8 windows Fieller's interval of a ratio of means from 4 draws covers 92 to 98%.
MINIMUM_WINDOWS = 8
# One half of them names weights and the other says what these cost; and an error takes two.
FEWEST_CALIBRATION = 2
Windows = Int[np.ndarray, "_ _"]
"""Token ids, windows in rows."""


def checked_windows(model: LanguageModel, tokens: Windows, name: str, minimum: int = 1) -> Windows:
    """`tokens` as int32, or an error that names the set: too few windows, too short, unknown ids."""
    tokens = np.asarray(tokens, np.int32)
    if len(tokens) < minimum:
        raise invalid(
            f"at least {minimum} {name} windows",
            len(tokens),
            "fewer give no standard error over windows; use shorter windows or a longer text",
        )
    if tokens.shape[1] < 2:
        raise invalid("window >= 2 tokens", tokens.shape[1], "a window predicts window − 1 tokens")
    check_windows(model.config, tokens)
    return tokens


def check_disjoint(calibration: Windows, evaluation: Windows) -> None:
    """Refuse text that both chooses the outliers and scores them.

    Raises:
      InvalidInput: if half an evaluation window, in one piece, stands in a calibration window.
    """
    for index, repeated in enumerate(text.repeats(calibration, evaluation)):
        if repeated:
            raise invalid(
                "calibration and evaluation windows disjoint",
                f"half of evaluation window {index} in the calibration windows",
                "take other evaluation windows, as `models.text.divided` does",
            )


class Unmeasurable(InvalidInput):
    """A model or text that has no such number; others of it may exist."""


def unmeasurable(invariant: str, received: object, fix: str) -> Unmeasurable:
    """The error of `evidence.invalid` for a fault in what is measured, not in what was asked."""
    return Unmeasurable(str(invalid(invariant, received, fix)))


def check_finite(
    table: Float[np.ndarray, "count ..."], what: str = "the clean model's loss", row: str = "window"
) -> None:
    """Refuse a baseline that is NaN or infinite: no difference to it means anything.

    Raises:
      Unmeasurable: with the first broken row, which is a window or a layer.
    """
    broken = np.flatnonzero(~np.isfinite(table.reshape(len(table), -1)).all(axis=1))
    if broken.size:
        raise unmeasurable(
            f"{what} finite",
            f"NaN or infinity in {row} {broken[0]} ({broken.size} of {len(table)} {row}s)",
            "check the checkpoint's weights, or load with a wider dtype (`dtype='float32'`)",
        )


def selected(
    config: ModelConfig, layers: Sequence[int] | None, matrices: Sequence[str] | None
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The layers and matrices asked for (None: all), in the model's order.

    Raises:
      InvalidInput: for one that does not exist, with the valid ones, or one named twice.
    """
    return check_layers(layers, config.layers), check_matrices(matrices)


def check_layers(layers: Sequence[int] | None, count: int) -> tuple[int, ...]:
    """Distinct layers of a model of `count` layers, ascending; None is all."""
    asked = tuple(range(count)) if layers is None else tuple(layers)
    unknown = [layer for layer in asked if layer not in range(count)]
    if unknown or not asked or len(set(asked)) < len(asked):
        raise invalid(f"distinct layers in 0..{count - 1}", unknown or asked, "name layers of this model")
    return tuple(sorted(map(int, asked)))


def check_matrices(matrices: Sequence[str] | None) -> tuple[str, ...]:
    """Distinct names of matrices, in the model's order; None is all."""
    names = MATRICES if matrices is None else tuple(matrices)
    strange = [name for name in names if name not in MATRICES]
    if strange or not names or len(set(names)) < len(names):
        raise invalid(f"distinct matrices in {MATRICES}", strange or names, "name matrices of this model")
    return tuple(name for name in MATRICES if name in names)


def check_rates(rates: Sequence[float]) -> tuple[float, ...]:
    """Distinct rates in (0, 1], in the order given."""
    values = tuple(float(rate) for rate in rates)
    if not values or not all(0 < rate <= 1 for rate in values) or len(set(values)) < len(values):
        raise invalid(
            "distinct rates with 0 < rate <= 1", values, "pass parts of the outlier pool, like 0.005"
        )
    return values


def draws_per_rate(rates: Sequence[float], draws: int | Sequence[int]) -> list[int]:
    """Masks of each arm at each rate.

    Raises:
      InvalidInput: for fewer than two, or not one number per rate.
    """
    counts = [draws] * len(rates) if isinstance(draws, int) else list(draws)
    if len(counts) != len(rates) or min(counts) < 2:
        raise invalid(
            f"draws >= 2, one number or {len(rates)} (one per rate)", draws, "one mask has no standard error"
        )
    return counts


def check_batch(batch: int | None) -> None:
    """Refuse a number of windows at a time that is below 1; None is all."""
    if batch is not None and batch < 1:
        raise invalid("batch >= 1", batch, "pass the number of windows that fit in memory at a time")


def check_probes(probes: int) -> None:
    """Refuse fewer than two."""
    if probes < 2:
        raise invalid("probes >= 2", probes, "one probe has no standard error")


def sha256_of_tokens(tokens: Windows) -> str:
    """Identity of a set of windows: SHA-256 of shape and ids."""
    # Little-endian: one identity on every machine.
    return hashlib.sha256(repr(tokens.shape).encode() + tokens.astype("<i4").tobytes()).hexdigest()


def sha256_of_parameters(model: LanguageModel) -> str:
    """SHA-256 of every weight in memory: edited weights are another model, whatever their files say."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(model.params):
        digest.update(jax.tree_util.keystr(path).encode() + repr((leaf.shape, str(leaf.dtype))).encode())
        # The bytes as they lie: no copy, and half precisions that NumPy does not know.
        digest.update(np.ascontiguousarray(fetch(leaf)).view(np.uint8).data)
    return digest.hexdigest()


def provenance_of(
    model: LanguageModel, source: Mapping[str, Any] | None, **particular: Any
) -> dict[str, Any]:
    """Versions, device, threads, model report, dtype; then `source` (the text's sha256) and `particular`.

    On an accelerator also `attention`: what `attention_kernel.taken` says of this dtype, in this process.
    """
    dtype, own = model.report.dtype, dict(source or {})
    if jax.default_backend() != "cpu":
        own["attention"] = {of: how for of, how in taken().items() if of.startswith(f"{dtype},")}
    return provenance.collect(model=model.report.to_json(), dtype=dtype, **own, **particular)
