"""What the networks of one layer have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from .gaussian import DTYPES, choose, whole


@dataclass(frozen=True)
class LayerSample:
    """One network W of `rows` × `width` on `inputs` inputs; the fields are its arguments.

    Raises:
      InvalidInput: for a size or dtype out of range.
    """

    width: int
    rows: int
    inputs: int
    dtype: str

    plain: ClassVar[tuple[str, ...]] = ("width", "rows", "inputs", "dtype")
    """The arguments that are plain values."""

    def __post_init__(self) -> None:
        for name, low in (("width", 2), ("rows", 2), ("inputs", 1)):
            whole(name, getattr(self, name), low)
        choose("dtype", self.dtype, DTYPES)

    def arguments(self) -> dict[str, Any]:
        """The arguments that a record is known by: those that are plain values."""
        return {name: getattr(self, name) for name in self.plain}
