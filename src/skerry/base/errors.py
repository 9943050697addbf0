"""Errors that say whose move is next.

SkerryError
├── JobError      fix the job file, the model or the data
│   └── ProgramError   fix or refuse this Program
├── PlanError     change the job or the fleet
├── PeerError     another party sent something wrong: retry elsewhere
├── FaultError    the bits differ: dispute
├── NodeError     this machine cannot go on: free a resource, then resume
└── ChainError    the chain or the way to it: see `retryable`

Every error carries a stable `code`, one sentence of what and why, and the `next_step` a person can
take. The exit code of the command line follows the branch.
"""

from __future__ import annotations


class SkerryError(Exception):
    """Base of every error that Skerry raises on purpose."""

    code = "skerry"
    exit_code = 1

    def __init__(self, message: str, *, next_step: str = "") -> None:
        self.message = message
        self.next_step = next_step
        super().__init__(message)

    def __str__(self) -> str:
        """Return the sentence, then the next step on a line of its own."""
        return f"{self.message}\nnext: {self.next_step}" if self.next_step else self.message


class JobError(SkerryError):
    """The job, its model or its data cannot be used as given: fix the file."""

    code = "job"
    exit_code = 2


class ProgramError(JobError):
    """A Program breaks a rule of the graph: refuse it."""

    code = "program"


class PlanError(SkerryError):
    """The job fits nobody who is here: change the job or the fleet."""

    code = "plan"
    exit_code = 3


class PeerError(SkerryError):
    """Another party sent something malformed or broke the protocol: retry elsewhere."""

    code = "peer"
    exit_code = 5


class FaultError(SkerryError):
    """Two computations of the same unit differ: dispute."""

    code = "fault"
    exit_code = 4


class NodeError(SkerryError):
    """This machine cannot go on (disk, memory, permission): free it, then resume."""

    code = "node"
    exit_code = 6


class ChainError(SkerryError):
    """The chain, or the way to it, does not do what is needed; `retryable` says if it may yet."""

    code = "chain"
    exit_code = 7
    retryable = False
