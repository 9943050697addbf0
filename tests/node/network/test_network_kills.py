"""kill -9 of real node processes, of the one that coordinates, and of the submitter."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from skerry.node.daemon.looking import NetworkUnknown
from skerry.node.events import RoundFinished, RunEvent, RunStarted
from skerry.node.network.networks import run_on_network
from skerry.storage import read_lines
from tests.node.network.plain_nodes import PlainNodes
from tests.node.small import local_job
from tests.node.within import Within

LONG: dict[str, Any] = {"rounds": 60, "save_rounds": 7, "lanes": 4}
SUBMIT_SMALL = Path(__file__).with_name("submit_small.py")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    return Within(local_job(**LONG), tmp_path_factory.mktemp("run"), workers=1).run().root


@pytest.mark.slow
def test_another_node_coordinates_when_the_first_is_killed(
    undisturbed: str, tmp_path: Path
) -> None:
    with PlainNodes(tmp_path) as nodes:

        def watch(event: RunEvent) -> None:
            if isinstance(event, RoundFinished) and event.round == 10:
                nodes.kill(0, disk=True)

        result = run_on_network(
            local_job(**LONG), tmp_path / "run", None, str(tmp_path), watch=watch
        )
    assert result.root.hex() == undisturbed
    started = [
        it["round"] for it in read_lines(tmp_path / "run" / "log.jsonl") if it["type"] == "started"
    ]
    assert len(started) == 2
    assert started[1] >= 10


@pytest.mark.slow
def test_a_node_killed_between_two_merges_costs_its_lanes_a_round(
    undisturbed: str, tmp_path: Path
) -> None:
    seldom = {**LONG, "rounds": LONG["rounds"] * 3, "local_steps": 1, "segments": 1,
              "save_rounds": 21, "merge_rounds": 3}  # fmt: skip
    with PlainNodes(tmp_path) as nodes:

        def watch(event: RunEvent) -> None:
            if isinstance(event, RoundFinished) and event.round == 30:  # the first of three
                nodes.kill(0, disk=True)

        result = run_on_network(
            local_job(**seldom), tmp_path / "run", None, str(tmp_path), watch=watch
        )
    assert result.root.hex() == undisturbed
    log = read_lines(tmp_path / "run" / "log.jsonl")
    assert [it["round"] for it in log if it["type"] == "started"][1] >= 31
    lanes = [(it["round"], it["lane"]) for it in log if it["type"] == "lane" and it["round"] < 31]
    assert len(lanes) == len(set(lanes)) == 31 * LONG["lanes"], (
        "what was recorded is not done again"
    )


@pytest.mark.slow
def test_a_node_that_comes_back_follows_whoever_coordinates_now(
    undisturbed: str, tmp_path: Path
) -> None:
    with PlainNodes(tmp_path, 3) as nodes:

        def watch(event: RunEvent) -> None:
            if isinstance(event, RoundFinished) and event.round == 10:
                nodes.kill(0)
            if isinstance(event, RunStarted) and event.round >= 10:
                nodes.start(0)

        result = run_on_network(
            local_job(**LONG), tmp_path / "run", None, str(tmp_path), watch=watch
        )
        assert result.root.hex() == undisturbed
        assert nodes.said(0).count("coordinating") == 1


@pytest.mark.slow
def test_a_killed_submitter_finds_its_job_by_the_same_command(
    undisturbed: str, tmp_path: Path
) -> None:
    command = [sys.executable, str(SUBMIT_SMALL), str(tmp_path), str(tmp_path / "run")]
    command.append(json.dumps(LONG))
    with PlainNodes(tmp_path, 3):
        first = subprocess.Popen(command)
        pause = threading.Event()
        log = tmp_path / "run" / "log.jsonl"
        for _ in range(600):
            if any(line["type"] == "round" for line in read_lines(log)):
                break
            pause.wait(0.05)
        first.kill()
        first.wait()
        again = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    assert again.stdout.strip() == undisturbed


def test_a_network_that_is_none_is_refused_with_the_next_command(tmp_path: Path) -> None:
    for network in (str(tmp_path), "nowhere"):
        with pytest.raises(NetworkUnknown, match="names no network"):
            run_on_network(local_job(), tmp_path / "run", None, network)
