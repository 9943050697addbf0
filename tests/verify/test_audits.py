"""The draw of an audit: nobody chooses it, everybody can repeat it, and it catches lies."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.base.digests import EMPTY, digest, word
from skerry.verify import audits

SEEDS = st.binary(min_size=32, max_size=32)


@given(SEEDS, st.integers(1, 40), st.data())
def test_a_secret_opens_its_own_epoch_only(root: bytes, epochs: int, data: st.DataObject) -> None:
    epoch = data.draw(st.integers(0, epochs - 1))
    sealed, secret = audits.seal(root, epochs), audits.secret_of(root, epochs, epoch)
    assert [it for it in range(epochs) if audits.opens(sealed, it, secret)] == [epoch]


def test_there_is_no_secret_beyond_the_last_epoch() -> None:
    with pytest.raises(ValueError, match="outside"):
        audits.secret_of(EMPTY, 4, 4)


@given(st.lists(st.tuples(st.integers(0, 3), SEEDS), max_size=4))
def test_the_order_of_secrets_means_nothing(secrets: list[tuple[int, bytes]]) -> None:
    pots = []
    for order in (secrets, secrets[::-1]):
        pot = audits.first_pot(b"j" * 32, 3, b"r" * 32)
        for seat, secret in order:
            pot = audits.stir(pot, seat, secret)
        pots.append(pot)
    assert pots[0] == pots[1]


@given(SEEDS, st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_a_draw_hits_a_segment_of_the_epoch(
    seed: bytes, rounds: int, lanes: int, segments: int, first: int
) -> None:
    hit = audits.drawn_segment(seed, 5, rounds=rounds, lanes=lanes, segments=segments, first=first)
    assert first <= hit.round < first + rounds
    assert 0 <= hit.lane < lanes
    assert 0 <= hit.segment < segments
    index = ((hit.round - first) * lanes + hit.lane) * segments + hit.segment
    assert index == audits.drawn_index(seed, 5, rounds * lanes * segments)


def test_a_verdict_is_bound_to_its_author_and_to_each_of_its_words() -> None:
    said = {"accept": True, "trace": b"t" * 32, "salt": b"s" * 32}
    one = audits.verdict_commitment(b"j" * 32, 0, b"a" * 20, **said)  # type: ignore[arg-type]
    others = [
        audits.verdict_commitment(b"j" * 32, 0, b"b" * 20, **said),  # type: ignore[arg-type]
        audits.verdict_commitment(b"j" * 32, 1, b"a" * 20, **said),  # type: ignore[arg-type]
        *(
            audits.verdict_commitment(b"j" * 32, 0, b"a" * 20, **{**said, **odd})  # type: ignore[arg-type]
            for odd in ({"accept": False}, {"trace": EMPTY}, {"salt": EMPTY})
        ),
    ]
    assert len({one, *others}) == 6


def test_the_place_to_show_depends_on_every_commitment() -> None:
    folds = {EMPTY}
    for order in ((0, 1), (1, 0)):
        fold = EMPTY
        for seat in order:
            fold = audits.fold_commitment(fold, seat, word(seat))
            folds.add(fold)
    places = {audits.place_of(b"s" * 32, it, steps=1 << 20, leaves=[1 << 20] * 997) for it in folds}
    assert len(places) == len(folds) == 5
    tags = {audits.recomputed_tag(who * 20, b"leaf") for who in (b"a", b"b")}
    assert len(tags) == 2
    one, root = audits.audit_trace([b"r" * 32]), b"r" * 32
    assert one == digest("audit-trace", word(1), root) != audits.audit_trace([root, EMPTY])


@pytest.mark.parametrize(("total", "forged"), [(100, 30), (800, 30), (800, 1)])
def test_so_many_draws_and_not_one_fewer(total: int, forged: int) -> None:
    chance = Fraction(95, 100)
    draws = audits.draws_for(chance, total=total, forged=forged)
    assert audits.caught(total=total, forged=forged, draws=draws) >= chance
    assert audits.caught(total=total, forged=forged, draws=draws - 1) < chance


def test_what_cannot_be_caught_is_said() -> None:
    assert audits.caught(total=5, forged=0, draws=99) == 0
    for wrong in (-1, 6):
        with pytest.raises(ValueError, match="forged"):
            audits.caught(total=5, forged=wrong, draws=1)
    with pytest.raises(ValueError, match="draws"):
        audits.draws_for(Fraction(1, 2), total=5, forged=0)
    with pytest.raises(ValueError, match="draws"):
        audits.draws_for(Fraction(1), total=5, forged=1)
