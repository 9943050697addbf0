"""Is this device fit for exact work? The golden vectors say.

What    `check_bits()` runs every golden vector on every device and backend found and returns one
        `BitsRow` each: how many elements were asked, which ops were wrong.
Why     One bit of difference costs a stake. A device is asked before it sells, and again later.
Rule    What counts is the recorded digest of the vectors: a machine whose own Python disagrees
        with it (`reference_fit` false) cannot judge any device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import torch

from skerry.exact.carriers import CARRIERS
from skerry.exact.executable import Executable, available_backends, compile_program
from skerry.exact.golden import Golden, golden_cases, golden_digest, golden_ops, program_of
from skerry.exact.golden import wrong_elements as count_wrong
from skerry.exact.ports import ExecutionError
from skerry.program import Program

#: What `golden_digest()` gives on a machine that is fit; `scripts.bless_golden` prints it.
GOLDEN_DIGEST: Final = "c02f937bd643746847b76e2f88b2631ae16c92961d0815a19da6659fe2ebc548"


class BitsRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one backend on one device answered.

    Attributes:
        device: the torch device, for example "cuda:0".
        name: what the maker calls it, where it says.
        backend: "native" or "torch".
        carrier: the number format of products, or "" where the backend chooses.
        elements: how many elements were compared.
        wrong_elements: how many of them differ.
        wrong_ops: the ops that gave a wrong element.
        refused: why it was not asked, or "".
    """

    device: str
    name: str = ""
    backend: str
    carrier: str = ""
    elements: int = 0
    wrong_elements: int = 0
    wrong_ops: tuple[str, ...] = ()
    refused: str = ""

    @property
    def fit(self) -> bool:
        """Whether exact work may be done here."""
        return not self.refused and self.wrong_elements == 0 and self.elements > 0


class BitsReport(msgspec.Struct, frozen=True, kw_only=True):
    """What every device answered."""

    reference_fit: bool
    rows: tuple[BitsRow, ...]


def devices_found() -> tuple[str, ...]:
    """Return the torch devices of this machine."""
    found = ["cpu"]
    accelerator = torch.accelerator.current_accelerator()
    if accelerator is not None:
        count = torch.accelerator.device_count()
        found += [f"{accelerator.type}:{index}" for index in range(count)]
    return tuple(found)


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else ""


def check_bits(
    devices: Sequence[str] | None = None, ops: Sequence[str] | None = None
) -> BitsReport:
    """Run the golden vectors and return what each backend on each device answered.

    Args:
        devices: torch devices; all that are found when not given.
        ops: which ops to ask; all when not given.
    """
    goldens = [golden for op in ops or golden_ops() for golden in golden_cases(op)]
    rows = []
    for device in devices_found() if devices is None else devices:
        for carrier in CARRIERS:
            if carrier == "int64" and device != "cpu":
                continue  # stock torch has integer products on the CPU only
            rows.append(_torch_row(device, carrier, goldens))
        if device == "cpu" and "native" in available_backends():
            made = BitsRow(device=device, backend="native")
            rows.append(_asked(made, lambda program: compile_program(program, "native"), goldens))
    return BitsReport(reference_fit=golden_digest() == GOLDEN_DIGEST, rows=tuple(rows))


def _torch_row(device: str, carrier: str, goldens: Sequence[Golden]) -> BitsRow:
    named = next(known for known in CARRIERS if known == carrier)
    row = BitsRow(device=device, name=_device_name(device), backend="torch", carrier=carrier)
    return _asked(
        row, lambda program: compile_program(program, "torch", device, carrier=named), goldens
    )


def _asked(
    row: BitsRow, make: Callable[[Program], Executable], goldens: Sequence[Golden]
) -> BitsRow:
    elements = wrong = 0
    wrong_ops: dict[str, None] = {}
    for golden in goldens:
        program, inputs = program_of(golden)
        try:
            differing = count_wrong(golden, make(program), inputs)
        except ExecutionError as error:
            return msgspec.structs.replace(row, refused=error.message)
        elements += golden.output.elements
        wrong += differing
        if differing:
            wrong_ops[golden.case.op] = None
    return msgspec.structs.replace(
        row, elements=elements, wrong_elements=wrong, wrong_ops=tuple(wrong_ops)
    )


__all__ = ["GOLDEN_DIGEST", "BitsReport", "BitsRow", "check_bits", "devices_found"]
