"""Networks from their initialisation to convergence, and what an error in their weights costs on the way."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from signmag_jax.evidence import Estimate, Picture, Result, invalid, keys, provenance
from signmag_jax.evidence.compiling import jit
from signmag_jax.evidence.counts import counting
from signmag_jax.evidence.memory import memory_told
from signmag_jax.evidence.progress import progress
from signmag_jax.evidence.result import KEPT_OUT
from signmag_jax.perturb import Weights
from signmag_jax.perturb.weights import absolute_moments

from .architecture import ENTERING, Architecture, Params
from .block_effects import BlockEffects, block_effects, outlier_columns
from .fit import KEPT, fit, snapshot_steps
from .tasks import TASKS, NextByte, Regression, Task

NETWORKS, STEPS, BATCH, STEP_SIZE = 8, 800, 128, 3e-3
INPUTS, DRAWS = 256, 8
RATE = 0.02
FEWEST, MOST = 3, 256
COPIES, SORTED = 8, 25
"""Copies in memory of each weight while it is learned, and of a matrix while signs are drawn (measured)."""
FULL = "the networks do not fit in memory: lower their number, width or blocks"
ESTIMATOR = "mean over networks of per-network ratios"


@dataclass(frozen=True, eq=False)
class Block(Result):
    """One block of all networks at one step.

    Args:
      block: its number, from 1.
      ratio: A, the transverse energy of flips over that of the shift of equal size: mean over networks.
      leverage: transverse energy of flips among the outlier columns over that of as many among the others.
      outlier_share: of the input's energy, that in the outlier columns.
      mean_magnitude: b = E|w|/σ of the perturbed matrices.
      ratios, leverages: of each network.
      weights: of each network, the law of the entries of its perturbed matrices together.
      states: of each network, what the laws need of its inputs and columns.
    """

    block: int
    ratio: Estimate
    leverage: Estimate
    outlier_share: Estimate
    mean_magnitude: Estimate
    ratios: Float[np.ndarray, " networks"]
    leverages: Float[np.ndarray, " networks"]
    weights: tuple[Weights, ...] = field(metadata=KEPT_OUT)
    states: tuple[BlockEffects, ...] = field(metadata=KEPT_OUT)


@dataclass(frozen=True, eq=False)
class Snapshot(Result):
    """All networks at one step.

    Args:
      step: of the optimiser, 0 before the first.
      loss: on inputs that were not learned from.
      blocks: in their order.
    """

    step: int
    loss: Estimate
    blocks: tuple[Block, ...]


@dataclass(frozen=True, eq=False)
class Training(Result):
    """Result of `train`.

    Args:
      task: "regression" or "text".
      activation: "relu" or "swiglu".
      width: of the blocks.
      rate: flip rate.
      snapshots: from initialisation to the last step.
      provenance: seed, sizes, the text by its SHA-256, versions, device.
    """

    task: str
    activation: str
    width: int
    rate: float
    snapshots: tuple[Snapshot, ...]
    provenance: Mapping[str, Any]

    @property
    def title(self) -> str:
        """Task and kind of network in a few words."""
        count = len(self.snapshots[0].blocks)
        return f"{self.task}, {self.activation}, {count} block{'s' if count > 1 else ''}"

    def rows(self) -> list[dict[str, Any]]:
        """One row for each snapshot and block."""
        return [
            {
                "task": self.task,
                "activation": self.activation,
                "blocks": len(at.blocks),
                "step": at.step,
                "block": block.block,
                **{
                    key: value
                    for name, estimate in (
                        ("loss", at.loss),
                        ("ratio", block.ratio),
                        ("leverage", block.leverage),
                        ("outlier_share", block.outlier_share),
                        ("mean_magnitude", block.mean_magnitude),
                    )
                    for key, value in (
                        (name, float(estimate.value)),
                        (f"{name}_standard_error", float(estimate.standard_error)),
                    )
                },
            }
            for at in self.snapshots
            for block in at.blocks
        ]

    def summary(self) -> dict[str, str]:
        """One line for each snapshot and block."""
        return {
            f"step {at.step}, block {block.block}": f"A {block.ratio}; leverage {block.leverage}; "
            f"b {block.mean_magnitude}; loss {at.loss}"
            for at in self.snapshots
            for block in at.blocks
        }

    def picture(self) -> Picture:
        """A of each block against steps."""
        count = len(self.snapshots[0].blocks)
        series = {
            f"block {block + 1}": tuple(
                [getattr(at.blocks[block].ratio, part) for at in self.snapshots]
                for part in ("value", "standard_error")
            )
            for block in range(count)
        }
        along = [at.step for at in self.snapshots]
        named = {"x": "training steps", "y": "transverse ratio A", "title": self.title}
        return Picture("curves", {"series": series, "along": along, **named})


@counting
def train(
    *,
    task: str = "regression",
    activation: str = "relu",
    blocks: int = 2,
    width: int = 256,
    text: bytes | None = None,
    rate: float = RATE,
    networks: int = NETWORKS,
    steps: int = STEPS,
    batch: int = BATCH,
    step_size: float = STEP_SIZE,
    samples: int = INPUTS,
    draws: int = DRAWS,
    seed: int = 0,
) -> Training:
    """Train small networks from Gaussian weights on, and measure flips against shifts at snapshots.

    In every block the matrices that its input meets are perturbed, `up` of a ReLU block, `gate` and `up` of
    a SwiGLU block; its output is compared before the next normalisation. Other blocks stay clean.

    Args:
      task: "regression" on a teacher of 8 directions, or "text": the next byte from the 8 before it.
      activation: "relu" or "swiglu".
      blocks: number of blocks, 1 to 8.
      width: of every block, 32 to 2048.
      text: UTF-8 bytes to learn from, at least 4096; for the task "text" alone.
      rate: flip rate, in (0, 0.5].
      networks: independent networks, at least 3; standard errors are over them.
      steps: of Adam, at least 10.
      batch: inputs of a step.
      step_size: the largest, after a warm-up of 5% of the steps; it falls along a cosine.
      samples: inputs, never learned from, at which the effects are measured, at least 2.
      draws: of flips, for each network.
      seed: root seed.

    Raises:
      InvalidInput: for names or numbers out of range, a text that is missing or not wanted, or a training
        that diverged.
      MissingResource: where the networks do not fit in memory.
    """
    sizes = {"networks": networks, "steps": steps, "batch": batch, "samples": samples, "draws": draws}
    chosen, network = prepared(task, activation, blocks, width, text, rate, step_size=step_size, **sizes)
    # As for networks of a simulation: more of them leave the first ones what they are.
    root = keys.fold(keys.root(seed), "training", task, activation, blocks)
    each = jnp.stack([keys.fold(root, index) for index in range(networks)])
    effects_of = _measurement(network, chosen, rate, samples, draws)
    snapshots = []
    told = progress(f"training, {task}, {activation}", len(snapshot_steps(steps)))
    with memory_told(FULL), told as advance:
        for step, params in fit(network, chosen, each, steps=steps, batch=batch, step_size=step_size):
            losses, effects = jax.device_get(effects_of(params, each))
            if not all(np.isfinite(part).all() for part in jax.tree.leaves((losses, effects))):
                raise invalid("finite losses and effects", f"none at step {step}", "lower the step size")
            loss = Estimate.of_samples(np.asarray(losses), unit=chosen.unit, estimator="mean over networks")
            snapshots.append(Snapshot(step, loss, _blocks(step, network, jax.device_get(params), effects)))
            advance()
    options = {"task": task, "activation": activation, "blocks": blocks, "width": width, "rate": rate}
    if text is not None:
        options["text_sha256"] = hashlib.sha256(text).hexdigest()
    origin = provenance.collect(**options, **sizes, step_size=step_size, seed=seed)
    return Training(task, activation, width, rate, tuple(snapshots), origin)


@counting
def prepared(
    task: str,
    activation: str,
    blocks: int,
    width: int,
    text: bytes | None,
    rate: float,
    networks: int,
    steps: int,
    batch: int = BATCH,
    samples: int = INPUTS,
    draws: int = DRAWS,
    step_size: float = STEP_SIZE,
) -> tuple[Task, Architecture]:
    """The task and the network of `train`, whose arguments these are.

    Raises:
      InvalidInput: as `train`.
    """
    if not 0 < rate <= 0.5:
        raise invalid("0 < rate <= 0.5", rate, "pass a part of the signs, like 0.01")
    if not FEWEST <= networks <= MOST:
        raise invalid(f"{FEWEST} <= networks <= {MOST}", networks, "pass how many are trained side by side")
    if not 0 < step_size < 1:
        raise invalid("0 < step_size < 1", step_size, "pass a step size like 0.003")
    least_of = {"steps": (steps, 10), "batch": (batch, 1), "samples": (samples, 2), "draws": (draws, 1)}
    for name, (value, least) in least_of.items():
        if value < least:
            raise invalid(f"{name} >= {least}", value, "raise it")
    chosen = _task(task, text, width)
    network = Architecture(activation, blocks, **chosen.shape())
    if round(rate * outlier_columns(width) * width) < 1:
        raise invalid("one flip among the outlier columns", f"rate {rate}", "raise the rate or the width")
    return chosen, network


@counting
def operations(activation: str, blocks: int, width: int, networks: int, steps: int) -> float:
    """Floating-point operations of a training, without what is measured: three products for each matrix."""
    products = 3 * blocks * (len(ENTERING[activation]) + 1)
    return 2.0 * products * BATCH * width**2 * networks * steps


@counting
def memory(activation: str, blocks: int, width: int, networks: int) -> float:
    """Bytes that a training takes at its peak, about."""
    matrices = blocks * (len(ENTERING[activation]) + 1)
    return 4.0 * (COPIES * matrices + SORTED) * width**2 * networks


def _task(name: str, text: bytes | None, width: int) -> Task:
    if name not in TASKS:
        raise invalid(f"task in {tuple(TASKS)}", name, "name one of them")
    if (text is None) == (name == "text"):
        raise invalid('a text with the task "text" alone', f"task {name!r}", "pass text=, or leave it out")
    return Regression(width) if text is None else NextByte(text, width)


@functools.lru_cache(maxsize=KEPT)
def _measurement(network: Architecture, task: Task, rate: float, samples: int, draws: int) -> Any:
    """A program for all networks: their losses, and what flips do in each block."""

    def one(params: Params, key: Array) -> tuple[Array, list[BlockEffects]]:
        # The same inputs and flips at every snapshot: what changes is the network.
        own = keys.fold(key, "measured")
        inputs, targets = task.drawn(own, samples, held_out=True)
        states = network.states(params, inputs)
        loss = task.losses(network.apply(params, inputs), targets).mean()
        effects = [
            block_effects(network, network.matrices(params, b), states[b], keys.fold(own, b), rate, draws)
            for b in range(network.blocks)
        ]
        return loss, effects

    return jit(jax.vmap(one))


def _blocks(
    step: int, network: Architecture, params: dict[str, np.ndarray], effects: Sequence[Any]
) -> tuple[Block, ...]:
    blocks = []
    for number, stacked in enumerate(effects):
        # (networks, matrices, outputs, inputs)
        entries = np.stack([params[name][:, number] for name in ENTERING[network.activation]], axis=1)
        weights = tuple(_law(f"step {step}, network {i}", each) for i, each in enumerate(entries))
        share = np.mean(stacked.alpha_squared * stacked.outliers, axis=-1)
        magnitudes = [law.mean_magnitude for law in weights]
        blocks.append(
            Block(
                number + 1,
                ratio=Estimate.of_samples(np.asarray(stacked.ratio), estimator=ESTIMATOR),
                leverage=Estimate.of_samples(np.asarray(stacked.leverage), estimator=ESTIMATOR),
                outlier_share=Estimate.of_samples(share, estimator="mean over networks"),
                mean_magnitude=Estimate.of_samples(magnitudes, estimator="mean over networks"),
                ratios=np.asarray(stacked.ratio),
                leverages=np.asarray(stacked.leverage),
                weights=weights,
                states=tuple(BlockEffects(*parts) for parts in zip(*stacked, strict=True)),
            )
        )
    return tuple(blocks)


def _law(name: str, matrices: Float[np.ndarray, "matrices outputs inputs"]) -> Weights:
    """The moments of a network's matrices, each in units of its own root mean square."""
    first, third, fourth = np.mean([absolute_moments(matrix) for matrix in matrices], axis=0)
    return Weights(name, float(first), float(third), float(fourth))
