"""What a round does next: who runs which lane, when to merge, whom to give up on.

What    `tick(state, event, now)` is the whole coordinator without its sockets: it takes what
        happened and returns the next state and what to do about it.
Why     A coordinator can be any machine and may die; a pure rule can be tested against every order
        of deaths, and replayed.
Rule    Round r works on global state r. Its tasks are the lanes, and, when due, one save and the
        parts of an evaluation. When all are done every worker merges the same updates into state
        r + 1; whoever has merged gets tasks of round r + 1. The last round has no lanes. In a round
        that ends with no merge state r + 1 is state r: a worker that is told to merge says so.
        Who is behind by more than that merge joins again, from the store.
        A worker holds one task at a time; a task is accepted once, from whoever holds it. All
        workers must report one root for one state, else the run stops.
        A task is overdue after `slack` plus `patience` times the longest of its kind measured
        lately, doubled for every time that it failed; before anything was measured, never.
Units   Time is an integer of milliseconds of any clock that does not go back.
Pure    No clock, no chance, no IO. States are values: `tick` changes none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias, TypeVar

TaskKind: TypeAlias = Literal["join", "merge", "save", "lane", "evaluate"]
EndKind: TypeAlias = Literal["finished", "asked", "failed", "crashing", "conflict"]

_MEASURED_MAX: Final = 32
_ROOTS_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class RoundTerms:
    """What a run does, as far as rounds are concerned.

    Attributes:
        rounds: how many rounds have lanes.
        lanes: lanes of each of them.
        save_every: rounds between saves; 0 saves only the first and the last state.
        eval_every: rounds between evaluations; 0 evaluates only the last state.
        eval_parts: into how many tasks an evaluation is cut; 0 never evaluates.
        failures_max: so many failures of one task stop the run.
        kills_max: so many workers killed at one task stop the run too: somebody else's doing, but
            the kernel kills as well when memory runs out, and would do so forever.
        patience: how many times the longest measured duration a task may take.
        slack: milliseconds that any task may take beyond that.
    """

    rounds: int
    lanes: int
    save_every: int = 0
    eval_every: int = 0
    eval_parts: int = 0
    failures_max: int = 3
    kills_max: int = 16
    patience: int = 8
    slack: int = 5000


@dataclass(frozen=True, slots=True, order=True)
class Task:
    """One thing for one worker to do at the state of `round`.

    "join": fetch that state; "merge": make the next one; "save": store it; "evaluate": part
    `index` of an evaluation; "lane": the unit of lane `index`.
    """

    round: int
    kind: TaskKind
    index: int = 0


@dataclass(frozen=True, slots=True)
class WorkerJoined:
    """A new worker is connected and holds no state."""

    worker: str


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """A worker is gone, with what is known about why, and whether something killed it."""

    worker: str
    detail: str = ""
    killed: bool = False


@dataclass(frozen=True, slots=True)
class StartFailed:
    """A worker process ended, or was killed, before it was connected."""

    detail: str = ""
    killed: bool = False


@dataclass(frozen=True, slots=True)
class TaskDone:
    """A worker reports a task as done; `root` is of the state it now holds, for join and merge."""

    worker: str
    task: Task
    root: bytes = b""


@dataclass(frozen=True, slots=True)
class TaskFailed:
    """A worker reports that a task cannot be done by anyone, and why."""

    worker: str
    task: Task
    detail: str


@dataclass(frozen=True, slots=True)
class TaskMissed:
    """A worker could not do a task, and may when told anew: what it needed was gone by then."""

    worker: str
    task: Task
    detail: str


@dataclass(frozen=True, slots=True)
class StopAsked:
    """Somebody wants the run to stop."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Nothing happened but time."""


Event: TypeAlias = (
    WorkerJoined
    | WorkerLost
    | StartFailed
    | TaskDone
    | TaskFailed
    | TaskMissed
    | StopAsked
    | TimePassed
)


@dataclass(frozen=True, slots=True)
class Begin:
    """Tell a worker to do a task."""

    worker: str
    task: Task


@dataclass(frozen=True, slots=True)
class Accept:
    """Keep what a worker delivered for a task: it counts."""

    worker: str
    task: Task


@dataclass(frozen=True, slots=True)
class Drop:
    """Give a worker up: end its process and its link."""

    worker: str
    reason: str


@dataclass(frozen=True, slots=True)
class Record:
    """Write down that `round` led to the state of `root`."""

    round: int
    root: bytes


@dataclass(frozen=True, slots=True)
class End:
    """The run is over."""

    kind: EndKind
    detail: str = ""


Effect: TypeAlias = Begin | Accept | Drop | Record | End


@dataclass(frozen=True, slots=True)
class Worker:
    """What the coordinator knows of a worker: the state it holds, and its task."""

    at: int | None = None
    task: Task | None = None
    since: int = 0
    due: int | None = None


