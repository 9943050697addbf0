"""Errors that say what, why, and whose move is next."""

from __future__ import annotations

import pytest

from skerry.base import errors

BRANCHES = {
    errors.JobError: 2,
    errors.PlanError: 3,
    errors.FaultError: 4,
    errors.PeerError: 5,
    errors.NodeError: 6,
}


def test_an_error_reads_as_a_sentence_and_a_next_step() -> None:
    error = errors.NodeError("the disk is full", next_step="free 2 GiB, then skerry run --resume")
    assert str(error) == "the disk is full\nnext: free 2 GiB, then skerry run --resume"
    assert (error.message, error.next_step) == (
        "the disk is full",
        "free 2 GiB, then skerry run --resume",
    )


def test_an_error_without_a_next_step_is_one_sentence() -> None:
    assert str(errors.PeerError("the frame is cut short")) == "the frame is cut short"


@pytest.mark.parametrize(("branch", "exit_code"), BRANCHES.items())
def test_each_branch_has_an_exit_code(branch: type[errors.SkerryError], exit_code: int) -> None:
    assert branch.exit_code == exit_code
    assert issubclass(branch, errors.SkerryError)


def test_a_bad_program_is_the_submitters_to_fix() -> None:
    assert issubclass(errors.ProgramError, errors.JobError)
    assert errors.ProgramError.exit_code == errors.JobError.exit_code


def test_the_tree_at_the_top_of_the_module_names_every_branch() -> None:
    drawn = errors.__doc__ or ""
    defined = [name for name in vars(errors) if name.endswith("Error")]
    assert defined
    assert [name for name in defined if name not in drawn] == []
