"""What an error in the weights does to a model's predictions, token by token beside the clean model's."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from signmag_jax.evidence import ConfidenceInterval, Estimate, Picture, Result, bootstrap, invalid, keys
from signmag_jax.evidence.compiling import jit
from signmag_jax.evidence.counts import counting
from signmag_jax.evidence.precision import at_least_float32
from signmag_jax.evidence.result import by_draw
from signmag_jax.models import LanguageModel, Llama, ModelConfig, Transform, fetch
from signmag_jax.models.chunks import in_chunks, rows_at_once
from signmag_jax.models.layers import apply_linear
from signmag_jax.perturb import Perturbation, SignFlip

from . import inputs, sweep
from .arm_comparison import Table, damage_line
from .error_response import is_deterministic
from .inputs import Windows
from .loss import perplexity
from .setup import Options, Setup, prepare

PAIRED = ("delta_nll", "kl", "reverse_kl", "agreement")
"""Per predicted token: NLL' − NLL, KL(clean ‖ perturbed), KL(perturbed ‖ clean), equal most likely tokens."""
UNITS = {"delta_nll": "nat/token", "kl": "nat/token", "reverse_kl": "nat/token", "agreement": "1"}
STORED = ("nll", *PAIRED)
DRAWS = 4
FLIPS = SignFlip(0.01)
CHUNK = 128
"""Tokens whose two sets of logits exist at one time."""


@dataclass(frozen=True, eq=False)
class Metrics(Result):
    """Result of `metrics`.

    Args:
      clean: NLL of the clean model, error over windows.
      values: by name, means over draws and windows with crossed-bootstrap errors: those of `PAIRED`, and
        "nll" and "perplexity" of the perturbed model; None where a draw gave no finite predictions.
      noise_floor: by name, what the perturbing program with nothing perturbed measures at most in a window
        (A/A): |ΔNLL|, |KL| and the part of tokens that disagree.
      samples: by name of `PAIRED`, draws × windows; None as in `values`.
      provenance: model, text, perturbation, seed, versions, device.
    """

    clean: Estimate
    values: dict[str, ConfidenceInterval | None]
    noise_floor: dict[str, float]
    samples: dict[str, Table | None]
    provenance: Mapping[str, Any]

    def summary(self) -> dict[str, str]:
        """The clean loss, every mean, and the noise floor."""
        values = {name: damage_line(value) for name, value in self.values.items()}
        floor = ", ".join(f"{name} {value:.2g}" for name, value in self.noise_floor.items())
        return {"clean nll": str(self.clean), **values, "noise floor (A/A)": floor}

    def rows(self) -> list[dict[str, Any]]:
        """Every metric of every draw and window."""
        return by_draw(self.samples, "metric", "value")

    def picture(self) -> Picture:
        """ΔNLL and both divergences with their intervals."""
        losses = {name: self.values[name] for name in PAIRED[:3]}
        values = {name: (each.estimate.value, each.low, each.high) for name, each in losses.items() if each}
        title = self.provenance["perturbation"]
        return Picture("bars", {"values": values, "y": "nats per token", "title": title})


@counting
def metrics(
    model: LanguageModel,
    evaluation: Windows,
    perturbation: Perturbation = FLIPS,
    *,
    draws: int = DRAWS,
    batch: int | None = None,
    **options: Unpack[Options],
) -> Metrics:
    """NLL, perplexity, KL divergence both ways and top-1 agreement, paired with the clean model.

    Both models read the same windows in the same shapes. Their final states are kept, their logits are built
    a chunk of tokens at a time, both at once, and never stored.

    Args:
      model: from `models.load`.
      evaluation: at least 8 windows.
      perturbation: from `perturb`, or any hashable object with its two methods; applied to each matrix with
        a key of its own.
      draws: number of random draws of the perturbation; one that is not random is
        measured once.
      batch: number of windows that are computed at a time; by default all.
      options: as in `Options`.

    Raises:
      InvalidInput: for fewer than 8 windows, draws below 1, a perturbation that cannot be hashed, unknown
        layers or matrices, or clean predictions that are not finite.
    """
    count = check_draws(draws)
    _check_hashable(perturbation)
    if is_deterministic(perturbation):
        count = 1
    own = {"experiment": "metrics", "perturbation": repr(perturbation), "draws": count}
    setup = prepare(model, None, evaluation, own, batch=batch, **options)
    rows = _rows(setup, perturbation, count)
    inputs.check_finite(rows[:2].reshape(-1, rows.shape[2]).T, "the clean model's predictions")
    return judged(rows, setup.origin())