@dataclass(frozen=True, slots=True)
class RoundState:
    """Everything that decides what happens next."""

    terms: RoundTerms
    round: int = 0
    saved: int = -1
    done: frozenset[Task] = frozenset()
    roots: Mapping[int, bytes] = field(default_factory=dict)
    workers: Mapping[str, Worker] = field(default_factory=dict)
    last_worker: Mapping[int, str] = field(default_factory=dict)
    measured: Mapping[TaskKind, tuple[int, ...]] = field(default_factory=dict)
    failures: Mapping[Task, int] = field(default_factory=dict)
    kills: Mapping[Task, int] = field(default_factory=dict)
    end: End | None = None

    @property
    def pool(self) -> tuple[Task, ...]:
        """The tasks of this round, in the order in which they are given out."""
        terms, here = self.terms, self.round
        last = here == terms.rounds
        pool = []
        if save_due(terms.rounds, terms.save_every, here) and here != self.saved:
            pool.append(Task(here, "save"))
        if not last:
            pool += [Task(here, "lane", lane) for lane in range(terms.lanes)]
        if _due(here, terms.eval_every) or last:
            pool += [Task(here, "evaluate", part) for part in range(terms.eval_parts)]
        return tuple(pool)

    @property
    def pool_done(self) -> bool:
        """Whether nothing of this round is left but to merge."""
        return self.done.issuperset(self.pool)

    @property
    def next_due(self) -> int | None:
        """The moment at which the first task becomes overdue."""
        return min((w.due for w in self.workers.values() if w.due is not None), default=None)


def save_due(rounds: int, every: int, here: int) -> bool:
    """Return whether the state of round `here` is to be saved: the first, the last, and each so."""
    return here in (0, rounds) or _due(here, every)


def _due(here: int, every: int) -> bool:
    return every > 0 and here % every == 0


def begin_rounds(
    terms: RoundTerms, *, at: int = 0, root: bytes = b"", saved: int = -1
) -> RoundState:
    """Return the state of a run that starts, or goes on, at round `at`.

    Args:
        terms: what the run does.
        at: the round to start with.
        root: the root of its state, where known.
        saved: the round whose state is stored already, or -1.
    """
    return RoundState(terms, round=at, roots={at: root} if root else {}, saved=saved)


def tick(state: RoundState, event: Event, now: int) -> tuple[RoundState, tuple[Effect, ...]]:
    """Return what follows from `event`: the next state, and what to do in this order."""
    if state.end is not None:
        return state, ()
    effects: list[Effect] = []
    match event:
        case WorkerJoined(worker):
            assert worker not in state.workers, f"{worker} joined twice"
            state = replace(state, workers=_with(state.workers, worker, Worker()))
        case WorkerLost(worker, detail, killed):
            state = _lose(state, worker, detail, killed=killed)
        case StartFailed(detail, killed):
            state = _blame(state, Task(state.round, "join"), detail, killed=killed)
        case TaskDone(worker, task, root):
            state = _finish_task(state, worker, task, root, now, effects)
        case TaskFailed(worker, task, detail):
            if _holds(state, worker, task):
                state = replace(state, end=End("failed", detail))
        case TaskMissed(worker, task, detail):
            if _holds(state, worker, task):
                state = _blame(state, task, detail)
                state = replace(state, workers=_with(state.workers, worker, Worker()))
        case StopAsked(detail):
            state = replace(state, end=End("asked", detail))
        case TimePassed():
            state = _expire(state, now, effects)
    if state.end is None and state.round == state.terms.rounds and state.pool_done:
        state = replace(state, end=End("finished"))
    if state.end is not None:
        return state, (*effects, state.end)
    return _give_out(state, now, effects), tuple(effects)


# -- what an event changes


def _holds(state: RoundState, worker: str, task: Task) -> bool:
    known = state.workers.get(worker)
    return known is not None and known.task == task


def _finish_task(
    state: RoundState, worker: str, task: Task, root: bytes, now: int, effects: list[Effect]
) -> RoundState:
    """Take a worker's report, unless it is stale: about a task that it no longer holds."""
    if not _holds(state, worker, task):
        return state
    took = now - state.workers[worker].since
    recent = (*state.measured.get(task.kind, ()), took)[-_MEASURED_MAX:]
    state = _forgive(state, task)
    state = replace(state, measured=_with(state.measured, task.kind, recent))
    if task.kind in ("join", "merge"):
        at = task.round + (task.kind == "merge")
        state = replace(state, workers=_with(state.workers, worker, Worker(at=at)))
        return _see_root(state, worker, at, root, effects)
    idle = replace(state.workers[worker], task=None, due=None)
    state = replace(state, workers=_with(state.workers, worker, idle), done=state.done | {task})
    if task.kind == "lane":
        state = replace(state, last_worker=_with(state.last_worker, task.index, worker))
    if task.kind == "save":
        state = replace(state, saved=task.round, done=state.done - {task})
    effects.append(Accept(worker, task))
    return state


