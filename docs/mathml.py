"""Formulas that a browser draws without a script."""

from latex2mathml.converter import convert


def mathml(latex: str) -> str:
    """A displayed formula; its LaTeX is what a reader hears and copies."""
    spoken = latex.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    shown = convert(latex, display="block").replace("<math ", f'<math alttext="{spoken}" ', 1)
    return f'<div class="formula">{shown}</div>'
