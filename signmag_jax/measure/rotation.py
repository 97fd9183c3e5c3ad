"""Rotating the residual stream: the same function, with inputs spread over all columns. A control."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from signmag_jax.evidence import Estimate, Picture, Result, invalid, keys
from signmag_jax.evidence.counts import counting
from signmag_jax.evidence.result import named
from signmag_jax.models import SITE_OF, LanguageModel, fetch
from signmag_jax.perturb import SignFlip

from . import inputs
from .activations import Alpha, alpha, squared_column_norms
from .arm_comparison import UNPREDICTED, damage_line
from .column_statistics import column_statistics
from .inputs import Windows
from .metrics import Metrics, check_draws, metrics
from .setup import Options, nested, prepare

READERS = {
    "q_proj": "attention_norm",
    "k_proj": "attention_norm",
    "v_proj": "attention_norm",
    "gate_proj": "mlp_norm",
    "up_proj": "mlp_norm",
}
"""Matrices that read the stream, and the normalisation whose gain they take in."""
WRITERS = ("o_proj", "down_proj", "o_bias", "down_bias")
STREAM = ("attention_in", "mlp_in")
RATE = 0.01
DRAWS = 5


@counting
def rotated(model: LanguageModel, seed: int = 0) -> LanguageModel:
    """Another model with the same function, whose residual stream is turned by a random orthogonal matrix.

    `x → Qx`: the gains of the RMSNorms go into the matrices that read the stream, W → W diag(g) Qᵀ; those
    that write it become QW; a normalisation without gain commutes with Q. A tied head becomes a matrix of
    its own, since it takes in the last gain and the embedding does not. Computed in float64.

    Raises:
      InvalidInput: for a model that normalises what it adds to the stream, or rounds what it reads from it:
        neither commutes with Q.

    Source: Ashkboos et al., QuaRot (arXiv:2404.00456), with a uniform Q for their Hadamard matrix.
    """
    if model.config.post_norm or model.config.input_bits is not None:
        raise invalid(
            "a residual stream that can be rotated before it is read",
            f"a model of type {model.config.family}, which normalises or rounds it column by column",
            "measure another model",
        )
    turn = orthogonal(model.config.hidden, seed)
    params, blocks = model.params, dict(model.params["blocks"])
    # Gains first: only a norm without one is the same in every basis.
    for name, gain in READERS.items():
        gains = fetch(params["blocks"][gain]).astype(np.float64)
        blocks[name] = _each(blocks[name], lambda w, i, g=gains: (w * g[i]) @ turn.T)
    for name in WRITERS:
        if name in blocks:
            blocks[name] = _each(blocks[name], lambda w, _: turn @ w)
    for gain in set(READERS.values()):
        blocks[gain] = jnp.ones_like(blocks[gain])
    # Only the head has the last gain in it: a tied pair is two matrices from here on.
    embed, head = params["embed"], params["embed" if model.config.tied else "head"]
    gains = fetch(params["norm"]).astype(np.float64)
    outer = {
        "embed": _like(embed, fetch(embed).astype(np.float64) @ turn.T),
        "head": _like(head, (fetch(head).astype(np.float64) * gains) @ turn.T),
        "norm": jnp.ones_like(params["norm"]),
    }
    report = dataclasses.replace(
        model.report,
        parameters=model.report.parameters + (head.size if model.config.tied else 0),
        notes=(*model.report.notes, f"gains folded in, stream rotated by a random matrix of seed {seed}"),
    )
    config = dataclasses.replace(model.config, tied=False)
    return model.replace(config=config, params=outer | {"blocks": blocks}, report=report)


def orthogonal(size: int, seed: int) -> Float[np.ndarray, "size size"]:
    """Uniform on the orthogonal group: QR of a Gaussian matrix, with the signs of R's diagonal."""
    # Drawn in float32, whatever JAX's flag: one seed is one rotation.
    raw = jax.random.normal(keys.fold(keys.root(seed), "rotation"), (size, size), jnp.float32)
    turn, upper = np.linalg.qr(np.asarray(raw, np.float64))
    # QR leaves the signs to the routine: the law would be its own, and not uniform.
    return turn * np.sign(np.diag(upper))


def _each(stacked: jax.Array, change: Any) -> jax.Array:
    """Layer by layer in float64, back in the dtype of the weights."""
    layers = (change(w.astype(np.float64), i) for i, w in enumerate(fetch(stacked)))
    return _like(stacked, np.stack([layer.astype(stacked.dtype) for layer in layers]))


def _like(stored: jax.Array, values: np.ndarray) -> jax.Array:
    """Other values in the dtype and on the devices of a parameter."""
    return jax.device_put(values.astype(stored.dtype), stored.sharding)


