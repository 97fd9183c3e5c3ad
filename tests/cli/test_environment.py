"""Environments with which JAX does not start: one line, exit code 2; a fault of our own is no verdict."""

import os
import subprocess
import sys

import jax
import pytest

from signmag_jax import cli
from signmag_jax.cli import environment

LAW = ("law", "transverse_ratio", "--rate", "0.01")


def signmag(*arguments, **changes):
    call = [sys.executable, "-m", "signmag_jax", *arguments]
    return subprocess.run(call, capture_output=True, text=True, env={**os.environ, **changes}, check=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JAX_PLATFORMS", "cuda"),
        ("JAX_ENABLE_X64", "maybe"),
        pytest.param("XLA_FLAGS", "--nonsense", marks=pytest.mark.slow),
        pytest.param("JAX_PLATFORMS", "nonsense", marks=pytest.mark.slow),
        pytest.param("JAX_NUM_CPU_DEVICES", "x", marks=pytest.mark.slow),
        pytest.param("JAX_DEFAULT_MATMUL_PRECISION", "zzz", marks=pytest.mark.slow),
        pytest.param("XLA_FLAGS", "--xla_force_host_platform_device_count=0", marks=pytest.mark.slow),
    ],
)
def test_what_jax_refuses_is_one_line_that_names_the_variable(name, value):
    done = signmag(*LAW, **{name: value})
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert f"{name}={value}" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("name", "value"), [("JAX_PLATFORMS", "cuda"), ("XLA_FLAGS", "--nonsense")])
def test_the_doctor_names_it_among_the_problems(name, value):
    done = signmag("doctor", **{name: value})
    assert done.returncode == 2
    assert f"{name}={value}" in done.stdout


def test_a_lost_process_is_one_line_of_those_that_are_left(monkeypatch, capsys):
    def broken(_):
        raise jax.errors.JaxRuntimeError("UNKNOWN: Gloo context initialization failed")

    monkeypatch.setattr(cli, "_invoke", broken)
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    assert cli.run(["doctor"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "other processes failed (UNKNOWN: Gloo context initialization failed): see what they say" in said
    monkeypatch.setattr(jax, "process_count", lambda: 1)  # control
    assert cli.run(["doctor"]) == cli.FAULT


def test_a_sound_environment_explains_no_error(monkeypatch, capsys):
    assert environment.fault(ValueError("of our own")) is None

    def broken(_):
        raise ZeroDivisionError("of our own")

    monkeypatch.setattr(cli, "_invoke", broken)
    assert cli.run(["doctor"]) == cli.FAULT
    said = capsys.readouterr().err
    assert "ZeroDivisionError: of our own" in said
    assert said.splitlines()[-1].startswith("signmag: this is a fault of signmag_jax")
