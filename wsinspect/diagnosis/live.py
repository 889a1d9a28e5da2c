"""Findings while traffic passes: the rules, run by whoever indexes, on what was just committed.

`LiveFindings.look` reads facts through the same statements as `diagnose`, so what is found live is what is
found afterwards. A finding is stored once, also when a restarted recorder looks again.
Each connection is looked at when its handshake is over, when it first breaks the protocol, at its end, and
again when the engine says that it got no CPU just then; the whole capture at most every `CAPTURE_SECONDS`.
Where a run has two taps around a hop, both ends of a connection are looked at together (`live_pairs`).

What was said before and no longer holds is withdrawn (`standing`), in the capture and on the narrator's
lines. At the end of a run all is judged once more as `diagnose` does it, unless there is very much: whatever
order things were committed in, printed, stored and found afterwards are then the same.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from wsinspect.capture.making import writing
from wsinspect.capture.queries import stored_findings as stored
from wsinspect.capture.queries.facts import newest_connection_ids
from wsinspect.capture.queries.stored_findings import NewFinding
from wsinspect.capture.reader import json_object
from wsinspect.capture.records import Note
from wsinspect.capture.rows import to_json
from wsinspect.capture.schema import Database, DatabaseError, query_on
from wsinspect.diagnosis.facts import FactReader, diagnose
from wsinspect.diagnosis.hops import MAX_TRACES, Hop, diagnose_hop
from wsinspect.diagnosis.joining import Joined
from wsinspect.diagnosis.live_pairs import LivePairs, worth_comparing
from wsinspect.diagnosis.standing import Place, Standing, each_once, key_of, place_of
from wsinspect.findings.excuses import excused
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.findings.model import Finding
from wsinspect.findings.registry import all_rules, diagnose_capture, diagnose_connection, diagnose_pair
from wsinspect.findings.together import link_of, once, together

CAPTURE_SECONDS: Final = 2.0
#: While there is much to index, wait this many times as long as the last look at the capture took: on a busy
#: machine, looking every two seconds would take most of the recorder's time.
_SHARE: Final = 20
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
#: Connections above which the end of a run does not even ask which of them are eventful.
_ASKED_AGAIN: Final = 20_000
#: Eventful connections above which the end of a run judges only what is new: about a second of work.
_JUDGED_AGAIN: Final = 400
#: How many fully compared pairs are remembered, and how many that the hop passed on as they were.
_COMPARED: Final = 5_000
_UNHARMED: Final = _ASKED_AGAIN // 2


Explain = Callable[[Finding, ConnectionFacts], Finding]


class LiveFindings:
    """Judges what is in an open capture and stores what it finds.

    Args:
        database: the indexer's, between its transactions.
        is_restart: whether an earlier recorder had begun.
        clock: seconds that only grow.
        explain: what else is known of a finding, with the facts of its connection.
    """

    def __init__(
        self,
        database: Database,
        *,
        is_restart: bool = False,
        clock: Callable[[], float] = time.monotonic,
        explain: Explain | None = None,
    ) -> None:
        self._explain = explain
        # Now, and not among what the first connections need: memory that holds both is not given back.
        all_rules()
        self._database = database
        self._query = query_on(database)
        self._reader = FactReader(self._query)
        self._hop = Hop(self._query)
        self._clock = clock
        self._pairs = LivePairs(self._query, clock)
        self._waiting: set[int] = set(newest_connection_ids(self._query, _AGAIN)) if is_restart else set()
        self._unread: dict[int, Joined] = {}
        self._compared: dict[int, None] = {}
        #: Pairs that need no comparing: the connection behind the hop by the one before it.
        self._unharmed: dict[int, int] = {}
        self._alike: set[int] = set()
        self._standing = Standing()
        self._is_restart = is_restart
        known = [
            Finding.from_json(json_object(detail) or {})
            for detail in stored.about_the_capture(self._query, _KNOWN_BEFORE)
        ]
        self._standing.judge_capture([one for one in known if one.id in _of_captures()], 0)
        self._standing.take_touched()
        self._is_capture_due = False
        self._last_capture = self._capture_took = 0.0

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
        now = self._clock()
        pause = CAPTURE_SECONDS if is_idle else max(CAPTURE_SECONDS, _SHARE * self._capture_took)
        is_due = self._is_capture_due and (is_over or now - self._last_capture >= pause)
        if not (is_over or self._waiting or is_due or (self._unread and is_idle)):
            return []
        # What is stored is said, whatever goes wrong after that.
        notes: list[Note] = []
        try:
            held = self._judge_waiting(is_over)
            if is_idle or is_over:
                self._compare(is_over)
            if is_due:
                began = self._clock()
                self._judge_capture()
                self._capture_took = self._clock() - began
                self._last_capture, self._is_capture_due = now, False
            notes += self._store(at_ns)
            if is_over:
                notes += self._judge_all(at_ns)
        except DatabaseError:
            # Disk full, or damage: the recorder reports it at its next commit, and these are looked at again.
            return notes
        except Exception:  # our bug must not cost the capture; these connections are left to `diagnose`
            traceback.print_exc()
            held = set()
            self._unread.clear()
        self._waiting = held
        self._pairs.forget()
        return notes

    def _judge_waiting(self, is_over: bool) -> set[int]:
        """Judge what can be judged now; what cannot yet."""
        self._alike.clear()
        held = self._judge_these(self._waiting, is_over)
        alike = self._alike.difference(self._waiting)
        # What is held is asked for again, too: how long it has been held is counted from look to look.
        return self._judge_these(held | alike, is_over) if alike else held

    def _judge_these(self, numbers: set[int], is_over: bool) -> set[int]:
        due = self._pairs.due(numbers, is_over=is_over)
        paired = {number for chain in due.chains for number in _both(chain)}
        eventful = self._reader.eventful(due.alone, is_live=True, is_alone=True)
        eventful |= self._reader.eventful(paired, is_live=True)
        again: set[int] = set()
        for number in sorted(due.alone):
            found = self._judge(number) if number in eventful else []
            if found is not None:
                again |= self._say({number}, found)
        for joined in due.finished:
            self._unread[joined.edge.id] = joined
            self._unharmed.pop(joined.edge.id, None)
        for chain in due.chains:
            numbers = _both(chain)
            if not eventful & numbers:
                again |= self._say(numbers, [])
                continue
            # Once everything that passed was compared, no look sees less than that.
            is_compared = any(joined.edge.id in self._compared for joined in chain)
            found = self._judge_chain(chain, MAX_TRACES if is_compared else 0)
            if found is not None:
                again |= self._say(numbers, found)
        while len(self._unread) > _UNREAD:
            self._unread.pop(next(iter(self._unread)))
        return due.held | again

    def _say(self, numbers: set[int], findings: Sequence[Finding]) -> set[int]:
        """Take a judgement; connections that have to be judged again."""
        if self._is_restart and not any(map(self._standing.knows, numbers)):
            # What an earlier recorder reported about them is only in the capture.
            before = stored.places(self._query, numbers)
            self._standing.touch(place for place in before if place[1] not in _of_captures())
        return self._standing.judge(numbers, findings)

    def _compare(self, is_over: bool) -> None:
        """Compare what passed both taps of connections that are over: it takes reading all of it again."""
        until = self._clock() + (_LAST_SECONDS if is_over else _IDLE_SECONDS)
        while self._unread and self._clock() < until:
            some = [self._unread.pop(number) for number in list(self._unread)[:_AT_ONCE]]
            wanted = list(worth_comparing(self._query, some))
            self._remember_unharmed(some, wanted)
            for joined in wanted:
                chain = self._pairs.chain_of(joined)
                self._compared.update(dict.fromkeys(one.edge.id for one in chain))
                found = self._judge_chain(chain, MAX_TRACES)
                if found is not None:
                    self._waiting |= self._say(_both(chain), found)
        while len(self._compared) > _COMPARED:
            self._compared.pop(next(iter(self._compared)))

    def _remember_unharmed(self, pairs: Sequence[Joined], wanted: Sequence[Joined]) -> None:
        """Nothing will happen to these pairs any more: the end of the run need not read them again."""
        harmed = {one.edge.id for one in wanted}
        for one in pairs:
            if one.origin is not None and one.edge.id not in harmed:
                self._unharmed[one.edge.id] = one.origin.id
        while len(self._unharmed) > _UNHARMED:
            self._unharmed.pop(next(iter(self._unharmed)))

    def _worth_comparing_at_the_end(self, pairs: Sequence[Joined]) -> Iterator[Joined]:
        known = self._unharmed
        some = [one for one in pairs if one.origin is not None and known.get(one.edge.id) != one.origin.id]
        return worth_comparing(self._query, some)

    def _judge_chain(self, chain: Sequence[Joined], max_traces: int = 0) -> list[Finding] | None:
        """Findings of a connection at the taps around one hop or several, each failure once.

        None where a mistake of ours is in the way.
        """
        try:
            found = [self._hop.pair(joined, max_traces=max_traces) for joined in chain]
            pairs = [pair for pair in found if pair is not None]
            ours = [one for pair in pairs for one in diagnose_pair(pair)]
            facts = {one.id: one for pair in pairs for one in (pair.edge, pair.origin) if one is not None}
            for each in facts.values():
                self._note_alike(each)
            faults = [rule for pair in pairs for rule in pair.faults]
            own = excused([one for each in facts.values() for one in diagnose_connection(each)], faults)
            return together(ours, own, map(link_of, pairs))
        except Exception:  # our bug must not cost the capture
            traceback.print_exc()
            return None

    def _judge_capture(self) -> None:
        facts = self._reader.capture(_NEWEST)
        by = {one.id: one.ended_by for one in facts.connections}
        partner = self._pairs.partner
        ended = {number for number, one in by.items() if one == "server"}
        by_hop = {
            one for one, other in partner.items() if (by.get(one), by.get(other)) == ("server", "client")
        }
        found = once(diagnose_capture(facts), partner, ended, by_hop)
        oldest = min((one.id for one in facts.connections), default=0)
        self._standing.judge_capture(found, oldest)

    def _judge_all(self, at_ns: int) -> list[Note]:
        """At the end, once more as `diagnose` does it; nothing where there is too much for that."""
        numbers = self._reader.ids()
        if len(numbers) > _ASKED_AGAIN:
            return []
        eventful = self._reader.eventful(numbers)
        if len(eventful) > _JUDGED_AGAIN:
            return []
        # To read every message that the hop passed on unharmed would take longer than recording it did.
        comparing = self._worth_comparing_at_the_end
        own = diagnose(self._query, eventful)
        found = diagnose_hop(Hop(self._query), own, worth_comparing=comparing, known=eventful).findings
        wanted: dict[Place, list[Finding]] = {place: [] for place in stored.places(self._query)}
        for one in found:
            wanted.setdefault(place_of(one), []).append(one)
        return self._write(wanted, at_ns)

    def _judge(self, number: int) -> list[Finding] | None:
        """Findings of one connection by itself; None where a mistake of ours is in the way."""
        facts = self._reader.connection(number)
        if facts is None:
            return []
        self._note_alike(facts)
        try:
            return diagnose_connection(facts)
        except Exception:  # our bug must not cost the capture
            traceback.print_exc()
            return None

    def _note_alike(self, facts: ConnectionFacts) -> None:
        """One that was cut may show what cut others before it: a timer is known by the second time."""
        if facts.is_over and facts.was_open:
            self._alike.update(one.id for one in facts.others if one.is_cut and self._standing.knows(one.id))

    def _store(self, at_ns: int) -> list[Note]:
        """Write what is to be said now where it is not what is stored; the notes about that."""
        touched = self._standing.take_touched()
        try:
            # In order: the same traffic gives the same rows, and lines, each time.
            in_order = sorted(touched, key=lambda place: (place[0] is None, place[0] or 0, place[1]))
            return self._write({place: self._standing.at(place) for place in in_order}, at_ns)
        except BaseException:
            self._standing.touch(touched)
            raise

    def _explained(self, finding: Finding) -> Finding:
        if self._explain is None or finding.connection is None or finding.severity == "note":
            return finding
        try:
            facts = self._reader.connection(finding.connection)
            return finding if facts is None else self._explain(finding, facts)
        except Exception:  # our bug must not cost the finding
            traceback.print_exc()
            return finding

    def _write(self, wanted: dict[Place, list[Finding]], at_ns: int) -> list[Note]:
        """Make these places say this, in one transaction."""
        new: list[Finding] = []
        news: list[Finding] = []
        rows_gone: list[int] = []
        gone: set[Place] = set()
        for place, findings in wanted.items():
            here = each_once(map(self._explained, findings))
            before = stored.at(self._query, place)
            others: dict[object, list[Finding]] = {}
            kept = {to_json(one.as_json()) for one in here}
            for row in before:
                if row.detail in kept:
                    kept.remove(row.detail)
                    continue
                rows_gone.append(row.id)
                was = Finding.from_json(json_object(row.detail) or {})
                others.setdefault(key_of(was), []).append(was)
            fresh = [one for one in here if to_json(one.as_json()) in kept]
            # A finding whose evidence alone has changed is not printed again.
            earlier = [others[key_of(one)].pop(0) if others.get(key_of(one)) else None for one in fresh]
            new += fresh
            is_taken_back = any(others.values()) or any(
                was is not None and _headline(was) != _headline(one)
                for one, was in zip(fresh, earlier, strict=True)
            )
            if is_taken_back:
                gone.add(place)
                news += here  # a line takes back all that was said there
            else:
                news += [one for one, was in zip(fresh, earlier, strict=True) if was is None]
        if not new and not rows_gone:
            return []
        rows = [
            NewFinding(one.id, one.severity, one.connection, one.frame, to_json(one.as_json())) for one in new
        ]
        stored.replace(self._database, rows, rows_gone)
        return list(_notes(news, gone, at_ns))


def store_findings(path: Path) -> list[Note]:
    """Judge a new capture that is whole, and store what is found.

    Raises:
        LocalError: it cannot be written.
    """
    with writing(path) as database:
        findings = LiveFindings(database)
        numbers = FactReader(query_on(database)).ids()
        return findings.look(numbers, at_ns=0, is_changed=True, is_idle=True, is_over=True)


def _headline(finding: Finding) -> tuple[str | None, ...]:
    """What of a finding is worth another line when it changes."""
    return finding.severity, finding.fault_of, finding.hop, finding.title, finding.confidence


@cache
def _of_captures() -> frozenset[str]:
    """The rules that look at a whole capture."""
    return frozenset(rule.id for rule in all_rules() if rule.scope == "capture")


def _both(pairs: Iterable[Joined]) -> set[int]:
    return {one.id for pair in pairs for one in (pair.edge, pair.origin) if one is not None}


def _notes(findings: Sequence[Finding], gone: set[Place], at_ns: int) -> Iterator[Note]:
    """The lines of `run --headless`: findings, with those printed before that each replaces, and what does
    not hold any more without another one in its place."""
    left = set(gone)
    for one in findings:
        note = {"event": "finding", "time_ns": at_ns, **one.as_json()}
        replaced = left.intersection((*one.covers, place_of(one)))
        left -= replaced
        if replaced:
            note["replaces"] = [
                {"connection": connection, "id": rule} for connection, rule in sorted(replaced, key=str)
            ]
        yield note
    for connection, rule in sorted(left, key=str):
        yield {"event": "withdrawn", "time_ns": at_ns, "connection": connection, "id": rule}
