"""Compiled programs are kept between commands: in the user's cache, unless the user decided otherwise."""

import json
import os
import shutil
import subprocess
import sys

import pytest

LAW = ("law", "flip_amplification", "--alpha", "0.26", "--n", "2048", "--json")
MAIN = [sys.executable, "-m", "signmag_jax"]


def run(home, *arguments, **more):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    environment |= {"XDG_CACHE_HOME": str(home), "JAX_PLATFORMS": "cpu", **more}
    done = subprocess.run([*MAIN, *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def kept(home):
    return {path for path in home.rglob("*-cache") if path.is_file()}


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    home = tmp_path_factory.mktemp("cache")
    return home, run(home, *LAW)


@pytest.fixture
def home(first, tmp_path):
    """A copy of what the first command left, to be changed."""
    return shutil.copytree(first[0], tmp_path / "home")


def test_a_second_command_compiles_nothing_and_prints_the_same(first):
    home, printed = first
    programs = kept(home)
    assert len(programs) > 1  # control: the first one did compile
    assert run(home, *LAW) == printed
    assert kept(home) == programs


def test_of_xlas_own_caches_that_of_single_kernels_is_not_used(tmp_path):
    """A kernel that is taken from it ends a process on a Hopper card with an illegal instruction."""
    script = (
        "from signmag_jax.cli import programs; programs.keep(); import jax;"
        "print(jax.config.jax_compilation_cache_dir, jax.config.jax_persistent_cache_enable_xla_caches)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    environment |= {"XDG_CACHE_HOME": str(tmp_path), "JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES": "all"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    folder, caches = done.stdout.split()
    assert folder.startswith(str(tmp_path))
    assert "autotune" in caches
    assert "kernel" not in caches


@pytest.mark.slow
def test_damaged_programs_are_compiled_anew(first, home):
    for path in kept(home):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert run(home, *LAW) == first[1]


@pytest.mark.slow
def test_who_decides_for_themselves_is_left_alone(tmp_path):
    own = tmp_path / "own"
    run(tmp_path, *LAW, JAX_COMPILATION_CACHE_DIR=str(own), JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0")
    assert kept(own)
    assert kept(tmp_path) == kept(own)


@pytest.mark.slow
def test_without_a_folder_nothing_is_kept_and_doctor_says_why(first, tmp_path):
    _, printed = first
    (tmp_path / "signmag_jax").write_text("a file in its place")
    assert run(tmp_path, *LAW) == printed
    assert "not kept" in json.loads(run(tmp_path, "doctor", "--json"))["programs"]


@pytest.mark.slow
def test_doctor_shows_and_removes_them(home):
    found = json.loads(run(home, "doctor", "--json"))
    assert f"{len(kept(home))}" in found["programs"]
    assert found["attention_of_half_precision"] == "spans of queries"  # on a CPU
    assert "(0 files" in json.loads(run(home, "doctor", "--clear-programs", "--json"))["programs"]
    assert not kept(home)