def check_draws(draws: int, least: int = 1) -> int:
    """A number of draws.

    Raises:
      InvalidInput: unless it is a whole number of at least `least`.
    """
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < least:
        raise invalid(f"draws >= {least}, one whole number", draws, "pass a number of draws")
    return draws


def compare_states(
    clean: Float[Array, "batch tokens hidden"],
    changed: Float[Array, "batch tokens hidden"],
    tokens: Int[Array, "batch tokens"],
    head: Float[Array, "vocabulary hidden"],
    chunk: int | None = None,
) -> dict[str, Float[Array, "batch predicted"]]:
    """`STORED` of every predicted token, from both models' final states; both logits a chunk at a time."""
    batch, length = tokens.shape
    count = batch * (length - 1)
    pieces = functools.partial(in_chunks, chunk=min(chunk or rows_at_once(CHUNK, head.shape[0]), count))

    def log_probabilities(states: Array) -> Array:
        raw = apply_linear(states, head)
        return jax.nn.log_softmax(raw.astype(at_least_float32(raw.dtype)))

    def one(piece: tuple[Array, Array, Array]) -> dict[str, Array]:
        ours, theirs, targets = piece
        # Normalised once, and from logarithms: a divergence of tiny probabilities keeps its digits.
        p, q = log_probabilities(ours), log_probabilities(theirs)
        loss = optax.softmax_cross_entropy_with_integer_labels
        divergence = optax.losses.kl_divergence_with_log_targets
        agree = jnp.argmax(p, axis=-1) == jnp.argmax(q, axis=-1)
        nll = loss(q, targets)
        return {
            "nll": nll,
            "delta_nll": nll - loss(p, targets),
            "kl": divergence(q, p),
            "reverse_kl": divergence(p, q),
            # The most likely token of NaN is none.
            "agreement": jnp.where(jnp.isfinite(nll), agree.astype(nll.dtype), jnp.nan),
        }

    ours, theirs = (pieces(states[:, :-1].reshape(count, -1)) for states in (clean, changed))
    values = jax.lax.map(one, (ours, theirs, pieces(tokens[:, 1:].reshape(count))))
    return {name: x.reshape(-1)[:count].reshape(batch, length - 1) for name, x in values.items()}


def perturbing(
    perturbation: Perturbation,
    names: Sequence[str],
    taking_part: Bool[Array, " layers"],
    key: PRNGKeyArray,
    draw: Int[Array, ""],
) -> Transform:
    """The weight transform that draws a perturbation anew in each matrix, in the layers that take part."""

    def transform(weight: Float[Array, "outputs inputs"], layer: Array, name: str) -> Any:
        if name not in names:
            return weight
        # By layer and matrix, so that a draw does not depend on which of them take part.
        changed = perturbation.apply(keys.fold(key, layer, name, draw), weight)
        return jnp.where(taking_part[layer], changed.astype(weight.dtype), weight)

    return transform


def window_means(
    setup: Setup,
    clean: Sequence[Float[Array, "batch window hidden"]],
    states: Callable[[Array], Array],
    names: Sequence[str],
) -> sweep.Row:
    """Window means of some of what `compare_states` gives, one metric after the other.

    Args:
      setup: whose model's output matrix turns states into predictions.
      clean: final states of the clean model, for each of its batches.
      states: those of the other model, from a batch.
      names: of the metrics.
    """
    model, rows = setup.model, []
    head = model.params["embed" if model.config.tied else "head"]
    for tokens, ours in zip(setup.batches, clean, strict=True):
        table = fetch(_compare(ours, states(tokens), tokens, head))
        rows.append([table[name].astype(np.float64).mean(axis=1) for name in names])
    return np.concatenate(rows, axis=1).ravel()


