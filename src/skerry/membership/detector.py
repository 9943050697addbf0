"""When silence is death: a deadline for each peer that follows what was measured.

What    `Pulse` is told when a question went to a peer and when its answer came, and says whether
        the peer is lost at a moment.
Why     A peer across an ocean, or on a loaded machine, answers later than one in this room. One
        constant is too short for the first and wastes seconds with the second.
Rule    A peer is asked every `beat`. It is lost when an answer is overdue by more than the smoothed
        round trip and four times its mean deviation, within [least, most] seconds. Before two
        answers nothing is known and `most` holds. An answer that comes after all is a measurement
        too, so a peer that was called lost too early gets longer the next time.
Source  Jacobson 1988, "Congestion avoidance and control", as in RFC 6298.
Units   Seconds of a monotonic clock. A dead peer is noticed within `beat + most`.
Pure    The time is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

_GAIN = 1 / 8
_DEVIATION_GAIN = 1 / 4
_DEVIATIONS = 4
_FORGIVING = 2.0


@dataclass(frozen=True, slots=True)
class Pulse:
    """What is known of a peer's answers.

    Attributes:
        beat: seconds between two questions.
        least: no peer is lost sooner than so many seconds after a question.
        most: every peer that does not answer for so long is lost.
        smoothed: mean round trip.
        deviation: its mean deviation.
        answers: how many answers were measured.
        asked_at: when the oldest question without an answer went; None where all are answered.
        heard_at: when the peer was last heard.
    """

    beat: float = 1.0
    least: float = 0.5
    most: float = 3.5
    smoothed: float = 0.0
    deviation: float = 0.0
    answers: int = 0
    asked_at: float | None = None
    heard_at: float | None = None

    @property
    def patience(self) -> float:
        """How long after a question silence is death."""
        if self.answers < 2:
            return self.most
        due = self.smoothed + _DEVIATIONS * self.deviation
        return min(max(_FORGIVING * due, self.least), self.most)

    def asked(self, now: float) -> Pulse:
        """Return the pulse after a question went out."""
        return self if self.asked_at is not None else replace(self, asked_at=now)

    def answered(self, now: float) -> Pulse:
        """Return the pulse after an answer came."""
        if self.asked_at is None:
            return replace(self, heard_at=now)
        trip = max(now - self.asked_at, 0.0)
        if self.answers == 0:
            smoothed, deviation = trip, trip / 2
        else:
            off = abs(trip - self.smoothed)
            deviation = self.deviation + _DEVIATION_GAIN * (off - self.deviation)
            smoothed = self.smoothed + _GAIN * (trip - self.smoothed)
            if trip > self.patience:  # it was called lost and was not: believe this answer at once
                smoothed, deviation = max(smoothed, trip), max(deviation, off / 2)
        return replace(
            self,
            smoothed=smoothed,
            deviation=deviation,
            answers=self.answers + 1,
            asked_at=None,
            heard_at=now,
        )

    def lost(self, now: float) -> bool:
        """Return whether the peer must be taken for dead at `now`."""
        return self.asked_at is not None and now - self.asked_at > self.patience

    def due(self, now: float, last: float) -> bool:
        """Return whether it is time for the next question, after the `last` one."""
        return now - last >= self.beat
