"""NLL and perplexity of a model on windows of text, clean or with transformed weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from signmag_jax.evidence import Estimate
from signmag_jax.evidence.counts import counting
from signmag_jax.evidence.progress import progress
from signmag_jax.models import LanguageModel, Transform, window_nll

from .inputs import Windows, check_finite, checked_windows, provenance_of, sha256_of_tokens


class Loss(Estimate):
    """A mean negative log-likelihood."""

    def summary(self) -> dict[str, str]:
        """The loss and its perplexity."""
        return {"nll": str(self), "perplexity": str(perplexity(self))}


@counting
def nll(
    model: LanguageModel,
    tokens: Windows,
    transform: Transform | None = None,
    *,
    batch: int | None = None,
    source: Mapping[str, Any] | None = None,
) -> Loss:
    """Mean negative log-likelihood per predicted token, in nats.

    `mean over windows of mean over t of −ln p(token_{t+1} | token_0..t)`

    Args:
      model: from `models.load`.
      tokens: windows in rows; each predicts window − 1 tokens.
      transform: applied to every weight on its way into the forward pass, see `models.token_nll`.
      batch: number of windows that are computed at a time; by default what suits the platform.
      source: added to the provenance, for instance the text's sha256.

    Returns:
      The mean with its standard error over windows; for a single window over its tokens, taken as
      independent, which the estimator's name says.

    Raises:
      InvalidInput: for ids outside the vocabulary, windows beyond the context, or a loss that is not finite.
    """
    tokens = checked_windows(model, tokens, "evaluation")
    with progress("nll", len(tokens)) as advance:
        losses = window_nll(model, tokens, transform, batch, advance)
    check_finite(losses, "the loss")
    origin = provenance_of(
        model, source, tokens_sha256=sha256_of_tokens(tokens), windows=len(tokens), window=tokens.shape[1]
    )
    if len(losses) > 1:
        return Loss.of_samples(
            losses.mean(axis=1), unit="nat/token", estimator="mean over windows", provenance=origin
        )
    return _single(losses[0], origin)


def _single(row: Float[np.ndarray, " predicted"], origin: Mapping[str, Any]) -> Loss:
    name = "mean over the tokens of one window, taken as independent"
    if len(row) == 1:
        # One token has no spread; its loss is still an exact function of model and text.
        return Loss.exact(row[0], unit="nat/token", estimator="one predicted token", provenance=origin)
    return Loss.of_samples(row, unit="nat/token", estimator=name, provenance=origin)


def perplexity(loss: Estimate) -> Estimate:
    """`exp(NLL)` of an estimate from `nll`, with the standard error of the delta method, `PPL · SE`.

    Raises:
      InvalidInput: if the exponential overflows.
    """
    # exp(709.8) is the largest float64; the estimate refuses infinity by name.
    value = math.exp(loss.value) if loss.value < 700 else math.inf
    return Estimate(
        value, value * loss.standard_error, loss.n, "1", f"exp of the {loss.estimator}", loss.provenance
    )
