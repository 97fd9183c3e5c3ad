"""Centred moments of vector samples, merged on the host in float64 in a fixed order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SampleMoments:
    """Count, mean (d,) and centred second moment (d, d) of samples; E[x²] − E[x]² is never formed."""

    count: int
    mean: np.ndarray
    comoment: np.ndarray

    @classmethod
    def of(cls, samples: np.ndarray) -> SampleMoments:
        """Moments of the rows of `samples`, shape (count, d)."""
        samples = np.asarray(samples, dtype=np.float64)
        mean = samples.mean(axis=0)
        centred = samples - mean
        return cls(samples.shape[0], mean, centred.T @ centred)

    def merge(self, later: SampleMoments) -> SampleMoments:
        """Chan, Golub and LeVeque's pairwise update; `later` follows `self` in sample order."""
        count = self.count + later.count
        # Each part is about its own mean: only the difference of the means is squared, never a large mean.
        shift = later.mean - self.mean
        mean = self.mean + shift * (later.count / count)
        cross = np.outer(shift, shift) * (self.count * later.count / count)
        return SampleMoments(count, mean, self.comoment + later.comoment + cross)

    def extended(self, samples: np.ndarray) -> SampleMoments:
        """These moments and the rows of `samples`, shape (count, d), with the bits of merging one by one."""
        count, mean, comoment = self.count, self.mean, self.comoment.copy()
        for sample in samples:
            shift = sample - mean
            mean = mean + shift * (1 / (count + 1))
            comoment += shift[:, None] * shift * (count / (count + 1))
            count += 1
        return SampleMoments(count, mean, comoment)

    @property
    def covariance(self) -> np.ndarray:
        """Unbiased covariance of one sample, shape (d, d)."""
        return self.comoment / (self.count - 1)

    @property
    def standard_error(self) -> np.ndarray:
        """Standard error of each mean, shape (d,)."""
        return np.sqrt(np.diag(self.covariance) / self.count)
