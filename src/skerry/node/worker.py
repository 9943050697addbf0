"""A worker process: does the tasks that a coordinator gives it, and nothing else.

What    `python -m skerry.node.worker --connect HOST:PORT --run FOLDER` takes part in a run until
        the coordinator says farewell or is gone.
Why     Compute lives in a process of its own: it can be killed at any moment, and replaced.
Rule    The secret comes by the environment (SKERRY_RUN_SECRET) or from the run's session file,
        never by the command line. Tasks run on one thread, so that the link stays alive.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import sys
import traceback
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skerry.base.errors import SkerryError
from skerry.messages.rounds import (
    PROTOCOL,
    UPDATE_BYTES_MAX,
    Evaluate,
    Farewell,
    FromCoordinator,
    FromWorker,
    Hello,
    Join,
    Merge,
    RunConfig,
    RunLane,
    Save,
    Supply,
    TaskName,
    Trouble,
    Want,
    Welcome,
)
from skerry.messages.wire import MessageUnexpected, decode, encode
from skerry.node.keys import load_key
from skerry.node.session import SECRET_VARIABLE, read_session
from skerry.program import Program, check, from_bytes, program_digest
from skerry.program.canonical import PROGRAM_BYTES_MAX
from skerry.transport import Link, LinkLost, LinkRefused, TcpTransport

if TYPE_CHECKING:
    from skerry.node.tasks import Tasks

#: What a worker runs; other Programs of a run, such as "predict", stay where they are.
NEEDED = {
    "local": ("init", "step", "encode", "merge", "evaluate"),
    "every-step": ("init", "grad", "apply", "evaluate"),
}
_FRAME_BYTES_MAX = UPDATE_BYTES_MAX + (1 << 20)


async def _next(link: Link) -> FromCoordinator:
    message = decode(await link.receive(), bytes_max=_FRAME_BYTES_MAX)
    if not isinstance(message, FromCoordinator):
        raise MessageUnexpected(f"a {type(message).__name__} came from the coordinator")
    return message


async def _say(link: Link, message: FromWorker) -> None:
    await link.send(encode(message))


async def _enter(link: Link, key: bytes) -> tuple[RunConfig, dict[str, Program]]:
    """Introduce oneself; return the run's terms and its Programs."""
    await _say(link, Hello(PROTOCOL, key, os.getpid()))
    welcome = await _next(link)
    if isinstance(welcome, Farewell):
        raise LinkRefused(link.peer, welcome.reason)
    if not isinstance(welcome, Welcome):
        raise MessageUnexpected(f"a {type(welcome).__name__} came where a Welcome was due")
    needed = NEEDED[welcome.config.exchange]
    wanted = [(name, it) for name, it in welcome.config.programs if name in needed]
    names, digests = [name for name, _ in wanted], tuple(it for _, it in wanted)
    await _say(link, Want(digests))
    supply = await _next(link)
    if not isinstance(supply, Supply) or len(supply.programs) != len(digests):
        raise MessageUnexpected("the Programs that came are not those that were wanted")
    programs = {}
    for name, due, deflated in zip(names, digests, supply.programs, strict=True):
        programs[name] = unpack_program(deflated, due)
    return welcome.config, programs


def unpack_program(deflated: bytes, due: bytes) -> Program:
    """Return the Program of digest `due` in `deflated`, checked as if a stranger had made it.

    Raises:
        MessageUnexpected: it is another one, or no deflated bytes.
        InvalidProgram: it breaks a rule of the graph.
    """
    inflate = zlib.decompressobj()
    try:
        data = inflate.decompress(deflated, PROGRAM_BYTES_MAX)
    except zlib.error as error:
        raise MessageUnexpected(f"a Program could not be inflated: {error}") from None
    if not inflate.eof:
        raise MessageUnexpected("a Program is longer than a Program may be")
    program = from_bytes(data)
    if program_digest(program) != due:
        raise MessageUnexpected("a Program is not the one that was wanted")
    check(program)
    return program


