"""What goes wrong between a node and a chain, and what to do about each."""

from __future__ import annotations

from pathlib import Path

from skerry.base.errors import ChainError


class ChainUnreachable(ChainError):
    """Nobody answers at the chain's address, or not in time."""

    code = "chain.unreachable"
    retryable = True

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"no chain answers at {url}: {reason}",
            next_step="check the address, and that the chain's node runs there (`skerry up` starts"
            " that of a local network), then run the command again; a node goes on by itself",
        )


class ChainRefused(ChainError):
    """The chain's node answered with an error of its own."""

    code = "chain.node"

    def __init__(self, method: str, message: str, data: bytes = b"") -> None:
        self.method, self.message_of_node, self.data = method, message, data
        super().__init__(
            f"the chain's node refused {method}: {message}",
            next_step="see the node's log; another node can be given by its URL",
        )


class ChainDiffers(ChainError):
    """The node is on another chain than the one that the contracts were deployed on."""

    code = "chain.id"

    def __init__(self, url: str, found: int, wanted: int) -> None:
        super().__init__(
            f"{url} is chain {found}, and the contracts are on chain {wanted}",
            next_step="give the URL of a node of that chain, or the manifest of this one",
        )


class ContractDiffers(ChainError):
    """At a contract's address there is other code than the manifest says, or none."""

    code = "chain.code"

    def __init__(self, name: str, address: str, found: bytes) -> None:
        there = "no code" if not found else f"code {found.hex()[:8]}"
        super().__init__(
            f"the {name} should be at {address}, and there is {there}",
            next_step="send nothing to that address; check that the chain's node is the network's"
            " own, and where the manifest came from",
        )


class RegistryDiffers(ChainError):
    """The contracts that somebody names are those of another market than the invite's."""

    code = "chain.registry"

    def __init__(self, invited: bytes, found: bytes, next_step: str = "") -> None:
        super().__init__(
            f"the invite names the registry 0x{invited.hex()}, and the contracts that were told are"
            f" those of 0x{found.hex()}",
            next_step=next_step
            or "put no money into it; ask whoever gave you the invite for a new one",
        )


class ManifestUnreadable(ChainError):
    """The file that says where the contracts are is absent or damaged."""

    code = "chain.manifest"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} does not say where the contracts are: {reason}",
            next_step="fetch the manifest again, or deploy on a chain of your own",
        )


class PassphraseWrong(ChainError):
    """The passphrase does not open the key file."""

    code = "chain.passphrase"

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"the passphrase does not open {path}",
            next_step="try again; without it the key is lost, and stakes can be left to expire",
        )


class PassphraseAbsent(ChainError):
    """A key file is sealed, and nobody is there to be asked for its passphrase."""

    code = "chain.passphrase.absent"

    def __init__(self, path: Path, variable: str) -> None:
        super().__init__(
            f"{path} is sealed, and there is no terminal to ask for its passphrase",
            next_step=f"set {variable}, or run the command in a terminal",
        )


class KeyfileUnsafe(ChainError):
    """A key file is absent, damaged, or others can read it."""

    code = "chain.key"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"the key file {path} {reason}", next_step=f"chmod 600 {path}, or restore it"
        )


class FundsShort(ChainError):
    """An account has too little: coins for gas, or free money in the vault."""

    code = "chain.funds"

    def __init__(self, who: str, *, needed: int, held: int, of: str) -> None:
        self.needed, self.held = needed, held
        super().__init__(
            f"{who} holds {held} of {of}, and {needed} are needed",
            next_step=f"send {needed - held} more to it, then run the command again (on a chain of"
            " `skerry up`, a node with faucet = true under [market] in its node.toml takes some)",
        )


class StakeShort(ChainError):
    """An account has too little free money in the vault for a stake or a bond."""

    code = "chain.stake"

    def __init__(self, who: str, address: str, *, needed: int, held: int) -> None:
        self.needed, self.held = needed, held
        super().__init__(
            f"the {who} has {held} free in the vault, and {needed} are to be locked",
            next_step=f"deposit {needed - held} more from {address}, then run the command again",
        )


class ClockSkew(ChainError):
    """This machine's clock and the chain's are apart by more than a deadline can bear."""

    code = "chain.clock"
    retryable = True

    def __init__(self, here: int, there: int) -> None:
        super().__init__(
            f"this machine's clock says {here} and the chain's last block {there}: "
            f"{abs(here - there)} s apart",
            next_step="set this machine's clock; if it is right, wait until the chain catches up",
        )


