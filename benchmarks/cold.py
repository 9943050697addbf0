"""What a fresh process does until its first step has ended; see exact.cold_seconds."""

from __future__ import annotations

import sys
from pathlib import Path

from safetensors.torch import load_file

from skerry.exact import compile_program
from skerry.program import check, from_bytes

if __name__ == "__main__":
    place = Path(sys.argv[1])
    program = from_bytes((place / "program").read_bytes())
    check(program)
    compile_program(program, "native").run(load_file(place / "inputs"))