def _see_root(
    state: RoundState, worker: str, at: int, root: bytes, effects: list[Effect]
) -> RoundState:
    """Compare a worker's root of state `at`; the first one of a new state opens its round."""
    known = state.roots.get(at)
    if known is not None and known != root:
        detail = (
            f"{worker} reports root {root.hex()[:16]} for the state of round {at}, "
            f"the others {known.hex()[:16]}"
        )
        return replace(state, end=End("conflict", detail))
    roots = {key: value for key, value in state.roots.items() if key > at - _ROOTS_MAX}
    if at > state.round:
        assert at == state.round + 1, "a worker merged what was not there to merge"
        effects.append(Record(state.round, root))
        state = replace(state, round=at, done=frozenset(), failures={}, kills={})
    return replace(state, roots=_with(roots, at, root))


def _lose(state: RoundState, worker: str, detail: str, *, killed: bool = False) -> RoundState:
    """Forget a worker and put its task back."""
    known = state.workers.get(worker)
    if known is None:
        return state
    rest = {name: value for name, value in state.workers.items() if name != worker}
    state = replace(state, workers=rest)
    return state if known.task is None else _blame(state, known.task, detail, killed=killed)


def _blamed(task: Task) -> Task:
    """Return under which task failures are counted: joining is the same at every round."""
    return Task(-1, "join") if task.kind == "join" else task


def _blame(state: RoundState, task: Task, detail: str, *, killed: bool = False) -> RoundState:
    """Count a failure of a task, or a kill at it; too many of one end the run."""
    counts = state.kills if killed else state.failures
    most = state.terms.kills_max if killed else state.terms.failures_max
    count = counts.get(_blamed(task), 0) + 1
    counts = _with(counts, _blamed(task), count)
    state = replace(state, kills=counts) if killed else replace(state, failures=counts)
    if count >= most:
        return replace(state, end=End("crashing", f"{_name(task)} failed {count} times: {detail}"))
    return state


def _forgive(state: RoundState, task: Task) -> RoundState:
    """Forget the failures of a task that somebody has done."""
    failures, kills = (
        {key: count for key, count in counts.items() if key != _blamed(task)}
        for counts in (state.failures, state.kills)
    )
    return replace(state, failures=failures, kills=kills)


def _name(task: Task) -> str:
    if task.kind == "join":
        return "joining the run"
    return f"{task.kind} {task.index} of round {task.round}"


def _expire(state: RoundState, now: int, effects: list[Effect]) -> RoundState:
    """Give up on workers whose task is overdue."""
    for name, worker in sorted(state.workers.items()):
        if worker.due is None or now < worker.due or worker.task is None:
            continue
        reason = f"{_name(worker.task)} took more than {now - worker.since} ms"
        effects.append(Drop(name, reason))
        state = _lose(state, name, reason)
        if state.end is not None:
            break
    return state


# -- who does what


def _give_out(state: RoundState, now: int, effects: list[Effect]) -> RoundState:
    """Give every idle worker what there is for it to do."""
    merging = state.pool_done
    idle = [name for name, worker in sorted(state.workers.items()) if worker.task is None]
    ready = []
    for name in idle:
        at = state.workers[name].at
        if at is None or at < state.round:
            state = _begin(state, name, Task(state.round, "join"), now, effects)
        elif merging:
            state = _begin(state, name, Task(at, "merge"), now, effects)
        else:
            ready.append(name)
    taken = {worker.task for worker in state.workers.values()}
    left = [task for task in state.pool if task not in state.done and task not in taken]
    for mine in (True, False):  # first to who ran the lane before and still has its state at hand
        for name in tuple(ready):
            fits = [task for task in left if not mine or _ran(state, name, task)]
            if fits:
                left.remove(fits[0])
                ready.remove(name)
                state = _begin(state, name, fits[0], now, effects)
    return state


def _ran(state: RoundState, worker: str, task: Task) -> bool:
    return task.kind == "lane" and state.last_worker.get(task.index) == worker


def _begin(state: RoundState, name: str, task: Task, now: int, effects: list[Effect]) -> RoundState:
    """Give a task to a worker, with the time that its kind may take."""
    longest = max(state.measured.get(task.kind, ()), default=None)
    due = None
    if longest is not None:
        trust = state.terms.patience << state.failures.get(_blamed(task), 0)
        due = now + state.terms.slack + trust * longest
    worker = replace(state.workers[name], task=task, since=now, due=due)
    effects.append(Begin(name, task))
    return replace(state, workers=_with(state.workers, name, worker))


_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def _with(mapping: Mapping[_Key, _Value], key: _Key, value: _Value) -> dict[_Key, _Value]:
    return {**mapping, key: value}
