"""Gas of each kind of last move, from receipts of a real node with Prague pricing.

Every operand is a full leaf of a tensor of about 10^7 elements in a trace of 2,048 values, its
bytes random: the dearest that a Program of the benchmark's size has. A transaction calls the judge
itself; a court in front of it adds its own. `gas` is by kind, `gas_worst` the greatest.
"""

from __future__ import annotations

import http.client
import json
import random
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from eth_abi.abi import encode

from benchmarks.adjudicate import as_shown
from benchmarks.measure import Note
from scripts.contracts import ROOT, compiled
from scripts.evm import judges
from skerry.base.digests import digest, merkle_levels, merkle_path, node_digest, tree_depth
from skerry.commit.state import seal_state, state_leaf
from skerry.commit.tensors import leaf_count, leaf_digest, leaf_of, leaf_span, seal_tensor
from skerry.commit.transcript import seal_trace
from skerry.commit.trees import climb
from skerry.program import Builder, Program, Value, judged_node
from skerry.program.canonical import Operand, concat_operands, operand_bytes, operand_leaves
from skerry.program.graph import TensorType
from skerry.verify import folds, leaf
from skerry.verify.judged import Judged, Opened, node_leaf
from skerry.verify.judged import packed as pack
from skerry.verify.wiring import Order, sample_at

VALUES = 2048
ROWS, LAST = 20_000, 512
BIG = (ROWS, LAST)
Built = tuple[Program, int]
Call = tuple[str, str, Sequence[object]]


class Sparse:
    """A tree of which some leaves are known, and every subtree without one is drawn."""

    def __init__(self, levels: int, rng: random.Random) -> None:
        self.levels, self._rng = levels, rng
        self.leaves: dict[int, bytes] = {}
        self._drawn: dict[tuple[int, int], bytes] = {}

    def root(self, height: int, index: int) -> bytes:
        """Return the root of the subtree `index` at a height above the leaves."""
        if not any(leaf >> height == index for leaf in self.leaves):
            return self._drawn.setdefault((height, index), self._rng.randbytes(32))
        if height == 0:
            return self.leaves[index]
        below = (self.root(height - 1, 2 * index), self.root(height - 1, 2 * index + 1))
        return node_digest(*below)

    def path(self, leaf: int) -> tuple[bytes, ...]:
        """Return the siblings of a leaf."""
        return tuple(self.root(height, leaf >> height ^ 1) for height in range(self.levels))


class Forged:
    """Leaves of tensors that nobody holds whole, and a trace that they hang on."""

    def __init__(self, program: Program, node: int, rng: random.Random) -> None:
        self.program, self.node, self.rng = program, node, rng
        self.trace = Sparse(tree_depth(VALUES), rng)
        self.tensors: dict[int, tuple[TensorType, Sparse]] = {}
        self.asked: list[Opened | tuple[int, int, bytes]] = []

    def leaf(self, at: int, kind: TensorType, leaf: int, *, packed: bool = False) -> bytes:
        """Return random bytes of a leaf, and remember it."""
        first, stop = leaf_span(kind.shape, leaf)
        data = filled(self.rng, kind.dtype, stop - first)
        fresh = Sparse(tree_depth(leaf_count(kind.shape)), self.rng)
        self.tensors.setdefault(at, (kind, fresh))[1].leaves[leaf] = leaf_digest(data)
        self.asked.append((at, leaf, pack(data) if packed else data))
        return data

    def literal(self, tensor: bytes, kind: TensorType, leaf: int) -> bytes:
        """Refuse: no case has a literal."""
        raise NotImplementedError

    def operand(self, root: bytes, count: int, axis: int, place: int) -> Operand:
        """Return the operand of a concat."""
        operands = concat_operands(self.program, self.program.nodes[self.node])
        found = next(it for it in reversed(operands) if it.start <= place)
        path = merkle_path(merkle_levels(operand_leaves(operands)), found.number)
        self.asked.append(Opened(operand_bytes(found), path))
        return found

    def finish(self) -> tuple[bytes, list[Opened]]:
        """Return the trace's root, and the openings with their paths up to it."""
        for at, (kind, tree) in self.tensors.items():
            self.trace.leaves[at] = seal_tensor(kind.dtype, kind.shape, tree.root(tree.levels, 0))
        opened = []
        for it in self.asked:
            if isinstance(it, tuple):
                at, leaf, data = it
                it = Opened(data, (*self.tensors[at][1].path(leaf), *self.trace.path(at)))
            opened.append(it)
        return seal_trace(VALUES, self.trace.root(self.trace.levels, 0)), opened


def filled(rng: random.Random, dtype: str, count: int) -> bytes:
    """Return plausible elements: floats of ordinary size, integers of 24 bits, truth values."""
    draw = np.random.Generator(np.random.PCG64(rng.getrandbits(32)))
    match dtype:
        case "f32":
            return draw.standard_normal(count).astype("<f4").tobytes()
        case "i64":
            return draw.integers(-(1 << 23), 1 << 23, count).astype("<i8").tobytes()
        case _:
            return draw.integers(0, 2, count).astype("u1").tobytes()


