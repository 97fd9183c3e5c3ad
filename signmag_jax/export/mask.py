"""A mask from its file, and which whole matrices it stands for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from signmag_jax.evidence import InvalidInput, invalid
from signmag_jax.evidence.schemas import MESSAGE
from signmag_jax.measure import Mask
from signmag_jax.measure.budget import BITS_OF, MATRICES, Budget
from signmag_jax.measure.knapsack import pack
from signmag_jax.measure.slopes import SEPARATION
from signmag_jax.measure.trials import BROKEN
from signmag_jax.models import MATRICES as NAMES
from signmag_jax.models.imatrix import Matrix

from .decision import Decision
from .reading import check, family_of, read_json

MASK_FILE = "mask.json"
MAKE_MASK = "give a mask of `signmag protect --out DIR` or `signmag measure quantization-report --mask FILE`"
THRESHOLD = 0.01
"""Nats per token from which a matrix is kept whole where no budget limits them."""


class NothingWhole(InvalidInput):
    """A mask stands for no whole matrix: options that name such would protect nothing."""


def read_mask(path: Path) -> Mask:
    """Read a mask: a file, or a folder with mask.json in it.

    Raises:
      InvalidInput: if it is no mask of this schema, or its places are outside of its matrices.
    """
    return mask_of(read_json(path, MASK_FILE, MAKE_MASK), path)


def mask_of(plain: Mapping[str, Any], path: Path) -> Mask:
    """The mask that a JSON object is.

    Raises:
      InvalidInput: naming where it breaks the schema, or contradicts itself.
    """
    check(plain, path, "mask", MAKE_MASK)
    for part in ("matrices", "whole", "predicted", "kept"):
        named = [(each["layer"], each["matrix"]) for each in plain.get(part, ())]
        if len(set(named)) < len(named):
            raise InvalidInput(f"{str(path)!r} names a matrix twice in {part!r}: {MAKE_MASK}")
    for each in plain.get("kept", ()):
        name, shape = each["matrix"], each.get("shape")
        known = plain.get("shapes", {}).get(name, shape)
        if shape not in (None, known):
            raise InvalidInput(f"{str(path)!r} gives {name} two shapes, {known} and {shape}: {MAKE_MASK}")
    mask = Mask.of_json(plain)
    for (layer, name), places in mask.kept.items():
        if (np.diff(places) <= 0).any():
            raise InvalidInput(
                f"{str(path)!r} keeps places of layer {layer} {name} out of order: {MAKE_MASK}"
            )
    for (layer, name), (row, column) in _places(mask):
        rows, inputs = mask.shapes.get(name, (math.inf, math.inf))
        if not (0 <= row < rows and 0 <= column < inputs):
            raise InvalidInput(
                f"{str(path)!r} names [{row}, {column}] of layer {layer} {name}, which has {rows} × {inputs} "
                f"weights: {MAKE_MASK}"
            )
    return mask


def _at(each: Any) -> Matrix:
    """The matrix of a column, a weight or a cost."""
    return each.layer, each.matrix


def _places(mask: Mask) -> Iterator[tuple[Matrix, tuple[int, int]]]:
    """Rows and columns that it names; of many kept places the last."""
    yield from ((_at(each), (0, each.column)) for each in mask.columns)
    yield from ((_at(each), (each.row, each.column)) for each in mask.weights)
    for at, places in mask.kept.items():
        if len(places) and at[1] in mask.shapes:
            yield at, divmod(int(places.max()), mask.shapes[at[1]][1])


def matrices_of(mask: Mask) -> set[Matrix]:
    """Every matrix that the mask names."""
    listed = (*mask.columns, *mask.weights, *mask.matrices, *mask.predicted)
    return {*mask.whole, *mask.kept, *map(_at, listed)}


def decide(mask: Mask, threshold: float | None = None, budget: str | None = None) -> Decision:
    """The whole matrices that a mask stands for: those that it protects wholly, and the costliest others.

    Of a mask with a budget, those whose cost is largest in sum within the bits that its choice takes: a whole
    matrix takes 16 bits a weight. A cost is the measured ΔNLL of the matrix alone where that is separated
    from zero, and predicted elsewhere, but no more than 3 standard errors above what was measured.

    Args:
      mask: from `read_mask`.
      threshold: nats per token that a matrix must cost; by default 0.01 of a mask without a budget, and
        anything above zero within one.
      budget: part of the weights, such as 2%, or bits per weight, such as 0.3b, instead of the mask's own.

    Raises:
      NothingWhole: if no matrix is left.
      InvalidInput: for a threshold or a budget out of range, or a budget and a matrix of unknown shape.
    """
    if threshold is not None and not (math.isfinite(threshold) and threshold >= 0):
        raise invalid("threshold >= 0", threshold, "pass nats per token, such as 0.01")
    first, bits = (mask.whole, mask.budget.get("bits")) if budget is None else ((), _bits(mask, budget))
    if threshold is None:
        threshold = THRESHOLD if bits is None else 0.0
    known = {at: cost for at, cost in _costs(mask).items() if cost > 0 and cost >= threshold}
    costs = {at: cost for at, cost in known.items() if at not in first}
    if not (first or costs):
        raise NothingWhole(_nothing(mask, threshold))
    kept = (*first, *(costs if bits is None else _within(mask, costs, bits - _size(mask, first))))
    if not kept:
        least = min(_size(mask, (at,)) for at in costs)
        raise NothingWhole(
            f"a budget of {bits:,} bits holds no whole matrix that costs {_least(threshold)}, which takes "
            f"{least:,}: {_larger(mask, least)}"
        )
    notes = (
        _rule(mask, kept, len(first), threshold, bits),
        _covered(mask, kept),
        *_left_out(mask, kept, costs, bits),
    )
    return Decision(kept, notes, family=family_of(mask.provenance), shapes=mask.shapes)


def _left_out(
    mask: Mask, kept: tuple[Matrix, ...], costs: Mapping[Matrix, float], bits: int | None
) -> tuple[str, ...]:
    """A sentence on why the costliest matrix is not kept, or nothing: a reader looks for that one first."""
    at = next(iter(costs), None)
    if at is None or bits is None or at in kept:
        return ()
    layer, name = at
    cost = f"{costs[at]:.2g} nat/token" if math.isfinite(costs[at]) else "all that the model knows"
    size = _size(mask, (at,))
    why = "the budget would hold it in place of others, which weigh more together."
    if size > bits:
        why = f"it takes {size:,} bits. To hold it, {_larger(mask, size)}."
    return (f"The costliest, layer {layer} {name}, costs {cost} alone and is not kept: {why}",)


def _larger(mask: Mask, bits: int) -> str:
    """How to have so many bits; a share of how many weights, not every file says."""
    typed = f"give --budget, at least {_percent(bits / BITS_OF[MATRICES] / mask.of)}, or " if mask.of else ""
    return f"{typed}protect with a larger one"


def _percent(share: float) -> str:
    """A share in percent, rounded up, for what is typed must suffice."""
    return f"{math.ceil(share * 1e4) / 100:.2f}%"


def _costs(mask: Mask) -> dict[Matrix, float]:
    """What is known of each matrix, the costliest first: no loss at all before any."""
    costs = {_at(each): each.cost for each in mask.predicted}
    for each in mask.matrices:
        at = _at(each)
        if each.delta_nll is None or each.resolved:
            costs[at] = math.inf if each.delta_nll is None else each.delta_nll
        else:  # too few windows to tell are no reason to drop what was predicted to cost most
            most = each.delta_nll + SEPARATION * (each.standard_error or 0.0)
            costs[at] = min(costs.get(at, -math.inf), most)
    return dict(sorted(costs.items(), key=lambda one: (-one[1], one[0][0], NAMES.index(one[0][1]))))


def _bits(mask: Mask, budget: str) -> int:
    if not mask.of:
        raise InvalidInput("--budget needs a mask that says how many weights there are: make it anew")
    return Budget.of(budget, MATRICES).weights(mask.of) * BITS_OF[MATRICES]


def _size(mask: Mask, matrices: tuple[Matrix, ...]) -> int:
    """Bits of whole matrices."""
    if unknown := [name for _, name in matrices if name not in mask.shapes]:
        raise InvalidInput(f"the mask has a budget and no shape of {unknown[0]}: make it anew")
    return sum(math.prod(mask.shapes[name]) for _, name in matrices) * BITS_OF[MATRICES]


def _within(mask: Mask, costs: Mapping[Matrix, float], bits: int) -> tuple[Matrix, ...]:
    """The matrices that cost most in sum and take no more bits, the costliest first."""
    if not costs or bits <= 0:
        return ()
    sizes = [(0, _size(mask, (at,))) for at in costs]
    packing = pack(sizes, [(min(cost, BROKEN), 0.0) for cost in costs.values()], bits)
    return tuple(at for at, taken in zip(costs, packing.options, strict=True) if taken)


def _least(threshold: float) -> str:
    return f"at least {threshold:g} nat/token" if threshold else "more than nothing"


def _nothing(mask: Mask, threshold: float) -> str:
    largest = max((cost for cost in _costs(mask).values() if cost > 0), default=None)
    some = "none is apart from zero" if largest is None else f"the largest is {largest:.2g}"
    return (
        f"no matrix of the mask costs {_least(threshold)} ({len(mask.matrices)} measured; {some}): "
        "lower --threshold, or measure more matrices or windows"
    )


def _rule(mask: Mask, kept: tuple[Matrix, ...], named: int, threshold: float, bits: int | None) -> str:
    # It stands in comments, of which a line's end would be the end.
    against = f"{mask.against} (scale: {mask.scale})" if mask.scale else mask.against
    against = " ".join(against.split())[:MESSAGE]
    measured = f"{len(mask.matrices)} measured"
    if mask.predicted:
        known = set(map(_at, mask.matrices))
        others = sum(_at(each) not in known for each in mask.predicted)
        measured += f" and {others} predicted"
    of_mask = f"{named} that the mask names, and those " if named else "those "
    rule = (
        f"Whole matrices that stay as they are: {len(kept)}, {of_mask}of {measured} that alone cost "
        f"{_least(threshold)} under {against}; a measured cost is 3 standard errors from zero"
    )
    if mask.predicted:
        rule += ", or the predicted one stands, at most so far above it"
    if bits is None:
        return f"{rule}."
    return f"{rule}. They take {_size(mask, kept):,} of {bits:,} bits, the budget, at 16 a weight."


def _covered(mask: Mask, kept: tuple[Matrix, ...]) -> str:
    """What whole matrices do for the mask's own columns and weights."""
    columns, weights = (list(map(_at, listed)) for listed in (mask.columns, mask.weights))
    # All weights, where the mask lists them; otherwise those that it scores.
    sizes = {at: len(places) for at, places in mask.kept.items()} or {at: weights.count(at) for at in weights}
    held = sum(sizes.get(at, 0) for at in kept)
    return (
        "These options name whole matrices; the mask's columns and single weights they cannot name. "
        f"The matrices hold {held} of its {sum(sizes.values())} single weights and "
        f"{sum(at in kept for at in columns)} of its {len(columns)} columns; "
        "the others are quantised like the rest."
    )
