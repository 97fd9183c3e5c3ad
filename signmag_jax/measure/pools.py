"""The weights that may be flipped: outlier columns and the rest, over the matrices that take part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from signmag_jax.evidence import invalid
from signmag_jax.models import SITE_OF, SITES, LanguageModel
from signmag_jax.models.decoder_layer import features_at_sites

from .activations import Columns, membership
from .draw import EMPTY
from .inputs import Unmeasurable

OUTLIER, REST, ALL = "outlier", "rest", "all"
ARMS = (OUTLIER, REST)


class TooFewWeights(Unmeasurable):
    """A pool that cannot hold the flips of a rate."""


@dataclass(frozen=True, eq=False)
class Pools:
    """The outlier columns and the rest, in the matrices and layers that take part.

    Args:
      order: per site and layer, all columns, outliers first.
      outliers: per site, how many are outliers.
      outputs: rows of each matrix that takes part, by name.
      layers: layers that take part.
    """

    order: dict[str, Int[np.ndarray, "layers features"]]
    outliers: dict[str, int]
    outputs: dict[str, int]
    layers: tuple[int, ...]

    @classmethod
    def of(cls, model: LanguageModel, columns: Columns, layers: Sequence[int], names: Sequence[str]) -> Pools:
        """Pools from the outlier columns of each site."""
        order = {}
        for site, features in features_at_sites(model.config).items():
            mask = membership(columns[site], features)
            # An arm's columns are then one run, which a draw finds by an offset and without a mask.
            order[site] = np.argsort(~mask, axis=1, kind="stable").astype(np.int32)
        outputs = {name: model.config.shapes()[name][0] for name in names}
        return cls(order, {site: columns[site].shape[1] for site in SITES}, outputs, tuple(layers))

    @classmethod
    def everything(cls, model: LanguageModel, layers: Sequence[int], names: Sequence[str]) -> Pools:
        """All columns of the chosen matrices and layers, none of them an outlier."""
        none = {site: np.zeros((model.config.layers, 0), np.int64) for site in SITES}
        return cls.of(model, none, layers, names)

    @property
    def layers_of_model(self) -> int:
        """How many layers the model has, whether or not they take part."""
        return len(next(iter(self.order.values())))

    def span(self, site: str, arm: str) -> tuple[int, int]:
        """Offset and width of an arm's columns in `order`."""
        features, outliers = self.order[site].shape[1], self.outliers[site]
        return {OUTLIER: (0, outliers), REST: (outliers, features - outliers), ALL: (0, features)}[arm]

    def member(self, name: str, arm: str) -> Bool[np.ndarray, "layers features"]:
        """Which input columns of one matrix are the arm's, in each layer of the model."""
        order, (offset, width) = self.order[SITE_OF[name]], self.span(SITE_OF[name], arm)
        inside = np.zeros(order.shape, bool)
        np.put_along_axis(inside, order[:, offset : offset + width], True, axis=1)
        return inside

    def pool_sum(
        self, name: str, arm: str, columns: Float[np.ndarray, "layers features"]
    ) -> Float[np.ndarray, " layers"]:
        """The sum over the arm's columns of one matrix, in each layer of the model."""
        offset, width = self.span(SITE_OF[name], arm)
        chosen = self.order[SITE_OF[name]][:, offset : offset + width]
        return np.take_along_axis(columns, chosen, axis=1).sum(axis=1)

    def matrix_size(self, name: str, arm: str) -> int:
        """Weights of one matrix in the arm's pool."""
        size = self.outputs[name] * self.span(SITE_OF[name], arm)[1]
        # Indices are int32, of which the largest marks an empty slot.
        if size >= EMPTY:
            raise invalid(f"fewer than {EMPTY} weights in a pool", size, "name fewer columns")
        return size

    def size(self, arm: str) -> int:
        """Weights of the whole pool."""
        return len(self.layers) * sum(self.matrix_size(name, arm) for name in self.outputs)


def flips_at(rate: float, size: int, pool: str = "weights") -> int:
    """round(rate × size), the flips of a rate in a pool of that name.

    Raises:
      TooFewWeights: if there are none.
    """
    flips = round(rate * size)
    if flips < 1:
        raise TooFewWeights(
            f"`rate × {pool} >= 1 flip` is required, received {rate} × {size}: "
            "raise the rate or widen the pool"
        )
    return flips
