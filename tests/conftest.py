"""Strict numerics for the whole suite: x64, no silent rank or dtype promotion, shapes checked at run time.

`SIGNMAG_TEST_X64=0` runs the same tests in JAX's default precision.
"""

import collections
import gc
import itertools
import os
import signal
import subprocess
import tempfile
from pathlib import Path

import jax
import pytest
import quick
import shapes
from hypothesis import settings

jax.config.update("jax_enable_x64", os.environ.get("SIGNMAG_TEST_X64", "1") == "1")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

# The first process of a run makes a folder for compiled programs; its workers and the commands that tests
# start inherit it, and what two of them need is compiled once. Whoever sets this variable keeps the folder.
_compiled = None
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _compiled = tempfile.TemporaryDirectory(prefix="signmag-tests-")
    for _name, _value in (
        ("jax_compilation_cache_dir", _compiled.name),
        ("jax_persistent_cache_min_compile_time_secs", 0),
        ("jax_persistent_cache_min_entry_size_bytes", -1),
    ):
        jax.config.update(_name, _value)
        os.environ[_name.upper()] = str(_value)

# Tracing makes so many objects that Python's search for those which nobody holds takes 5% of a run.
gc.set_threshold(20_000, 20, 20)

pytest_plugins = ["fixtures_kernel", "fixtures_models"]

shapes.check()

# Times vary on shared machines; the examples themselves are what is tested. They are the same in every run:
# a commit that passed passes again, and `--hypothesis-profile=explore` looks for new ones.
settings.register_profile("signmag", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, print_blob=True)
settings.load_profile("signmag")

# A suite that was started in the background inherits an ignored Ctrl-C, and would pass it on to the commands
# that it interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config):
    # Slow tests are compiled as users' programs are.
    config.compiles_less = "not slow" in config.option.markexpr and quick.everywhere()


def pytest_collection_finish():
    global _counted
    _counted = _cpu_seconds()
    # What is imported stays.
    gc.collect()
    gc.freeze()


def pytest_report_header(config):
    return f"compiled with {'less' if config.compiles_less else 'full'} optimisation"


def pytest_unconfigure():
    if _compiled:
        _compiled.cleanup()


def pytest_addoption(parser):
    parser.addoption(
        "--durations-by-room", action="store_true", help="show the CPU seconds of each folder's tests"
    )


def _cpu_seconds():
    """Of this process with all its threads, and of the processes that it started and waited for."""
    return sum(os.times()[:4])


_counted = 0.0


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    global _counted
    report = yield
    before, _counted = _counted, _cpu_seconds()
    report.user_properties.append(("cpu_seconds", _counted - before))
    return report


def pytest_terminal_summary(terminalreporter, config):
    if config.getoption("durations_by_room"):
        rooms = collections.Counter()
        for report in itertools.chain.from_iterable(terminalreporter.stats.values()):
            for name, seconds in getattr(report, "user_properties", ()):
                if name == "cpu_seconds":
                    rooms[report.nodeid.partition("::")[0].rpartition("/")[0]] += seconds
        terminalreporter.section("CPU seconds by room, with the processes that its tests start")
        for room, seconds in [*rooms.most_common(), ("all rooms", rooms.total())]:
            terminalreporter.line(f"{seconds:7.1f}  {room}")


BRIEF = ("frechet", "perturb", "proofs", "theory", "training")
"""Rooms whose programs run for a shorter time than they compile."""


@pytest.fixture(scope="module", autouse=True)
def unoptimised(request):
    """Laws compile for longer than they run. A module of another kind overrides this."""
    briefly = request.path.parent.name in BRIEF and jax.config.jax_enable_x64
    with quick.unoptimised(request.config.compiles_less and briefly):
        yield


# A compiled program takes three and more of the 65,530 that Linux gives a process, and jaxlib crashes where
# none is left. With this many, one holds some 3 GiB.
MANY_MAPPINGS = 10_000


def pytest_runtest_teardown(item, nextitem):
    """After a file, and after each slow test, lets go of compiled programs if they are many."""
    ends = nextitem is None or nextitem.path != item.path
    if (ends or item.get_closest_marker("slow")) and _count_mappings() > MANY_MAPPINGS:
        jax.clear_caches()


def _count_mappings():
    mappings = Path("/proc/self/maps")  # of Linux alone
    return mappings.read_bytes().count(b"\n") if mappings.exists() else 0


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
