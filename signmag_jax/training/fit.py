"""Many networks trained side by side, and what they are on the way."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import jax
import optax
from jaxtyping import Array, PRNGKeyArray

from signmag_jax.evidence import keys
from signmag_jax.evidence.compiling import jit

from .architecture import Architecture, Params
from .tasks import Task

WARM_UP = 0.05
"""Part of the steps in which the step size rises; it falls to zero along a cosine afterwards."""


KEPT = 8
"""Programs that are kept: another seed needs none of its own."""


def snapshot_steps(steps: int) -> tuple[int, ...]:
    """0, 10, 30, 100, … and the last step."""
    early = (
        step for power in range(1, len(str(steps)) + 1) for step in (10**power, 3 * 10**power) if step < steps
    )
    return (0, *early, steps)


def fit(
    network: Architecture, task: Task, each: Array, *, steps: int, batch: int, step_size: float
) -> Iterator[tuple[int, Params]]:
    """The parameters of all networks, stacked, at every snapshot.

    Args:
      network: their shape.
      task: what they learn.
      each: a key for every network.
      steps: of Adam.
      batch: inputs of a step.
      step_size: the largest.
    """
    rule = optimiser(steps, step_size)
    params = jax.vmap(lambda key: network.init(keys.fold(key, "weights")))(each)
    state = jax.vmap(rule.init)(params)
    walk, before = _walk(network, task, steps, step_size, batch), 0
    for step in snapshot_steps(steps):
        params, state = walk(params, state, each, before, step)
        yield step, params
        before = step


def optimiser(steps: int, step_size: float) -> optax.GradientTransformation:
    """Adam, warmed up, with a cosine."""
    warm = max(1, round(WARM_UP * steps))
    schedule = optax.warmup_cosine_decay_schedule(0.0, step_size, warm, max(steps, warm + 1))
    return optax.adam(schedule)


@functools.lru_cache(maxsize=KEPT)
def _walk(network: Architecture, task: Task, steps: int, step_size: float, batch: int) -> Any:
    """A program that takes all networks from one step to another; one program for any two."""
    rule = optimiser(steps, step_size)

    def walked(params: Params, state: Any, key: PRNGKeyArray, first: Array, last: Array) -> Any:
        def one(step: Array, carry: tuple[Params, Any]) -> tuple[Params, Any]:
            params, state = carry
            inputs, targets = task.drawn(keys.fold(key, "batch", step), batch, held_out=False)
            gradient = jax.grad(lambda p: task.losses(network.apply(p, inputs), targets).mean())(params)
            # Optax multiplies by powers of whole numbers, which a caller may have told JAX to refuse.
            with jax.numpy_dtype_promotion("standard"):
                updates, state = rule.update(gradient, state, params)
            moved: Any = optax.apply_updates(params, updates)
            return moved, state

        return jax.lax.fori_loop(first, last, one, (params, state))

    return jit(jax.vmap(walked, in_axes=(0, 0, 0, None, None)))