class MoveReverted(ChainError):
    """A contract refuses a move; nothing was sent, or what was sent had no effect."""

    code = "chain.move"

    def __init__(self, move: str, reason: str) -> None:
        self.move, self.reason = move, reason
        super().__init__(
            f"the contract refuses {move}: {reason}",
            next_step="docs/reference/contracts.md says what each reason means",
        )


class TransactionStuck(ChainError):
    """A transaction is not mined although its fee was raised as far as allowed."""

    code = "chain.stuck"
    retryable = True

    def __init__(self, key: str, nonce: int, fee: int) -> None:
        super().__init__(
            f"transaction {key!r} (nonce {nonce}) is not mined at a fee of {fee} wei per gas",
            next_step="allow a higher fee (`skerry dispute` has --fee-max), or run the command "
            "again later: the same transaction goes on",
        )


class TransactionReplaced(ChainError):
    """Somebody else used this key: another transaction took the nonce of ours."""

    code = "chain.replaced"

    def __init__(self, key: str, nonce: int) -> None:
        super().__init__(
            f"nonce {nonce} of transaction {key!r} was used by a transaction that is not ours",
            next_step="stop other programs that hold this key, then run the command again: "
            "the move is sent under a new name",
        )


class OutboxBusy(ChainError):
    """Another process sends with this key."""

    code = "chain.outbox"
    retryable = True

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"another process holds the outbox {path}",
            next_step="wait for it or stop it; one key has one sender",
        )


class ChainFileDamaged(ChainError):
    """A database of this node about the chain cannot be read."""

    code = "chain.file"

    def __init__(self, path: Path, reason: str, next_step: str) -> None:
        super().__init__(f"{path} is damaged: {reason}", next_step=next_step)


class ChainFileUnwritable(ChainError):
    """The disk does not take what this node must remember about the chain; nothing was sent."""

    code = "chain.file.write"
    retryable = True

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} cannot be written: {reason}",
            next_step=f"free some space on that disk (df -h {path.parent}), or give yourself"
            " permission; a node that runs goes on by itself",
        )


class ChainTorn(ChainError):
    """The state of a chain of one's own is damaged, and there is no whole copy of it."""

    code = "chain.state"

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"the state of the local chain, {path}, is damaged, and no whole copy of it is there",
            next_step=f"restore it from a copy, or begin a new chain: mv {path} {path}.bad; the"
            " nodes of the old one then need folders of their own",
        )


class DeployerUsed(ChainError):
    """The account that deploys has sent something else before, so the addresses are others."""

    code = "chain.deployer"

    def __init__(self, address: str, count: int) -> None:
        super().__init__(
            f"{address} has sent {count} other transactions, and a deployment needs a fresh one",
            next_step="make a key for this deployment alone, and an outbox with it",
        )


class ChainReorganised(ChainError):
    """The chain took back blocks deeper than what was held to be final."""

    code = "chain.reorganised"
    retryable = True

    def __init__(self, number: int, depth: int) -> None:
        super().__init__(
            f"block {number} was taken back, deeper than the {depth} blocks that are remembered",
            next_step="wait until the chain is calm, then read its events again from the start",
        )


class BooksDiffer(ChainError):
    """What the log adds up to is not what the vault holds."""

    code = "chain.books"

    def __init__(self, who: str, ours: tuple[int, ...], theirs: tuple[int, ...]) -> None:
        super().__init__(
            f"the log adds up to {_listed(ours)} for {who}, and the vault holds {_listed(theirs)}",
            next_step="ask another node of the chain; jobs awarded through a contract are not read",
        )


def _listed(amounts: tuple[int, ...]) -> str:
    return ", ".join(map(str, amounts))


class AnvilMissing(ChainError):
    """There is no local chain to start."""

    code = "chain.anvil"

    def __init__(self, looked: str) -> None:
        super().__init__(
            f"there is no anvil in {looked} nor on the PATH",
            next_step="make chain",
        )


class AnvilFailed(ChainError):
    """The local chain ended before it answered."""

    code = "chain.start"

    def __init__(self, said: str) -> None:
        super().__init__(
            f"the local chain did not start: {said}",
            next_step="end the process that holds its port or state file, then try again",
        )
