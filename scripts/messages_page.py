"""The reference page of the messages: every kind, its fields and their limits, read off the code.

What    `messages_page()` returns docs/reference/messages.md.
Why     Whoever writes another implementation needs each field, and the code is what is enforced.
"""

from __future__ import annotations

import inspect
import re
import typing
from types import UnionType
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from skerry.messages import (
    blobs,
    boards,
    disputes,
    leased,
    market,
    membership,
    receipts,
    rounds,
    wire,
)

GENERATED = "<!-- Written by `make reference`; do not edit. -->\n"

_INTRODUCTION = f"""# Messages

Everything that is signed or sent between processes. A message is one MessagePack map: first
`type`, the tag below, then the fields in this order, every integer and length in its shortest
form. Bytes that would be spelled otherwise are refused, so one value has one digest. No message
holds a float; a number that is not an integer travels as the 64 bits of its binary64. A reader
refuses more than {wire.MESSAGE_BYTES_MAX:,} bytes unless it expects updates, an unknown `type`, an
unknown field, and any value outside the limits below.

Digests are SHA-256 with a domain ([one hash](../decisions/0006-one-hash.md)); signatures are
Ed25519 over the message with a signature of zeros. How a run uses these messages is told in
[rounds](../explanation/rounds.md).
"""

_SECTIONS = (
    ("Units and receipts", receipts),
    ("A run", rounds),
    ("The network", membership),
    ("Blobs", blobs),
    ("Leased nodes of a job", leased),
    ("The market", market),
    ("Its board between nodes", boards),
    ("The dispute walk", disputes),
)


def messages_page() -> str:
    """Return the page."""
    lines = [GENERATED, _INTRODUCTION]
    for title, module in _SECTIONS:
        lines.append(f"## {title}\n")
        for _, kind in _structs(module):
            lines += _kind(kind)
    return "\n".join(lines).rstrip() + "\n"


def _structs(module: Any) -> list[tuple[int, type[msgspec.Struct]]]:
    found = [
        (inspect.getsourcelines(value)[1], value)
        for _, value in inspect.getmembers(module, inspect.isclass)
        if issubclass(value, msgspec.Struct) and value.__module__ == module.__name__
    ]
    return sorted(found, key=lambda pair: pair[0])


def _kind(kind: type[msgspec.Struct]) -> list[str]:
    text = inspect.cleandoc(kind.__doc__ or "")
    what, _, rest = text.partition("\nAttributes:")
    tag = kind.__struct_config__.tag
    lines = [f"### {kind.__name__}" + (f" `{tag}`" if tag else ""), "", " ".join(what.split()), ""]
    lines += ["| field | type | meaning |", "|---|---|---|"]
    meanings = _attributes(rest)
    hints = typing.get_type_hints(kind, include_extras=True)
    for name in kind.__struct_fields__:
        lines.append(f"| `{name}` | {_type(hints[name])} | {meanings.get(name, '')} |")
    if kind.__struct_config__.array_like:
        lines[2] += " Travels as an array of its fields."
    return [*lines, ""]


def _attributes(text: str) -> dict[str, str]:
    """Return the meaning of each field from the docstring's list."""
    meanings: dict[str, str] = {}
    for entry in re.split(r"\n {4}(?=\w+: )", text):
        name, colon, meaning = entry.strip().partition(": ")
        if colon:
            meanings[name] = " ".join(meaning.split()).replace("|", "&#124;")
    return meanings


def _type(hint: Any) -> str:
    """Return a type and its limits in words."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        metas = [it for it in arguments[1:] if isinstance(it, Meta)]
        limits = [text for meta in metas for text in _limits(meta)]
        return _type(arguments[0]) + (f" ({', '.join(limits)})" if limits else "")
    if origin in (typing.Union, UnionType):
        return " or ".join(_type(it) for it in arguments)
    if origin is Literal:
        return " or ".join(f"`{it}`" for it in arguments)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return f"list of {_type(arguments[0])}"
        return f"({', '.join(_type(it) for it in arguments)})"
    if hint is type(None):
        return "nothing"
    if hint is msgspec.UnsetType:
        return "left out"
    names = {"int": "integer", "str": "text", "bytes": "bytes"}
    name = str(hint.__name__)
    return names.get(name, name)


def _limits(meta: Meta) -> list[str]:
    pairs = [
        ("at least", meta.ge), ("below", meta.lt), ("at most", meta.le),
        ("length at least", meta.min_length), ("length at most", meta.max_length),
    ]  # fmt: skip
    if meta.min_length is not None and meta.min_length == meta.max_length:
        pairs = [("length", meta.min_length)]
    return [f"{word} {_number(value)}" for word, value in pairs if value is not None]


def _number(value: float) -> str:
    whole = int(value)
    for off in (0, 1):
        if whole + off > 1 << 20 and (whole + off).bit_count() == 1:
            return f"2^{(whole + off).bit_length() - 1}" + (" - 1" if off else "")
    if whole < 0 and (-whole).bit_count() == 1 and -whole > 1 << 20:
        return f"-2^{(-whole).bit_length() - 1}"
    return f"{whole:,}"
