"""Texts for models that know few words."""

import numpy as np


def write_words(path):
    """Words of random letters, enough for a few windows of 16 tokens."""
    rng = np.random.default_rng(0)
    path.write_text(" ".join("".join(rng.choice(list("abcdefgh"), 5)) for _ in range(600)))
    return path
