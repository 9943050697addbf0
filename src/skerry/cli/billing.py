"""The commands `earnings` and `invoice`: lines with a reason, and sums that are the vault's."""

from __future__ import annotations

from pathlib import Path

from skerry.cli import console
from skerry.node.daemon.home import default_home
from skerry.node.market.bought import bought_by
from skerry.node.market.statements import Earnings, earnings_of, invoice_of
from skerry.roles.statement import Statement, UnitLine


def earnings_command(home: Path, rpc_url: str, *, as_json: bool) -> None:
    """Show what a node earned, job by job and unit by unit."""
    found = earnings_of(home.expanduser(), rpc_url)
    if as_json:
        console.show_json({"earnings": found, "earned": found.earned, "adds_up": found.adds_up})
        return
    for job in found.jobs:
        state = "closed" if job.closed else "under way"
        console.out.print(
            f"job {job.job.hex()[:16]}  {', '.join(job.roles)}  {state}", style="bold"
        )
        if job.units:
            show_units(job.units, nodes=False)
        if job.lacking:
            words = (
                f"{job.lacking} rounds are not here as they were committed, so its units are not"
                " listed"
            )
            console.out.print(words, markup=False)
    console.show_table(
        ("job", "paid", "found", "spent", "slashed", "net"),
        [
            (it.job.hex()[:16], *map(_amount, (it.pay, it.found, it.spent, it.slashed, it.net)))
            for it in found.jobs
        ],
    )
    console.show_rows(earnings_rows(found))


def earnings_rows(found: Earnings) -> list[console.Row]:
    """Return a node's account as rows."""
    held = found.free + found.locked + found.exiting
    words = "to the last unit" if found.adds_up else "DOES NOT ADD UP"
    parts = f"{found.free:,} free, {found.locked:,} locked, {found.exiting:,} on the way out"
    return [
        ("address", "0x" + found.address.hex(), ""),
        ("put in", _amount(found.deposited), ""),
        (
            "earned",
            _amount(found.earned),
            f"{found.other:+,} of it by bonds" if found.other else "",
        ),
        ("taken out", _amount(found.withdrawn), ""),
        ("in the vault", _amount(held), f"{parts}; {words}"),
    ]


def invoice_command(job: str, home: Path | None, rpc_url: str, *, as_json: bool) -> None:
    """Show what a job cost, unit by unit; it is named by its run's folder, or as on the chain."""
    bought = bought_by(Path(job))
    names = (job,) if bought is None else bought.jobs
    place = home or (default_home() if bought is None else Path(bought.home))
    found = [invoice_of(place.expanduser(), name, rpc_url) for name in names]
    spent, right = sum(it.spent for it in found), all(it.adds_up for it in found)
    if as_json:
        said = {"invoice": found[-1], "earlier": found[:-1], "spent": spent, "adds_up": right}
        console.show_json(said)
        return
    for it in found:
        show_units(it.units, nodes=True)
        console.show_rows(invoice_rows(it))
    if len(found) > 1:
        words = f"of {len(found)} awards: the run went back {len(found) - 1} times"
        console.show_rows([("spent", _amount(spent), words)])


def show_units(units: tuple[UnitLine, ...], *, nodes: bool) -> None:
    """Show units as a table."""
    head = ("round", "lane", *(("node",) if nodes else ()), "price", "verdict", "reason", "paid")
    rows = []
    for it in units:
        who = ("0x" + it.node.hex()[:8] if it.node else "nobody",) if nodes else ()
        money = (_amount(it.price), it.verdict.value, it.reason.value, _amount(it.paid))
        rows.append((str(it.round), str(it.lane), *who, *money))
    console.show_table(head, rows)


def invoice_rows(found: Statement) -> list[console.Row]:
    """Return a job's sums as rows."""
    units = sum(it.paid for it in found.units)
    words = "to the last unit" if found.adds_up else "DOES NOT ADD UP"
    state = "closed" if found.closed else "under way"
    lost = "for units that this copy of the run has otherwise"
    return [
        ("job", found.job.hex(), state),
        ("units", _amount(units), f"{sum(it.paid > 0 for it in found.units)} paid"),
        *([("elsewhere", _amount(found.unlisted), lost)] if found.unlisted else []),
        ("audits", _amount(sum(found.audits)), ""),
        ("records", _amount(found.records), ""),
        ("refunded", _amount(found.refunded), ""),
        ("locked", _amount(found.escrow), ""),
        ("budget", _amount(found.budget), words),
    ]


def _amount(value: int) -> str:
    return f"{value:,}"
