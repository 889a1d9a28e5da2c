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
            found = [one for number in sorted(self._waiting) for one in self._judge(number)]
            if is_due:
                found += diagnose_capture(self._reader.capture(_NEWEST))
                self._last_capture, self._is_capture_due = now, False
            new = self._store(found)
        except sqlite3.Error:
            # No room, or damaged: the recorder says so at its next commit. These are looked at again then.
            return []
        self._waiting.clear()
        return [_note(one, at_ns) for one in new]

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
        new = []
        for one in found:
            key = _key(one)
            is_stored = one.connection is not None and self._query(_IS_KNOWN, (one.connection, one.id))
            if key not in self._known and not is_stored:
                new.append(one)
            self._known.add(key)
        if new:
            rows = [(one.id, one.severity, one.connection, one.frame, to_json(one.as_json())) for one in new]
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._database.executemany(_INSERT, rows)
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                self._known -= set(map(_key, new))
                raise
        if len(self._known) > _KNOWN:
            self._known = {key for key in self._known if key[0] is None}
        return new

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
