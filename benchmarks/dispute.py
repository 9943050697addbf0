"""Gas and transactions of the longest disputes, from receipts of a node with Prague pricing.

The unit has 32 steps of 2,000 ops of ten million elements, and its trace is made where somebody
looks. Both sides play through the court; every transaction of both counts.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import encode
from eth_account.messages import encode_typed_data
from eth_keys.datatypes import PrivateKey
from eth_utils.crypto import keccak

from benchmarks.court_node import ORDER, Node, NodeCourt
from benchmarks.court_trace import LazyRun, Lie, Shape, program_of
from benchmarks.measure import Note
from scripts.contracts import compiled
from skerry.chain.abi import Contract, contract
from skerry.chain.court_calls import Case
from skerry.chain.court_words import packed_widths
from skerry.chain.disputes import Answerer, Doubter
from skerry.chain.moves import Call
from skerry.chain.published import Jumper, Publication, published_message
from skerry.market.offers import TypedData
from skerry.verify.terms import Arities

# Chosen from the gas of each level: a round costs two transactions whatever its arity, and a root
# about 1,300 gas.
ARITIES = Arities(steps=8, names=8, outputs=32, nodes=64, leaves=32, runs=256)
STEPS, NODES = 32, 2000
GRACE, BUDGET, BOND = 1800, 86_400, 10**9
MONEY = 10**12


@dataclass(frozen=True)
class Strategy:
    """How a solver lies, and in how many segments its unit is cut."""

    name: str
    lie: Lie
    segments: int = 4


STRATEGIES = (
    Strategy("element of f32, three operands", Lie("select", 21)),
    Strategy("element of i64", Lie("mul i64", 21)),
    Strategy("dot", Lie("dot", 21)),
    Strategy("sum over everything", Lie("sum", 21)),
    Strategy("output alone", Lie("dot", 21, output=True)),
    Strategy("dot, a segment a step", Lie("dot", 21), segments=32),
)

PUBLISHED = tuple(it for it in STRATEGIES if it.name in ("dot", "sum over everything"))


def deployed(node: Node, arities: Arities) -> NodeCourt:
    """Return a court on the node, with a solver and a challenger that have money."""
    artifacts = {
        name: (
            Contract(compiled(name))
            if name in ("adjudicator", "folds", "wiring")
            else contract(name)
        )
        for name in ORDER
        if name != "market"
    }
    court = NodeCourt(node, artifacts | {"market": Contract(compiled("stub_market"))})
    nonce = int(node.ask("eth_getTransactionCount", "0x" + node.accounts[0].hex(), "latest"), 16)
    where = {name: created(node.accounts[0], nonce + at) for at, name in enumerate(ORDER)}
    widths = packed_widths(arities)
    made: dict[str, tuple[Any, ...]] = {
        "vault": (where["token"], where["market"], where["court"], 10**6),
        "market": (where["vault"], where["court"], node.accounts[3]),
        "adjudicator": (where["arithmetic"],),
        "wiring": (where["arithmetic"],),
        "walk_values": (where["folds"],),
        "court": (
            where["vault"], where["market"], where["walk_steps"], where["walk_values"],
            where["adjudicator"], where["folds"], where["wiring"], BOND, GRACE, widths,
        ),
    }  # fmt: skip
    for name in ORDER:
        assert court.deploy(name, *made.get(name, ())) == where[name]
    for who in node.accounts[1:4]:
        court.send(who, Call("token", "mint", (who, MONEY)))
        court.send(who, Call("token", "approve", (where["vault"], MONEY)))
        court.send(who, Call("vault", "deposit", (MONEY,)))
    court.send(node.accounts[1], Call("market", "stake", (node.accounts[1], MONEY // 2)))
    court.who = {node.accounts[1]: "solver", node.accounts[2]: "challenger"}
    court.spent.clear()
    return court


def created(deployer: bytes, nonce: int) -> bytes:
    """Return the address of the contract that `deployer` makes with a nonce below 128."""
    last = bytes([nonce]) if nonce else b"\x80"
    return keccak(b"\xd6\x94" + deployer + last)[12:]


class Liar(Answerer):
    """A solver whose partial folds are made to come to its lie."""

    def own_parts(self) -> tuple[int, ...]:
        """Return honest parts, of which one takes up the difference."""
        assert self.runs is not None, "runs"
        parts = super().own_parts()
        at = len(parts) // 2
        rest = self.runs.combine([*parts[:at], *parts[at + 1 :]]) if len(parts) > 1 else 0
        off = (self.runs.at.fold - rest + (1 << 63)) % (1 << 64) - (1 << 63)
        return (*parts[:at], off, *parts[at + 1 :])


def play(court: NodeCourt, honest: LazyRun, liar: LazyRun, salt: bytes) -> bool:
    """Play one dispute to its end; return whether the challenger won."""
    solver, challenger = court.node.accounts[1:3]
    terms = liar.terms()
    docket = encode(["address", "uint256"], [solver, BUDGET])
    case = Case(terms, honest.states([0])[0], docket, court.artifacts)
    doubter, answerer = Doubter(case, honest, challenger, salt), Liar(case, liar)
    cursor = len(court.heard)
    court.send(challenger, doubter.announce())
    packed = packed_widths(terms.cuts)
    clock = BUDGET << 160 | BUDGET << 128 | GRACE << 96 | packed
    court.send(challenger, doubter.open(solver, bond=BOND, clock=clock))
    return finished(court, doubter, answerer, challenger, solver, cursor)


def jump(court: NodeCourt, honest: LazyRun, liar: LazyRun, salt: bytes) -> bool:
    """Play a dispute about a run whose roots were published; return whether the challenger won."""
    challenger = court.node.accounts[2]
    key = PrivateKey(keccak(text="a solver that publishes"))
    solver = key.public_key.to_canonical_address()
    terms = liar.terms(bytes([1]) * 32)  # the receipt of the long walk has fallen
    case = Case(
        terms,
        honest.states([0])[0],
        encode(["address", "uint256"], [solver, BUDGET]),
        court.artifacts,
    )
    publication = Publication.of(liar, STEPS)
    message = published_message(
        terms.game, publication.root(), chain=court.node.chain, court=court.at["court"]
    )
    doubter = Jumper(
        case, honest, challenger, salt,
        theirs=liar, publication=publication, signature=signed(key, message),
    )  # fmt: skip
    answerer = Liar(case, liar)
    court.node.lend(solver)
    court.who[solver] = "solver"
    cursor = len(court.heard)
    court.send(challenger, doubter.announce())
    clock = BUDGET << 160 | BUDGET << 128 | GRACE << 96 | packed_widths(terms.cuts)
    court.send(challenger, doubter.open(solver, bond=BOND, clock=clock))
    return finished(court, doubter, answerer, challenger, solver, cursor)


def signed(key: PrivateKey, message: TypedData) -> bytes:
    """Return the 64 bytes of a signature of typed data (EIP-2098)."""
    sealed = encode_typed_data(full_message=message)
    made = key.sign_msg_hash(keccak(b"\x19" + sealed.version + sealed.header + sealed.body))
    r, s = int(made.r), int(made.s) | int(made.v) << 255
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def finished(
    court: NodeCourt,
    doubter: Doubter,
    answerer: Answerer,
    challenger: bytes,
    solver: bytes,
    at: int,
) -> bool:
    """Play until the game has ended; return whether the challenger won."""
    cursor = at
    while doubter.ended is None:
        event = court.heard[cursor]
        cursor += 1
        for who, side in ((challenger, doubter), (solver, answerer)):
            call = side.hear(event)
            if call is not None:
                court.send(who, call)
    return doubter.ended.challenger_won


def measured(
    court: NodeCourt, strategy: Strategy, at: int, *, published: bool = False
) -> dict[str, Any]:
    """Return the gas and the transactions of a dispute against one strategy."""
    shape = Shape(STEPS, NODES, strategy.segments, ARITIES)
    node = 1333
    program = program_of(shape, strategy.lie, node)
    kept: dict[tuple[int, bool], list[bytes]] = {}
    honest, liar = (
        LazyRun(program, shape, strategy.lie, node, lies, kept) for lies in (False, True)
    )
    court.spent.clear()
    started = time.perf_counter()
    walk = jump if published else play
    won = walk(court, honest, liar, bytes([at]) * 32)
    return {
        "strategy": strategy.name,
        "won": won,
        "gas": sum(gas for *_, gas in court.spent),
        "transactions": len(court.spent),
        "seconds": round(time.perf_counter() - started, 1),
        "moves": [f"{who} {name} {size} B {gas}" for who, name, size, gas in court.spent],
    }


def run(*, quick: bool, note: Note) -> dict[str, Any]:
    """Play a dispute against each strategy and keep the worst."""
    node = Node()
    try:
        court = deployed(node, ARITIES)
        rows = []
        tried = [it for it in STRATEGIES if not quick or it.lie.op != "sum"]
        for at, strategy in enumerate(tried):
            row = measured(court, strategy, at + 1)
            rows.append(row)
            note(f"{row['strategy']:32} {row['gas']:9,} gas {row['transactions']:3} transactions")
            for move in row["moves"]:
                note(f"    {move}")
        shown = [
            measured(court, it, 100 + at, published=True)
            for at, it in enumerate(PUBLISHED)
            if it in tried
        ]
        for row in shown:
            note(f"published: {row['strategy']:21} {row['gas']:9,} gas {row['transactions']:3}")
            for move in row["moves"]:
                note(f"    {move}")
    finally:
        node.close()
    return {
        "gas": max(row["gas"] for row in rows),
        "transactions": max(row["transactions"] for row in rows),
        "oneshot_gas": max(row["gas"] for row in shown),
        "oneshot_transactions": max(row["transactions"] for row in shown),
        "rows": [{key: row[key] for key in row if key != "moves"} for row in rows],
    }
