"""Base: the few things every room needs and nobody owns.

In      Nothing.
Does    Errors, units, ids, digests and Merkle hashing, the clock and chance as arguments.
Out     Plain values and pure functions.
Never   IO, torch, a wall clock or a global random state. This list of modules is closed.
Start   reading at `errors`.
"""