def built(make: Callable[[Builder], Value]) -> Built:
    """Return a Program that ends in one node, and the node."""
    b = Builder("gas")
    value = make(b)
    b.output("y", value, "value")
    program = b.build()
    return program, program.outputs[0].node


def _port(b: Builder, dtype: Any, shape: tuple[int, ...] = BIG) -> Value:
    return b.input(f"{dtype}{len(b._ports)}", "given", dtype, shape)


def _each(op: str, *dtypes: str, **attrs: int) -> Callable[[Builder], Value]:
    return lambda b: b.node(op, [_port(b, dtype) for dtype in dtypes], **attrs)


def _products(b: Builder) -> Value:
    q = [b.node("quantise", (_port(b, "f32"), _port(b, "i64")), bits=21) for _ in range(2)]
    return b.node("dot", [b.node("reshape", (x,), shape=(2500, 4096)) for x in q])


def _rescaled(b: Builder) -> Value:
    q = b.node("quantise", (_port(b, "f32"), _port(b, "i64")), bits=24)
    return b.node("rescale", (q, _port(b, "i64"), _port(b, "i64")), shift=46)


NODES: dict[str, Callable[[Builder], Value]] = {
    "add": _each("add", "f32", "f32"),
    "mul": _each("mul", "f32", "f32"),
    "div": _each("div", "f32", "f32"),
    "sqrt": _each("sqrt", "f32"),
    "exp": _each("exp", "f32"),
    "log": _each("log", "f32"),
    "tanh": _each("tanh", "f32"),
    "erf": _each("erf", "f32"),
    "sin": _each("sin", "f32"),
    "lt": _each("lt", "f32", "f32"),
    "select": _each("select", "bool", "f32", "f32"),
    "add i64": _each("add", "i64", "i64"),
    "cast": _each("cast", "f32", to=1),
    "quantise": _each("quantise", "f32", "i64", bits=24),
    "rescale": _rescaled,
    "dot": _products,
    "sum": lambda b: b.node("sum", (_port(b, "i64"),), axes=(0, 1)),
    "amax": lambda b: b.node("amax", (_port(b, "f32"),), axes=(1,)),
    "exponent": lambda b: b.node("exponent", (_port(b, "f32"),), axes=(1,)),
    "argmax": lambda b: b.node("argmax", (_port(b, "f32", (5000, 2048)),), axis=1),
    "topk": lambda b: b.node("topk", (_port(b, "f32", (2500, 4096)),), k=64),
    "cumsum": lambda b: b.node("cumsum", (_port(b, "i64"),), axis=1),
    "scatter_add": lambda b: b.node(
        "scatter_add", (_port(b, "i64", (8192,)), _port(b, "i64", (8192, 1024))), size=50_000
    ),
    "scatter_add flat": lambda b: b.node(
        "scatter_add", (_port(b, "i64", (8192,)), _port(b, "i64", (8192,))), size=50_000
    ),
    "reshape": lambda b: b.node("reshape", (_port(b, "f32"),), shape=(ROWS // 2, 2 * LAST)),
    "permute": lambda b: b.node("permute", (_port(b, "f32"),), axes=(1, 0)),
    "take": lambda b: b.node("take", (_port(b, "f32"), _port(b, "i64", (64, 512)))),
    "concat": lambda b: b.node("concat", [_port(b, "f32", (70_000,)) for _ in range(150)], axis=0),
    "uniform": lambda b: b.node(
        "uniform", (b.input("s", "chance", "i64", ()),), shape=BIG, stream=3
    ),
    "iota": lambda b: b.node("iota", (), axis=1, shape=BIG),
}


def judged_call(name: str, rng: random.Random) -> Call:
    """Return the call that judges one element, or one run, of a node."""
    program, at = built(NODES[name])
    raw, node = judged_node(program, at), program.nodes[at]
    reads = tuple(program.nodes[read].type for read in node.inputs)
    judged = Judged(node, reads)
    forged, element = Forged(program, at, rng), node.type.elements * 2 // 3
    fold = node.op in folds.FOLDS
    run = folds.runs(judged, element) // 2 if fold else 0
    subject = 3
    if fold:
        folds.run_fold(judged, element, subject, run, forged)
    else:
        leaf.element(judged, element, forged)
    trace, shown = forged.finish()
    claim = (node_leaf(raw), trace, VALUES, element)
    if fold:
        return "folds", "judge", (claim, raw, subject, run, as_shown(tuple(shown)))
    return "adjudicator", "judge", (claim, raw, as_shown(tuple(shown)))


def wired_calls(rng: random.Random) -> Iterator[tuple[str, Call]]:
    """Yield one call for each kind of wiring."""
    kind = TensorType("f32", (10_000_000,))
    element = 6_000_000
    number, _ = leaf_of(kind.shape, element)
    data = filled(rng, "f32", 512)
    inside = [rng.randbytes(32) for _ in range(tree_depth(leaf_count(kind.shape)))]
    tensor = seal_tensor("f32", kind.shape, climb(leaf_digest(data), number, inside))

    def claimed(name: str, role: Any, made: TensorType, at: int) -> tuple[Any, bytes]:
        program, node = built(lambda b: b.input(name, role, made.dtype, made.shape))
        raw = judged_node(program, node)
        return (node_leaf(raw), bytes(32), VALUES, at), raw

    claim, raw = claimed("params", "state", kind, element)
    above = [rng.randbytes(32) for _ in range(3)]
    before = seal_state(5, climb(state_leaf("params", tensor), 4, above))
    shown = (data, [*inside, *above])
    yield "input state", ("wiring", "state", (claim, raw, before, 5, 4, shown))
    claim, raw = claimed("grads", "given", kind, element)
    yield "input given", ("wiring", "given", (claim, raw, tensor, (data, inside)))
    order = (7, 1234, 32, 8, bytes([0, 3]))
    claim, raw = claimed("seeds", "chance", TensorType("i64", (1,)), 0)
    yield "input chance", ("wiring", "chance", (claim, raw, order))
    for name, size, dtype, code in (("tokens", 129, "i64", 1), ("features", 784, "f32", 3)):
        width = 2 if code == 1 else 4
        record, count = rng.randbytes(size * width), 1 << 16
        claim, raw = claimed(name, "data", TensorType(dtype, (1, 8, size)), 4 * size + 5)  # type: ignore[arg-type]
        path = [rng.randbytes(32) for _ in range(16)]
        index = sample_at(Order(7, 1234, 32, 8, (3,)), count, 4)
        samples = (climb(digest("sample", record), index, path), count, len(record), 0, code)
        yield f"input data {name}", ("wiring", "data", (claim, raw, order, samples, record, path))
    root = seal_state(5, climb(state_leaf("frozen", tensor), 2, above))
    yield "carry", ("wiring", "carried", (b"frozen", root, 5, 2, tensor, above))


# ---- a real node ---------------------------------------------------------------------------------


def binary() -> Path:
    """Return the node's binary."""
    folder = ROOT / "tools" / "chain" / "node_modules" / "@foundry-rs"
    for found in sorted(folder.glob("anvil-*/bin/anvil*")):
        return found
    raise SystemExit("the local chain is missing; run `npm ci --prefix tools/chain`")


@contextmanager
def node(port: int) -> Iterator[Callable[..., Any]]:
    """Run a chain on `port`, and yield a function that asks it."""
    process = subprocess.Popen(
        [binary(), "--hardfork", "prague", "--enable-tx-gas-limit", "--silent", "--port", str(port),
         "--mnemonic-seed-unsafe", "7"],
        stdout=subprocess.PIPE,
    )  # fmt: skip

    def ask(method: str, *parameters: object) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters})
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        link.request("POST", "/", body, {"Content-Type": "application/json"})
        answer = json.loads(link.getresponse().read())
        link.close()
        assert "error" not in answer, answer["error"]
        return answer["result"]

    try:
        for _ in range(10_000):
            try:
                ask("eth_chainId")
                break
            except OSError:
                continue
        yield ask
    finally:
        process.terminate()
        process.wait()


