"""Compile the contracts and write what a client needs of them into the package.

What    src/skerry/chain/artifacts/NAME.json: ABI, creation code, compiler, and a digest of the
        sources that it came from, modules included. `compiled` is the same in memory.
Why     Whoever runs a node needs no compiler, and a test can see at a glance that an artifact is
        older than its source. Compiling takes seconds, so a result is kept by that digest.
Run     python -m scripts.contracts [--check]
"""

from __future__ import annotations

import json
import re
import sys
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "contracts"
ARTIFACTS = ROOT / "src" / "skerry" / "chain" / "artifacts"
KEPT = ROOT / "build" / "contracts"
COMPILER = "0.4.3"
EVM = "cancun"

# What gets deployed; every other file in contracts/ is a module of these.
DEPLOYED = (
    "token", "vault", "market", "evidence", "registry", "arithmetic", "adjudicator", "folds",
    "wiring", "feeds", "walk_steps", "walk_values", "verdicts", "court",
)  # fmt: skip

Artifact: TypeAlias = dict[str, Any]


def imported(source: Path) -> list[Path]:
    """Return the modules of ours that a source imports, itself first, each once."""
    found, todo = list[Path](), [source]
    while todo:
        path = todo.pop()
        if path in found:
            continue
        found.append(path)
        names = re.findall(r"^from \. import (\w+)|^import (\w+)", path.read_text(), re.MULTILINE)
        todo += [SOURCES / f"{first or second}.vy" for first, second in names]
    return found


def sources_digest(name: str) -> str:
    """Return a digest of the sources of a contract and of how they are compiled."""
    state = sha256(f"vyper {COMPILER} {EVM}".encode())
    for path in sorted(imported(SOURCES / f"{name}.vy")):
        state.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return state.hexdigest()


def _compile(name: str, *, venom: bool = False) -> Artifact:
    import vyper
    from vyper.compiler import compile_from_file_input
    from vyper.compiler.input_bundle import FilesystemInputBundle
    from vyper.compiler.settings import Settings

    if vyper.__version__ != COMPILER:
        sys.exit(f"vyper {vyper.__version__} is here, and {COMPILER} is pinned: call `make setup`")
    bundle = FilesystemInputBundle([SOURCES])
    made = compile_from_file_input(
        bundle.load_file(f"{name}.vy"),
        input_bundle=bundle,
        output_formats=("abi", "bytecode", "bytecode_runtime"),
        settings=Settings(evm_version=EVM, experimental_codegen=venom or None),
    )
    return {
        "name": name,
        "compiler": f"vyper {COMPILER}, {EVM}",
        "sources": sources_digest(name),
        "runtime_bytes": len(made["bytecode_runtime"]) // 2 - 1,
        "abi": made["abi"],
        "bytecode": made["bytecode"],
    }


@cache
def compiled(name: str) -> Artifact:
    """Return the artifact of any contract of ours, deployed or not, compiling it if it changed."""
    if name in DEPLOYED and name not in stale():
        shipped: Artifact = json.loads((ARTIFACTS / f"{name}.json").read_text())
        return shipped
    return _kept(name, venom=False)


@cache
def compiled_by_venom(name: str) -> Artifact:
    """Return the artifact that the compiler's other code generator makes: the same, for tests."""
    return _kept(name, venom=True)


def _kept(name: str, *, venom: bool) -> Artifact:
    other = "-venom" if venom else ""
    kept = KEPT / f"{name}-{sources_digest(name)[:16]}{other}.json"
    if kept.is_file():
        artifact: Artifact = json.loads(kept.read_text())
        return artifact
    artifact = _compile(name, venom=venom)
    kept.parent.mkdir(parents=True, exist_ok=True)
    part = kept.with_suffix(".part")
    part.write_text(json.dumps(artifact))
    part.replace(kept)
    return artifact


def spelled(artifact: Artifact) -> str:
    """Return the text of an artifact's file: one line for each function, so that changes show."""
    lines = [
        f"  {json.dumps(key)}: {json.dumps(artifact[key])}" for key in artifact if key != "abi"
    ]
    abi = ",\n".join(f"    {json.dumps(entry, sort_keys=True)}" for entry in artifact["abi"])
    return "{\n" + ",\n".join([*lines, f'  "abi": [\n{abi}\n  ]']) + "\n}\n"


def stale() -> list[str]:
    """Return the deployed contracts whose committed artifact is not what their sources make."""
    found = []
    for name in DEPLOYED:
        path = ARTIFACTS / f"{name}.json"
        if not path.is_file() or json.loads(path.read_text())["sources"] != sources_digest(name):
            found.append(name)
    return found


def main() -> None:
    """Write every artifact that is not up to date, or only name it."""
    names = stale()
    if "--check" in sys.argv:
        sys.exit(f"stale: {names}; call `make contracts`" if names else 0)
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    for name in names:
        artifact = compiled(name)
        (ARTIFACTS / f"{name}.json").write_text(spelled(artifact))
        sys.stdout.write(f"{name:16} {artifact['runtime_bytes']:6} bytes\n")


if __name__ == "__main__":
    main()
