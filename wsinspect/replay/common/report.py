"""What a replay found: for a person, and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from wsinspect.replay.common.matching import MAX_KEPT, Divergence, Matcher, Tally, Verdict

FAULTY: Final = "faults changed it when it was recorded; what the peers themselves sent is played"


@dataclass(slots=True)
class ConnectionReport:
    """One connection that was played.

    Attributes:
        connection: its id in the capture.
        url: where it went to, or the path that was asked for.
        sent: messages sent.
        tally: verdicts of the messages that came.
        divergences: the first of them, with their diff.
        problems: what else differs: status, subprotocol, close, timeouts.
        notes: what is not a divergence, but good to know.
        seconds: how long it took.
        is_interrupted: whether somebody ended it before it was over, or begun.
    """

    connection: int
    url: str
    sent: int = 0
    tally: Tally = field(default_factory=Tally)
    divergences: list[Divergence] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    is_interrupted: bool = False

    @property
    def is_equal(self) -> bool:
        """Whether it went as recorded, but for what is ignored, to its end."""
        return not self.problems and not self.tally.diverged and not self.is_interrupted

    def keep(self, found: list[Divergence], on_divergence: OnDivergence) -> None:
        """Add divergences, and report them now."""
        for one in found:
            if len(self.divergences) < MAX_KEPT:
                self.divergences.append(one)
            on_divergence(self, one)

    def problem(self, text: str, on_divergence: OnDivergence) -> None:
        """Something else that differs."""
        self.problems.append(text)
        on_divergence(self, text)

    def close(self, matcher: Matcher) -> None:
        """Take over the counts."""
        self.tally = matcher.tally

    def as_json(self) -> dict[str, Any]:
        """The report of one connection as `replay --json` prints it; `seconds` is how long it took."""
        return {
            "connection": self.connection,
            "url": self.url,
            "equal": self.is_equal,
            "interrupted": self.is_interrupted,
            "sent": self.sent,
            "messages": self.tally.as_json(),
            "problems": self.problems,
            "divergences": [one.as_json() for one in self.divergences],
            "notes": self.notes,
            "seconds": round(self.seconds, 6),
        }


#: Called with each divergence, or problem, when it is known.
OnDivergence = Callable[[ConnectionReport, "Divergence | str"], None]


def nobody(_report: ConnectionReport, _what: Divergence | str) -> None:
    """Nobody wants to know."""


def describe(report: ConnectionReport, what: Divergence | str) -> Iterator[str]:
    """The lines for a divergence; peers chose some of their text, so the caller escapes them."""
    if isinstance(what, str):
        yield f"connection {report.connection}: {what}"
        return
    place = f" (frame {what.recorded.frame})" if what.recorded and what.recorded.frame else ""
    words = {
        Verdict.DIFFERENT: "a message differs from the recorded one",
        Verdict.MISSING: "a recorded message did not come",
        Verdict.EXTRA: "a message came that was not recorded",
    }
    yield f"connection {report.connection}: {words[what.verdict]}{place}"
    for line in what.lines():
        yield f"    {line}"


def summary(report: ConnectionReport) -> str:
    """The report of one connection in one line, without its divergences."""
    counts = report.tally.counts
    parts = [f"{count} {verdict}" for verdict, count in counts.items() if count]
    verdict = "as recorded" if report.is_equal else "diverged"
    if report.is_interrupted:
        is_fine = not report.problems and not report.tally.diverged
        verdict = "interrupted, as recorded so far" if is_fine else "interrupted, diverged"
    messages = ", ".join(parts) or "no messages"
    return f"connection {report.connection} {report.url}: {verdict}; {report.sent} sent, {messages}"