def _rows(setup: Setup, perturbation: Perturbation, count: int) -> Float[np.ndarray, "rows names windows"]:
    """Clean, A/A, then every draw; each holds the window means of `STORED`."""
    model = setup.model
    key = keys.fold(keys.root(setup.seed), "metrics")
    states = functools.partial(_states, model.config, perturbation)
    # As data: whichever layers take part, and for the A/A comparison none, the program is the same.
    taking_part = jnp.asarray(np.isin(np.arange(model.config.layers), setup.layers))
    nothing = jnp.zeros_like(taking_part)

    @functools.cache
    def clean() -> list[Array]:
        """Computed when first needed: a run that only reads its records needs none."""
        return [states((), model.params, tokens, nothing, key, jnp.int32(0)) for tokens in setup.batches]

    # The perturbing program with nothing perturbed is the A/A comparison: what it changes is rounding.
    def task(names: tuple[str, ...], part: Bool[Array, " layers"], draw: int) -> sweep.Row:
        perturbed = lambda tokens: states(names, model.params, tokens, part, key, jnp.int32(draw))  # noqa: E731
        return window_means(setup, clean(), perturbed, STORED)

    tasks = [functools.partial(task, (), nothing, 0), functools.partial(task, setup.matrices, nothing, 0)]
    tasks += [functools.partial(task, setup.matrices, taking_part, draw) for draw in range(count)]
    return np.stack(setup.sweep(tasks, entries=len(STORED) * len(setup.evaluation))).reshape(
        len(tasks), len(STORED), -1
    )


@functools.partial(jit, static_argnums=(0, 1, 2))
def _states(
    config: ModelConfig,
    perturbation: Perturbation,
    names: tuple[str, ...],
    params: dict[str, Any],
    tokens: Int[Array, "batch window"],
    taking_part: Bool[Array, " layers"],
    key: PRNGKeyArray,
    draw: Int[Array, ""],
) -> Float[Array, "batch window hidden"]:
    transform = perturbing(perturbation, names, taking_part, key, draw)
    return Llama.of_parameters(config, params).run(tokens, transform)[0]


_compare = jit(compare_states)


def _check_hashable(perturbation: Perturbation) -> None:
    try:
        hash(perturbation)
    except TypeError:
        raise invalid(
            "a perturbation of plain numbers", perturbation, "pass floats, not arrays, as its arguments"
        ) from None


def judged(rows: Float[np.ndarray, "rows names windows"], origin: Mapping[str, Any]) -> Metrics:
    """The result, from `STORED` of the clean model, of a draw of nothing, and of each draw."""
    clean, same, draws = rows[0], rows[1], rows[2:]
    tables = {name: draws[:, index] for index, name in enumerate(STORED)}
    finite = all(np.isfinite(table).all() for table in tables.values())
    values: dict[str, ConfidenceInterval | None] = dict.fromkeys(("nll", *PAIRED, "perplexity"))
    # One draw without finite predictions leaves no mean: that of the others is a mean of the gentle ones.
    if finite:
        values["nll"] = bootstrap.mean(tables["nll"], unit="nat/token")
        values |= {name: bootstrap.mean(tables[name], unit=UNITS[name]) for name in PAIRED}
        values["perplexity"] = exponential(values["nll"])
    floor = {name: float(np.abs(same[STORED.index(name)]).max()) for name in PAIRED[:3]}
    floor["disagreement"] = float((1 - same[STORED.index("agreement")]).max())
    loss = Estimate.of_samples(clean[0], unit="nat/token", estimator="mean over windows")
    return Metrics(loss, values, floor, {n: tables[n] if finite else None for n in PAIRED}, origin)


def exponential(loss: ConfidenceInterval | None) -> ConfidenceInterval | None:
    """`perplexity` with its interval; None where it has no finite value."""
    # Beyond 709.8 the exponential overflows.
    if loss is None or max(loss.high, loss.estimate.value) > 700:
        return None
    return ConfidenceInterval(perplexity(loss.estimate), math.exp(loss.low), math.exp(loss.high), loss.level)
