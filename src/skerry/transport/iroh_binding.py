"""The one door to the iroh package: the version we know, with its slow spot mended.

What    `iroh` is the package after two checks: that it is the pinned version, and that outgoing
        bytes are lowered by one memory copy.
Why     The generated binding of 1.2.0 copies outgoing bytes one at a time in Python, 3 MiB/s. It
        is mended upstream (mozilla/uniffi-rs, pull request 2824, since uniffi 0.32), but not in
        this wheel. The cure replaces two private methods, so it is tied to the exact version.
Limits  Lengths are 32-bit in the binding: a single buffer stays below 2 GiB.
"""

from __future__ import annotations

import ctypes
import struct
from importlib.metadata import version
from typing import Any

import iroh
from iroh import iroh_ffi

from skerry.base.errors import NodeError

PINNED = "1.2.0"
__all__ = ["PINNED", "BindingUnfit", "iroh", "require_version"]


class BindingUnfit(NodeError):
    """Another version of iroh is installed than the one whose binding we know and mend."""

    code = "node.iroh"

    def __init__(self, found: str) -> None:
        super().__init__(
            f"iroh {found} is installed, but only {PINNED} is known to work",
            next_step=f"pip install iroh=={PINNED}",
        )


def require_version(found: str) -> None:
    """Raise BindingUnfit unless `found` is the pinned version."""
    if found != PINNED:
        raise BindingUnfit(found)


def _write(builder: Any, value: Any) -> None:
    """Append bytes to a Rust buffer in one copy; `value` is anything with contiguous bytes."""
    source: bytes | int
    if isinstance(value, bytes):
        length, source = len(value), value
    else:
        view = memoryview(value).cast("B")
        length = view.nbytes
        if view.readonly or not length:
            source = bytes(view)
        else:
            source = ctypes.addressof(ctypes.c_char.from_buffer(view))
    with builder._reserve(length):
        if length:
            start = ctypes.addressof(builder.rbuf.data.contents) + builder.rbuf.len
            ctypes.memmove(start, source, length)


def _pack_into(builder: Any, size: int, layout: str, value: Any) -> None:
    _write(builder, struct.pack(layout, value))


require_version(version("iroh"))
_builder: Any = iroh_ffi._UniffiRustBufferBuilder
_builder.write = _write
_builder._pack_into = _pack_into
