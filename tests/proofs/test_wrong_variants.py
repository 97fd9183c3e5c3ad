"""Deliberately wrong results, written into the sources of the proofs: each has to be rejected."""

import ast

import pytest

from signmag_jax.theory import proof
from signmag_jax.theory.proof import check, folder, load

# (proof, what the source says, what it is made to say)
HEADLINES = [
    ("theorem_3", "root = -4 / (3 * sp.pi) * (1 - k)", "root = -4 / (3 * sp.pi)"),
    ("theorem_3", "sp.pi / (sp.pi - 2), Series(s, 1)", "sp.pi / (sp.pi - 1), Series(s, 1)"),
    ("theorem_3", "linear = -1 - 8 * b * k", "linear = -1 + 8 * b * k"),
    ("theorem_3", "4 * s**2 * (1 - 2 / sp.pi)", "4 * s**2"),
    ("bussgang_constant", '"integrate", sp.sqrt(2 / sp.pi)', '"integrate", 2 / sp.pi'),
    ("bussgang_constant", '"insert the moments", 2 / sp.pi', '"insert the moments", 3 / sp.pi'),
    ("rmsnorm_derivative", "- (y_i + t * delta_i) * (inner + t * other)", "- 0 * inner"),
    ("rmsnorm_derivative", "gain * y_i * eps / rho**3, Algebra", "sp.Integer(0) * y_i, Algebra"),
    ("arccos_kernel", "(sp.sin(theta) + (sp.pi - theta) * sp.cos(theta)) / 2", "(sp.sin(theta) + theta) / 2"),
    ("theorem_4", "1 - 2 / sp.pi, Using(*moments)", "2 / sp.pi, Using(*moments)"),
    ("theorem_4", "root = sp.sqrt(b_squared * (1 - b_squared))", "root = sp.sqrt(1 - b_squared)"),
    ("proposition_1", '"insert and cancel", 1 / (1 - p)', '"insert and cancel", 1 - p'),
    ("single_flip", "4 / (3 * sp.pi) * (a - b) * h", "4 / (3 * sp.pi) * a * h"),
    ("finite_width", "p * (1 - p) * fourth", "p * fourth"),
    ("residual_limit", "of_flips / (v * of_shift), Series", "of_flips / of_shift, Series"),
    ("residual_limit", "slope.rhs)", "2 * slope.rhs)"),
    ("residual_rise", "2 * w),", "3 * w),"),
    ("residual_rise", "sp.Rational(1, 20)", "sp.Rational(1, 100)"),
    ("residual_rise", "(delta + fall) * f + extra", "(delta - fall) * f + extra"),
    ("second_layer", "(d - 1) * rest / m", "d * rest / m"),
    ("second_layer", "a * y_i + u_i, a * squared", "a * y_i + u_i, 2 * a * squared"),
    ("pool_leverage", 'half, "half of the variance"', 'half / 2, "half of the variance"'),
    ("pool_leverage", "1 + 2 * t) / (2 + 2 * t)", "1 + t) / (2 + 2 * t)"),
    ("pool_leverage", "(u - w) * s", "u * s"),
    ("pool_leverage", "inside + excess, ", "inside - excess, "),
]


def edited(library, tmp_path, name, source):
    """The proof with another source, checked."""
    path = tmp_path / f"{name}.py"
    path.write_text(source, encoding="utf-8")
    return check(load(path), library)


@pytest.mark.parametrize(("name", "right", "wrong"), HEADLINES)
def test_a_wrong_headline_is_rejected(library, tmp_path, name, right, wrong):
    source = (folder() / f"{name}.py").read_text(encoding="utf-8")
    assert source.count(right) >= 1, "the proof no longer says this: update the test"
    assert library.result(name).proved
    result = edited(library, tmp_path, name, source.replace(right, wrong))
    assert not result.proved
    assert "step" in result.failure


@pytest.mark.parametrize(
    ("name", "law", "wrong"),
    [
        ("theorem_3", "transverse_ratio_expansion", "paper_root"),
        ("theorem_3", "transverse_ratio_limit", "double"),
        ("bussgang_constant", "mean_magnitude", "double"),
        ("arccos_kernel", "kappa", "double"),
        ("theorem_4", "sign_radial_fraction", "double"),
        ("single_flip", "flip_amplification_expansion", "paper_flip"),
        ("proposition_1", "noise_to_flip_ratio", "double"),
        ("small_errors", "radial_fraction_expansion", "double"),
        ("small_errors", "energy_expansion", "double"),
        ("finite_width", "finite_width_slope", "double"),
        ("second_layer", "output_transverse", "double"),
        ("residual_limit", "residual_limit", "double"),
        ("residual_rise", "residual_first_ratio", "double"),
        ("residual_rise", "residual_linear_step", "double"),
        ("second_layer", "output_radial_fraction", "double"),
        ("finite_width", "profile_slope", "double"),
        ("pool_leverage", "column_ratio", "double"),
        ("pool_leverage", "column_ratio_expansion", "double"),
    ],
)
def test_a_wrong_law_is_not_concluded(library, name, law, wrong):
    """The last step compares with an expression that is written down elsewhere; falsify that one."""
    from signmag_jax.theory import symbolic

    replacements = {
        "double": lambda *args: 2 * getattr(symbolic, law)(*args),
        "paper_root": lambda p: symbolic.paper_transverse_ratio(p),
        "paper_flip": lambda a, n: symbolic.paper_flip_amplification(a, n),
    }
    module = load(folder() / f"{name}.py")
    setattr(module, law, replacements[wrong])
    result = check(module, library)
    assert not result.proved


def literals(source):
    """Line and column of the integers in what the steps claim (second argument of `.step`)."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "step":
            for part in ast.walk(node.args[1]):
                if isinstance(part, ast.Constant) and isinstance(part.value, int):
                    yield part.lineno, part.col_offset, part.value


@pytest.mark.parametrize("name", proof.names())
def test_a_changed_coefficient_in_the_source_is_noticed(library, tmp_path, name):
    source = (folder() / f"{name}.py").read_text(encoding="utf-8")
    places = sorted(set(literals(source)))
    for line, column, value in places[:: max(1, len(places) // 6)]:
        lines = source.splitlines(keepends=True)
        # ast counts columns in UTF-8 bytes
        row = lines[line - 1].encode()
        lines[line - 1] = (row[:column] + b"7" + row[column + len(str(value)) :]).decode()
        result = edited(library, tmp_path, name, "".join(lines))
        assert not result.proved, f"{name}.py line {line}: {value} became 7 and the proof still stands"
