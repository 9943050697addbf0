"""A chain of one's own: anvil as a child process, with a state that survives a kill.

What    `find_anvil` and `Anvil`, which starts it, knows its address and ends it.
Why     Tests, the demo and whoever tries things out need a chain that is there at once and free.
Rule    The binary is run as it was installed by `make chain`; no script of its package runs. Its
        state is one file that it rewrites every second. A file that a kill left half written is
        set aside for its latest whole copy; where there is none, nothing is started.
Limits  One machine's chain: it trusts whoever can reach its port, which is on 127.0.0.1 only.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from threading import Thread

from skerry.chain.errors import AnvilFailed, AnvilMissing, ChainTorn
from skerry.chain.rpc import Rpc

TOOLS = Path(__file__).resolve().parents[3] / "tools" / "chain"
CHAIN = 31337
# Prague's prices and EIP-7825's bound on one transaction, as the large chains have them.
RULES = ("--hardfork", "prague", "--enable-tx-gas-limit", "--order", "fifo")
# The same blocks in every run, with `anvil_setBlockTimestampInterval` set after the start.
REPEATABLE = ("--timestamp", "1800000000", "--mnemonic-seed-unsafe", "7")


def find_anvil(tools: Path = TOOLS) -> Path:
    """Return the anvil binary.

    Raises:
        AnvilMissing: it is not installed.
    """
    found = sorted(tools.glob("node_modules/@foundry-rs/anvil-*/bin/anvil*"))
    on_path = shutil.which("anvil")
    if not found and on_path is None:
        raise AnvilMissing(str(tools))
    return found[0] if found else Path(str(on_path))


def _whole(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return True


def settle_state(state: Path) -> None:
    """Make sure that a state file is whole or absent, by its copy if need be; then copy it.

    Raises:
        ChainTorn: neither it nor its copy is whole; both are left as they are.
    """
    copy = state.with_suffix(".whole")
    if state.exists() and not _whole(state):
        if not _whole(copy):
            raise ChainTorn(state)
        os.replace(state, state.with_suffix(".torn"))
        shutil.copyfile(copy, state)
    keep_whole(state)


def keep_whole(state: Path) -> None:
    """Copy a state file beside itself, if it is whole: a kill may tear it at any moment."""
    part = state.with_suffix(".part")
    with contextlib.suppress(OSError):
        shutil.copyfile(state, part)
        if _whole(part):  # not the file itself, which may be written anew meanwhile
            os.replace(part, state.with_suffix(".whole"))


class Anvil:
    """A local chain; `url` is where it answers."""

    def __init__(
        self,
        *,
        state: Path | None = None,
        port: int = 0,
        flags: Sequence[str] = (),
        repeatable: bool = False,
    ) -> None:
        command = [str(find_anvil()), "--host", "127.0.0.1", "--port", str(port), *RULES, *flags]
        if repeatable:
            command += REPEATABLE
        if state is not None:
            settle_state(state)
            command += ["--state", str(state), "--state-interval", "1"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.pid = self._process.pid
        self.url = self._listening()
        self._reader = Thread(target=self._drain, daemon=True)
        self._reader.start()
        if repeatable:
            link = Rpc(self.url)
            link.ask("anvil_setBlockTimestampInterval", 1)
            link.close()

    def _listening(self) -> str:
        assert self._process.stdout is not None
        last: deque[str] = deque(maxlen=5)
        for line in self._process.stdout:
            text = line.decode(errors="replace").strip()
            if found := re.search(r"Listening on (127\.0\.0\.1:\d+)", text):
                return f"http://{found[1]}"
            if text:
                last.append(text)
        self._process.wait()
        self._process.stdout.close()
        raise AnvilFailed(" / ".join(last) or f"exit code {self._process.returncode}")

    def _drain(self) -> None:
        """Read what it prints, so that its pipe never fills."""
        assert self._process.stdout is not None
        for _ in self._process.stdout:
            pass

    @property
    def alive(self) -> bool:
        """Whether it is running."""
        return self._process.poll() is None

    @property
    def ended(self) -> str:
        """How it ended, in words; empty while it runs."""
        code = self._process.poll()
        if code is None:
            return ""
        return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"

    def close(self, *, how: signal.Signals = signal.SIGTERM) -> None:
        """End it and wait until it has ended; SIGTERM writes the state first."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(how)
        self._process.wait()
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Anvil:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.close()
