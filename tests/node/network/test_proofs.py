"""A coordinator that tells two nodes two things is found out, left alone, and changes no bit."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from skerry.base.digests import digest
from skerry.messages.leased import Committed, Contradiction, Follow, SignedRecord
from skerry.messages.rounds import LaneRecord, RoundRecord
from skerry.messages.signing import Sign, sign
from skerry.messages.wire import decode, encode
from skerry.node.keys import load_key
from skerry.node.network.part import Part
from skerry.node.network.proofs import Proofs, contradicts
from skerry.node.network.trust import Trust
from skerry.transport import Link
from tests.node.network.ring import Ring
from tests.node.small import local_job
from tests.node.within import Within

JOB = digest("job", b"one")
LANE = LaneRecord((), digest("update", b"one"), None)


def record(at: int, before: bytes, after: bytes) -> RoundRecord:
    return RoundRecord(job=JOB, round=at, state_before=before, lanes=(LANE,), state_after=after)


def signed(
    who: tuple[bytes, Sign], at: int, before: bytes, after: bytes, fence: int = 1
) -> SignedRecord:
    key, by = who
    return sign(SignedRecord(signer=key, fence=fence, record=record(at, before, after)), by)


def test_two_words_of_one_signer_are_a_proof_and_nothing_else_is(tmp_path: Path) -> None:
    one, other = load_key(tmp_path / "1.key"), load_key(tmp_path / "2.key")
    a, b, c = (digest("state", name) for name in (b"a", b"b", b"c"))
    first = signed(one, 3, a, b)
    assert contradicts(first, signed(one, 3, a, c))
    assert contradicts(first, signed(one, 4, c, a))
    assert not contradicts(first, first)
    assert not contradicts(first, signed(one, 4, b, a))
    assert not contradicts(first, signed(one, 3, a, c, fence=2))
    assert not contradicts(first, signed(other, 3, a, c))
    proofs = Proofs(tmp_path / "evidence", JOB, Trust([one[0], other[0]]))
    false = msgspec.structs.replace(signed(one, 3, a, c), signature=bytes(64))
    assert not proofs.take(Contradiction(first, false)), "nobody signed that"
    assert proofs.since is None
    assert proofs.take(Contradiction(first, signed(one, 4, c, a)))
    assert not proofs.take(Contradiction(first, signed(one, 3, a, c))), "it is known already"
    again = Proofs(tmp_path / "evidence", JOB, Trust([one[0]]))
    assert (again.lies(one[0]), again.lies(other[0]), again.since) == (True, False, 3)


@pytest.mark.parametrize("odd", [0, 1])
def test_a_two_faced_coordinator_is_left_and_the_bits_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: int
) -> None:
    job = local_job(rounds=8, lanes=3)
    alone = Within(job, tmp_path / "alone", workers=1).run()
    ring = Ring(tmp_path, job)
    told: list[bytes] = []  # what was said of round 2, each time that it was told
    send = Part._send_rounds

    def lie(part: Part, said: Committed) -> Committed:
        record = said.record
        if record.signer != part.me.key or record.record.round != 2:
            return said
        if len(told) % 2 == odd:
            wrong = msgspec.structs.replace(record.record, state_after=digest("wrong", b"state"))
            record = sign(msgspec.structs.replace(record, record=wrong), part.me.sign)
        told.append(record.record.state_after)
        return msgspec.structs.replace(said, record=record)

    async def two_faced(part: Part, link: Link, follow: Follow) -> None:
        first = ring.nodes[0].address
        assert first is not None
        if part.me.key == first.key:  # who only asks is told too: few may follow when round 2 ends
            link = Lying(part, link)  # type: ignore[assignment]
        await send(part, link, follow)

    class Lying:
        """A link on which one round is told otherwise every other time."""

        def __init__(self, part: Part, link: Link) -> None:
            self.part, self.link = part, link

        async def send(self, frame: bytes) -> None:
            said = decode(frame, bytes_max=1 << 26)
            await self.link.send(
                encode(lie(self.part, said)) if isinstance(said, Committed) else frame
            )

        async def close(self) -> None:
            await self.link.close()

    monkeypatch.setattr(Part, "_send_rounds", two_faced)
    result = ring.run()
    assert result.root.hex() == alone.root
    kept = list(tmp_path.glob("node-*/jobs/*/evidence/*.proof"))
    kept += (tmp_path / "submitter" / "evidence").glob("*.proof")
    assert kept
    assert len(set(told)) == 2
