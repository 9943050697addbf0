"""What can go wrong while a model becomes a Program, and whose line of code it was.

JobError
├── UnsupportedOp      the Program has no meaning for this operation
└── UntraceableModel   the model cannot be recorded as one static graph

Both name the module inside the model and the source line that asked, where that is known.
"""

from __future__ import annotations

import msgspec

from skerry.base.errors import JobError


class Place(msgspec.Struct, frozen=True):
    """Where in the user's model an operation was asked for.

    Attributes:
        module: the path of the module inside the model, such as "blocks.0.attention"; "" outside.
        module_class: the class of that module.
        file: the source file, or "" when no line outside PyTorch asked for it.
        line: the line in that file.
        code: the text of that line.
    """

    module: str = ""
    module_class: str = ""
    file: str = ""
    line: int = 0
    code: str = ""

    def __str__(self) -> str:
        """Return the place as words, for the end of a sentence."""
        words = []
        if self.module_class:
            words.append(f"in module {self.module or '(the model itself)'} ({self.module_class})")
        if self.file:
            words.append(f"at {self.file}:{self.line}" + (f": {self.code}" if self.code else ""))
        return ", ".join(words) or "at a place that could not be told"


class UnsupportedOp(JobError):
    """The model uses an operation that Programs do not have.

    Attributes:
        op: the ATen name of the operation.
        reason: why it is refused, or "" when nobody has written its lowering.
        place: where the model asked for it.
        node: the name of the node in the captured graph, while the place is still to be found.
    """

    code = "trace.unsupported"
    node = ""

    def __init__(
        self, op: str, reason: str = "", *, place: Place | None = None, hint: str = ""
    ) -> None:
        self.op = op
        self.reason = reason
        self.place = place
        self.hint = hint
        why = reason or "there is no lowering for it"
        where = "" if place is None else f", asked for {place}"
        super().__init__(
            f"cannot trace {op}: {why}{where}",
            next_step=hint
            or "rewrite that line with operations of docs/reference/tracing.md, "
            "or open an issue that names the operation",
        )

    def placed(self, place: Place) -> UnsupportedOp:
        """Return the same refusal with its place."""
        return UnsupportedOp(self.op, self.reason, place=place, hint=self.hint)


class UntraceableModel(JobError):
    """The model cannot be recorded as one static graph."""

    code = "trace.model"
