"""Contracts, their twins in Python, the reference and torch judge alike; liars are refused."""

from __future__ import annotations

import dataclasses
import random
import re
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from benchmarks.adjudicate import Tally, as_claim, as_shown, structures, vectors
from benchmarks.adjudicate_cases import ELEMENTWISE, STRUCTURED, Cases
from benchmarks.step_run import StepRun
from scripts.contracts import compiled, compiled_by_venom
from scripts.evm import Judges, Reverted, judges
from skerry.base.digests import tree_depth
from skerry.commit.tensors import leaf_of
from skerry.program import OPS, Program, judged_node
from skerry.verify import folds, leaf
from skerry.verify.judged import (
    Claim,
    Opened,
    OpeningRefused,
    node_leaf,
    packed,
    read_node,
    unpacked,
)

CONTRACTS = Path(__file__).parents[2] / "contracts"
DEPLOYED = ("arithmetic", "adjudicator", "folds", "wiring")
CODE_BYTES_MAX = 24_576


@pytest.fixture(scope="module")
def chain() -> Judges:
    return judges()


@pytest.mark.parametrize("op", ELEMENTWISE)
def test_an_elementwise_op_is_judged_alike_by_all_four(op: str, chain: Judges) -> None:
    tally = Tally()
    vectors(tally, chain, op, 60, random.Random(op))
    assert not tally.mismatches
    assert tally.cases[op] > 60


@pytest.mark.parametrize("op", STRUCTURED)
def test_an_op_over_indices_is_judged_alike_by_all_four(op: str, chain: Judges) -> None:
    tally = Tally()
    structures(tally, chain, op, 16, random.Random(op))
    assert not tally.mismatches
    assert tally.cases[op] == 16


def test_every_op_but_input_is_judged() -> None:
    assert {*ELEMENTWISE, *STRUCTURED, "input"} == set(OPS)


def test_the_contracts_know_the_ops_by_the_names_of_the_table() -> None:
    text = (CONTRACTS / "ops.vy").read_text()
    found = re.findall(r"^OP_(\w+): constant\(bytes12\) = 0x(\w+)$", text, re.MULTILINE)
    names = {name.lower(): bytes.fromhex(word).rstrip(b"\0").decode() for name, word in found}
    assert names == {op: op for op in OPS}


@pytest.mark.parametrize("name", DEPLOYED)
def test_a_contract_fits_the_limit_of_the_chain(name: str) -> None:
    assert compiled(name)["runtime_bytes"] <= CODE_BYTES_MAX


# ---- openings from liars -------------------------------------------------------------------------


def one_case(op: str) -> tuple[StepRun, int]:
    c = Cases(random.Random(5))
    x, y, y_flat = c.i64(3, 600), c.i64(3, 600), c.i64(600)
    value = {
        "add": lambda: c.b.node("add", (x, y)),
        "sum": lambda: c.b.node("sum", (x,), axes=(1,)),
        "concat": lambda: c.b.node("concat", (x, y), axis=0),
        "argmax": lambda: c.b.node("argmax", (c.f32(2, 1100),), axis=1),
        "dot": lambda: c.b.node("dot", (c.small(3, 600), c.small(3, 600))),
        "scatter_add": lambda: c.b.node("scatter_add", (c.i64(600, low=0, high=3), y_flat), size=3),
    }[op]()
    run = StepRun(*c.done(value))
    return run, run.program.outputs[0].node


def mutations(claim: Claim, shown: tuple[Opened, ...]) -> list[tuple[Claim, tuple[Opened, ...]]]:
    """Return claims and openings that do not go together."""
    first, *rest = shown
    flipped = bytes([first.data[0] ^ 1]) + first.data[1:]
    other = bytes(31) + b"\1"
    changed = [
        dataclasses.replace(first, data=flipped),
        dataclasses.replace(first, data=first.data[:-1]),
        dataclasses.replace(first, data=first.data + b"\0"),
        dataclasses.replace(first, path=first.path[:-1]),
        dataclasses.replace(first, path=(*first.path, other)),
        dataclasses.replace(first, path=(other, *first.path[1:])),
        dataclasses.replace(first, path=(*first.path[:-1], other)),
    ]
    found = [(claim, (it, *rest)) for it in changed]
    found += [(claim, shown[:-1]), (claim, (*shown, first))]
    found += [(claim, shown[::-1])] if len(shown) > 1 else []
    found += [
        (dataclasses.replace(claim, trace=other), shown),
        (dataclasses.replace(claim, node=other), shown),
        (dataclasses.replace(claim, values=claim.values + 4), shown),
        (dataclasses.replace(claim, element=1 << 40), shown),
    ]
    return found


