"""Benchmarks: every number that Skerry claims has a command here.

`python -m benchmarks` lists them; `python -m benchmarks NAME [--quick] --json` runs one and prints
one JSON object as its last line. `LOG.md` keeps what was measured, failures too.
"""
