"""The rounds end whatever dies and in whatever order, and every lane's unit counts once."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from skerry.train.rounds import (
    Accept,
    Begin,
    Drop,
    Effect,
    End,
    Event,
    Record,
    RoundState,
    RoundTerms,
    StartFailed,
    StopAsked,
    Task,
    TaskDone,
    TaskFailed,
    TaskMissed,
    TimePassed,
    WorkerJoined,
    WorkerLost,
    begin_rounds,
    tick,
)


def root_of(number: int) -> bytes:
    return sha256(b"%d" % number).digest()


def root_after(task: Task) -> bytes:
    if task.kind == "join":
        return root_of(task.round)
    return root_of(task.round + 1) if task.kind == "merge" else b""


class Run:
    """A shell around `tick` that carries out effects in memory."""

    def __init__(self, terms: RoundTerms, **start: int) -> None:
        self.state = begin_rounds(terms, **start)  # type: ignore[arg-type]
        self.now = 0
        self.holding: dict[str, Task] = {}
        self.accepted: list[Task] = []
        self.recorded: list[int] = []
        self.dropped: list[str] = []
        self.end: End | None = None

    def feed(self, event: Event) -> tuple[Effect, ...]:
        self.state, effects = tick(self.state, event, self.now)
        for effect in effects:
            match effect:
                case Begin(worker, task):
                    assert worker not in self.holding, "a worker got two tasks"
                    if task.kind not in ("join", "merge"):
                        assert task not in self.holding.values(), "a task was given out twice"
                    self.holding[worker] = task
                case Accept(_, task):
                    assert task not in self.accepted, "a task was accepted twice"
                    self.accepted.append(task)
                case Record(number, root):
                    assert root == root_of(number + 1)
                    self.recorded.append(number)
                case Drop(worker, _):
                    self.dropped.append(worker)
                    self.holding.pop(worker, None)
                case End():
                    self.end = effect
        return effects

    def finish(self, worker: str) -> None:
        task = self.holding.pop(worker)
        self.feed(TaskDone(worker, task, root_after(task)))

    def kill(self, worker: str, detail: str = "killed", *, killed: bool = False) -> None:
        self.holding.pop(worker, None)
        self.feed(WorkerLost(worker, detail, killed))


class AnyOrder(RuleBasedStateMachine):
    """Workers join, die, dawdle and answer late in any order."""

    @initialize(
        rounds=st.integers(0, 4),
        lanes=st.integers(1, 4),
        save=st.integers(0, 3),
        evaluate=st.integers(0, 2),
        parts=st.integers(0, 2),
    )
    def start(self, rounds: int, lanes: int, save: int, evaluate: int, parts: int) -> None:
        terms = RoundTerms(rounds, lanes, save, evaluate, parts, failures_max=1000, slack=50)
        self.run = Run(terms)
        self.born = 0
        self.stale: list[tuple[str, Task]] = []

    @property
    def on(self) -> bool:
        return self.run.end is None

    @rule()
    def join(self) -> None:
        if self.on and len(self.run.state.workers) < 6:
            self.born += 1
            self.run.feed(WorkerJoined(f"w{self.born}"))

    @precondition(lambda self: self.run.state.workers)
    @rule(draw=st.data())
    def die(self, draw: st.DataObject) -> None:
        worker = draw.draw(st.sampled_from(sorted(self.run.state.workers)))
        if task := self.run.holding.get(worker):
            self.stale.append((worker, task))
        self.run.kill(worker)

    @precondition(lambda self: self.run.holding)
    @rule(draw=st.data(), took=st.integers(0, 100))
    def answer(self, draw: st.DataObject, took: int) -> None:
        self.run.now += took
        self.run.finish(draw.draw(st.sampled_from(sorted(self.run.holding))))

    @precondition(lambda self: self.run.holding)
    @rule(draw=st.data())
    def miss(self, draw: st.DataObject) -> None:
        worker = draw.draw(st.sampled_from(sorted(self.run.holding)))
        self.run.feed(TaskMissed(worker, self.run.holding.pop(worker), "it is gone"))

    @precondition(lambda self: self.stale)
    @rule(draw=st.data())
    def answer_too_late(self, draw: st.DataObject) -> None:
        worker, task = draw.draw(st.sampled_from(self.stale))
        before = self.run.state
        self.run.feed(TaskDone(worker, task, root_after(task)))
        assert (self.run.state.round, self.run.state.done) == (before.round, before.done)

    @rule(took=st.integers(0, 5000))
    def wait(self, took: int) -> None:
        self.run.now += took
        self.run.feed(TimePassed())

    @invariant()
    def nobody_idles_while_there_is_work(self) -> None:
        state: RoundState = self.run.state
        if not self.on:
            return
        given = {worker.task for worker in state.workers.values()}
        left = [task for task in state.pool if task not in state.done and task not in given]
        idle = [w for w in state.workers.values() if w.task is None and w.at == state.round]
        assert not (left and idle)

    def teardown(self) -> None:
        """Give it one worker that lives, and it must end with every lane of every round once."""
        if not hasattr(self, "run"):
            return
        run = self.run
        if self.on:
            run.feed(WorkerJoined("survivor"))
        for _ in range(10_000):
            if run.end is not None:
                break
            run.finish(sorted(run.holding)[0])
        assert run.end == End("finished")
        terms = run.state.terms
        lanes = [(task.round, task.index) for task in run.accepted if task.kind == "lane"]
        assert sorted(lanes) == [(r, at) for r in range(terms.rounds) for at in range(terms.lanes)]
        assert lanes == sorted(lanes, key=lambda lane: lane[0])
        assert run.recorded == list(range(terms.rounds))


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)

TERMS = RoundTerms(3, 2, slack=10, patience=4)


def two_workers(terms: RoundTerms = TERMS) -> Run:
    run = Run(terms)
    for worker in ("a", "b"):
        run.feed(WorkerJoined(worker))
    return run


def test_a_worker_keeps_its_lane() -> None:
    run = two_workers()
    ran: dict[int, set[str]] = {0: set(), 1: set()}
    while run.end is None:
        for worker, task in run.holding.items():
            if task.kind == "lane":
                ran[task.index].add(worker)
        run.finish(sorted(run.holding)[-1])
    assert all(len(workers) == 1 for workers in ran.values())


def test_a_deadline_follows_what_was_measured() -> None:
    run = two_workers(replace(TERMS, rounds=9))
    dues = []
    for took in (100, 100, 1000):
        while any(task.kind != "lane" for task in run.holding.values()):
            run.finish(next(w for w, t in run.holding.items() if t.kind != "lane"))
        worker = run.state.workers["a"]
        dues.append(None if worker.due is None else worker.due - worker.since)
        run.now += took
        run.finish("a")
        run.finish("b")
    while any(task.kind != "lane" for task in run.holding.values()):
        run.finish(next(w for w, t in run.holding.items() if t.kind != "lane"))
    worker = run.state.workers["a"]
    assert worker.due is not None
    assert [*dues, worker.due - worker.since] == [None, 410, 410, 4010]


def test_a_dawdler_is_dropped_and_its_lane_goes_on_with_more_patience() -> None:
    run = two_workers()
    while run.state.round < 1 or [t.kind for t in run.holding.values()] != ["lane", "lane"]:
        run.now += 10
        run.finish(min(run.holding, key=lambda worker: run.holding[worker].kind == "lane"))
    late = run.holding["a"]
    run.finish("b")
    due = run.state.next_due
    assert due is not None
    first = due - run.state.workers["a"].since
    run.now = due
    run.feed(TimePassed())
    assert run.dropped == ["a"]
    assert run.holding["b"] == late
    again = run.state.workers["b"]
    assert again.due is not None
    assert again.due - again.since > first


def test_a_task_that_kills_its_workers_stops_the_run_with_the_last_words() -> None:
    run = Run(TERMS)
    for turn in range(3):
        run.feed(WorkerJoined(f"w{turn}"))
        while run.holding[f"w{turn}"].kind != "lane":
            run.finish(f"w{turn}")
        run.kill(f"w{turn}", "segmentation fault")
    assert run.end is not None
    assert run.end.kind == "crashing"
    assert "segmentation fault" in run.end.detail


@given(moments=st.lists(st.booleans(), max_size=15))
def test_workers_that_somebody_kills_are_replaced_as_often_as_that(moments: list[bool]) -> None:
    run = Run(TERMS)
    for turn, joined in enumerate(moments):
        if joined:
            run.feed(WorkerJoined(f"w{turn}"))
            run.kill(f"w{turn}", "signal 9", killed=True)
        else:
            run.feed(StartFailed("signal 9", killed=True))
    assert run.end is None


def test_a_kernel_that_kills_whoever_joins_stops_the_run_in_the_end() -> None:
    run = Run(TERMS)
    for turn in range(TERMS.kills_max):
        assert run.end is None
        run.feed(WorkerJoined(f"w{turn}"))
        run.kill(f"w{turn}", "signal 9", killed=True)
    assert run.end is not None
    assert run.end.kind == "crashing"


def test_processes_that_never_connect_stop_the_run() -> None:
    run = Run(TERMS)
    for _ in range(3):
        run.feed(StartFailed("no module named torch"))
    assert run.end is not None
    assert "no module named torch" in run.end.detail


def test_deaths_of_different_units_are_not_added_up() -> None:
    run = Run(replace(TERMS, rounds=12))
    for turn in range(10):
        run.feed(WorkerJoined(f"w{turn}"))
        while run.state.round <= turn:
            run.finish(f"w{turn}")
        run.kill(f"w{turn}")
    assert run.end is None


def test_two_roots_for_one_state_stop_the_run() -> None:
    run = two_workers()
    run.finish("a")
    run.feed(TaskDone("b", run.holding["b"], b"another state"))
    assert run.end is not None
    assert run.end.kind == "conflict"


def test_a_resumed_run_refuses_another_state_than_its_checkpoint() -> None:
    state = begin_rounds(TERMS, at=2, root=root_of(2), saved=2)
    state, effects = tick(state, WorkerJoined("a"), 0)
    assert effects == (Begin("a", Task(2, "join")),)
    _, effects = tick(state, TaskDone("a", Task(2, "join"), root_of(9)), 0)
    assert isinstance(effects[-1], End)


@pytest.mark.parametrize(
    ("event", "kind"),
    [(StopAsked("ctrl-c"), "asked"), (TaskFailed("a", Task(0, "join"), "disk full"), "failed")],
)
def test_a_stop_ends_everything(event: Event, kind: str) -> None:
    run = two_workers()
    run.feed(event)
    assert run.end is not None
    assert run.end.kind == kind
    assert run.feed(WorkerJoined("late")) == ()
