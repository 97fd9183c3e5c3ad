"""Two perturbations of one matrix, to be compared on the same weights and inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from signmag_jax.evidence.compiling import held
from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.errors import invalid
from signmag_jax.perturb import MagnitudeNoise, MagnitudeShift, Perturbation, SignFlip

from .arguments import Arguments, Numbers, numbers

RATES = Interval(0.0, 0.5, open_low=True, fix="pass a flip rate in (0, 0.5]")
Match = Literal["realised", "expected"]
Magnitude = Literal["shift", "noise"]
MAGNITUDES = {"shift": MagnitudeShift, "noise": MagnitudeNoise}

Two = tuple[Float[Array, "rows columns"], Float[Array, "rows columns"]]


@dataclass(frozen=True)
class Matched(Arguments):
    """Sign flips, and an error of the magnitude of equal Frobenius norm.

    Args:
      match: "realised" takes the norm of the very flips that were drawn, size = ‖W'−W‖/‖W‖ in units of
        the root mean square of W; "expected" takes 2√rate whatever was drawn.
      magnitude: "shift" (coherent) or "noise" (incoherent).
    """

    match: Match = "realised"
    magnitude: Magnitude = "shift"

    def draw(self, parameters: Float[Array, ""], key: PRNGKeyArray, w: Float[Array, "rows columns"]) -> Two:
        """Both perturbed matrices; with one key, a smaller rate's flips are among those of a larger one."""
        # Also where a shift draws nothing: the flips are then the same beside either error of the magnitude.
        for_flips, for_magnitude = jax.random.split(key)
        # Held, because XLA would draw the flips again for the norm and for each product.
        flipped = held(SignFlip(parameters).apply(for_flips, w))
        # The realised norm: the luck of how many signs were drawn is then the same in both, and cancels.
        size = 2 * jnp.sqrt(parameters) if self.match == "expected" else relative_norm(flipped - w, w)
        return flipped, held(MAGNITUDES[self.magnitude](size).apply(for_magnitude, w))


def relative_norm(error: Float[Array, "rows columns"], w: Float[Array, "rows columns"]) -> Float[Array, ""]:
    """‖error‖/‖W‖ in the Frobenius norm, in float64 over rows: one float32 sum of n² terms loses digits."""
    return jnp.sqrt(_square(error) / _square(w))


def differ(changed: Float[Array, "rows columns"], w: Float[Array, "rows columns"]) -> Array:
    """Whether W' is W with an error, and not W drawn again.

    XLA may compute W once for each of its consumers, and not to the same last bit: below 8 units of
    rounding there is no error. One flip among 10^8 weights is 10^2 times as large.
    """
    return relative_norm(changed - w, w) > 8 * float(jnp.finfo(w.dtype).eps)


def _square(a: Float[Array, "rows columns"]) -> Float[Array, ""]:
    return jnp.sum(jnp.sum(a * a, axis=1).astype(jnp.float64))


@dataclass(frozen=True)
class Given:
    """Perturbations as they are; `structure` and `fixed` rebuild them from their numbers.

    The numbers are traced, so that other values do not compile anew; whatever else a perturbation of
    your own holds stays as it is.
    """

    structure: Any
    fixed: tuple[Any, ...]

    def draw(
        self, parameters: list[Float[Array, ""]], key: PRNGKeyArray, w: Float[Array, ...]
    ) -> tuple[Float[Array, ...], ...]:
        """The perturbed matrices, each drawn with a key of its own."""
        values = iter(parameters)
        leaves = [next(values) if leaf is None else leaf for leaf in self.fixed]
        perturbations = jax.tree.unflatten(self.structure, leaves)
        each = zip(perturbations, jax.random.split(key, len(perturbations)), strict=True)
        return tuple(held(_applied(perturbation, own, w)) for perturbation, own in each)


def _applied(perturbation: Perturbation, key: PRNGKeyArray, w: Float[Array, ...]) -> Float[Array, ...]:
    changed = perturbation.apply(key, w)
    if np.shape(changed) != w.shape:
        raise invalid(
            f"apply(key, w) of {type(perturbation).__name__} keeps the shape of w",
            (w.shape, np.shape(changed)),
            "return one weight for each",
        )
    return changed


def either(
    rate: Numbers | None, perturbations: Any, match: Match
) -> tuple[Matched | Given, Any, tuple[int, ...], dict[str, Any]]:
    """Flips of a rate and the matched shift, or two perturbations as they are.

    Returns:
      The pair, its numbers with one leading axis, the shape of the results, and what names it in records.

    Raises:
      InvalidInput: unless exactly one of the two is given, and sound.
    """
    if rate is not None and perturbations is None:
        rates = numbers("rate", rate, RATES)
        return Matched(match), np.atleast_1d(rates), rates.shape, {"rate": rates.tolist(), "match": match}
    if rate is not None or perturbations is None:
        raise invalid("rate or perturbations, one of them", (rate, perturbations), "pass rate=0.01")
    pair, values, shape = given(perturbations, 2)
    named = {"perturbations": [repr(one) for one in perturbations]}
    return pair, [np.atleast_1d(value) for value in values], shape, named


def given(perturbations: Any, count: int) -> tuple[Given, list[np.ndarray], tuple[int, ...]]:
    """The given perturbations as one object, their numbers, and the common shape of these.

    Raises:
      InvalidInput: unless there are so many and the shapes of their numbers agree.
    """
    if not isinstance(perturbations, (tuple, list)) or len(perturbations) != count:
        raise invalid(f"{count} perturbations", perturbations, "pass (first, second)")
    for perturbation in perturbations:
        if not isinstance(perturbation, Perturbation):
            raise invalid("a perturbation has moments() and apply(key, w)", perturbation, "see perturb")
    leaves, structure = jax.tree.flatten(tuple(perturbations), is_leaf=_is_list)
    fixed = tuple(None if _is_number(leaf) else leaf for leaf in leaves)
    values = [np.asarray(leaf, dtype=np.float64) for leaf in leaves if _is_number(leaf)]
    shapes = {value.shape for value in values} - {()}
    if len(shapes) > 1 or any(len(shape) > 1 for shape in shapes):
        raise invalid(
            "the numbers of the perturbations are scalars or flat lists of one length",
            sorted(shapes),
            "pass one number each, or as many of all",
        )
    try:
        hash(fixed)
    except TypeError:
        raise invalid("a perturbation is hashable or a pytree", perturbations, "see perturb") from None
    shape = next(iter(shapes), ())
    # A number that nobody reads, so that pairs without any can be mapped over like the others.
    values.append(np.zeros(()))
    return Given(structure, fixed), [np.broadcast_to(value, shape) for value in values], shape


def _is_list(leaf: Any) -> bool:
    return isinstance(leaf, list)


def _is_number(leaf: Any) -> bool:
    if _is_list(leaf):
        return all(_is_number(item) for item in leaf)
    return isinstance(leaf, (int, float, np.ndarray, np.generic, jax.Array)) and not isinstance(leaf, bool)
