"""How the clients of a run coped, as notes: the last lines of `run --headless`."""

from __future__ import annotations

from typing import Final

from wsinspect.capture.queries.clients import count_attempts
from wsinspect.capture.records import Note
from wsinspect.capture.schema import Asked, Database
from wsinspect.clients.grading import Client
from wsinspect.diagnosis.clients import judged_clients

#: Judging takes time for each attempt, and a run must end; `show --sessions` has no limit.
MAX_ATTEMPTS: Final = 1000


def session_notes(database: Database) -> list[Note]:
    """A note for each client that has a grade."""
    asked = Asked(database)
    if count_attempts(asked.query) > MAX_ATTEMPTS:
        return []
    return [_note(one) for one in judged_clients(asked) if one.grade.letter is not None]


def _note(client: Client) -> Note:
    session = client.session
    last = session.attempts[-1]
    return {
        "event": "session",
        "time_ns": last.end_ns or last.attempt_ns,
        "connection": session.number if session.number > 0 else None,
        "session": session.number,
        "connections": [one.id for one in session.attempts if one.id > 0],
        "url": session.first.place + session.first.path,
        "client": session.first.address,
        "confidence": session.confidence.word,
        **client.grade.as_json(),
    }
