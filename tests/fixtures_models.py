"""Fixtures around language models, shared by the tests of several rooms."""

import pytest


@pytest.fixture(scope="session")
def smollm():
    """The embedded SmolLM2-135M-Instruct, loaded once for the whole run."""
    from signmag_jax import models

    return models.load()
