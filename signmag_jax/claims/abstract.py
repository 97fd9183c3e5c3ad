"""The paper's abstract, claim by claim, and the row of the ledger that answers each."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST = 74
"""Characters of a sentence: with its number it fills a line of 80 columns."""


@dataclass(frozen=True)
class Sentence:
    """A claim of the abstract.

    Args:
      claim: in words, at most `LONGEST` characters.
      row: name of the row that answers it; None where no row does.
      picture: name of the picture that shows it, of those in the ledger or drawn from laws alone.
      quoted: path into `published.json` of a figure that no row holds.
    """

    claim: str
    row: str | None
    picture: str | None = None
    quoted: str | None = None


ABSTRACT = (
    Sentence("Wrong signs do π/(π−2) times the transverse damage of equal shifts, p → 0", "theorem_3.limit",
             "transverse_ratio"),
    Sentence("The same factor, less p, without a ReLU, which is said to create it",
             "proposition_1.coherent_shift"),
    Sentence("RMSNorm's derivative lets exactly the transverse part of an error through",
             "rmsnorm.transverse_projection", "geometry"),
    Sentence("cos²(w, sign w) → 2/π, here for rows of 4,096 Gaussian weights", "theorem_4.row_cosine.n=4096"),
    Sentence("0.365 of its error is radial behind a ReLU: within 0.4% of 1 − 2/π before",
             "theorem_4.post_relu_radial_fraction"),
    Sentence("Depth does not compound the factor, in plain and in residual chains",
             "depth.no_compounding", "depth"),
    Sentence("… which falls with each layer of a plain chain: C_6 at p = 0.01", "depth.plain.relu.L=6"),
    Sentence("A flip at α = 0.26, n = 2048 costs R ≈ nα² = 138 others; exactly, R(α, n)",
             "outliers.single_flip.n=2048"),
    Sentence("A flip in outlier columns costs about 10 others at p ≤ 0.5%, here 0.1%",
             "leverage.rate=0.001", "leverage"),
    Sentence("… and that is what the entries' own law says: α²‖w‖² predicts the loss",
             "response.pool_law", "column_slopes"),
    Sentence("Errors in outlier columns cost 5.0 times the NLL of errors in the rest", "exp_d.matched"),
    Sentence("… at most 19 times, if those columns hold at most half of the variance",
             "outliers.column_bound"),
    Sentence("… while perplexity shows 67 times, because it is not linear in NLL", None,
             quoted="abstract.ppl_gap"),
    Sentence("The outlier columns of a middle layer reach α = 0.26", "outliers.alpha.max", "alpha"),
)  # fmt: skip

BESIDE = (
    Sentence("Not in the abstract: does the factor carry over to a trained model's loss?",
             "trained.flips_over_shifts.p=0.01"),
)  # fmt: skip
"""What a reader of the abstract would ask next."""

WHY = {
    "trained": "a shift of every weight is aligned with the signal, and attention, gates and residual sums "
    "are not normalised at once",
    "exp_b": "the recursion takes entries as independent, and training leaves them in places that depend on "
    "each other",
    "rotation": "training puts small weights on large inputs, and a rotation undoes that",
}
"""Why a law that nobody claims does not hold where it was measured, by the first part of its row's name."""

FAMILIES = {
    "foundations": ("constants", "kernel", "rmsnorm", "second_layer"),
    "theorem 3": ("theorem_3", "finite_width", "v0"),
    "theorem 4": ("theorem_4", "ternary", "ternary_best", "ternary_bitnet"),
    "proposition 1": ("proposition_1",),
    "depth": ("depth",),
    "networks": ("network",),
    "outliers": ("outliers", "columns"),
    "leverage": ("leverage", "abstract", "response", "exp_d"),
    "trained matrices": ("fact_1", "trained", "exp_b", "rotation", "deciding"),
    "columns one by one": ("exp_f", "exp_g"),
}
"""The families by name, each with the first parts of its rows' names."""


def family_of(row: str) -> str:
    """The family of a row, by the first part of its name, which is the family where none lists it."""
    first = row.partition(".")[0]
    return next((name for name, parts in FAMILIES.items() if first in parts), first)
