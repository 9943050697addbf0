"""A stranger who sends every node of a network what is no message, and counts what became of it.

What    `python -m benchmarks.altered.noise INVITE` goes round the nodes until it is interrupted:
        random bytes, a call cut short, frames beyond every limit, sound messages where others are
        due, and links that say nothing. At the end it prints what was sent and refused, as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys

from skerry.base.chance import Chance
from skerry.base.errors import PeerError
from skerry.messages.membership import Call, read_invite
from skerry.messages.wire import encode
from skerry.node.daemon.looking import ask_roster, stranger
from skerry.transport import Link, Transport

PURPOSES = ("roster", "lease", "run", "watch", "blobs", "market", "nothing")
PAUSE_SECONDS, ANSWER_SECONDS = 0.2, 3.0
OVERSIZE_BYTES = 1 << 21


async def send(transport: Transport, address: str, chance: Chance, sent: dict[str, int]) -> None:
    """Send one node one thing that it must refuse, and wait for what it does."""
    kinds = ("random bytes", "half a call", "oversize", "not what is due", "silence")
    kind = kinds[chance.fork("kind").below(len(kinds))]
    purpose = PURPOSES[chance.fork("purpose").below(len(PURPOSES))]
    call = encode(Call(purpose, chance.fork("job").seed))
    noise = chance.fork("noise").seed * 64
    sent[kind] = sent.get(kind, 0) + 1
    link: Link | None = None
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            link = await transport.connect(address)
            if kind == "random bytes":
                await link.send(noise)
            elif kind == "half a call":
                await link.send(call[: len(call) // 2])
            elif kind != "silence":
                await link.send(call)
                await link.send(call if kind == "not what is due" else bytes(OVERSIZE_BYTES))
            while True:
                await link.receive()
    except (PeerError, TimeoutError, ValueError):
        sent["refused or dropped"] = sent.get("refused or dropped", 0) + 1
    finally:
        if link is not None:
            await link.close()


async def main() -> None:
    """Go round until interrupted."""
    sent: dict[str, int] = {}
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    transport = stranger()
    chance, turn = Chance.from_int(int.from_bytes(os.urandom(7), "big")), 0
    try:
        while not stop.is_set():
            with contextlib.suppress(PeerError, TimeoutError):
                for it in await ask_roster(transport, read_invite(sys.argv[1])):
                    turn += 1
                    if it.endpoints and not stop.is_set():
                        await send(transport, it.endpoints[0], chance.fork(turn), sent)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PAUSE_SECONDS):
                    await stop.wait()
    finally:
        print(json.dumps(sent), flush=True)
        await transport.close()


if __name__ == "__main__":
    asyncio.run(main())