@dataclass(frozen=True, eq=False)
class Rotation(Result):
    """Result of `rotation`: "trained" is the model as it is, "rotated" its turned copy.

    Args:
      difference: NLL of the rotated model minus that of the trained one, error over windows: rounding.
      largest: by model and site that reads the stream, max_j nα_j² of each layer.
      total: by matrix that reads the stream, Σ_j E x_j²‖W_·j‖² of the rotated over the trained model, of each
        layer: the predicted ratio of the damage of flips anywhere.
      flips: by model, the metrics of flipping a part of all signs that read the stream.
      provenance: model, texts, seed, versions, device.
    """

    SHOWN = ("left_to_chance",)
    left_to_chance = UNPREDICTED

    difference: Estimate
    largest: dict[str, dict[str, Float[np.ndarray, " layers"]]] = field(
        metadata=named("largest_n_alpha_squared")
    )
    total: dict[str, Float[np.ndarray, " layers"]] = field(metadata=named("total_energy_ratio"))
    flips: dict[str, Metrics]
    provenance: Mapping[str, Any]

    def summary(self) -> dict[str, str]:
        """Rounding, the largest columns, and what flips cost before and after."""
        summary = {"nll rotated − trained": str(self.difference)}
        for which, table in self.largest.items():
            for site, values in table.items():
                summary[f"largest nα² at {site}, median over layers, {which}"] = f"{np.median(values):.4g}"
        for name, values in self.total.items():
            summary[f"Σα²‖w‖² of {name}, rotated over trained, median"] = f"{np.median(values):.3g}"
        for which, flips in self.flips.items():
            summary[f"ΔNLL of flips, {which}"] = damage_line(flips.values["delta_nll"])
        return summary | {"left to chance": self.left_to_chance}

    def rows(self) -> list[dict[str, Any]]:
        """The metrics of every draw and window, of the trained and of the rotated model."""
        return [{"model": which, **row} for which, flips in self.flips.items() for row in flips.rows()]

    def picture(self) -> Picture:
        """The largest column of every layer, before and after."""
        series = {
            f"{which}, {site}": (values, None)
            for which, table in self.largest.items()
            for site, values in table.items()
        }
        count = len(next(iter(series.values()))[0])
        return Picture(
            "curves",
            {
                "series": series,
                "x": "layer",
                "y": "largest nα²",
                "title": "The largest column before and after a rotation",
                "along": range(count),
                "log": True,
            },
        )


@counting
def rotation(
    model: LanguageModel,
    calibration: Windows,
    evaluation: Windows,
    *,
    rate: float = RATE,
    draws: int = DRAWS,
    seed: int = 0,
    batch: int | None = None,
    resume: str | Path | None = None,
    source: Mapping[str, Any] | None = None,
) -> Rotation:
    """The control: without outlier columns, what do flips cost?

    No error knows of a single weight that costs much and that no draw flips.

    Args:
      model: from `models.load`.
      calibration: windows that measure α² (at least 2).
      evaluation: other windows that score the losses (at least 8).
      rate: probability, in (0, 1], with which each sign of the matrices that read the stream flips.
      draws: number of random masks.
      seed: root seed, of masks and of the rotation.
      batch: number of evaluation windows that are computed at a time; by default all.
      resume: folder of records, one folder for each model; an interrupted run goes on where it stopped,
        with an identical result.
      source: added to the provenance.

    Raises:
      InvalidInput: as in `metrics`, or for windows that overlap.
    """
    count = check_draws(draws)
    perturbation = SignFlip(inputs.check_rates((rate,))[0])
    own = {"experiment": "rotation", "rate": rate, "draws": count}
    options: Options = {"matrices": tuple(READERS), "seed": seed, "resume": resume, "source": source}
    # No records here: the metrics of either model, which take the time, keep their own.
    setup = prepare(model, calibration, evaluation, own, batch=batch, **{**options, "resume": None})
    both = {"trained": model, "rotated": rotated(model, seed)}
    losses = {which: dataclasses.replace(setup, model=each).losses() for which, each in both.items()}
    inputs.check_finite(losses["trained"])
    profiles = {which: alpha(each, calibration) for which, each in both.items()}
    flips = {
        which: metrics(each, evaluation, perturbation, draws=count, batch=batch, **nested(options, which))
        for which, each in both.items()
    }
    return Rotation(
        Estimate.of_samples(
            losses["rotated"] - losses["trained"], unit="nat/token", estimator="mean over windows"
        ),
        {which: {site: _largest(profile, site) for site in STREAM} for which, profile in profiles.items()},
        _totals(both, calibration),
        flips,
        setup.origin(),
    )


def _largest(profile: Alpha, site: str) -> Float[np.ndarray, " layers"]:
    share = profile.token_share[site].value
    return share.shape[1] * share.max(axis=1)


def _totals(both: dict[str, LanguageModel], calibration: Windows) -> dict[str, Any]:
    """Ratios of Σ_j E x_j²‖W_·j‖², not of shares of ‖x‖²: folded gains change the input's norm."""
    sums = {}
    for which, model in both.items():
        square = column_statistics(model, calibration).square
        sums[which] = {}
        for name in READERS:
            norms = squared_column_norms(model.params["blocks"][name])
            sums[which][name] = (square[SITE_OF[name]] * norms).sum(axis=1)
    return {name: sums["rotated"][name] / sums["trained"][name] for name in READERS}
