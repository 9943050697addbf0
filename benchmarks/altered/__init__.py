"""Nodes whose code was altered, to attack a real network of processes; never part of the product.

What    `python -m benchmarks.altered WAY join ...` is `skerry join` with some functions replaced:
        in the daemon (`__main__`), in its worker (`worker`), or in its market's desk (`desk`).
Why     Whoever cheats changes the code on his own machine; so do these, and nothing else.
"""
