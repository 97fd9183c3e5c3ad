"""A timed run does one part after another and says in its ledger what each took."""

import pytest
from small_runs import TINY, results_of

from signmag_jax import claims
from signmag_jax.claims import run as main_job
from signmag_jax.evidence.compiling import compiling_for


@pytest.fixture
def at_once(monkeypatch):
    """How many parts the run does at a time, and "proofs" if they begin before; nothing is computed."""
    asked = []

    def nothing(level, subject, seed, resume, at_once, provers, news):
        asked.append(at_once)
        return {}, results_of(level, {})

    monkeypatch.setattr(main_job.Provers, "begin", lambda self: asked.append("proofs"))
    monkeypatch.setattr(main_job, "_all_routes", nothing)
    monkeypatch.setattr(main_job.families, "rows", lambda level, results: [])
    monkeypatch.setattr(main_job.pictures, "series", lambda level, results: {})
    return asked


@pytest.mark.parametrize("timed", [True, False])
def test_only_a_timed_run_says_what_its_parts_took(at_once, tmp_path, timed):
    ledger = claims.reproduce(TINY, out=tmp_path, model="none", timed=timed)
    assert at_once == ([1] if timed else ["proofs", main_job.AT_ONCE])
    parts = ledger["provenance"].get("timings", {})
    assert set(parts) == ({"reading", "laws and verdicts", "pictures"} if timed else set())
    assert claims.read(tmp_path)["provenance"] == ledger["provenance"]


def test_an_accelerators_host_compiles_as_many_pieces_as_it_has_cores_for(monkeypatch):
    monkeypatch.setattr(main_job.provenance, "threads", lambda: 16)
    found = []
    for target in ("cpu", "gpu", "tpu"):
        with compiling_for(target):
            found.append(main_job._at_once())
    assert found == [main_job.AT_ONCE, 5, 5]
    monkeypatch.setattr(main_job.provenance, "threads", lambda: 2)
    with compiling_for("gpu"):
        assert main_job._at_once() == main_job.AT_ONCE


def test_each_simulation_is_a_part(tmp_path):
    from signmag_jax.evidence import timings

    found = main_job.families.experiments(TINY)
    variants = [each for each in found if each.name == "theorem_4.256"]
    with timings.recorded() as spent:
        variants[0].run(0, None)
    (part,) = spent.parts.items()
    assert part[0] == f"theorem_4.256.{variants[0].variant}"
    # Not its programs: another test may have compiled them in this process.
    assert part[1].clock > 0
