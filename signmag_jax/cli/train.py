"""`signmag train`: small networks from their Gaussian weights on, beside the laws."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import typer

from .options import check_plot, emit, prepare, remark, say, show


def train(
    *,
    task: Sequence[Literal["regression", "text"]] = ("regression", "text"),
    activation: Sequence[Literal["relu", "swiglu"]] = ("relu", "swiglu"),
    blocks: Sequence[int] = (1, 2),
    width: int = 256,
    rate: float = 0.02,
    networks: int = 8,
    steps: int = 800,
    text: str | None = None,
    seed: int = 0,
    device: str = "auto",
    dry_run: bool = False,
    plot: Path | None = None,
    json: bool = False,
    quiet: bool = False,
) -> int:
    """Train small networks, and compare flips with shifts and with the laws on the way.

    Every kind of network is trained for every task; all eight take about two minutes on two cores.

    Args:
      task: regression on a teacher of 8 directions, or text, whose next byte is learned.
      activation: what the blocks are: relu or swiglu.
      blocks: numbers of blocks.
      width: inputs, hidden units and outputs of every block.
      rate: part of the signs that flip, in (0, 0.5].
      networks: independent networks of each kind; standard errors are over them.
      steps: number of steps of the optimiser.

    Example: signmag train --task regression --activation relu --blocks 1
    """
    prepare(quiet=quiet, device=device)
    from signmag_jax import models, training
    from signmag_jax.claims import training as beside

    check_plot(plot)
    if text is not None and "text" not in task:
        raise typer.BadParameter("--text is for the task text: add it to --task, or leave --text out")
    content = models.text.load(text).content.encode() if "text" in task else None
    plans = [
        {"task": one, "activation": kind, "blocks": count, "text": content if one == "text" else None}
        for one in dict.fromkeys(task)
        for kind in dict.fromkeys(activation)
        for count in dict.fromkeys(blocks)
    ]
    sizes = {"width": width, "rate": rate, "networks": networks, "steps": steps}
    for plan in plans:
        training.prepared(**plan, **sizes)
    if dry_run:
        return show(_cost(plans, sizes), json)
    results = []
    for plan in plans:
        results.append(beside.compare(training.train(**plan, **sizes, seed=seed), len(plans)))
        if not json:
            show(results[-1].summary(), json)
            say()
    if plot is not None:
        for result in results:
            title = result.run.title.replace(", ", "-").replace(" ", "-")
            path = plot if len(results) == 1 else plot.with_stem(f"{plot.stem}-{title}")
            result.plot(path)
            remark(f"Written: {path}", quiet=quiet)
    if json:
        emit({"trainings": [result.to_json() for result in results]})
    return 0


def _cost(plans: Sequence[dict[str, Any]], sizes: dict[str, Any]) -> dict[str, Any]:
    """Kinds of networks, operations of all of them, and memory of the largest."""
    from signmag_jax import training

    width, networks = sizes["width"], sizes["networks"]
    kinds = [(plan["activation"], plan["blocks"], width, networks) for plan in plans]
    operations = sum(training.operations(*kind, sizes["steps"]) for kind in kinds)
    return {
        "kinds of networks": len(plans),
        "operations": f"{operations:.2g}",
        "memory": f"about {max(training.memory(*kind) for kind in kinds) / 2**30:.2g} GiB",
    }
