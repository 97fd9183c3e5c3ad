"""Fixtures around language models, shared by the tests of several rooms."""

import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def smollm():
    """The embedded SmolLM2-135M-Instruct, loaded once for the whole run."""
    from signmag_jax import models

    return models.load()


@pytest.fixture(scope="session")
def hub_folder(tmp_path_factory):
    """A tiny random Llama in hub format, context 64. Not to be changed: copy it."""
    sys.path.append(str(Path(__file__).parent / "models"))
    import oracle

    return oracle.save(oracle.oracle("llama", {}), tmp_path_factory.mktemp("hub"))
