"""The seconds of a part are its own, and those of the compiler are found where it was called."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signmag_jax.evidence import timings


def busy(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_a_part_within_another_counts_once_and_what_comes_again_goes_on():
    began = time.process_time()
    with timings.recorded() as spent:
        with timings.part("outer"):
            busy(0.02)
            with timings.part("inner"):
                busy(0.06)
            busy(0.02)
        with timings.part("inner"):
            busy(0.04)
    whole = time.process_time() - began
    outer, inner = spent.parts["outer"], spent.parts["inner"]
    assert 0.04 <= outer.cpu < 0.1 <= inner.cpu
    assert outer.cpu + inner.cpu <= whole
    assert outer.clock > 0
    assert inner.clock > 0


def test_an_error_ends_its_part():
    with timings.recorded() as spent, timings.part("outer"):
        with pytest.raises(ValueError, match="stop"), timings.part("broken"):
            raise ValueError("stop")
        busy(0.02)
    assert spent.parts["outer"].cpu >= 0.02 > spent.parts["broken"].cpu


def test_nothing_is_recorded_unless_it_is_wanted():
    with timings.recorded(wanted=False) as spent, timings.part("some"):
        assert spent is None
    with timings.part("outside"):
        pass


def test_a_program_counts_for_the_part_that_calls_it_first():
    program = jax.jit(lambda x: jnp.sin(x) * 3.25)
    x = np.ones(7, np.float32)
    with timings.recorded() as spent:
        with timings.part("first"):
            program(x)
        with timings.part("again"):
            program(x)
        with timings.part("nothing"):
            pass
    first, again = spent.parts["first"], spent.parts["again"]
    assert first.programs == 1
    assert 0 < first.tracing + first.compiling <= first.clock
    assert (again.programs, again.tracing, again.compiling) == (0, 0.0, 0.0)


def test_a_stage_within_another_is_not_counted_twice():
    """What is traced while another function is traced, as JAX reports it: the inner one ends first."""
    inner, compiled, outer = 0.01, 0.02, 0.05
    with timings.recorded() as spent, timings.part("some"):
        busy(outer)
        spent.stage("/jax/core/compile/jaxpr_trace_duration", inner)
        spent.stage(timings.COMPILED, compiled)
        spent.stage("/jax/core/compile/jaxpr_trace_duration", outer)
        spent.stage("/jax/another/event", 1.0)
    part = spent.parts["some"]
    # The compilation began before the inner trace, and holds it; the outer trace holds both.
    assert part.tracing == pytest.approx(inner + outer - compiled)
    assert part.compiling == pytest.approx(compiled - inner)


def test_the_table_begins_with_the_dearest_part_and_ends_with_the_sum():
    parts = {
        "cheap": {"clock": 2.0, "cpu": 1.0, "tracing": 0.5, "compiling": 0.25, "programs": 1},
        "dear": {"clock": 3.0, "cpu": 4.0, "tracing": 0.0, "compiling": 0.0, "programs": 2},
    }
    head, *rows = [line.split() for line in timings.lines(parts)]
    assert head == ["part", "clock", "cpu", "tracing", "compiling", "programs"]
    assert [row[0] for row in rows] == ["dear", "cheap", "total"]
    assert rows[-1] == ["total", "5.0", "5.0", "0.5", "0.2", "3"]
