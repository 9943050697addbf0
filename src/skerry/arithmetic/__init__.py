"""Arithmetic: what one element of an op is worth, in plain integers.

In      The elements that it is made of: an f32 as its 32 bits, integers, truth values.
Does    IEEE binary32 by integers; the fixed binary64 sequences of exp and its kin; i64 modulo 2^64.
Out     One element.
Never   Shapes, tensors, IO.
Start   reading at `elements`, then `real` and `scalar`.
"""
