"""A process that answers for a receipt on a chain: it stakes, signs its claim, and moves when due.

What    `python -m skerry.node.solver RECEIPT --chain URL --folder FOLDER [--lie STEP:NODE:ELEMENT]`
        talks in lines of JSON: it says who it is and which receipt it answers for, then does what
        it is asked in turn: stake and sign an offer, sign a claim, publish roots if it is asked to,
        defend it. With --defend it is
        asked nothing: it goes on defending what it was asked to before it died.
Why     The two sides of a dispute must share nothing but the chain. What passes here is what a
        solver publishes anyway: its receipt, its standing offer, its claim.
Rule    Its key is made here and never leaves its folder. It signs only about its own receipt.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TypeAlias, TypeVar

import msgspec

from skerry.base.errors import SkerryError
from skerry.chain.courthouse import CourtLog
from skerry.chain.deploy import Manifest, connect
from skerry.chain.disputes import Answerer
from skerry.chain.published import Publication
from skerry.chain.rpc import Rpc
from skerry.market.offers import Offer, Role, claim_message, offer_message
from skerry.messages.receipts import Receipt
from skerry.messages.signing import signed_digest
from skerry.messages.wire import encode
from skerry.node.checking import open_past, run_of
from skerry.node.court_party import ChainParty, Paying, kept_key, play
from skerry.node.court_published import (
    Digests,
    LeavesAsked,
    PublishAsked,
    ValuesAsked,
    publish,
)
from skerry.node.courtroom import LyingAnswerer, case_of, check_lie
from skerry.node.dispute import party_of, read_receipt, receipt_of_party
from skerry.node.keys import load_key
from skerry.node.party import Lie, LieVanished, PartyRun
from skerry.node.past import PastRun
from skerry.storage import read_file, write_file

Line = TypeVar("Line")
MANIFEST_NAME = "court.json"
DEFENCE_NAME = "defence.json"


class SolverReady(msgspec.Struct, frozen=True):
    """Who answers, and for which receipt."""

    address: bytes
    receipt: bytes


class StakeAsked(msgspec.Struct, frozen=True):
    """Put money into the vault and sign a standing offer of these terms."""

    deposit: int
    lanes: int
    price: int
    stake: int
    expires: int
    seconds: int


class ClaimAsked(msgspec.Struct, frozen=True):
    """Sign that the receipt is yours, in this job, round and lane."""

    job: bytes
    round: int
    lane: int


class Signed(msgspec.Struct, frozen=True):
    """A signature that was asked for."""

    signature: bytes


class DefenceAsked(msgspec.Struct, frozen=True, tag=True):
    """Answer every doubt of the receipt until a game about it has ended."""

    docket: bytes


class Defended(msgspec.Struct, frozen=True):
    """How the game ended, and what it cost the solver."""

    challenger_won: bool
    transactions: int
    gas: int


def say(line: msgspec.Struct) -> None:
    """Write one line; whoever asked may be gone, which ends no defence."""
    with contextlib.suppress(BrokenPipeError):
        print(msgspec.json.encode(line).decode(), flush=True)


Asked: TypeAlias = DefenceAsked | PublishAsked | ValuesAsked | LeavesAsked


def asked(kind: type[Line]) -> Line:
    """Read one line; an end of the input ends the process."""
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)
    return msgspec.json.decode(line, type=kind)


def standing_offer(node: bytes, asked: StakeAsked) -> Offer:
    """Return the offer that a solver signs."""
    return Offer(
        node, Role.SOLVER, 0, asked.lanes, asked.price, asked.stake, asked.expires, asked.seconds, 0
    )


def own_run(past: PastRun, path: Path, lie: Lie | None) -> tuple[PartyRun, Receipt]:
    """Return one's own run of the unit and the receipt to answer for.

    Raises:
        LieVanished: the lie makes no difference.
    """
    true = read_receipt(path)
    party = party_of(past, true.unit, lie)
    if lie is None:
        return party, true
    key, by = load_key(past.folder.root / "keys" / "revealer.key")
    own = receipt_of_party(past, party, key, by)
    if (own.segments, own.outputs) == (true.segments, true.outputs):
        raise LieVanished(str(lie))
    return party, own


def serve(
    path: Path, url: str, folder: Path, lie: Lie | None, paying: Paying, *, defend: bool = False
) -> None:
    """Take part in one dispute from the stake to the end, or go on with a defence."""
    past = open_past(run_of(path))
    if lie is not None:
        check_lie(past, read_receipt(path), lie)
    run, receipt = own_run(past, path, lie)
    key = kept_key(folder / "solver.key")
    # Its stake is in the game: it does not give up for the price of a move.
    party = ChainParty(Rpc(url), key, folder, paying=paying, stubborn=True)
    asked_before = folder / DEFENCE_NAME
    if defend:
        told = msgspec.json.decode(read_file(asked_before), type=DefenceAsked)
        party.manifest = Manifest.read(folder / MANIFEST_NAME)
        connect(party.rpc, party.manifest)
    else:
        told = _until_defence(party, folder, receipt, run)
        write_file(asked_before, msgspec.json.encode(told))
    assert party.manifest is not None, "it was just read"
    case = case_of(past, receipt, run, told.docket)
    kind = Answerer if lie is None else LyingAnswerer
    log = CourtLog(folder / "solver.events", party.rpc, party.manifest)
    before, party.gas = party.sent, 0
    side = play(party, lambda: kind(case, run), log)
    assert side.ended is not None, "played to the end"
    say(Defended(side.ended.challenger_won, party.sent - before, party.gas))


def _until_defence(
    party: ChainParty, folder: Path, receipt: Receipt, run: PartyRun
) -> DefenceAsked:
    """Do what one is asked before a dispute, and return what is to be defended."""
    say(SolverReady(party.address, encode(receipt)))
    stake = asked(StakeAsked)
    party.manifest = Manifest.read(folder / MANIFEST_NAME)
    connect(party.rpc, party.manifest)
    party.deposit(stake.deposit)
    chain, market = party.manifest.chain, party.manifest.at("market")
    offer = standing_offer(party.address, stake)
    say(Signed(party.key.sign(offer_message(offer, chain=chain, market=market))))
    claim = asked(ClaimAsked)
    name = signed_digest(receipt)
    message = claim_message(claim.job, claim.round, claim.lane, name, chain=chain, market=market)
    say(Signed(party.key.sign(message)))
    while True:
        line: Asked = asked(Asked)  # type: ignore[arg-type]
        match line:
            case DefenceAsked():
                return line
            case PublishAsked():
                publication = Publication.of(run, receipt.unit.steps)
                say(publish(publication, name, party.key, party.manifest))
            case ValuesAsked():
                say(Digests(tuple(run.values(line.step))))
            case LeavesAsked():
                say(Digests(tuple(run.leaf_digests(line.step, line.node))))


def main() -> None:
    """Parse the command line and take part."""
    parser = argparse.ArgumentParser(prog="python -m skerry.node.solver", description=__doc__)
    parser.add_argument("receipt", type=Path)
    parser.add_argument("--chain", required=True, metavar="URL")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--lie", default="", metavar="STEP:NODE:ELEMENT")
    usual = Paying()
    parser.add_argument("--fee-max", type=int, default=usual.fee_max, metavar="GWEI")
    parser.add_argument("--patience", type=float, default=usual.patience, metavar="SECONDS")
    parser.add_argument("--defend", action="store_true")
    given = parser.parse_args()
    try:
        lie = Lie.parse(given.lie) if given.lie else None
        paying = Paying(given.fee_max, given.patience)
        serve(given.receipt, given.chain, given.folder, lie, paying, defend=given.defend)
    except SkerryError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
