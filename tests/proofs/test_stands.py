"""Every proof stands, states what the kernel made, rests on every line, and is found and rendered."""

import pytest
from symbols import symbolic

from signmag_jax.evidence import InvalidInput
from signmag_jax.theory import proof as proofs
from signmag_jax.theory import proof_files
from signmag_jax.theory.derivation import DEFINITION, LAW
from signmag_jax.theory.proof import Tamper, prove
from signmag_jax.theory.proof_files import folder
from signmag_jax.theory.rules import genuine

QUICK = ("bussgang_constant", "perturbations", "proposition_1", "rmsnorm_derivative", "second_layer")
SLOW = sorted(set(proofs.names()) - set(QUICK))
EVERY = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


@pytest.mark.parametrize("name", EVERY)
def test_it_stands(library, name):
    result = library.result(name)
    assert result.proved, result.failure
    assert result.conclusions
    assert all(map(genuine, result.conclusions.values()))
    assert all(f"{name}: " in result.statement for name in result.conclusions)


@pytest.mark.parametrize("name", EVERY)
def test_a_false_line_is_refused(library, name):
    """Of the lines that claim something: all of a quick proof, about eight of a slow one."""
    whole = library.result(name).steps
    aside = (DEFINITION, LAW, "hypothesis", "citation", "substitution", "induction", "limit", "two cases")
    lines = [k for k, step in enumerate(whole) if step.kind not in aside]
    for index in lines if name in QUICK else lines[:: max(1, len(lines) // 8)]:
        module = proofs.load(folder() / f"{name}.py")
        broken = proofs.check(module, library, Tamper(index))
        assert not broken.proved, f"line {index} ({whole[index].name}) was falsified and nothing happened"
        assert len(broken.steps) - 1 == index


def slow(*edit):
    return pytest.param(*edit, marks=pytest.mark.slow)


# (proof, what its source says, what it is made to say)
EDITS = [
    ("bussgang_constant", "2 / sp.pi, inserted", "3 / sp.pi, inserted"),
    ("bussgang_constant", "-density, sp.sqrt(2 / sp.pi)", "-density, 2 / sp.pi"),
    ("rmsnorm_derivative", "- moved * (inner + t * other)", "- 0 * inner"),
    ("proposition_1", '"insert and cancel", 1 / (1 - p)', '"insert and cancel", 1 - p'),
    ("second_layer", "(a**2 * d * signal + rest) / m", "(a**2 * d * signal - rest) / m"),
    ("perturbations", "1 - 2 * p, Using(square)", "1 - p, Using(square)"),
    slow("theorem_3", "(1 + root * s", "(1 + 2 * root * s"),
    slow("depth", "loss**3 / bend**2", "loss**2 / bend**2"),
    slow("depth", "J(k * state)", "J(k * state**7)"),
    slow("residual_limit", "flips / (v * shift), h", "flips / shift, h"),
    slow("residual_rise", "p = sp.Rational(1, 20)", "p = sp.Rational(1, 100)"),
    slow("pool_leverage", "least(half, sigma)", "least(sp.Rational(3, 4), sigma)"),
    slow("single_flip", "(a - b) * h", "a * h"),
    slow("finite_width", "p * (1 - p) * fourth", "p * fourth"),
    slow("any_weights_width", "(-m) ** k", "m**k"),
    slow("depth_width", "j_ * (3 * k40 + k22) - 4 * k31", "j_ * (3 * k40 + k22) - 3 * k31"),
    slow("depth_width", "bend * before**2 / 2 + change", "bend * before**2 + change"),
    slow("depth_width", "(b, d): a / (4 * b * d * root)", "(b, d): a / (2 * b * d * root)"),
    slow("any_weights", "(group * mean(m * m)", "(mean(m * m)"),
    slow("gated", "names[0] ** 2 / names[1]", "names[0] ** 2 / names[2]"),
    slow("gated", '"up": [gated_transverse(WHOLE, pair)', '"up": [gated_transverse(pair, pair)'),
    slow("any_weights_width", "m**a * (m + eps) ** k", "m**a * (m - eps) ** k"),
]


def edited(library, tmp_path, name, right, wrong, **laws):
    source = (folder() / f"{name}.py").read_text(encoding="utf-8")
    assert right in source, "the proof no longer says this: update the test"
    path = tmp_path / f"{name}.py"
    path.write_text(source.replace(right, wrong), encoding="utf-8")
    module = proofs.load(path)
    for law, value in laws.items():
        assert hasattr(module, law)
        setattr(module, law, value)
    return proofs.check(module, library)


@pytest.mark.parametrize(("name", "right", "wrong"), EDITS)
def test_a_wrong_claim_is_refused(library, tmp_path, name, right, wrong):
    assert not edited(library, tmp_path, name, right, wrong).proved


# The step and the law it arrives at, both doubled.
DOUBLE = [
    ("bussgang_constant", "2 / sp.pi, inserted", "4 / sp.pi, inserted", "cosine_squared"),
    ("proposition_1", 'cancel", 1 / (1 - p)', 'cancel", 2 / (1 - p)', "noise_to_flip_ratio"),
    ("second_layer", "signal + rest) / m", "signal + 2 * rest) / m", "output_transverse"),
    slow("depth", "9 * sp.pi**2 / 8", "9 * sp.pi**2 / 4", "fixed_point_coefficient"),
    slow("single_flip", "2 * small**2 - 8 *", "4 * small**2 - 16 *", "flip_energy_expansion"),
    slow("depth_width", "slope**2 * spread + own", "2 * slope**2 * spread + own", "cosine_variance"),
    slow("residual_limit", "flips / (v * shift), h", "2 * flips / (v * shift), h", "residual_limit"),
]


@pytest.mark.parametrize(("name", "right", "wrong", "law"), DOUBLE)
def test_a_step_edited_with_its_law_is_refused(library, tmp_path, name, right, wrong, law):
    laws = {law: lambda *arguments: 2 * getattr(symbolic, law)(*arguments)}
    assert not edited(library, tmp_path, name, right, wrong, **laws).proved


@pytest.mark.slow
def test_the_floor_is_that_of_the_losses_at_the_fixed_points(library):
    """What is stated is rendered from the fact: no exponent stands beside it."""
    stated = library.result("depth").statement.partition("floor: ")[2].partition("\n")[0]
    claim, _, hypotheses = stated.partition(", for ")
    assert claim.count("t_flip(s)") == claim.count("t_shift(s)") == 3
    assert "→ (1 - 2/pi)**(-2/3) as s → 0+" in claim
    for part in ("t_flip(s) → 0 as s → 0+", "sign(t_flip(s)) → 1", "t_shift(s) → 0 as s → 0+"):
        assert part in hypotheses


def test_an_unknown_proof_is_named():
    with pytest.raises(InvalidInput, match=r"theorem_99.*choose from .*theorem_3"):
        prove(["theorem_99"])


def test_results_render():
    (result,) = prove(["bussgang_constant"])
    text = result.to_text()
    assert "error of a scaled sign: " in text
    assert ", for a > 0" in text
    latex = result.to_latex()
    assert latex.count(r"\begin{") == latex.count(r"\end{")
    assert "by normal form (trusted)" in result.summary


def test_a_wheel_carries_the_proofs_inside_the_package(tmp_path, monkeypatch):
    inside = tmp_path / "signmag_jax" / "proofs"
    inside.mkdir(parents=True)
    (inside / "theorem_3.py").write_text((folder() / "theorem_3.py").read_text(encoding="utf-8"))
    monkeypatch.setattr(proof_files, "__file__", str(tmp_path / "signmag_jax" / "theory" / "proof_files.py"))
    assert folder() == inside
