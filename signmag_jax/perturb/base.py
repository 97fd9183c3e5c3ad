"""What a perturbation is: two moments and a way to draw it."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar, dataclass_transform, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from signmag_jax.evidence import invalid
from signmag_jax.evidence.counts import whole
from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.precision import at_least_float32, floating, is_traced

C = TypeVar("C", bound=type)

MOMENT = Interval(fix="return finite moments")
GAUSSIAN_MAGNITUDE = math.sqrt(2 / math.pi)
"""E|w|/σ of Gaussian weights."""


class Moments(NamedTuple):
    """Everything that an infinitely wide block sees of a perturbation w → w' of N(0, σ²) weights.

    For a delocalised unit input x, (w·x, w'·x)/σ tends to a centred Gaussian with covariance
    [[1, c], [c, v]]. The laws use `drift` and `noise`, which are computed without cancellation.

    Args:
      c: E[w w']/σ².
      v: E[w'²]/σ².
      drift: c − 1.
      noise: v − c², at least 0.
    """

    c: Any
    v: Any
    drift: Any
    noise: Any

    @classmethod
    def of(cls, c: Any, v: Any) -> "Moments":
        """Of c and v alone, numbers, lists or arrays: exact far from c = 1, cancelling for small errors.

        Raises:
          InvalidInput: for concrete ones that are no finite numbers or arrays.
        """
        for name, value in (("c", c), ("v", v)):
            if not is_traced(value):
                MOMENT.require(name, value)
        c, v = (np.asarray(value) if isinstance(value, list) else value for value in (c, v))
        return cls(c, v, c - 1, v - c * c)

    @property
    def energy(self) -> Any:
        """E (w' − w)²/σ² = drift² + noise: the squared Frobenius norm of the error, per weight."""
        return self.drift**2 + self.noise


@runtime_checkable
class HasMoments(Protocol):
    """What theory needs of a perturbation."""

    def moments(self) -> Moments:
        """Moments under N(0, σ²) weights, in units of σ²."""
        ...


@runtime_checkable
class Perturbation(HasMoments, Protocol):
    """What every route needs of a perturbation; a class of your own with these two methods works too."""

    def apply(self, key: PRNGKeyArray, w: Float[Array, "..."]) -> Float[Array, "..."]:
        """Draw w' for one tensor; σ is the root mean square of `w`. Jit-able.

        Weights that are NaN or infinite leave NaN or infinite ones, never zeros.
        """
        ...


@dataclass_transform(frozen_default=True)
def perturbation(cls: C) -> C:
    """Make a class a frozen dataclass and a pytree whose array fields are leaves; `apply` takes lists too.

    `DOMAIN` names fields with the interval of their concrete numbers, `NAMES` the strings that may stand for
    one: anything else is refused. Strings, and the fields that the class lists in `STATIC`, belong to the
    tree's structure. Rebuilding a tree skips `__init__`, because JAX also builds trees of placeholders, which
    no check could pass.
    """
    domain: Mapping[str, Interval] = getattr(cls, "DOMAIN", {})
    strings: Mapping[str, tuple[str, ...]] = getattr(cls, "NAMES", {})
    check = getattr(cls, "__post_init__", lambda self: None)
    static: tuple[str, ...] = getattr(cls, "STATIC", ())

    def check_fields(self: Any) -> None:
        for name in static:
            object.__setattr__(self, name, whole(getattr(self, name)))
        check(self)
        for name, interval in domain.items():
            value, known = getattr(self, name), strings.get(name, ())
            if isinstance(value, str) and known:
                if value not in known:
                    raise invalid(f"{name} is a number or one of {known}", value, interval.fix)
            elif not is_traced(value):
                interval.require(name, value)

    cls.__post_init__ = check_fields
    cls = dataclasses.dataclass(frozen=True)(cls)
    if "apply" in vars(cls):
        cls.apply = on_arrays(cls.apply)
    names = tuple(field.name for field in dataclasses.fields(cls))

    def is_structure(name: str, value: Any) -> bool:
        return name in static or isinstance(value, str)

    def flatten(self: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        fields = [(name, getattr(self, name)) for name in names]
        leaves = tuple((jax.tree_util.GetAttrKey(n), x) for n, x in fields if not is_structure(n, x))
        return leaves, tuple((n, x) if is_structure(n, x) else (n,) for n, x in fields)

    def unflatten(structure: tuple[Any, ...], leaves: Any) -> Any:
        self = object.__new__(cls)
        values = iter(leaves)
        for name, *value in structure:
            object.__setattr__(self, name, value[0] if value else next(values))
        return self

    jax.tree_util.register_pytree_with_keys(cls, flatten, unflatten)
    return cls


def within(interval: Interval, value: ArrayLike) -> Array:
    """The values as an array, NaN where they lie outside: what a traced number could not be refused for."""
    array = jnp.asarray(value)
    # A factor, not a choice: the derivative outside would be 0.
    return array * jnp.where(interval.contains(array), 1, jnp.nan)


def on_arrays(apply: Callable[..., Array]) -> Callable[..., Array]:
    """`apply` for weights of any kind: lists and integers take JAX's default precision.

    Raises:
      InvalidInput: from the result, for weights that are not real numbers.
    """

    @functools.wraps(apply)
    def call(self: Any, key: PRNGKeyArray, w: Any) -> Array:
        return apply(self, key, floating("w", w))

    return call


def signs(w: Float[Array, "..."]) -> Float[Array, "..."]:
    """The sign of each entry, with sign(0) = +1."""
    # Not jnp.sign: a weight of 0 has to carry a sign that can flip, and −0.0 the same one as 0.
    return jnp.where(w < 0, -jnp.ones_like(w), jnp.ones_like(w))


def root_mean_square(w: Float[Array, "..."]) -> Float[Array, ""]:
    """σ of one tensor, accumulated in at least float32 and returned in the tensor's dtype."""
    # Squares of float16 weights below 2⁻¹² would vanish.
    wide = w.astype(at_least_float32(w.dtype))
    return jnp.sqrt(jnp.mean(wide**2)).astype(w.dtype)


def visible(changed: Float[Array, "..."], statistic: Float[Array, ""]) -> Float[Array, "..."]:
    """NaN all over where a statistic of the weights is not finite: NaN must not pass for pruned weights."""
    return jnp.where(jnp.isfinite(statistic), changed, jnp.full_like(changed, jnp.nan))


def mean_absolute(w: Float[Array, "..."]) -> Float[Array, ""]:
    """E|w| of one tensor, accumulated in at least float32 and returned in the tensor's dtype."""
    wide = w.astype(at_least_float32(w.dtype))
    return jnp.mean(jnp.abs(wide)).astype(w.dtype)
