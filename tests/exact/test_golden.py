"""The recorded vectors are what the reference says, and every device agrees with them."""

from __future__ import annotations

import pytest
import torch

from scripts.bless_golden import FOLDER
from skerry.exact import Backend, available_backends, compile_program
from skerry.exact.bits import GOLDEN_DIGEST, check_bits, devices_found
from skerry.exact.carriers import CARRIERS
from skerry.exact.golden import (
    Golden,
    from_json,
    golden_cases,
    golden_digest,
    golden_ops,
    program_of,
    to_json,
    wrong_elements,
)
from skerry.program import OPS

EXACT: list[Backend] = [name for name in available_backends() if name != "fast"]


def recorded(op: str) -> list[Golden]:
    """Return the cases of the recorded page of an op."""
    return from_json((FOLDER / f"{op}.json").read_bytes())


@pytest.mark.parametrize("op", golden_ops())
def test_a_recorded_page_is_what_the_reference_gives(op: str) -> None:
    page = (FOLDER / f"{op}.json").read_bytes()
    assert page == to_json(golden_cases(op)), "if this is meant: python -m scripts.bless_golden"


@pytest.mark.parametrize("op", golden_ops())
def test_a_page_reads_back_as_it_was_written(op: str) -> None:
    page = (FOLDER / f"{op}.json").read_bytes()
    assert to_json(from_json(page)) == page


@pytest.mark.parametrize("backend", EXACT)
@pytest.mark.parametrize("op", golden_ops())
def test_a_backend_gives_the_recorded_values(op: str, backend: Backend) -> None:
    wrong = []
    for at, golden in enumerate(recorded(op)):
        program, inputs = program_of(golden)
        if wrong_elements(golden, compile_program(program, backend), inputs):
            wrong.append(at)
    assert wrong == []


@pytest.mark.parametrize("carrier", CARRIERS)
def test_every_carrier_gives_the_recorded_products(carrier: str) -> None:
    named = next(known for known in CARRIERS if known == carrier)
    for golden in recorded("dot"):
        program, inputs = program_of(golden)
        executable = compile_program(program, "torch", carrier=named)
        assert wrong_elements(golden, executable, inputs) == 0


def test_every_op_has_a_page_and_every_page_an_op() -> None:
    assert sorted(f"{op}.json" for op in OPS if op != "input") == sorted(
        file.name for file in FOLDER.glob("*.json")
    )


def test_the_digest_in_the_code_is_that_of_the_vectors() -> None:
    assert golden_digest() == GOLDEN_DIGEST


def test_bits_finds_this_machine_fit_and_names_what_it_asked() -> None:
    report = check_bits(ops=("add", "sqrt", "exp", "dot", "rescale"))
    assert report.reference_fit
    assert {row.device for row in report.rows} == set(devices_found())
    assert all(row.fit for row in report.rows if row.device == "cpu"), report.rows


def test_bits_notices_a_processor_that_flushes_subnormals() -> None:
    flushes = torch.set_flush_denormal(True)  # False where the processor cannot
    try:
        report = check_bits(devices=("cpu",), ops=("add", "mul"))
    finally:
        torch.set_flush_denormal(False)
    torch_rows = [row for row in report.rows if row.backend == "torch"]
    assert [row.fit for row in torch_rows] == [not flushes] * len(torch_rows)
    assert all(set(row.wrong_ops) == ({"add", "mul"} if flushes else set()) for row in torch_rows)


def test_the_recorded_roots_are_the_nearest() -> None:
    goldens = recorded("sqrt")
    arguments = torch.tensor([x for golden in goldens for x in golden.case.elements[0]])
    roots = torch.tensor([x for golden in goldens for x in golden.elements])
    signed = torch.where(arguments >= 1 << 31, arguments - (1 << 32), arguments)
    plain = signed.to(torch.int32).view(torch.float32)
    exact = plain.double().sqrt().float()
    nan = exact.isnan()
    assert torch.equal(nan, roots == 0x7FC00000)
    bits = exact.view(torch.int32).long() & 0xFFFFFFFF
    assert torch.equal(bits[~nan], roots[~nan])


def test_bits_names_the_op_that_a_device_gets_wrong() -> None:
    golden = golden_cases("add")[0]
    spoiled = golden._replace(elements=(golden.elements[0] ^ 1, *golden.elements[1:]))
    program, inputs = program_of(spoiled)
    assert wrong_elements(spoiled, compile_program(program, "reference"), inputs) == 1
