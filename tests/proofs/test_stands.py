"""Every proof stands, states what the kernel made, and is found and rendered."""

import pytest

from signmag_jax.evidence import InvalidInput
from signmag_jax.theory import proof as proofs
from signmag_jax.theory.proof import folder, prove
from signmag_jax.theory.rules import genuine

QUICK = ("bussgang_constant", "perturbations", "proposition_1", "rmsnorm_derivative", "second_layer", "stable_forms")
SLOW = sorted(set(proofs.names()) - set(QUICK))


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_it_stands(library, name):
    result = library.result(name)
    assert result.proved, result.failure
    assert result.conclusions
    assert all(map(genuine, result.conclusions.values()))
    assert all(name in result.statement for name in result.conclusions)


def test_an_unknown_proof_is_named():
    with pytest.raises(InvalidInput, match=r"theorem_99.*choose from .*theorem_3"):
        prove(["theorem_99"])


def test_results_render():
    (result,) = prove(["bussgang_constant"])
    assert "mean magnitude" in result.to_text()
    latex = result.to_latex()
    assert latex.count(r"\begin{") == latex.count(r"\end{")
    assert "trusted" in result.summary


def test_a_wheel_carries_the_proofs_inside_the_package(tmp_path, monkeypatch):
    inside = tmp_path / "signmag_jax" / "proofs"
    inside.mkdir(parents=True)
    (inside / "theorem_3.py").write_text((folder() / "theorem_3.py").read_text(encoding="utf-8"))
    monkeypatch.setattr(proofs, "__file__", str(tmp_path / "signmag_jax" / "theory" / "proof.py"))
    assert folder() == inside


EDITS = [
    ("bussgang_constant", '"insert the moments", 2 / sp.pi', '"insert the moments", 3 / sp.pi'),
    ("bussgang_constant", "-density, sp.sqrt(2 / sp.pi)", "-density, 2 / sp.pi"),
    ("rmsnorm_derivative", "- moved * (inner + t * other)", "- 0 * inner"),
    ("proposition_1", '"insert and cancel", 1 / (1 - p)', '"insert and cancel", 1 - p'),
    ("second_layer", "(a**2 * d * signal + rest) / m", "(a**2 * d * signal - rest) / m"),
    ("perturbations", '"insert the moments", 1 - 2 * p', '"insert the moments", 1 - p'),
]


@pytest.mark.parametrize(("name", "right", "wrong"), EDITS)
def test_a_wrong_claim_is_refused(library, tmp_path, name, right, wrong):
    source = (folder() / f"{name}.py").read_text(encoding="utf-8")
    path = tmp_path / f"{name}.py"
    path.write_text(source.replace(right, wrong), encoding="utf-8")
    if right not in source:
        pytest.skip("the proof no longer says this")
    assert not proofs.check(proofs.load(path), library).proved
