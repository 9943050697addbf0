"""The one thing pyproject.toml cannot say: compile the native kernels when a compiler is there.

`optional` lets an installation without a C compiler succeed: Programs then run on the torch
backend, slower and with the same bits. Contraction is off, since a fused multiply-add rounds once
where the specification rounds twice.
"""

from glob import glob

from setuptools import Extension, setup

NATIVE = "src/skerry/exact/native"

sources = sorted(glob(f"{NATIVE}/*.c"))
native = Extension(
    "skerry.exact._native",
    sources=sources,
    depends=sorted(glob(f"{NATIVE}/*.h")),
    include_dirs=[NATIVE],
    extra_compile_args=[
        "-O3",
        "-ffp-contract=off",
        "-fno-math-errno",
        "-std=gnu11",
        "-Wall",
        "-Wextra",
    ],
    optional=True,
)

setup(ext_modules=[native] if sources else [])
