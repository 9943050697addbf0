"""What nodes say before work has one spelling, and an invite that was mistyped leads nowhere."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.messages.membership import (
    INVITE_PREFIX,
    NEWS_MAX,
    Announcement,
    Call,
    Capability,
    Invite,
    InviteWrong,
    Known,
    Lease,
    LeaseTaken,
    MembershipMessage,
    Refusal,
    RosterNews,
    RosterWant,
    invite_text,
    read_invite,
)
from skerry.messages.signing import SignatureWrong, check_signature, sign, signer
from skerry.messages.wire import Message, MessageError, decode, encode

KEY, SIGN = signer(bytes(range(32)))
A, B = bytes([1] * 32), bytes([2] * 32)
ANNOUNCEMENT = Announcement(
    signer=KEY,
    sequence=7,
    issued=1000,
    expires=1600,
    endpoints=("127.0.0.1:4100",),
    roles=("seed", "solver"),
    chain_address=bytes(20),
    capability=Capability(1 << 33, 1 << 30, 2),
)
LEASE = Lease(signer=KEY, job=A, node=B, order=(A, B), fence=1, issued=1000, expires=2000)
INVITE = Invite(A, (f"{A.hex()}@127.0.0.1:4100",), "http://127.0.0.1:8545", bytes(range(20)))
MESSAGES: list[Message] = [
    Call("roster"),
    Call("run", A, 3),
    Refusal("peer.fence", "fence 2 is over", "follow fence 3"),
    ANNOUNCEMENT,
    RosterWant((Known(A, 3), Known(B, 0)), 1_000_000),
    RosterNews((sign(ANNOUNCEMENT, SIGN),), (A,), 1_000_000),
    LEASE,
    LeaseTaken(signer=KEY, lease=A),
    INVITE,
]
each_message = pytest.mark.parametrize("message", MESSAGES, ids=lambda it: type(it).__name__)
invites = st.builds(
    Invite,
    st.binary(min_size=32, max_size=32),
    st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=4).map(tuple),
    st.text(max_size=40),
    st.none() | st.binary(min_size=20, max_size=20),
)


@each_message
def test_a_message_comes_back_as_it_went(message: Message) -> None:
    assert decode(encode(message)) == message


def test_no_kind_is_forgotten_here() -> None:
    assert {type(it) for it in MESSAGES} == set(MembershipMessage.__args__)


@each_message
@given(st.data())
def test_a_changed_byte_is_refused_or_another_message(
    message: Message, data: st.DataObject
) -> None:
    whole = bytearray(encode(message))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(MessageError):
        assert encode(decode(bytes(whole))) == whole


@pytest.mark.parametrize("unsigned", [it for it in MESSAGES if hasattr(it, "signature")], ids=repr)
def test_a_signed_kind_is_its_signers_alone(unsigned: Any) -> None:
    check_signature(sign(unsigned, SIGN))
    with pytest.raises(SignatureWrong):
        check_signature(unsigned)
    with pytest.raises(SignatureWrong):
        check_signature(msgspec.structs.replace(sign(unsigned, SIGN), signer=A))


@pytest.mark.parametrize(
    ("message", "change"),
    [
        (ANNOUNCEMENT, {"roles": ()}),
        (ANNOUNCEMENT, {"roles": ("solver", "seed")}),
        (ANNOUNCEMENT, {"roles": ("king",)}),
        (ANNOUNCEMENT, {"expires": 999}),
        (ANNOUNCEMENT, {"endpoints": ("x",) * 9}),
        (ANNOUNCEMENT, {"endpoints": ("x" * 257,)}),
        (ANNOUNCEMENT, {"chain_address": bytes(19)}),
        (LEASE, {"order": (A, A, B)}),
        (LEASE, {"order": (A,)}),
        (LEASE, {"order": (B, *(bytes([9, at, *bytes(30)]) for at in range(64)))}),
        (LEASE, {"fence": 0}),
        (LEASE, {"expires": 1}),
        (MESSAGES[0], {"purpose": "Roster"}),
        (MESSAGES[0], {"purpose": "x" * 33}),
        (MESSAGES[4], {"known": (Known(B, 0), Known(A, 0))}),
        (MESSAGES[5], {"announcements": (ANNOUNCEMENT,) * (NEWS_MAX + 1)}),
        (INVITE, {"seeds": (), "chain": ""}),
    ],
    ids=lambda it: str(it)[:40],
)
def test_what_breaks_a_rule_is_refused(message: Any, change: dict[str, object]) -> None:
    with pytest.raises((ValueError, MessageError)):
        decode(encode(msgspec.structs.replace(message, **change)))


@given(invites)
def test_an_invite_comes_back_however_it_was_typed(invite: Invite) -> None:
    text = invite_text(invite)
    assert text.startswith(INVITE_PREFIX)
    assert text.isascii()
    assert read_invite(f"  {text.upper()}\n") == invite


@given(invites, st.data())
def test_an_invite_with_one_wrong_character_is_refused(invite: Invite, data: st.DataObject) -> None:
    text = invite_text(invite)
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from("abcdefghijklmnopqrstuvwxyz234567").filter(text[at].__ne__))
    with pytest.raises(InviteWrong, match="that is no invite"):
        read_invite(text[:at] + other + text[at + 1 :])


@given(st.text(max_size=200) | st.binary(max_size=100).map(lambda it: INVITE_PREFIX + it.hex()))
def test_noise_is_no_invite(text: str) -> None:
    with pytest.raises(InviteWrong):
        read_invite(text)


def test_a_roster_of_thousands_fits_one_message() -> None:
    known = tuple(Known(at.to_bytes(32, "big"), 1 << 40) for at in range(4096))
    assert len(encode(RosterWant(known, 1 << 41))) < 1 << 18
