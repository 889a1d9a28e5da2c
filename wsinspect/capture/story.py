"""What was done on purpose while a capture was recorded: rules armed and disarmed, phases, and how often each
rule acted. The engine records it (`rule` and `phase` events, the table `fault_event`).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from wsinspect.capture.reader import json_object
from wsinspect.capture.records import Queried

#: Most steps that are read; hours of a scenario have fewer.
MAX_STEPS: Final = 1000
_STEPS: Final = (
    "SELECT time_ns, kind, detail FROM event WHERE connection_id IS NULL AND kind IN ('rule', 'phase') "
    "ORDER BY id LIMIT ?"
)
_ACTED: Final = (
    "SELECT rule, kind, count(*), count(DISTINCT connection_id), min(seed) FROM fault_event "
    "GROUP BY rule, kind ORDER BY min(id) LIMIT ?"
)


class Step(NamedTuple):
    """A rule armed or disarmed, or a phase.

    Attributes:
        kind: `rule` or `phase`.
        detail: as the engine put it: for a rule `rule`, `kind`, `armed`, `source` (where the rule came from),
            `by` (who armed or disarmed it), `settings`; for a phase `phase` (from 0, None at the end), `of`,
            `for_ms`, `rules`, `do`.
    """

    time_ns: int
    kind: str
    detail: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """`time_ns`, the kind as `event`, and the keys of `detail`, for `--json`."""
        return {"time_ns": self.time_ns, "event": self.kind, **self.detail}


class Acted(NamedTuple):
    """How often a rule (or `vocabulary.rules.BY_HAND`) acted, and on how many connections."""

    rule: str
    kind: str
    times: int
    connections: int


class Story(NamedTuple):
    """All that was done on purpose, in order.

    Attributes:
        seed: of all decisions; None where nobody said.
        time_scale: factor of all times of rules and phases.
    """

    seed: int | None
    time_scale: float
    steps: tuple[Step, ...]
    acted: tuple[Acted, ...]

    def as_json(self) -> dict[str, Any]:
        """`seed`, `time_scale`, `steps` and `acted` (how often each rule acted), for `--json`."""
        return {
            "seed": self.seed,
            "time_scale": self.time_scale,
            "steps": [step.as_json() for step in self.steps],
            "acted": [one._asdict() for one in self.acted],
        }


def story(capture: Queried) -> Story | None:
    """What was done on purpose; None where no rule was known and nothing was done by hand."""
    steps = tuple(
        Step(time_ns, kind, json_object(detail) or {})
        for time_ns, kind, detail in capture.query(_STEPS, (MAX_STEPS,))
    )
    rows = capture.query(_ACTED, (MAX_STEPS,))
    if not steps and not rows:
        return None
    seeds = [seed for step in steps if isinstance(seed := step.detail.get("seed"), int)]
    seeds += [row[4] for row in rows if isinstance(row[4], int)]
    scales = [one for step in steps if isinstance(one := step.detail.get("time_scale"), int | float)]
    acted = tuple(
        Acted(str(rule), str(kind), times, connections) for rule, kind, times, connections, _ in rows
    )
    return Story(seeds[-1] if seeds else None, float(scales[-1]) if scales else 1.0, steps, acted)
