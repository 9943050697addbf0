"""The jobs of a node, as a service of its daemon."""

from __future__ import annotations

from skerry.node.daemon.host import Host
from skerry.node.daemon.switchboard import Caller
from skerry.node.network.pay import Paymaster
from skerry.node.network.reception import PURPOSES, Reception
from skerry.node.network.roads import Roads
from skerry.node.network.staff import Identity


class JobService:
    """Answers leases, runs, watchers and requests for blobs, and goes on with kept jobs.

    Args:
        pay: the node's side of the market; None where it takes part in none.
    """

    def __init__(self, pay: Paymaster | None = None) -> None:
        self.reception: Reception | None = None
        self._pay = pay

    async def start(self, host: Host) -> None:
        """Register the purposes, and take up the jobs that a kill interrupted."""
        me = Identity(host.key, host.sign, host.home / "node.key")
        roads = Roads(host.switchboard.transport, host.peers.address, host.peers.lost)
        told = host.tell
        self.reception = Reception(
            host.home,
            me,
            roads,
            host.compute.staff,
            lambda words: told("job", {"words": words}),
            self._pay,
            host.paced,
        )
        for purpose in PURPOSES:
            host.switchboard.register(purpose, self._answer)
        self.reception.resume()

    async def stop(self) -> None:
        """Leave all jobs as they are; others go on with them."""
        if self.reception is not None:
            await self.reception.close()

    async def _answer(self, caller: Caller) -> None:
        assert self.reception is not None, "called before the service was started"
        caller.link.admit()
        await self.reception.answer(caller.link, caller.call)
