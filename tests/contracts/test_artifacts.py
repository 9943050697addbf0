"""What the package ships of each contract is what its source makes."""

from __future__ import annotations

import json

import pytest

from scripts.contracts import ARTIFACTS, DEPLOYED, compiled, spelled, stale
from skerry.chain.abi import REASONS, contract

CODE_BYTES_MAX = 24_576  # EIP-170


def test_no_artifact_is_older_than_its_source() -> None:
    assert stale() == [], "call `make contracts` and commit what it writes"


@pytest.mark.parametrize("name", DEPLOYED)
def test_a_contract_fits_onto_a_chain(name: str) -> None:
    artifact = json.loads((ARTIFACTS / f"{name}.json").read_text())
    assert artifact["runtime_bytes"] <= CODE_BYTES_MAX


@pytest.mark.slow
@pytest.mark.parametrize("name", ["token", "vault", "market"])
def test_the_same_source_makes_the_same_code(name: str) -> None:
    assert (ARTIFACTS / f"{name}.json").read_text() == spelled(compiled(name))


PORTS: dict[str, dict[str, tuple[str, ...]]] = {
    "court": {"market": ("admit", "convict", "dismiss"), "vault": ("lock", "settle", "slash")},
    "market": {"vault": ("lock", "take_leases", "settle", "slash")},
}


@pytest.mark.parametrize("caller", PORTS)
def test_contracts_call_each_other_by_functions_that_are_there(caller: str) -> None:
    for callee, names in PORTS[caller].items():
        for name in names:
            assert contract(callee).selector(name) in contract(caller).bytecode, (callee, name)


def test_reasons_are_numbered_alike() -> None:
    source = (ARTIFACTS.parents[3] / "contracts" / "reasons.vy").read_text()
    lines = [it for it in source.splitlines() if ": constant(uint256) = " in it]
    numbered = [it.replace(": constant(uint256) =", "").split() for it in lines]
    assert numbered == [[word.value.upper(), str(at)] for at, word in enumerate(REASONS, 1)]
