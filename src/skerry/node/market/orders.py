"""What a desk is told and answers, line by line, and where it works.

What    `Order` is a line that a desk obeys, `Said` its answer, `Place` its chain and its board.
Why     Whoever runs a desk as a child process must not load what the desk itself needs.
Pure    Frozen structs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from skerry.market.offers import Role
from skerry.roles.client import Asking


@dataclass(frozen=True, slots=True)
class Asked:
    """What a node asks to be in jobs, and at what price.

    Attributes:
        role: what it offers.
        price: least pay.
        stake: most that may be locked.
        lanes: most lanes.
        seconds: longest time of a job.
        lasts: seconds that an offer is good.
    """

    role: Role
    price: int
    stake: int
    lanes: int = 0
    seconds: int = 366 * 86_400
    lasts: int = 86_400


PLACE_NAME, JOINED = "place.json", "joined"


class Place(msgspec.Struct, frozen=True):
    """Where a desk works: a chain, its contracts, a board, and perhaps a lie to tell.

    Attributes:
        url: the chain's node.
        manifest: the file that says where the contracts are.
        board: folder of the board.
        backend: how units are replayed.
        clock: whether this machine's clock counts beside the chain's.
        fetches: whether somebody looks for the blobs that a replay wants.
    """

    url: str
    manifest: str
    board: str
    backend: str = "native"
    clock: bool = True
    fetches: bool = False


class Order(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line that a desk is told.

    Attributes:
        do: "faucet", "stock", "fund", "stand", "offer", "accounts", "award", "confirm", "join",
            "over", "list", "tick", "end", "leave" or "quit".
        amount: what tokens in hand, all money in the vault, or free money in it shall come to.
        role: what to offer to be.
        price: least pay.
        stake: most that may be locked.
        lanes: most lanes.
        job: the job's name on the chain.
        run: the run's folder.
        data: the folder of its data.
        signers: addresses by the public key that signs a node's receipts, both hexadecimal.
        lies: what this node changed in its units, by receipt.
        asking: prices, stakes and times of an award.
        spec: digest of the run's terms, hexadecimal.
        chain: id of the chain that an award is said to be on.
        market: address of its market, hexadecimal.
        key: this node's own key, hexadecimal.
        nodes: keys of the nodes that are to run lanes, hexadecimal.
        jobs: names on the chain of which it is asked, hexadecimal.
        endpoint: where the node can be called, for the chain's registry.
        kept: rounds of the job that an earlier award has paid for.
    """

    do: str
    amount: int = 0
    role: int = 0
    price: int = 0
    stake: int = 0
    lanes: int = 0
    job: str = ""
    run: str = ""
    data: str = ""
    signers: Mapping[str, str] = {}
    lies: Mapping[str, str] = {}
    asking: Asking | None = None
    spec: str = ""
    chain: int = 0
    market: str = ""
    key: str = ""
    nodes: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()
    endpoint: str = ""
    kept: int = 0


class Said(msgspec.Struct, frozen=True):
    """One line that a desk answers.

    Attributes:
        address: the desk's address.
        job: the name of a job that was awarded.
        moves: what it did.
        wake: the chain's second at which something may be due again.
        closed: whether every job that it takes part in is closed.
        wanted: blobs without which a replay takes longer, by job, all hexadecimal; whoever has
            looked for them ticks again.
        accounts: who has money in the vault, hexadecimal.
        over: those of the jobs asked about that are closed, hexadecimal.
        error: the code of why it did not obey; empty where it did.
        why: the same in words.
        next_step: what to do about it, or about what it warns of.
        warns: what is not as it should be, though it obeyed.
    """

    address: str = ""
    job: str = ""
    moves: tuple[str, ...] = ()
    wake: int | None = None
    closed: bool = False
    wanted: Mapping[str, tuple[str, ...]] = {}
    accounts: tuple[str, ...] = ()
    over: tuple[str, ...] = ()
    error: str = ""
    why: str = ""
    next_step: str = ""
    warns: str = ""
