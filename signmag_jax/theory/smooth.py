"""Activations that are analytic around the real axis: which grid resolves them."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from signmag_jax.evidence import invalid
from signmag_jax.evidence.precision import is_traced

from .agreement import agrees
from .quadrature import MOST_NARROWED, Grid, Rule, average, narrowed
from .scaled import Scaled
from .second_moments import SecondMoments

# √v of the magnitude shift that matches flips of half of all signs, 1 + √2 for b → 1: the largest in a ratio.
GROWTH = 1 + math.sqrt(2)
MOST_HALVINGS = 4
SMALLEST = 1e-100
# What a traced scale gets, whose size is not known.
TRACED = 5


@dataclass(frozen=True)
class Smooth:
    """An activation φ with two derivatives, analytic at least that far from the real axis.

    Args:
      bounded: φ less its two asymptotes through 0, elementwise; φ itself where they are not known.
      derivative, curvature: φ' and φ'', elementwise.
      analytic: distance of the nearest singularity to the real axis.
      asymptotes: their slopes, on the left and on the right.
      known: whether `analytic` is known to hold, with singularities at 0 alone; else it is checked.
      grid: of the quadrature.
    """

    bounded: Callable[[Array], Array]
    derivative: Callable[[Array], Array]
    curvature: Callable[[Array], Array]
    analytic: float
    asymptotes: tuple[float, float] = (0.0, 0.0)
    known: bool = False
    grid: Grid = field(default_factory=Grid)
    degree = 1

    @property
    def rule(self) -> Rule:
        """What is integrated, and how."""
        return Rule(self.bounded, self.derivative, self.curvature, self.analytic, self.asymptotes, self.grid)

    def resolved(self, name: str, scale: Any, growth: float = GROWTH) -> "Smooth":
        """This activation with a grid that fits pre-activations of deviation scale and scale·growth.

        Raises:
          InvalidInput: for a scale outside of what any grid resolves, or a function that is not smooth.
        """
        count = TRACED if is_traced(scale) else narrowed(self.analytic, float(scale) * max(1.0, growth))
        if count > MOST_NARROWED or (not is_traced(scale) and float(scale) < SMALLEST):
            largest = Grid(narrowed=MOST_NARROWED).largest(self.analytic)
            raise invalid(
                f"{SMALLEST:g} <= scale and scale·√v <= {largest:.3g} for {name}",
                float(scale) * growth,
                "it is linear below and its limit, as a ReLU or a sign, above",
            )
        grid = replace(self.grid, narrowed=count)
        if self.known:
            return replace(self, grid=grid)
        sizes = (
            (grid.largest(self.analytic),)
            if is_traced(scale)
            else (float(scale), float(scale) * max(1.0, growth))
        )
        return replace(self, grid=_verified(name, self, grid, sizes))

    def __call__(self, moments: Scaled, scale: Any) -> SecondMoments:
        shape = jnp.shape(moments.c)
        size = jnp.asarray(scale, dtype=moments.c.dtype)
        # A little more than `resolved` lets through: rounding may refuse nothing that was accepted.
        largest = 1.001 * self.grid.largest(self.analytic)

        def one(m: Scaled) -> SecondMoments:
            widest = size * jnp.sqrt(jnp.maximum(m.v, 1.0))
            # A deviation that the grid does not resolve gives NaN, not a wrong number.
            return average(self.rule, m, size + jnp.where(widest <= largest, 0, jnp.nan))

        # One pair of moments after another: the finest plane has a million nodes.
        result = jax.lax.map(one, Scaled(*(jnp.ravel(m) for m in moments)))
        return SecondMoments(*(jnp.reshape(r, shape) for r in result))


def _verified(name: str, smooth: Smooth, grid: Grid, sizes: tuple[float, ...]) -> Grid:
    """The coarsest grid on which two quadratures agree.

    Raises:
      InvalidInput: where none does, or φ is not finite on the grid.
    """
    for halvings in range(MOST_HALVINGS + 1):
        trial = replace(grid, halvings=halvings, reach=grid.reach / 2**halvings)
        if all(agrees(replace(smooth, grid=trial).rule, size) for size in sizes):
            return trial
    raise invalid(
        f"two quadratures of {name} agree, which takes a smooth function with a second moment",
        f"values at deviation {max(sizes):.3g} of which they differ",
        "pass a smaller scale, or kinks=(...) for a function that is linear between kinks",
    )


def checked_function(function: Any) -> None:
    """Refuse what is not an elementwise function of JAX arrays.

    Raises:
      InvalidInput: naming what it did.
    """
    fix = "pass an elementwise JAX function of an array, such as jnp.sin"
    try:
        with jax.ensure_compile_time_eval():
            result = jax.eval_shape(function, jax.ShapeDtypeStruct((3,), jnp.float32))
    except Exception as error:
        reason = str(error).partition("\n")[0][:80]
        raise invalid(
            "an activation maps arrays to arrays", f"{function!r}, which raises {reason}", fix
        ) from None
    if getattr(result, "shape", None) != (3,) or not jnp.issubdtype(result.dtype, jnp.floating):
        raise invalid("an activation maps arrays to arrays of their shape", result, fix)