@pytest.mark.parametrize("op", ["add", "concat"])
def test_an_opening_that_does_not_hold_is_refused_by_both(op: str, chain: Judges) -> None:
    run, at = one_case(op)
    raw = judged_node(run.program, at)
    claim = leaf.Gathered(run.program, run, 0, at).claim(700)
    shown = leaf.openings_for(run.program, run, 0, at, 700)
    right = chain.adjudicator.call("judge", as_claim(claim), raw, as_shown(shown))
    assert right == leaf.judge(claim, raw, shown) == run.bits(at, 700)
    for other, openings in mutations(claim, shown):
        with pytest.raises(OpeningRefused):
            leaf.judge(other, raw, openings)
        if len(openings) <= 3 and all(len(it.data) <= 4096 for it in openings):
            with pytest.raises(Reverted):
                chain.adjudicator.call("judge", as_claim(other), raw, as_shown(openings))


@pytest.mark.parametrize("op", ["sum", "argmax", "dot", "scatter_add"])
def test_an_opening_of_a_run_that_does_not_hold_is_refused_by_both(op: str, chain: Judges) -> None:
    run, at = one_case(op)
    raw, subject = judged_node(run.program, at), run.bits(at, 1)
    claim = leaf.Gathered(run.program, run, 0, at).claim(1)
    shown = folds.openings_for_run(run.program, run, 0, at, 1, subject, 1)
    right = chain.folds.call("judge", as_claim(claim), raw, subject, 1, as_shown(shown))
    assert right == folds.judge_run(claim, raw, subject, 1, shown) % (1 << 64)
    for other, openings in mutations(claim, shown):
        with pytest.raises(OpeningRefused):
            folds.judge_run(other, raw, subject, 1, openings)
        if len(openings) <= 3 and all(len(it.data) <= 4096 for it in openings):
            with pytest.raises(Reverted):
                chain.folds.call("judge", as_claim(other), raw, subject, 1, as_shown(openings))
    with pytest.raises(OpeningRefused):
        folds.judge_run(claim, raw, subject, 99, shown)
    with pytest.raises(Reverted):
        chain.folds.call("judge", as_claim(claim), raw, subject, 99, as_shown(shown))


def test_an_operand_of_a_concat_that_does_not_hold_the_element_is_refused(chain: Judges) -> None:
    run, at = one_case("concat")
    raw = judged_node(run.program, at)
    claim = leaf.Gathered(run.program, run, 0, at).claim(0)
    wrong = leaf.openings_for(run.program, run, 0, at, 3 * 600)
    with pytest.raises(OpeningRefused):
        leaf.judge(claim, raw, wrong)
    with pytest.raises(Reverted):
        chain.adjudicator.call("judge", as_claim(claim), raw, as_shown(wrong))


# ---- folds ---------------------------------------------------------------------------------------


def test_about_an_index_that_does_not_exist_each_run_counts_minus_one(chain: Judges) -> None:
    run, at = one_case("argmax")
    raw = judged_node(run.program, at)
    claim = leaf.Gathered(run.program, run, 0, at).claim(0)
    for subject in (1100, (1 << 64) - 1):
        assert folds.judge_run(claim, raw, subject, 2, ()) == -1
        assert chain.folds.call("judge", as_claim(claim), raw, subject, 2, []) == (1 << 64) - 1


def test_a_wrong_index_has_a_wrong_rank(chain: Judges) -> None:
    run, at = one_case("argmax")
    raw = judged_node(run.program, at)
    claim = leaf.Gathered(run.program, run, 0, at).claim(0)
    judged = read_node(claim, raw)
    for subject in (run.bits(at, 0), 0, 513, 1099):
        parts = []
        for number in range(folds.runs(judged, 0)):
            shown = folds.openings_for_run(run.program, run, 0, at, 0, subject, number)
            parts.append(folds.judge_run(claim, raw, subject, number, shown))
        right = folds.combined("argmax", parts) == folds.claimed(judged, 0, subject)
        assert right == (subject == run.bits(at, 0))


def test_a_fold_is_cut_into_at_most_so_many_parts_of_nearly_equal_length() -> None:
    for first, stop, parts in ((0, 1, 8), (0, 7, 8), (3, 300, 256), (0, 100_000, 64)):
        cuts = folds.cut(first, stop, parts)
        assert (cuts[0], cuts[-1], len(cuts) - 1) == (first, stop, min(parts, stop - first))
        lengths = {b - a for a, b in pairwise(cuts)}
        assert 1 <= min(lengths) <= max(lengths) <= min(lengths) + 1


