"""A plain node: one process, links over TCP on this machine, and a secret that all share.

What    `python -m skerry.node.network.plain --folder FOLDER` listens, writes where into
        FOLDER/node.json, and takes parts in jobs. The secret comes by SKERRY_RUN_SECRET.
Why     The run of a job over several nodes can be tried and measured without a roster or a chain.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

import msgspec

from skerry.base.errors import PeerError
from skerry.messages.membership import Call
from skerry.messages.wire import decode_as
from skerry.node.keys import load_key
from skerry.node.network.desk import Desk
from skerry.node.network.part import Identity
from skerry.node.network.roads import Roads
from skerry.node.network.staff import processes
from skerry.node.processes import CrewTerms
from skerry.node.session import SECRET_VARIABLE
from skerry.storage import make_folder, write_file
from skerry.transport import Link, Pace, TcpTransport

PACE = Pace(beat_seconds=1.0, silence_seconds=5.0, connect_seconds=4.0)


class PlainNode(msgspec.Struct, frozen=True):
    """Where a plain node listens, its key in hexadecimal, and its process."""

    key: str
    address: str
    pid: int


async def serve(folder: Path, secret: bytes, crew: CrewTerms) -> None:
    """Be a node until the process is ended."""
    make_folder(folder)
    key_file = folder / "node.key"
    key, by = load_key(key_file)
    transport = TcpTransport(secret, pace=PACE)

    def told(words: str) -> None:
        print(words, file=sys.stderr, flush=True)

    desk = Desk(folder, Identity(key, by, key_file), Roads(transport), processes(crew), told)

    async def accept(link: Link) -> None:
        try:
            call = decode_as(Call, await link.receive())
        except PeerError:
            await link.close()
            return
        await desk.answer(link, call)

    address = await transport.listen(accept)
    desk.resume()
    node = PlainNode(key.hex(), address, os.getpid())
    write_file(folder / "node.json", msgspec.json.encode(node))
    await asyncio.Event().wait()


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--backend", default="native")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    secret = bytes.fromhex(os.environ.pop(SECRET_VARIABLE))
    crew = CrewTerms(1, threads=arguments.threads, backend=arguments.backend)
    asyncio.run(serve(arguments.folder, secret, crew))


if __name__ == "__main__":
    main()
