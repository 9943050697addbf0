"""A job file is read whole or refused with the key that is wrong."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.base.errors import JobError
from skerry.job import Job, JobFileError, parse_job

MINIMAL = """
name = "digits"
[model]
example = "mlp"
[data]
dataset_name = "digits"
"""


def test_the_defaults_make_a_whole_job_of_the_smallest_file() -> None:
    job = parse_job(MINIMAL)
    assert (job.rounds.lanes, job.shards, job.round_count, job.segments) == (4, 4, 100, 1)


def test_a_change_from_the_command_line_wins_over_the_file() -> None:
    job = parse_job(MINIMAL, ["train.learning_rate=3e-4", "train.optim=sgd", "rounds.lanes=2"])
    assert (job.train.learning_rate, job.train.optim, job.rounds.lanes) == (3e-4, "sgd", 2)


@pytest.mark.parametrize(
    ("extra", "key", "words"),
    [
        ("[train]\nlerning_rate = 1.0", "train.lerning_rate", "did you mean learning_rate?"),
        ("[train]\nmax_steps = 0", "train.max_steps", ">= 1"),
        ("[train]\nlearning_rate = 'fast'", "train.learning_rate", "Expected `float`"),
        ("[train]\nmax_steps = 7\n[rounds]\nlocal_steps = 3", "train.max_steps", "use 6"),
        ("[train]\nloss = 'no colon'", "train.loss", "module:function"),
        ("[rounds]\ncodec = 'topk'\ntopk = 5000", "rounds.topk", "more are kept"),
        ("[rounds]\nsegments = 2", "rounds.segments", "at most one a step"),
        ("[checkpoint]\nsave_steps = 3\n[rounds]\nlocal_steps = 2", "checkpoint.save_steps", "mul"),
        (
            "[train]\nmax_steps = 8\n[rounds]\nlocal_steps = 2\nmerge_rounds = 3",
            "train.max_steps",
            "merges of 3 rounds of 2 local steps each; use 6",
        ),
        (
            "[checkpoint]\nsave_steps = 2\n[rounds]\nlocal_steps = 2\nmerge_rounds = 2",
            "checkpoint.save_steps",
            "multiple of the steps between two merges, 4",
        ),
        ("[nonsense]\na = 1", "nonsense", "known: "),
        ("[train]\nmax_steps = 99999999999999999999", "", ""),
    ],
)
def test_a_wrong_key_is_named(extra: str, key: str, words: str) -> None:
    with pytest.raises(JobFileError) as caught:
        parse_job(MINIMAL + extra)
    assert caught.value.key in (key, "train.max_steps")
    assert words in str(caught.value)
    assert "next: " in str(caught.value)


@pytest.mark.parametrize("model", ["", "example = 'mlp'\nfactory = 'a:b'", "factory = 'ab'"])
def test_a_model_has_exactly_one_source(model: str) -> None:
    with pytest.raises(JobFileError, match="model"):
        parse_job(f"name = 'x'\n[model]\n{model}\n[data]\ndataset_name = 'digits'")


@pytest.mark.parametrize(
    "change", ["train", "=3", "train..x=1", "name.x=1", ".=.", "train.seed=[["]
)
def test_a_change_that_makes_no_sense_is_refused(change: str) -> None:
    with pytest.raises(JobFileError):
        parse_job(MINIMAL, [change])


@given(st.text(max_size=200))
def test_no_text_crashes_the_parser(text: str) -> None:
    with contextlib.suppress(JobError):
        assert isinstance(parse_job(text), Job)


@given(st.data())
def test_no_mutation_of_a_good_file_crashes_the_parser(data: st.DataObject) -> None:
    full = MINIMAL + "[train]\nmax_steps = 10\n[rounds]\nlanes = 2\n"
    at = data.draw(st.integers(0, len(full) - 1))
    length = data.draw(st.integers(0, 8))
    insert = data.draw(st.text(max_size=6))
    with contextlib.suppress(JobError):
        parse_job(full[:at] + insert + full[at + length :])
