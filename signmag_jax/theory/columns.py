"""Flips in a pool of columns over flips outside it, by the pool's share and size, and what bounds it."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from signmag_jax.evidence.domain import Interval
from signmag_jax.evidence.precision import law

from .arguments import RATE
from .outliers import flip_cost, kept_share
from .scaled import root

SHARE = Interval(
    0.0,
    1.0,
    open_high=True,
    normal=True,
    fix="pass the pool's share of the variance, in [0, 1), 0 or >= 2.3e-308",
)
# From 1e-300 on (1 − f)/f leaves room below float64's largest number for the ratio of costs.
FRACTION = Interval(1e-300, 1.0, open_high=True, fix="pass the pool's part of the columns, in (0, 1)")

EXPANDED_RATE = Interval(0.0, 0.4, open_low=True, fix="take column_ratio")


@law(domain={"rate": RATE, "share": SHARE, "fraction": FRACTION})
def column_ratio(rate: ArrayLike, share: ArrayLike, fraction: ArrayLike) -> Float[Array, "..."]:
    """((1−f)/f)·D(2pσ)/D(2p(1−σ)), D(x) = 1 − J(1−x): energy per flip in a pool over that outside.

    Exact at every rate for delocalised pools, as `pool_leverage` of flips matched by rate, of which only the
    pool's share σ of the variance and its part f of the columns are left. Its bounds at every rate:
    ((1−f)/f)·max(1, σ/(1−σ)), `column_ratio_bound`; and, of flips in the pool against flips anywhere, 1/f.

    Args:
      rate: flip rate in (0, 1/2].
      share: σ = Σ_S α_j²‖W_·j‖²/Σ α_j²‖W_·j‖², in [0, 1).
      fraction: f, the pool's part of the columns, in (0, 1).

    Returns:
      Array of the broadcast shape.

    Raises:
      InvalidInput: for concrete arguments outside; traced ones give NaN.

    Source: arXiv:2605.18933, section 5 and abstract (R_col).
    """
    p, share, fraction = jnp.broadcast_arrays(rate, share, fraction)
    s = root(p)
    # Costs per unit of rate: both energies vanish with the rate, and these do not.
    return (1 - fraction) / fraction * (_cost_per_rate(s, share) / _cost_per_rate(s, 1 - share))


# By rule: through √share, JAX would multiply 0 by infinity at share 0.
@jax.custom_jvp
def _cost_per_rate(s: Array, share: Array) -> Array:
    """D(2s²·share)/s², whose derivative along the share, 2(1 − θ/π), exists at 0 too."""
    return share * flip_cost(s * jnp.sqrt(share))


@_cost_per_rate.defjvp
def _cost_per_rate_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    s, share = primals
    alpha = s * jnp.sqrt(share)
    along_s = share * jnp.sqrt(share) * jax.jvp(flip_cost, (alpha,), (jnp.ones_like(alpha),))[1]
    return _cost_per_rate(s, share), along_s * tangents[0] + 2 * kept_share(alpha) * tangents[1]


@law(domain={"share": SHARE, "fraction": FRACTION})
def column_ratio_bound(fraction: ArrayLike, share: ArrayLike = 0.5) -> Float[Array, "..."]:
    """((1−f)/f)·max(1, σ/(1−σ)), the least bound of `column_ratio` that holds at every rate.

    The paper's 19 is (1−f)/f for a pool of 5% of the columns. It assumes a minority pool: that at most half
    of the variance is the pool's, σ <= 1/2, as the default says. A pool with three quarters of it breaks the
    assumption and the bound: the ratio is then 57 as p → 0, and it has no bound as σ → 1.

    Args:
      fraction: f, the pool's part of the columns, in (0, 1).
      share: the largest share σ of the variance that the pool may have.

    Raises:
      InvalidInput: for concrete arguments outside.

    Source: arXiv:2605.18933, abstract (R_col <= 19), with its assumption.
    """
    share, fraction = jnp.broadcast_arrays(share, fraction)
    return (1 - fraction) / fraction * jnp.maximum(share / (1 - share), jnp.ones_like(share))


@law(domain={"rate": EXPANDED_RATE, "share": SHARE, "fraction": FRACTION})
def column_ratio_expansion(rate: ArrayLike, share: ArrayLike, fraction: ArrayLike) -> Float[Array, "..."]:
    """((1−f)/f)·σ/(1−σ)·[1 − (4/(3π))(√σ − √(1−σ))√p], which leaves O(p).

    Args and errors as in `column_ratio`; refused for rates above 0.4, where it is off by more than a tenth.
    """
    p, share, fraction = jnp.broadcast_arrays(rate, share, fraction)
    # Either side contracts by 4/(3π) of its own amplitude, √(pσ) or √(p(1−σ)): the difference is left.
    bend = 4 / (3 * jnp.pi) * (jnp.sqrt(share) - jnp.sqrt(1 - share))
    return (1 - fraction) / fraction * share / (1 - share) * (1 - bend * jnp.sqrt(p))
