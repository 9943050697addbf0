"""A plain node: one process that takes parts in jobs, without a roster, an owner's policy or pay.

What    `python -m skerry.node.network.plain --folder FOLDER` listens over QUIC with the key in
        FOLDER/node.key, writes where into FOLDER/plain.json, and takes every job it is given.
Why     The run of a job over several nodes can be tried, measured and killed on its own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
from pathlib import Path

import msgspec

from skerry.base.errors import PeerError
from skerry.messages.membership import Call
from skerry.messages.wire import decode_as
from skerry.node.keys import load_key
from skerry.node.network.reception import Reception
from skerry.node.network.roads import Roads
from skerry.node.network.staff import Identity, processes
from skerry.node.processes import CrewTerms
from skerry.storage import make_folder, read_file, write_file
from skerry.transport import Link

NODE_NAME = "plain.json"
_CALL_SECONDS = 10.0


class PlainNode(msgspec.Struct, frozen=True):
    """Where a plain node listens, its key in hexadecimal, and its process."""

    key: str
    address: str
    pid: int


async def serve(folder: Path, crew: CrewTerms) -> None:
    """Be a node until the process is ended."""
    from skerry.transport.iroh_transport import IrohTransport

    make_folder(folder)
    key_file = folder / "node.key"
    key, by = load_key(key_file)
    transport = IrohTransport(read_file(key_file))

    def told(words: str) -> None:
        print(words, file=sys.stderr, flush=True)

    me = Identity(key, by, key_file)
    reception = Reception(folder, me, Roads(transport), processes(crew), told)

    async def accept(link: Link) -> None:
        with contextlib.suppress(PeerError, TimeoutError):
            async with asyncio.timeout(_CALL_SECONDS):
                call = decode_as(Call, await link.receive())
            await reception.answer(link, call)

    address = await transport.listen(accept)
    reception.resume()
    node = PlainNode(key.hex(), address, os.getpid())
    write_file(folder / NODE_NAME, msgspec.json.encode(node))
    await asyncio.Event().wait()


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--backend", default="native")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    crew = CrewTerms(1, threads=arguments.threads, backend=arguments.backend)
    asyncio.run(serve(arguments.folder, crew))


if __name__ == "__main__":
    main()