def run(*, quick: bool, note: Note) -> dict[str, Any]:
    """Measure every kind once."""
    rng, shapes = random.Random(1), judges()
    calls = {name: judged_call(name, rng) for name in NODES} | dict(wired_calls(rng))
    with node(18_545) as ask:
        sender = ask("eth_accounts")[0]
        contracts = _deployed(ask, sender)
        gas, bytes_sent = {}, {}
        for name, (contract, function, arguments) in calls.items():
            selector, takes, _ = getattr(shapes, contract).functions[function]
            data = selector + encode(takes, arguments)
            receipt = _sent(ask, sender, contracts[contract], data)
            gas[name], bytes_sent[name] = int(receipt["gasUsed"], 16), len(data)
            assert receipt["status"] == "0x1", f"{name} was refused"
            note(f"{name:22} {gas[name]:8} gas {len(data):6} bytes")
    worst = max(gas, key=gas.__getitem__)
    return {"benchmark": "leaf_gas", "gas": gas, "calldata": bytes_sent, "gas_worst": gas[worst],
            "worst": worst}  # fmt: skip


def _deployed(ask: Callable[..., Any], sender: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in ("arithmetic", "adjudicator", "folds", "wiring"):
        code = bytes.fromhex(compiled(name)["bytecode"].removeprefix("0x"))
        if name in ("adjudicator", "wiring"):
            code += encode(["address"], [found["arithmetic"]])
        found[name] = _sent(ask, sender, None, code)["contractAddress"]
    return found


def _sent(ask: Callable[..., Any], sender: str, to: str | None, data: bytes) -> dict[str, Any]:
    call = {"from": sender, "data": "0x" + data.hex(), "gas": hex(16_000_000)}
    if to is not None:
        call["to"] = to
    name = ask("eth_sendTransaction", call)
    while (receipt := ask("eth_getTransactionReceipt", name)) is None:
        pass
    found: dict[str, Any] = receipt
    return found
