"""Names for parties and jobs that a person can tell apart at a glance."""

from __future__ import annotations

from skerry.base.digests import digest

_ADJECTIVES = (
    "amber", "brisk", "calm", "deft", "early", "fair", "grey", "hardy",
    "inner", "jolly", "keen", "lucid", "mild", "noble", "open", "plain",
    "quick", "rapid", "still", "tidal", "upper", "vivid", "warm", "young",
    "bold", "clear", "dusky", "even", "fresh", "grand", "high", "light",
)  # fmt: skip
_BIRDS = (
    "auk", "brant", "crake", "dunlin", "eider", "fulmar", "gannet", "heron",
    "ibis", "jaeger", "knot", "loon", "merlin", "noddy", "osprey", "petrel",
    "quail", "rail", "skua", "tern", "umbrette", "veery", "wigeon", "yaffle",
    "booby", "curlew", "dotterel", "egret", "finch", "gull", "hobby", "kestrel",
)  # fmt: skip


def nickname(public_key: bytes) -> str:
    """Return a readable name of a key, for example "calm-tern-41"; not unique, never an id."""
    name = digest("nickname", public_key)
    return f"{_ADJECTIVES[name[0] % 32]}-{_BIRDS[name[1] % 32]}-{name[2] % 100:02d}"


def short(name: bytes) -> str:
    """Return the first eight hexadecimal digits of a digest."""
    return name.hex()[:8]
