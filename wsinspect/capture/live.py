"""Findings while traffic passes: the rules, run by whoever indexes, on what was just committed.

`LiveFindings.look` reads facts through the same statements as `diagnose`, so what is found live is what is
found afterwards. A finding is stored once (rule and connection), also when a restarted recorder looks again.
Each connection is looked at when its handshake is over, when it first breaks the protocol, and at its end;
the whole capture at most every `CAPTURE_SECONDS`.
"""

from __future__ import annotations

import json
import sqlite3
import time
import traceback
from collections.abc import Iterable, Sequence
from typing import Any, Final

from wsinspect.capture.diagnosis import FactReader
from wsinspect.capture.narration import Note
from wsinspect.capture.rows import to_json
from wsinspect.findings.model import Finding
from wsinspect.findings.registry import diagnose_capture, diagnose_connection

CAPTURE_SECONDS: Final = 2.0
#: Connections that rules over the whole capture look at, the newest.
_NEWEST: Final = 1000
#: Connections looked at after a restart: their findings may be missing.
_AGAIN: Final = 200
_INSERT: Final = (
    "INSERT INTO finding (rule, severity, connection_id, frame_id, detail) VALUES (?, ?, ?, ?, ?)"
)
_IS_KNOWN: Final = "SELECT 1 FROM finding WHERE connection_id IS ? AND rule = ? LIMIT 1"


_Key = tuple[int | None, str, str]
#: Findings of connections that are remembered; the rest is looked up.
_KNOWN: Final = 10_000


#: Of these connections the ones that a rule could have something to say about. What is left out agreed
#: properly, broke nothing, and is open or was closed with ordinary codes and no reason; it speaks no protocol
#: that says in messages what failed. With many short connections this is most of the rules' cost.
_EVENTFUL: Final = """
SELECT id FROM connection JOIN handshake ON connection_id = id
WHERE id IN (SELECT value FROM json_each(?)) AND NOT coalesce((
    status = 101 AND problems = '[]' AND informational IS NULL
    AND (state = 'open' OR state = 'closed' AND how = 'close-frame' AND js_was_clean = 1
        AND coalesce(client_close_code, 1000) IN (1000, 1001) AND client_close_reason = ''
        AND coalesce(server_close_code, 1000) = 1000 AND server_close_reason = '')
    AND coalesce(client_tls, '') NOT LIKE '%"h2"%'
    AND (server_tls IS NULL OR json_extract(server_tls, '$.verify_error') IS NULL)
    AND path NOT LIKE '%EIO=%' AND path NOT LIKE '%vsn=%' AND path NOT LIKE '%id=%'
    AND coalesce(subprotocol, '') NOT LIKE 'actioncable%' AND coalesce(subprotocol, '') NOT LIKE 'graphql%'
    AND (subprotocol IS NOT NULL OR instr(lower(CAST(request_in AS TEXT)), 'sec-websocket-protocol') = 0)
    AND NOT EXISTS (SELECT 1 FROM frame WHERE frame.connection_id = id AND violation IS NOT NULL)
    AND NOT EXISTS (SELECT 1 FROM stored_message AS m WHERE m.connection_id = id AND m.problem IS NOT NULL)
    AND NOT EXISTS (SELECT 1 FROM opaque WHERE opaque.connection_id = id)
), 0)
"""


class LiveFindings:
    """Judges what is in an open capture and stores what it finds.

    Args:
        database: the indexer's, between its transactions.
        is_restart: whether an earlier recorder had begun.
    """

    def __init__(self, database: sqlite3.Connection, *, is_restart: bool = False) -> None:
        self._database = database
        self._reader = FactReader(self._query)
        self._waiting: set[int] = set(self._newest(_AGAIN)) if is_restart else set()
        self._known: set[_Key] = set()
        for (detail,) in self._query("SELECT detail FROM finding WHERE connection_id IS NULL LIMIT 1000", ()):
            self._known.add(_key(Finding.from_json(json.loads(detail))))
        self._is_capture_due = False
        self._last_capture = 0.0

    def look(
        self, connections: Iterable[int], *, at_ns: int, is_changed: bool, is_over: bool = False
    ) -> list[Note]:
        """Judge these connections, and from time to time all of them.

        Args:
            connections: those that something happened to.
            at_ns: the time of the newest record.
            is_changed: an event came that rules over the whole capture look at.
            is_over: nothing more will come: look at everything now.

        Returns:
            Notes for a narrator, of findings that are stored.
        """
        self._waiting.update(connections)
        self._is_capture_due |= is_changed or bool(self._waiting)
        now = time.monotonic()
        is_due = self._is_capture_due and (is_over or now - self._last_capture >= CAPTURE_SECONDS)
        if not self._waiting and not is_due:
            return []
        try:
            found = [one for number in self._eventful() for one in self._judge(number)]
            if is_due:
                found += diagnose_capture(self._reader.capture(_NEWEST))
                self._last_capture, self._is_capture_due = now, False
            new = self._store(found)
        except sqlite3.Error:
            # No room, or damaged: the recorder says so at its next commit. These are looked at again then.
            return []
        self._waiting.clear()
        return [_note(one, at_ns) for one in new]

    def _eventful(self) -> list[int]:
        """The waiting connections that are worth a look."""
        if not self._waiting:
            return []
        return sorted(row[0] for row in self._query(_EVENTFUL, (json.dumps(list(self._waiting)),)))

    def _judge(self, number: int) -> list[Finding]:
        facts = self._reader.connection(number)
        if facts is None:
            return []
        try:
            return diagnose_connection(facts)
        except Exception:  # a mistake of ours must not cost the capture
            traceback.print_exc()
            return []

    def _store(self, found: Sequence[Finding]) -> list[Finding]:
        new = [one for one in found if not self._is_known(one)]
        if new:
            rows = [(one.id, one.severity, one.connection, one.frame, to_json(one.as_json())) for one in new]
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._database.executemany(_INSERT, rows)
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise
        if len(self._known) > _KNOWN:
            self._known = {key for key in self._known if key[0] is None}
        self._known.update(map(_key, found))
        return new

    def _is_known(self, finding: Finding) -> bool:
        if _key(finding) in self._known:
            return True
        return finding.connection is not None and bool(
            self._query(_IS_KNOWN, (finding.connection, finding.id))
        )

    def _newest(self, count: int) -> list[int]:
        return [row[0] for row in self._query("SELECT id FROM connection ORDER BY id DESC LIMIT ?", (count,))]

    def _query(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._database.execute(sql, parameters).fetchall()


def _key(finding: Finding) -> _Key:
    """What makes a finding the same as one before: pages and TLS clients are told apart by their evidence."""
    is_own = finding.connection is None and finding.id.split("-")[1] in ("PAGE", "TLS") and finding.evidence
    return finding.connection, finding.id, finding.evidence[0] if is_own else ""


def _note(finding: Finding, at_ns: int) -> Note:
    """The `finding` line of `run --headless`."""
    return {"event": "finding", "time_ns": at_ns, **finding.as_json()}
