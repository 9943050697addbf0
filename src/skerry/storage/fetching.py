"""Which part of which blob is asked of whom, and who is dropped.

What    `Fetch` is told what happens (a source is reached, says something, is lost; time passes; a
        whole was checked) and says in `actions()` what to do next. The node's shell does it.
Why     Sources may be slow, silent, wrong or hostile, and may die; the blobs must still arrive
        whenever one honest source has them, and nobody may make us wait, store or ask for ever.
Rule    A part proves nothing, only the whole does. When a whole is wrong and one source gave all of
        it, that source is dropped. When several gave, none can be blamed: the blob starts anew
        from one source alone, and so on, until it is right or nobody is left. So each failure
        costs a source or leads to one that does.
Limits  A source has at most `parts_under_way` parts to send; a part has exactly its length; what
        nobody asked for ends the source. `silence_seconds` without an awaited answer drops it, and
        after `slow_seconds` an idle source is asked for what a slow one owes.
Pure    Time is an argument.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, final

from skerry.base.ids import short
from skerry.messages.blobs import (
    BLOBS_ASKED_MAX,
    PART_BYTES,
    BlobAsk,
    BlobGone,
    BlobHave,
    BlobPart,
    BlobWant,
)

Source: TypeAlias = int
_RESUMED: Source = -1  # who gave the parts that a former fetch left on the disk


@dataclass(frozen=True, slots=True)
class FetchTerms:
    """Limits of one fetch.

    Attributes:
        blob_bytes_max: longest blob that is taken.
        parts_under_way: parts that one source may owe at once.
        silence_seconds: how long an awaited answer may take before the source is dropped.
        slow_seconds: how long, before an idle source is asked as well.
    """

    blob_bytes_max: int = 1 << 34
    parts_under_way: int = 8
    silence_seconds: float = 20.0
    slow_seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class Held:
    """What a former fetch left of a blob: its size as a source said, and the parts."""

    size: int
    parts: frozenset[int]


# -- what the shell is to do


@dataclass(frozen=True, slots=True)
class Say:
    """Send a message to a source."""

    source: Source
    message: BlobAsk | BlobWant


@dataclass(frozen=True, slots=True)
class Drop:
    """End the link to a source."""

    source: Source
    reason: str


@dataclass(frozen=True, slots=True)
class Keep:
    """Write a part of an unfinished blob of that size."""

    blob: bytes
    size: int
    part: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Check:
    """Hash the whole, and say `checked`."""

    blob: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Forget:
    """Delete what there is of an unfinished blob."""

    blob: bytes


Action: TypeAlias = Say | Drop | Keep | Check | Forget


def part_count(size: int) -> int:
    """Return how many parts a blob of `size` bytes has."""
    return -(-size // PART_BYTES)


def part_bytes(size: int, part: int) -> int:
    """Return the length of one part of a blob of `size` bytes."""
    return min(PART_BYTES, size - part * PART_BYTES)


@dataclass(slots=True)
class _Blob:
    """One blob on its way: the size we believe in, what is here, who gave it."""

    name: bytes
    size: int | None = None
    attempt: int = 0
    here: set[int] = field(default_factory=set)
    owed: dict[int, set[Source]] = field(default_factory=dict)
    next_part: int = 0
    returned: list[int] = field(default_factory=list)
    givers: set[Source] = field(default_factory=set)
    alone: Source | None = None
    checking: bool = False
    done: bool = False

    def start_anew(self) -> None:
        """Believe nothing of what is here."""
        self.attempt += 1
        self.here, self.owed, self.givers = set(), {}, set()
        self.next_part, self.returned, self.checking = 0, [], False

    def take_next(self) -> int | None:
        """Return a part that is neither here nor owed, or None."""
        while self.returned:
            part = self.returned.pop()
            if part not in self.here and part not in self.owed:
                return part
        assert self.size is not None
        while self.next_part < part_count(self.size):
            part, self.next_part = self.next_part, self.next_part + 1
            if part not in self.here and part not in self.owed:
                return part
        return None

    def give_back(self, part: int, source: Source) -> None:
        """Let others be asked for a part that `source` will not send."""
        owing = self.owed.get(part, set())
        owing.discard(source)
        if part in self.owed and not owing:
            del self.owed[part]
            self.returned.append(part)


@dataclass(frozen=True, slots=True)
class _Want:
    """A part that a source owes, and in which attempt it was asked for."""

    blob: _Blob
    part: int
    attempt: int


@dataclass(slots=True)
class _Source:
    """What is known of a source, and what it owes, in the order of asking."""

    sizes: dict[bytes, int] = field(default_factory=dict)
    asks: deque[tuple[bytes, ...]] = field(default_factory=deque)
    wants: deque[_Want] = field(default_factory=deque)
    heard_at: float = 0.0
    reached: bool = False
    gone: str = ""

    @property
    def owes(self) -> bool:
        return bool(self.asks or self.wants)


@final
class Fetch:
    """The fetch of some blobs from some sources, numbered from 0."""

    def __init__(
        self,
        blobs: Sequence[bytes],
        sources: int,
        *,
        held: Mapping[bytes, Held] | None = None,
        terms: FetchTerms | None = None,
    ) -> None:
        self._terms = terms or FetchTerms()
        self._blobs = {name: _Blob(name) for name in blobs}
        self._open = dict(self._blobs)
        self._sources = [_Source() for _ in range(sources)]
        self._actions: list[Action] = []
        self.bytes_taken = 0
        for name, left in (held or {}).items():
            blob = self._blobs[name]
            blob.size, blob.here = left.size, set(left.parts)
            blob.givers = {_RESUMED} if left.parts else set()

    # -- what came of it

    @property
    def over(self) -> bool:
        """Whether nothing more will come: all is here, or nobody has the rest."""
        return all(self._is_hopeless(blob) for blob in self._open.values())

    @property
    def missing(self) -> tuple[bytes, ...]:
        """The blobs that are not here."""
        return tuple(self._open)

    def gone(self, source: Source) -> str:
        """Return why a source was dropped or lost; empty while it is of use."""
        return self._sources[source].gone

    def actions(self) -> list[Action]:
        """Return what is to be done now, in this order; each is returned once."""
        actions, self._actions = self._actions, []
        return actions

    # -- what happens

    def reach(self, source: Source, now: float) -> None:
        """Hear that a source can be talked to."""
        it = self._sources[source]
        it.reached, it.heard_at = True, now
        names = list(self._open)
        for at in range(0, len(names), BLOBS_ASKED_MAX):
            batch = tuple(names[at : at + BLOBS_ASKED_MAX])
            it.asks.append(batch)
            self._actions.append(Say(source, BlobAsk(batch)))

    def lose(self, source: Source, reason: str, now: float) -> None:
        """Hear that a source is not there, or not any more."""
        it = self._sources[source]
        if it.gone:
            return
        it.gone = reason
        for want in it.wants:
            if want.attempt == want.blob.attempt:
                want.blob.give_back(want.part, source)
        it.asks.clear()
        it.wants.clear()
        it.sizes.clear()
        self._assign(now)

    def tell(self, source: Source, message: object, now: float) -> None:
        """Hear what a source said."""
        it = self._sources[source]
        if it.gone:
            return
        it.heard_at = now
        match message:
            case BlobHave(sizes) if it.asks and len(sizes) == len(it.asks[0]):
                for name, size in zip(it.asks.popleft(), sizes, strict=True):
                    if size is not None and size <= self._terms.blob_bytes_max:
                        it.sizes[name] = size
            case BlobPart(name, part, data) if self._is_due(it, name, part):
                if not self._take(source, it.wants.popleft(), data):
                    return self._drop(source, "it sent a part of another length", now)
            case BlobGone(name, part) if self._is_due(it, name, part):
                want = it.wants.popleft()
                it.sizes.pop(name, None)
                if want.attempt == want.blob.attempt:
                    want.blob.give_back(part, source)
            case _:
                kind = type(message).__name__
                return self._drop(source, f"it sent a {kind} that was not asked for", now)
        self._assign(now)

    def checked(self, name: bytes, *, right: bool, now: float) -> None:
        """Hear whether the whole had its digest."""
        blob = self._blobs[name]
        blob.checking = False
        if right:
            blob.done = True
            del self._open[name]
        else:
            liars = blob.givers if blob.size else set(self._claims(blob))  # none gives no bytes
            several = len(blob.givers) > 1
            self._start_anew(blob)
            if several:
                blob.alone = self._next_alone(blob)
            else:
                blob.size = None
                for liar in liars - {_RESUMED}:
                    self._drop(liar, f"its bytes of blob {short(name)} were wrong", now)
        self._assign(now)

    def tick(self, now: float) -> None:
        """Hear that time has passed."""
        for number, it in enumerate(self._sources):
            waited = now - it.heard_at
            if it.reached and not it.gone and it.owes and waited > self._terms.silence_seconds:
                self._drop(number, f"it did not answer for {self._terms.silence_seconds:g} s", now)
        self._assign(now)

    # -- inside

    def _is_due(self, it: _Source, name: bytes, part: int) -> bool:
        return bool(it.wants) and (it.wants[0].blob.name, it.wants[0].part) == (name, part)

    def _take(self, source: Source, want: _Want, data: bytes) -> bool:
        """Keep a part that was due; return whether it has its length."""
        blob = want.blob
        if want.attempt != blob.attempt or blob.done:
            return True  # asked for before the blob started anew
        assert blob.size is not None
        if len(data) != part_bytes(blob.size, want.part):
            blob.give_back(want.part, source)
            return False
        blob.owed.pop(want.part, None)
        if want.part not in blob.here:
            blob.here.add(want.part)
            blob.givers.add(source)
            self.bytes_taken += len(data)
            self._actions.append(Keep(blob.name, blob.size, want.part, data))
        return True

    def _drop(self, source: Source, reason: str, now: float) -> None:
        if not self._sources[source].gone:
            self._actions.append(Drop(source, reason))
            self.lose(source, reason, now)

    def _start_anew(self, blob: _Blob) -> None:
        blob.start_anew()
        self._actions.append(Forget(blob.name))

    def _claims(self, blob: _Blob) -> list[Source]:
        """Return the sources that say they have the blob in the size that we believe in."""
        return [
            number
            for number, it in enumerate(self._sources)
            if not it.gone and it.sizes.get(blob.name) == blob.size is not None
        ]

    def _next_alone(self, blob: _Blob) -> Source | None:
        claims = self._claims(blob)
        return claims[0] if claims else None

    def _is_hopeless(self, blob: _Blob) -> bool:
        """Return whether nobody has the blob and nobody is still to answer."""
        return not blob.checking and all(
            it.gone or (it.reached and not it.asks and blob.name not in it.sizes)
            for it in self._sources
        )

    def _settle(self, blob: _Blob) -> None:
        """Choose the size to believe in and whether one source shall give all."""
        if blob.size is None or not self._claims(blob):
            sizes = [it.sizes[blob.name] for it in self._sources if blob.name in it.sizes]
            if not sizes:
                return  # what is here is kept for a source that may still answer
            if blob.size is not None:
                blob.alone = None
                self._start_anew(blob)
            blob.size = sizes[0]
        if blob.alone is not None and blob.alone not in self._claims(blob):
            if blob.givers - {blob.alone} or blob.here:
                self._start_anew(blob)
            blob.alone = self._next_alone(blob)

    def _assign(self, now: float) -> None:
        """Ask the sources for parts, one each in turn, until nobody has room or nothing is left."""
        for blob in self._open.values():
            if blob.checking:
                continue
            self._settle(blob)
            if blob.size is not None and len(blob.here) == part_count(blob.size):
                blob.checking = True
                self._actions.append(Check(blob.name, blob.size))
        asked = True
        while asked:
            asked = False
            for number, it in enumerate(self._sources):
                if not it.gone and len(it.wants) < self._terms.parts_under_way:
                    asked = self._ask_one(number, it, now) or asked

    def _ask_one(self, number: Source, it: _Source, now: float) -> bool:
        """Ask a source for one more part; return whether there was one to ask for."""
        for blob in self._open.values():
            if not self._may_ask(number, it, blob):
                continue
            part = blob.take_next()
            if part is None and not it.wants:
                part = self._overdue(number, blob, now)
            if part is not None:
                blob.owed.setdefault(part, set()).add(number)
                if not it.owes:
                    it.heard_at = now
                it.wants.append(_Want(blob, part, blob.attempt))
                self._actions.append(Say(number, BlobWant(blob.name, part)))
                return True
        return False

    def _may_ask(self, number: Source, it: _Source, blob: _Blob) -> bool:
        if blob.checking or blob.size is None:
            return False
        return it.sizes.get(blob.name) == blob.size and blob.alone in (None, number)

    def _overdue(self, number: Source, blob: _Blob, now: float) -> int | None:
        """Return a part that a slow source owes, or None."""
        for part, owing in blob.owed.items():
            slow = all(now - self._sources[it].heard_at > self._terms.slow_seconds for it in owing)
            if slow and number not in owing and len(owing) == 1:
                return part
        return None
