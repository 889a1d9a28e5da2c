"""Findings while traffic passes: the rules, run by whoever indexes, on what was just committed.

`LiveFindings.look` reads facts through the same statements as `diagnose`, so what is found live is what is
found afterwards. A finding is stored once (rule and connection), also when a restarted recorder looks again.
Each connection is looked at when its handshake is over, when it first breaks the protocol, and at its end;
the whole capture at most every `CAPTURE_SECONDS`. Where a run has two taps around a hop, both ends of a
connection are looked at together (`live_pairs`), and a finding about the hop takes the place of what one tap
alone would have said, also of what it had said before.
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from wsinspect.capture.queries import stored_findings as stored
from wsinspect.capture.queries.facts import newest_connection_ids
from wsinspect.capture.queries.stored_findings import NewFinding, Place
from wsinspect.capture.records import Note
from wsinspect.capture.rows import to_json
from wsinspect.capture.schema import Database, DatabaseError, query_on
from wsinspect.diagnosis.facts import FactReader
from wsinspect.diagnosis.hops import MAX_TRACES, Hop
from wsinspect.diagnosis.joining import Joined
from wsinspect.diagnosis.live_pairs import LivePairs, worth_comparing
from wsinspect.findings.excuses import excused
from wsinspect.findings.model import Finding
from wsinspect.findings.registry import diagnose_capture, diagnose_connection, diagnose_pair
from wsinspect.findings.together import link_of, once, together

CAPTURE_SECONDS: Final = 2.0
#: How many connections the rules over the whole capture look at: the newest.
_NEWEST: Final = 1000
#: How many connections are looked at again after a restart, because their findings may be missing.
_AGAIN: Final = 200
#: How many findings about the whole capture, stored by an earlier recorder, are recognised.
_KNOWN_BEFORE: Final = 1000
#: How many pairs of connections may wait to be compared; the oldest of more are left to `diagnose`.
_UNREAD: Final = 1000
#: How long comparing may take: while idle, and at the end.
_IDLE_SECONDS: Final = 0.1
_LAST_SECONDS: Final = 5.0
#: Pairs in one statement.
_AT_ONCE: Final = 32

_Key = tuple[int | None, str, str]
#: Connections whose findings are remembered; the others are looked up.
_KNOWN: Final = 10_000


class LiveFindings:
    """Judges what is in an open capture and stores what it finds.

    Args:
        database: the indexer's, between its transactions.
        is_restart: whether an earlier recorder had begun.
    """

    def __init__(self, database: Database, *, is_restart: bool = False) -> None:
        self._database = database
        self._query = query_on(database)
        self._reader = FactReader(self._query)
        self._hop = Hop(self._query)
        self._pairs = LivePairs(self._query)
        self._waiting: set[int] = set(newest_connection_ids(self._query, _AGAIN)) if is_restart else set()
        self._unread: dict[int, Joined] = {}
        self._known: set[_Key] = set()
        self._covered: dict[Place, None] = {}
        self._gone: set[Place] = set()
        for detail in stored.about_the_capture(self._query, _KNOWN_BEFORE):
            self._known.add(_key(Finding.from_json(json.loads(detail))))
        self._is_capture_due = False
        self._last_capture = 0.0

    @property
    def is_waiting(self) -> bool:
        """Whether something is held back until the other tap has seen it too, or until there is time."""
        return bool(self._waiting or self._unread)

    def look(
        self,
        connections: Iterable[int],
        *,
        at_ns: int,
        is_changed: bool,
        is_idle: bool = False,
        is_over: bool = False,
    ) -> list[Note]:
        """Judge these connections, and from time to time all of them.

        Args:
            connections: those that something happened to.
            at_ns: the time of the newest record.
            is_changed: an event came that rules over the whole capture look at.
            is_idle: there is nothing to index just now: time to compare what passed two taps.
            is_over: nothing more will come: look at everything now.

        Returns:
            Notes for a narrator, of findings that are stored.
        """
        fresh = set(connections)
        self._waiting.update(fresh)
        self._is_capture_due |= is_changed or bool(fresh)
        now = time.monotonic()
        is_due = self._is_capture_due and (is_over or now - self._last_capture >= CAPTURE_SECONDS)
        if not self._waiting and not is_due and not (self._unread and (is_idle or is_over)):
            return []
        try:
            held, found = self._judge_waiting(is_over)
            if is_idle or is_over:
                found += self._compare(is_over)
            if is_due:
                found += self._judge_capture()
                self._last_capture, self._is_capture_due = now, False
            notes = self._store(found, at_ns)
        except DatabaseError:
            # Disk full, or damage: the recorder reports it at its next commit, and these are looked at again.
            return []
        except Exception:  # our bug must not cost the capture; these connections are left to `diagnose`
            traceback.print_exc()
            held, notes = set(), []
            self._unread.clear()
        self._waiting = held
        self._pairs.forget()
        return notes

    def _judge_waiting(self, is_over: bool) -> tuple[set[int], list[Finding]]:
        """Findings of what can be judged now, and what cannot yet."""
        due = self._pairs.due(self._waiting, is_over=is_over)
        paired = {number for chain in due.chains for number in _both(chain)}
        eventful = self._reader.eventful({*due.alone, *paired}, is_live=True)
        found = [one for number in sorted(due.alone & eventful) for one in self._judge(number)]
        self._unread.update({joined.edge.id: joined for joined in due.finished})
        for chain in due.chains:
            if eventful & _both(chain):
                found += self._judge_chain(chain)
        while len(self._unread) > _UNREAD:
            self._unread.pop(next(iter(self._unread)))
        return due.held, found

    def _compare(self, is_over: bool) -> list[Finding]:
        """Compare what passed both taps of connections that are over: it takes reading all of it again."""
        found: list[Finding] = []
        until = time.monotonic() + (_LAST_SECONDS if is_over else _IDLE_SECONDS)
        while self._unread and time.monotonic() < until:
            some = [self._unread.pop(number) for number in list(self._unread)[:_AT_ONCE]]
            for joined in worth_comparing(self._query, some):
                found += self._judge_chain(self._pairs.chain_of(joined), MAX_TRACES)
        return found

    def _judge_chain(self, chain: Sequence[Joined], max_traces: int = 0) -> list[Finding]:
        """Findings of a connection at the taps around one hop or several, each failure once."""
        try:
            found = [self._hop.pair(joined, max_traces=max_traces) for joined in chain]
            pairs = [pair for pair in found if pair is not None]
            ours = [one for pair in pairs for one in diagnose_pair(pair)]
            facts = {one.id: one for pair in pairs for one in (pair.edge, pair.origin) if one is not None}
            faults = [rule for pair in pairs for rule in pair.faults]
            own = excused([one for each in facts.values() for one in diagnose_connection(each)], faults)
        except Exception:  # our bug must not cost the capture
            traceback.print_exc()
            return []
        kept = together(ours, own, map(link_of, pairs))
        self._withdraw([*ours, *own], kept)
        return kept

    def _judge_capture(self) -> list[Finding]:
        found = diagnose_capture(self._reader.capture(_NEWEST))
        kept = once(found, self._pairs.partner)
        self._withdraw(found, kept)
        return kept

    def _withdraw(self, found: Sequence[Finding], kept: Sequence[Finding]) -> None:
        """What both taps said is said once: the other one is dropped, also from before."""
        doubles = set(map(_place, found)) - set(map(_place, kept))
        self._gone |= doubles
        self._cover(doubles)

    def _cover(self, places: Iterable[Place]) -> None:
        """These are no longer findings."""
        self._covered.update(dict.fromkeys(places))
        while len(self._covered) > _KNOWN:
            self._covered.pop(next(iter(self._covered)))

    def _judge(self, number: int) -> list[Finding]:
        facts = self._reader.connection(number)
        if facts is None:
            return []
        try:
            return diagnose_connection(facts)
        except Exception:  # our bug must not cost the capture
            traceback.print_exc()
            return []

    def _store(self, found: Sequence[Finding], at_ns: int) -> list[Note]:
        """Write what is new, take away what it explains better; the notes about that."""
        for one in found:
            self._cover(one.covers)
        new = [one for one in found if _place(one) not in self._covered and not self._is_known(one)]
        gone = self._gone.union(*(one.covers for one in found))
        withdrawn = self._write(new, gone) if new or gone else set()
        self._gone.clear()
        if len(self._known) > _KNOWN:
            self._known = {key for key in self._known if key[0] is None}
        self._known.update(map(_key, new))
        return [_note(one, at_ns, withdrawn) for one in new]

    def _write(self, new: Sequence[Finding], gone: Collection[Place]) -> set[Place]:
        """In one transaction; what was taken away."""
        rows = [
            NewFinding(one.id, one.severity, one.connection, one.frame, to_json(one.as_json())) for one in new
        ]
        return stored.replace(self._database, rows, gone)

    def _is_known(self, finding: Finding) -> bool:
        if _key(finding) in self._known:
            return True
        return finding.connection is not None and stored.is_stored(
            self._query, finding.connection, finding.id
        )


def _key(finding: Finding) -> _Key:
    """What makes a finding the same as one before: pages and TLS clients are told apart by their evidence.

    So are series of attempts: which of them a look at a growing series names first may change.
    """
    family, first = finding.id.split("-")[1], finding.evidence[0] if finding.evidence else ""
    if family == "RC":
        return None, finding.id, first
    is_own = finding.connection is None and family in ("PAGE", "TLS")
    return finding.connection, finding.id, first if is_own else ""


def _place(finding: Finding) -> Place:
    return finding.connection, finding.id


def _both(pairs: Iterable[Joined]) -> set[int]:
    return {one.id for pair in pairs for one in (pair.edge, pair.origin) if one is not None}


def _note(finding: Finding, at_ns: int, withdrawn: set[Place]) -> Note:
    """The `finding` line of `run --headless`, with those printed before that it replaces."""
    note = {"event": "finding", "time_ns": at_ns, **finding.as_json()}
    replaced = sorted(withdrawn.intersection(finding.covers), key=str)
    if replaced:
        note["replaces"] = [{"connection": connection, "id": rule} for connection, rule in replaced]
    return note
