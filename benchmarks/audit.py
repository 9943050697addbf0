"""What checking costs, and what it catches: segments drawn at random against planted lies.

What    A solver forges 30 of 100 units. `work_ratio` is the verifier's work over the solver's at a
        chance of at least 95 % to catch it, by segments; `work_ratio_units` is the same if whole
        units were replayed, and `work_ratio_one_segment_a_unit` where only one segment of each such
        unit is forged. `detected` is how often it was caught when the rules were played, each
        time with an award, an epoch, the chain's randomness and two secrets of its own, against
        `expected`, the formula. `targeted` answers the other threat: one segment forged in all.
Units   Work is counted in segments replayed; a segment of a unit of S steps is S / segments steps.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import isqrt
from typing import Any

from skerry.base.chance import Chance
from skerry.base.digests import EMPTY, digest
from skerry.market.offers import NOBODY, Offer, Role
from skerry.market.terms import Lease, Terms, lease_hash
from skerry.settle import Books, actions, apply
from skerry.verify.audits import caught, draw_seed, drawn_segment, draws_for, seal, secret_of

UNITS, FORGED, SEGMENTS = 100, 30, 8
CHANCE = Fraction(95, 100)
START = 1_800_000_000
SUBMITTER, SOLVER, FIRST, SECOND = (bytes([it]) * 20 for it in (1, 2, 3, 4))


def terms_of(roots: tuple[bytes, bytes], leases: tuple[Lease, ...], draws: int) -> Terms:
    """Return the terms of a job of 100 units in 10 rounds of 10 lanes."""
    return Terms(
        spec=digest("spec"),
        leases=lease_hash(leases),
        submitter=SUBMITTER,
        coordinator=SUBMITTER,
        auditors=(FIRST, SECOND, NOBODY, NOBODY),
        secrets=(seal(roots[0], 1), seal(roots[1], 1), EMPTY, EMPTY),
        price_max=1,
        price_audit=1,
        price_record=0,
        stake_solver=1,
        stake_auditor=1,
        stake_coordinator=0,
        capability=0,
        nodes=1,
        lanes=10,
        rounds=10,
        epochs=1,
        segments=SEGMENTS,
        draws=draws,
        delay=10,
        phase=100,
        window=500,
        ends=START + 1_000,
        clock=100,
    )


def told(books: Books, action: actions.Action, now: int) -> Books:
    """Return the books after a move."""
    after = apply(books, action, now)
    assert isinstance(after, Books), after
    return after


def seed_of(chance: Chance, draws: int) -> bytes:
    """Play a job by the rules up to its draw and return the seed."""
    roots = (chance.fork("first").seed, chance.fork("second").seed)
    leases = (Lease(SOLVER, 10, 1, 1),)
    terms = terms_of(roots, leases, draws)
    books = Books(court=bytes(20))
    for who in (SUBMITTER, SOLVER, FIRST, SECOND):
        books = told(books, actions.Deposit(who, 10_000), START)
    offers = tuple(
        actions.SignedOffer(Offer(who, role, 0, 10, 1, 1, START, 1_000, 0, secret), who)
        for who, role, secret in (
            (SOLVER, Role.SOLVER, EMPTY),
            (FIRST, Role.AUDITOR, terms.secrets[0]),
            (SECOND, Role.AUDITOR, terms.secrets[1]),
        )
    )
    books = told(books, actions.Award(SUBMITTER, terms, leases, offers), START)
    epoch = actions.CommitEpoch(SUBMITTER, terms, digest("root"), 10, (UNITS,))
    books = told(books, epoch, START + 1)
    randomness = chance.fork("block").seed
    books = told(books, actions.LockDraw(FIRST, terms, 0, randomness), START + 20)
    secrets = tuple((seat, secret_of(roots[seat], 1, 0)) for seat in range(2))
    books = told(books, actions.RevealSecrets(FIRST, terms, 0, secrets), START + 21)
    pot = books.jobs[terms.job].audits[0].pot
    assert pot is not None
    return draw_seed(terms.job, 0, pot)


def drawn(chance: Chance, draws: int) -> set[tuple[int, int]]:
    """Return the (unit, segment) pairs that one job's audit replays."""
    seed = seed_of(chance, draws)
    found = [drawn_segment(seed, at, rounds=10, lanes=10, segments=SEGMENTS) for at in range(draws)]
    return {(it.round * 10 + it.lane, it.segment) for it in found}


def forged_units(chance: Chance) -> set[int]:
    """Return which units the solver forges, chosen before anything is drawn."""
    order = sorted(range(UNITS), key=lambda unit: chance.fork("lie", unit).seed)
    return set(order[:FORGED])


def run(*, quick: bool, note: Callable[[str], None]) -> dict[str, Any]:
    """Measure how often planted lies are caught."""
    runs = 200 if quick else 2_000
    draws = draws_for(CHANCE, total=UNITS, forged=FORGED)
    expected = caught(total=UNITS, forged=FORGED, draws=draws)
    hits = one = replayed = 0
    for number in range(runs):
        chance = Chance.from_int(number)
        pairs = drawn(chance, draws)
        lies = forged_units(chance)
        hits += any(unit in lies for unit, _ in pairs)
        one += (0, 0) in pairs
        replayed += len(pairs)
    total = UNITS * SEGMENTS
    # Two standard deviations of a coin that falls so often.
    spread = 2 * isqrt(int(expected * (1 - expected) * 10**12 * runs)) / 10**6 / runs
    note(f"{draws} draws: caught {hits} of {runs}, expected {float(expected):.4f} +- {spread:.4f}")
    assert abs(hits / runs - float(expected)) <= 2 * spread, (
        "the draw is not as fair as its formula"
    )
    return {
        "work_ratio": draws / total,
        "work_ratio_units": draws / UNITS,
        "work_ratio_one_segment_a_unit": draws_for(CHANCE, total=total, forged=FORGED) / total,
        "draws": draws,
        "units": UNITS,
        "segments": SEGMENTS,
        "forged": FORGED / UNITS,
        "runs": runs,
        "detected": hits / runs,
        "expected": float(expected),
        "spread_2sd": spread,
        "replayed_segments_mean": replayed / runs,
        "targeted_one_segment": {
            "detected": one / runs,
            "expected": float(caught(total=total, forged=1, draws=draws)),
        },
        "seed_example": seed_of(Chance.from_int(0), draws).hex()[:16],
    }
