"""Bytes on the wire for bulk state moved between two nodes, and speed, over QUIC and over TCP.

Two processes on this machine, one that serves blobs and one that fetches them into an empty store,
written to disk and checked. `bytes_ratio` is the UDP payload that both ends sent (iroh's connection
statistics: acknowledgements, repeats, heartbeats and requests included) to the bytes of the blobs.
Where a network namespace can be made, both run in one of their own, and `device_ratio` is what the
kernel counted on its loopback device, IP and UDP headers included, to the same.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import Note
from skerry.node.network.blobs import BlobClient, BlobServer
from skerry.storage import BlobStore
from skerry.transport import Link, TcpTransport, Transport
from skerry.transport.iroh_link import IrohLink
from skerry.transport.iroh_transport import IrohTransport

ROOT = Path(__file__).resolve().parent.parent
MIB = 1 << 20
SIZES_MIB = {True: (64, 8, 8, 8, 8), False: (128, 64, 32, 16, 8, 8)}
KINDS = ("iroh", "tcp")
RUNS = {True: 3, False: 7}
IDLE_SECONDS = 5.0
_SECRET = bytes(32)
_NAMESPACE = ("unshare", "--net", "--map-root-user")


def run(*, quick: bool, note: Note) -> dict[str, Any]:
    """Move the blobs several times over each kind of link, in turn."""
    prefix = _namespace()
    note(f"network bytes: {'a namespace of its own' if prefix else 'no namespace can be made'}")
    moves: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for _ in range(RUNS[quick]):
        for kind in KINDS:
            moves[kind].append(_move(prefix, kind, SIZES_MIB[quick]))
            note(f"{kind} {json.dumps(moves[kind][-1])}")
    iroh, tcp = moves["iroh"], moves["tcp"]
    result = {
        "bytes_ratio": max(it["payload"] / it["bulk"] for it in iroh),
        "bulk_bytes": iroh[0]["bulk"],
        "runs": len(iroh),
        "mib_per_second": statistics.median(it["bulk"] / MIB / it["seconds"] for it in iroh),
        "tcp_mib_per_second": statistics.median(it["bulk"] / MIB / it["seconds"] for it in tcp),
        "idle_bytes_per_second": statistics.median(it["idle"] for it in iroh),
    }
    if prefix:
        for name, done in (("device_ratio", iroh), ("tcp_device_ratio", tcp)):
            result[name] = max(it["device"] / it["bulk"] for it in done)
    return result


def _namespace() -> tuple[str, ...]:
    """Return the command that starts another in a network namespace, or nothing."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return ()
    tried = subprocess.run([*_NAMESPACE, "ip", "link", "set", "lo", "up"], capture_output=True)
    return () if tried.returncode else _NAMESPACE


def _move(prefix: Sequence[str], kind: str, sizes: Sequence[int]) -> dict[str, Any]:
    """Run the two processes once and return what the fetching one measured."""
    command = [*prefix, sys.executable, "-m", "benchmarks.network_bytes", "fetch", kind]
    command += [*map(str, sizes), *(["--lo"] if prefix else [])]
    done = subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=240
    )
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


# -- the two processes


def _transport(kind: str, seed: bytes) -> Transport:
    return TcpTransport(_SECRET) if kind == "tcp" else IrohTransport(seed * 32)


async def _serve(kind: str, sizes: Sequence[int]) -> None:
    """Serve blobs of those sizes; print where and which, and per link what was sent on it."""
    with tempfile.TemporaryDirectory() as folder:
        store = BlobStore(Path(folder))
        names = [store.put(os.urandom(size * MIB)) for size in sizes]
        server = BlobServer(store, lambda key, blob: True)

        async def accept(link: Link) -> None:
            link.admit()
            await server.serve(link)
            print(_sent(link), flush=True)

        address = await _transport(kind, b"s").listen(accept)
        print(json.dumps({"address": address, "blobs": [it.hex() for it in names]}), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def _sent(link: Link) -> int:
    return link.datagram_bytes[0] if isinstance(link, IrohLink) else link.counts.sent


def _device_bytes() -> int:
    """Return what the loopback device of this namespace has sent, headers included."""
    for line in Path("/proc/self/net/dev").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name.strip() == "lo":
            return int(rest.split()[8])
    return 0


async def _fetch(kind: str, sizes: Sequence[int]) -> dict[str, Any]:
    """Start a server, fetch its blobs, then leave a link idle for a while."""
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.network_bytes", "serve", kind, *map(str, sizes),
        cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert server.stdout is not None
    assert server.stdin is not None
    offer = json.loads(await server.stdout.readline())
    transport = _transport(kind, b"f")
    links: list[Link] = []

    async def call(address: str) -> Link:
        links.append(await transport.connect(address))
        return links[-1]

    with tempfile.TemporaryDirectory() as folder:
        client = BlobClient(BlobStore(Path(folder)), call)
        device, start = _device_bytes(), time.perf_counter()
        fetched = await client.fetch(map(bytes.fromhex, offer["blobs"]), [offer["address"]])
        seconds = time.perf_counter() - start
        payload = _sent(links[0]) + int(await server.stdout.readline())
        measured = {
            "bulk": fetched.bytes, "seconds": seconds, "payload": payload,
            "device": _device_bytes() - device, "idle": 0.0,
        }  # fmt: skip
    if kind == "iroh":
        await call(offer["address"])
        await asyncio.sleep(6)  # the handshake and the search for the longest packet are over
        before = sum(_both(links[1]))
        await asyncio.sleep(IDLE_SECONDS)
        measured["idle"] = (sum(_both(links[1])) - before) / IDLE_SECONDS
    await transport.close()
    server.stdin.close()
    await server.wait()
    return measured


def _both(link: Link) -> tuple[int, int]:
    assert isinstance(link, IrohLink)
    return link.datagram_bytes


def main() -> None:
    """Be one of the two processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=("serve", "fetch"))
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("sizes", nargs="+", type=int, help="MiB of each blob")
    parser.add_argument("--lo", action="store_true", help="bring up the loopback device first")
    arguments = parser.parse_args()
    if arguments.lo:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    if arguments.role == "serve":
        asyncio.run(_serve(arguments.kind, arguments.sizes))
    else:
        print(json.dumps(asyncio.run(_fetch(arguments.kind, arguments.sizes))), flush=True)


if __name__ == "__main__":
    main()
