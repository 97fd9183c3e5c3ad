"""The paper's own formulas for Theorem 3, kept beside the exact law."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from signmag_jax.evidence.precision import law

from .energies import RATE, transverse_ratio


@law(domain={"rate": RATE})
def paper_transverse_ratio(rate: ArrayLike) -> Float[Array, "..."]:
    """π/(π−2)·(1−p)·(1 − 4√p/(3π)): the paper's closed form.

    It contracts the energy of the flips but not that of the magnitude error, which contracts too.

    Args:
      rate: flip rate in (0, 1/2].

    Source: arXiv:2605.18933, Theorem 3.
    """
    p = jnp.asarray(rate)
    return jnp.pi / (jnp.pi - 2) * (1 - p) * (1 - 4 * jnp.sqrt(p) / (3 * jnp.pi))


@law(domain={"rate": RATE})
def paper_transverse_ratio_as_printed(rate: ArrayLike) -> Float[Array, "..."]:
    """(1 − p + 4p^{3/2}/(3π))/(1 − 2/π)·(1 − 4√p/(3π)): the expression behind the paper's printed column.

    Args:
      rate: flip rate in (0, 1/2].

    Source: arXiv:2605.18933, table of Theorem 3.
    """
    p = jnp.asarray(rate)
    contraction = 4 * jnp.sqrt(p) / (3 * jnp.pi)
    return (1 - p + p * contraction) / (1 - 2 / jnp.pi) * (1 - contraction)


@law(domain={"rate": RATE})
def paper_transverse_ratio_error(rate: ArrayLike) -> Float[Array, "..."]:
    """The paper's closed form minus the exact transverse ratio, at each rate.

    Args:
      rate: flip rate in (0, 1/2].
    """
    return paper_transverse_ratio(rate) - transverse_ratio(rate)
