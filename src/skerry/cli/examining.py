"""The command `doctor`."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
import typer

from skerry import __version__
from skerry.base.errors import NodeError, SkerryError
from skerry.base.units import format_bytes
from skerry.cli import console
from skerry.exact import available_backends
from skerry.exact.bits import BitsReport, BitsRow, check_bits, devices_found
from skerry.node.daemon.diagnosis import Finding, examine
from skerry.node.daemon.home import NodeHome
from skerry.node.daemon.looking import find_invite


def doctor_command(*, bits: bool, network: str, home: Path, rpc: str, as_json: bool) -> None:
    """Show what this machine is; exit code 4 when a device computes other bits.

    Where a network is named or a node has a folder here, the way into it is examined too; exit
    code 6 when something is in the way.
    """
    report = check_bits() if bits else None
    facts = machine_facts()
    findings = network_findings(network, home, rpc)
    if as_json:
        console.show_json({"machine": facts, "bits": report, "network": findings})
    else:
        console.show_rows([(name, value, remark) for name, (value, remark) in facts.items()])
        if report is not None:
            show_bits(report)
        else:
            console.show_rows([("next", "skerry doctor --bits", "to check what it computes")])
        show_findings(findings)
    if report is not None and not fit(report):
        raise typer.Exit(4)
    if not all(it.fine for it in findings):
        raise typer.Exit(NodeError.exit_code)


def network_findings(network: str, home: Path, rpc: str) -> list[Finding]:
    """Return what stands between this machine and a network; nothing where none is meant."""
    node = NodeHome(home.expanduser())
    if not network and not node.root.exists():
        return []
    if not network and node.presence() is not None:
        network = str(node.root)
    try:
        invite = find_invite(network) if network else None
    except SkerryError as error:
        return [Finding("invite", False, error.message, error.next_step, error.code)]
    return asyncio.run(examine(node, invite, rpc))


def show_findings(findings: Sequence[Finding]) -> None:
    """Print what was found on the way into a network."""
    for it in findings:
        console.show_rows([(it.what, "fine" if it.fine else "WRONG", it.words)])
        if not it.fine and it.next_step:
            console.show_rows([("next", it.next_step, "")])


def machine_facts() -> dict[str, tuple[str, str]]:
    """Return what matters of this machine: value and remark by name."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    native = "native" in available_backends()
    return {
        "skerry": (__version__, f"Python {platform.python_version()}, torch {torch.__version__}"),
        "system": (platform.system(), f"{platform.machine()}, {os.cpu_count()} cores"),
        "memory": (format_bytes(pages), f"disk free {format_bytes(shutil.disk_usage('.').free)}"),
        "devices": (", ".join(devices_found()), ""),
        "kernels": (
            "compiled" if native else "missing",
            ""
            if native
            else "exact work runs on stock torch, several times slower: install a C"
            f" compiler, then {sys.executable} -m pip install --force-reinstall --no-deps skerry",
        ),
    }


def fit(report: BitsReport) -> bool:
    """Return whether every device that was asked gave the specified bits."""
    return report.reference_fit and all(row.fit for row in report.rows if not row.refused)


def show_bits(report: BitsReport) -> None:
    """Print what each backend on each device answered."""
    console.show_table(
        ("device", "backend", "carrier", "elements", "result"),
        [
            (row.device, row.backend, row.carrier or "its own", f"{row.elements:,}", _result(row))
            for row in report.rows
        ],
    )
    if not report.reference_fit:
        console.out.print("this Python itself does not give the recorded vectors: it cannot judge")


def _result(row: BitsRow) -> str:
    if row.refused:
        return f"not asked: {row.refused}"
    if row.fit:
        return "equal"
    return f"{row.wrong_elements:,} WRONG in {', '.join(row.wrong_ops)}"
