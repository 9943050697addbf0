"""Whoever has heard the same knows the same, and nobody is believed about anybody else."""

from __future__ import annotations

from functools import cache

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.membership import (
    SKEW_SECONDS_MAX,
    AnnouncementRefused,
    Roster,
    check_announcement,
    clock_offset_ms,
    endpoint_key,
)
from skerry.membership.roster import LIFETIME_SECONDS_MAX
from skerry.membership.skew import sample_ms
from skerry.messages.membership import NEWS_MAX, Announcement
from skerry.messages.signing import sign, signer

NOW = 1_800_000_000
KEYS = [signer(bytes([at] * 32)) for at in range(6)]


@cache
def announced(
    node: int = 0, sequence: int = 1, issued: int = NOW, lasts: int = 600, endpoint: str = ""
) -> Announcement:
    key, by = KEYS[node]
    return sign(
        Announcement(
            signer=key,
            sequence=sequence,
            issued=issued,
            expires=issued + lasts,
            endpoints=(endpoint,) if endpoint else (),
            roles=("solver",),
        ),
        by,
    )


announcements = st.builds(
    announced,
    st.integers(0, 5),
    st.integers(0, 3),
    st.sampled_from([NOW - 700, NOW]),
    st.sampled_from([500, 600]),
)
news = st.lists(announcements, max_size=12)
sizes = st.sampled_from([1, 3, 4096])


def roster(said: list[Announcement], size_max: int) -> Roster:
    return Roster(salt=b"salt", size_max=size_max).merged(said)


@given(news, news, news, sizes)
def test_merging_is_the_join_of_a_semilattice(
    a: list[Announcement], b: list[Announcement], c: list[Announcement], size_max: int
) -> None:
    ra, rb = roster(a, size_max), roster(b, size_max)
    assert ra.merged(rb.entries.values()) == rb.merged(ra.entries.values())
    assert ra.merged(a) == ra
    left = ra.merged(rb.entries.values()).merged(c)
    assert left == ra.merged(rb.merged(c).entries.values())
    assert left == roster([*c, *a, *b], size_max)
    assert len(left.entries) <= size_max


@given(news, news)
def test_two_nodes_that_exchange_news_know_the_same(
    a: list[Announcement], b: list[Announcement]
) -> None:
    ra, rb = roster(a, 4096), roster(b, 4096)
    for_b, wanted_of_b = ra.news_for(rb.known())
    for_a, wanted_of_a = rb.news_for(ra.known())
    assert {it.signer for it in for_a} == set(wanted_of_b)
    assert {it.signer for it in for_b} == set(wanted_of_a)
    left, right = ra.merged(for_a), rb.merged(for_b)
    assert left.known() == right.known()


@given(news, st.integers(0, 2000), st.integers(0, 2000))
def test_who_is_expired_is_forgotten_and_does_not_come_back(
    said: list[Announcement], later: int, later_still: int
) -> None:
    first, second = sorted((NOW + later, NOW + later_still))
    pruned = roster(said, 4096).pruned(first)
    assert pruned.pruned(second) == roster(said, 4096).pruned(second)
    for it in pruned.live(first):
        check_announcement(it, now=first)
    for it in said:
        if (
            it.signer not in pruned.pruned(second).entries
            and second > it.expires + SKEW_SECONDS_MAX
        ):
            with pytest.raises(AnnouncementRefused, match="expired"):
                check_announcement(it, now=second)


@given(st.integers(-SKEW_SECONDS_MAX, SKEW_SECONDS_MAX), st.integers(1, LIFETIME_SECONDS_MAX))
def test_clocks_may_differ_by_as_much_as_is_said(skew: int, lasts: int) -> None:
    check_announcement(announced(issued=NOW + skew, lasts=lasts), now=NOW)


def test_no_flood_of_new_keys_pushes_a_chosen_node_out() -> None:
    """Without the salt nobody can compute which key will rank before another's."""
    keep = [
        node
        for salt in (b"a", b"b", b"c", b"d")
        for node in range(6)
        if KEYS[node][0]
        in Roster(salt=salt, size_max=2).merged(announced(it) for it in range(6)).entries
    ]
    assert len(set(keep)) > 2


MINE = announced(1, endpoint=f"{KEYS[1][0].hex()}@127.0.0.1:4100")


@pytest.mark.parametrize(
    ("announcement", "reason"),
    [
        (announced(issued=NOW + SKEW_SECONDS_MAX + 1), "121 s in the future"),
        (announced(lasts=LIFETIME_SECONDS_MAX + 1), "wants to count for 3601 s"),
        (announced(issued=NOW - 900, lasts=600), "has expired"),
        (announced(endpoint=f"{KEYS[1][0].hex()}@127.0.0.1:4100"), "endpoint of another node"),
        (announced(endpoint="xyz@127.0.0.1:4100"), "endpoint of another node"),
        (msgspec.structs.replace(announced(), sequence=2), "did not sign it"),
        (msgspec.structs.replace(MINE, signer=KEYS[0][0]), "endpoint of another node"),
        (msgspec.structs.replace(announced(), endpoints=("x" * 256,) * 8), "longer than 2048"),
    ],
    ids=lambda it: it if isinstance(it, str) else "",
)
def test_what_no_honest_node_would_say_is_refused(announcement: Announcement, reason: str) -> None:
    with pytest.raises(AnnouncementRefused, match=reason):
        check_announcement(announcement, now=NOW)


def test_a_node_of_another_network_is_refused_where_one_is_named() -> None:
    check_announcement(MINE, now=NOW)
    with pytest.raises(AnnouncementRefused, match="another network"):
        check_announcement(MINE, now=NOW, network=bytes([1] * 32))


def test_an_endpoint_names_its_node_or_none() -> None:
    assert endpoint_key(MINE.endpoints[0]) == KEYS[1][0]
    assert endpoint_key("127.0.0.1:4100") is None


def test_news_come_in_pieces_that_fit_a_message() -> None:
    many = {at.to_bytes(32, "big"): announced(sequence=3) for at in range(NEWS_MAX + 5)}
    given_out, wanted = Roster(many).news_for(())
    assert (len(given_out), wanted) == (NEWS_MAX, ())


@given(
    st.lists(st.integers(-50, 50), min_size=3, max_size=9),
    st.lists(st.integers(-(10**12), 10**12), max_size=4),
)
def test_liars_about_the_time_are_outvoted(honest: list[int], lies: list[int]) -> None:
    found = clock_offset_ms([*honest, *lies[: len(honest) - 1]])
    assert found is not None
    assert min(honest) <= found <= max(honest)


def test_two_clocks_alone_settle_nothing() -> None:
    assert clock_offset_ms([5, 5]) is None
    assert sample_ms(sent=1000, received=1100, theirs=3050) == 2000
