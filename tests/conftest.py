"""Strict numerics for the whole suite: x64, no silent rank or dtype promotion, shapes checked at run time.

`SIGNMAG_TEST_X64=0` runs the same tests in JAX's default precision.
"""

import os
import shutil
import signal
import subprocess
import tempfile

# The first process of a run makes the folder in which all of them (its workers, the commands that tests start) keep
# what they have compiled: each program is compiled once. Whoever sets the variable keeps it from run to run.
# JAX reads these variables when it is imported.
_compiled = None
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _compiled = tempfile.mkdtemp(prefix="signmag-tests-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _compiled
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

import jax
import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

jax.config.update("jax_enable_x64", os.environ.get("SIGNMAG_TEST_X64", "1") == "1")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

pytest_plugins = ["fixtures_kernel", "fixtures_models"]

# Shape annotations are enforced here and only here: users pay nothing for them at run time.
_hook = install_import_hook(["signmag_jax"], "beartype.beartype")

# Times vary on shared machines; the examples themselves are what is tested.
settings.register_profile("signmag", deadline=None, print_blob=True)
settings.load_profile("signmag")

# A suite that was started in the background inherits an ignored Ctrl-C, and would pass it on to the commands
# that it interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure():
    """Leaves nothing of this run's compilations behind."""
    if _compiled:
        shutil.rmtree(_compiled, ignore_errors=True)


@pytest.fixture(autouse=True)
def _no_process_outlives_its_test(monkeypatch):
    """Ends what a failed test leaves running: its pipes would be an error in the setup of a later one."""
    started = []

    class Popen(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    yield
    for process in started:
        process.kill()
        with process:
            """Waits for it and closes its pipes."""
