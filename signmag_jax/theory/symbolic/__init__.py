"""Each law once, as a SymPy expression; `proofs/` derives them from the definitions."""
