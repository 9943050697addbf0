"""Attacks on the market, each against honest play: what they gain at the default audit and stake.

What    Attackers' units are forged over a real run and judged by real replays and dispute walks;
        then each attack is played in many jobs by the rules, with those answers. `uncaught` counts
        attacks whose mean profit is not below honesty's; `honest_slashed` those who lost a stake
        or bond and had done nothing. One wrong bit is priced: `outside_gain` is what it must be
        worth to its author to pay.
        Beside that, `attack_network` plays attacks with altered nodes on a network of processes,
        under "network": each once, or with `--quick` those of its first job.
Limits  In the rules' runs parties are roles in one process, and a dispute ends as its walk on this
        machine does; on the network both are real, and each attack is played once.
Units   The token's smallest unit. A unit costs 80 % of its price to compute.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import mean
from typing import Any

from benchmarks import attack_network
from benchmarks.attack_units import LANES, ROUNDS, SEGMENTS, Table, tables, yard_here
from benchmarks.attack_world import (
    ASKING,
    BOND,
    COST_PERCENT,
    Attack,
    AttackWorld,
    honest_of,
    play,
)
from skerry.roles.client import audit_price

SOLVER, AUDITOR, BOTH = ("solver",), ("auditor",), ("solver", "auditor")
ATTACKS = (
    Attack("skipped steps", SOLVER, "all", "skipped steps", saved=50),
    Attack("stale weights", SOLVER, "all", "stale weights", saved=5),
    Attack("wrong data slice", SOLVER, "all", "wrong data slice", saved=5),
    Attack("wrong seed", SOLVER, "all", "wrong seed"),
    Attack("lower precision", SOLVER, "all", "lower precision", saved=50),
    Attack("one bit", SOLVER, "one", "one bit"),
    Attack("garbage root", SOLVER, "all", "garbage root", saved=100),
    Attack("one garbage root", SOLVER, "one", "garbage root", saved=100),
    Attack("fewer steps, said so", SOLVER, "all", "fewer steps, said so", saved=75, dropped=True),
    Attack(
        "stale weights, said so", SOLVER, "all", "stale weights, said so", saved=5, dropped=True
    ),
    Attack("replayed receipt", SOLVER, "all", saved=100, dropped=True),
    Attack("double submission", SOLVER, "second", saved=100, dropped=True),
    Attack("bid and vanish", SOLVER, vanishes=True),
    Attack("predictor of randomness", BOTH, "undrawn", "garbage root", saved=100),
    Attack("colluding solver and verifier", BOTH, "all", "skipped steps", 50, "accepts"),
    Attack("collusion with a true trace", BOTH, "all", "skipped steps", 50, "traces"),
    Attack("copied verdict", AUDITOR, auditor="copies"),
    Attack("invented verdict", AUDITOR, auditor="accepts"),
    Attack("withheld reveal", AUDITOR, auditor="is silent"),
    Attack("frivolous challenge", ("challenger",), doubts=True),
)
PRICED = ("one bit",)


def measured(attack: Attack, known: dict[str, Table], runs: int) -> dict[str, Any]:
    """Play one attack and its honest counterpart, in the same draws."""
    if attack.table in known and attack.units and attack.table != "honest":
        ordered = known[attack.table].ordered.values()
        assert attack.dropped is not any(ordered), "what everyone sees without a replay"
    attacks, honests, worlds = list[int](), list[int](), list[AttackWorld]()
    for number in range(runs):
        world = play(attack, known, number)
        plain = play(honest_of(attack), known, number)
        attacks.append(world.profit(world.attackers))
        honests.append(plain.profit(plain.attackers))
        worlds += [world, plain]
    slashed = sum(any(it in world.attackers for it in world.slashed) for world in worlds[::2])
    return {
        "runs": runs,
        "profit": round(mean(attacks), 1),
        "honest_profit": round(mean(honests), 1),
        "slashed_share": slashed / runs,
        "not_below_honesty": mean(attacks) >= mean(honests),
        "honest_slashed": sum(len(it.honest_slashed) for it in worlds),
        "audited_units": sum(it.audited for it in worlds),
        "honest_audits_unpaid": sum(it.auditor_epochs_unpaid() for it in worlds[::2]),
    }


def run(*, quick: bool, note: Callable[[str], None]) -> dict[str, Any]:
    """Play every attack."""
    runs = 4 if quick else 100
    yard, folder = yard_here(note)
    try:
        known = tables(yard, note, rounds=1 if quick else ROUNDS)
    finally:
        folder.cleanup()
    note(f"{'attack':32} {'profit':>10} {'honest':>9} {'slashed':>8}")
    found = {}
    for attack in ATTACKS:
        it = found[attack.name] = measured(attack, known, runs)
        mark = "  NOT BELOW HONESTY" if it["not_below_honesty"] else ""
        note(
            f"{attack.name:32} {it['profit']:>10} {it['honest_profit']:>9} "
            f"{it['slashed_share']:>8.2f}{mark}"
        )
    network = attack_network.run(quick=quick, note=note)
    note(f"covered: {len(found)} attacks x {runs} runs by the rules; {network['covered']}")
    alike = [name for name, it in found.items() if it["not_below_honesty"]]
    uncaught = [name for name in alike if name not in PRICED]
    bit = found["one bit"]
    return {
        "uncaught": len(uncaught),
        "uncaught_names": uncaught,
        "priced": PRICED,
        "honest_slashed": sum(it["honest_slashed"] for it in found.values()),
        "audited_units": sum(it["audited_units"] for it in found.values()),
        "one_bit": {
            "slashed_share": bit["slashed_share"],
            "outside_gain": round(bit["honest_profit"] - bit["profit"], 1),
        },
        "attacks": found,
        "job": {
            "rounds": ROUNDS,
            "lanes": LANES,
            "segments": SEGMENTS,
            "epoch_rounds": ASKING.epoch_rounds,
            "draws": ASKING.draws,
            "price": ASKING.price_max,
            "price_audit": audit_price(ASKING),
            "bond": BOND,
            "cost_percent": COST_PERCENT,
        },
        "real_replays": {
            name: {
                "units": len(it.rejected),
                "rejected": sum(map(bool, it.rejected.values())),
                "convictable": sum(it.convictable.values()),
            }
            for name, it in known.items()
        },
        "how": "roles of one process by the rules; receipts, replays and walks are real",
        "network": network,
    }