def test_one_run_of_any_reduction_is_one_leaf_of_each_operand() -> None:
    rng = random.Random(11)
    for op in folds.FOLDS:
        for _ in range(10):
            c = Cases(rng)
            run = StepRun(*c.done(STRUCTURED[op](c)))
            at = run.program.outputs[0].node
            element = rng.randrange(run.program.nodes[at].type.elements)
            judged = read_node(
                leaf.Gathered(run.program, run, 0, at).claim(element), judged_node(run.program, at)
            )
            number = rng.randrange(folds.runs(judged, element))
            subject = run.bits(at, element)
            shown = folds.openings_for_run(run.program, run, 0, at, element, subject, number)
            assert 1 <= len(shown) <= 2
            assert all(len(it.data) <= 4096 for it in shown)


# ---- nodes ---------------------------------------------------------------------------------------


def test_the_bytes_of_a_node_that_spell_nothing_are_refused(chain: Judges) -> None:
    run, at = one_case("add")
    good = judged_node(run.program, at)
    shown = leaf.openings_for(run.program, run, 0, at, 0)
    claim = leaf.Gathered(run.program, run, 0, at).claim(0)
    spoiled = [good[:-1], good + b"\0", b"", b"\xc1", msgspec.msgpack.encode(["add"])]
    for raw in spoiled:
        other = dataclasses.replace(claim, node=node_leaf(raw))
        with pytest.raises(OpeningRefused):
            leaf.judge(other, raw, shown)
        with pytest.raises(Reverted):
            chain.adjudicator.call("judge", as_claim(other), raw, as_shown(shown))


def test_a_concat_of_many_operands_is_opened_by_a_path() -> None:
    c = Cases(random.Random(1))
    parts = [c.f32(2) for _ in range(300)]
    run = StepRun(*c.done(c.b.node("concat", parts, axis=0)))
    at = run.program.outputs[0].node
    raw = judged_node(run.program, at)
    assert len(raw) < 100
    shown = leaf.openings_for(run.program, run, 0, at, 411)
    claim = leaf.Gathered(run.program, run, 0, at).claim(411)
    assert leaf.judge(claim, raw, shown) == run.bits(at, 411)
    assert len(shown[0].path) == tree_depth(300)


# ---- slow ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_both_code_generators_make_contracts_that_judge_alike() -> None:
    other = judges(make=compiled_by_venom)
    for op in (*ELEMENTWISE, *STRUCTURED):
        tally = Tally()
        rng = random.Random(f"venom {op}")
        if op in STRUCTURED:
            structures(tally, other, op, 16, rng)
        else:
            vectors(tally, other, op, 40, rng)
        assert not tally.mismatches, op


@pytest.mark.slow
def test_a_thousand_more_cases_of_every_op_are_judged_alike(chain: Judges) -> None:
    for op in (*ELEMENTWISE, *STRUCTURED):
        tally = Tally()
        rng = random.Random(f"more {op}")
        if op in STRUCTURED:
            structures(tally, chain, op, 100, rng)
        else:
            vectors(tally, chain, op, 1000, rng)
        assert not tally.mismatches, op


def test_a_program_names_the_nodes_that_are_judged() -> None:
    run, at = one_case("add")
    assert isinstance(run.program, Program)
    claim = leaf.claim_of(run.program, run.values(0), at, 0)
    assert claim == leaf.Gathered(run.program, run, 0, at).claim(0)


# ---- packed leaves -------------------------------------------------------------------------------


@pytest.mark.parametrize("width", range(1, 9))
def test_a_leaf_of_integers_may_travel_by_its_lowest_bytes(width: int, chain: Judges) -> None:
    rng = random.Random(width)
    limit = 1 << 8 * width - 1
    c = Cases(rng)
    x = c.i64(2, 515, low=-limit, high=limit - 1)
    run = StepRun(*c.done(c.b.node("neg", (x,))))
    at = run.program.outputs[0].node
    raw = judged_node(run.program, at)
    for element in (0, 511, 515, 1026):
        claim = leaf.Gathered(run.program, run, 0, at).claim(element)
        (shown,) = leaf.openings_for(run.program, run, 0, at, element)
        whole = run.leaf(0, 0, leaf_of((2, 515), element)[0])
        assert len(shown.data) <= len(whole) * width // 8
        assert unpacked(packed(whole), len(whole) // 8) == whole
        for data in (shown.data, whole):
            opened = (Opened(data, shown.path),)
            assert leaf.judge(claim, raw, opened) == run.bits(at, element)
            got = chain.adjudicator.call("judge", as_claim(claim), raw, as_shown(opened))
            assert got == run.bits(at, element)
        short = (Opened(shown.data[:-1], shown.path),)
        with pytest.raises(OpeningRefused):
            leaf.judge(claim, raw, short)
        with pytest.raises(Reverted):
            chain.adjudicator.call("judge", as_claim(claim), raw, as_shown(short))