async def work(link: Link, run: Path, data: Path | None, backend: str, slot: int) -> None:
    """Take part in the run behind `link` until it ends; see the module.

    Raises:
        LinkLost: the coordinator is gone.
    """
    key, sign = load_key(run / "keys" / f"worker-{slot}.key")
    config, programs = await _enter(link, key)
    loop = asyncio.get_running_loop()
    lane = ThreadPoolExecutor(1, "tasks")
    try:
        make = cache(partial(_make_tasks, config, programs, run, data, backend, (key, sign)))
        while True:
            message = await _next(link)
            if isinstance(message, Farewell):
                return
            answer = loop.run_in_executor(lane, _answer, make, message)
            await _say(link, await _unless_lost(link, answer))
    finally:
        lane.shutdown(wait=False, cancel_futures=True)


async def _unless_lost(link: Link, answer: asyncio.Future[FromWorker]) -> FromWorker:
    """Return the answer, or leave the task alone when the coordinator goes in the meantime."""
    listening = asyncio.ensure_future(link.receive())
    both: set[asyncio.Future[Any]] = {listening, answer}
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if listening.done() and not answer.done():
            listening.result()
            raise LinkLost(link.peer, "it ended the run")
        return await answer
    finally:
        if not listening.cancel():
            listening.exception()  # seen here; the next receive says it again


def _make_tasks(
    config: RunConfig,
    programs: Mapping[str, Program],
    run: Path,
    data: Path | None,
    backend: str,
    identity: object,
) -> Tasks:
    from skerry.node.tasks import Tasks

    return Tasks.make(config, programs, run, data, backend, identity)  # type: ignore[arg-type]


def _answer(make: Callable[[], Tasks], message: FromCoordinator) -> FromWorker:
    """Do a task; turn what nobody could do into words, and let bugs end the process."""
    try:
        return make().do(message)
    except SkerryError as error:
        kind, index = _task_of(message)
        return Trouble(
            message.round,  # type: ignore[union-attr]
            kind,
            index,
            error.code,
            error.message[:4000],
            error.next_step[:4000],
        )


def _task_of(message: FromCoordinator) -> tuple[TaskName, int]:
    match message:
        case Join():
            return "join", 0
        case Merge():
            return "merge", 0
        case Save():
            return "save", 0
        case RunLane(lane=lane):
            return "lane", lane
        case Evaluate(part=part):
            return "evaluate", part
        case _:
            raise MessageUnexpected(f"a {type(message).__name__} is no task")


async def _main(arguments: argparse.Namespace) -> None:
    address, secret = arguments.connect, os.environ.pop(SECRET_VARIABLE, "")
    if not secret or not address:
        session = read_session(arguments.run)
        address, secret = address or session.address, secret or session.secret
    importlib.import_module("skerry.node.tasks")  # loads torch: seconds, before anybody waits
    transport = TcpTransport(bytes.fromhex(secret), frame_bytes_max=_FRAME_BYTES_MAX)
    link = await transport.connect(address)
    try:
        await work(link, arguments.run, arguments.data, arguments.backend, arguments.slot)
    except LinkLost:
        # The coordinator is gone and a task may still be running on its thread. The blob store
        # never holds half a blob, so there is nothing to tidy up.
        os._exit(0)
    except SkerryError:
        raise
    except Exception:  # a bug of ours: say so before the link closes, then die at once
        traceback.print_exc()
        os._exit(1)
    finally:
        await transport.close()


def main() -> None:
    """Parse the command line and work."""
    parser = argparse.ArgumentParser(prog="python -m skerry.node.worker", description=__doc__)
    parser.add_argument("--connect", default="", metavar="HOST:PORT")
    parser.add_argument("--run", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--data", type=Path, metavar="FOLDER")
    parser.add_argument("--backend", default="native")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--slot", type=int, default=os.getpid())
    arguments = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(arguments.threads)  # read by the libraries when torch loads them
    try:
        asyncio.run(_main(arguments))
    except SkerryError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
