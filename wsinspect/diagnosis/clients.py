"""The clients of a capture, judged: facts for `wsinspect.clients` out of its tables.

Cookies and tokens become digests here, by a key that is made for one reading and forgotten after it.
"""

from __future__ import annotations

import json
import secrets
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final, NamedTuple

from wsinspect.capture.queries import clients as rows
from wsinspect.capture.reader import json_object
from wsinspect.capture.records import Queried, Query
from wsinspect.capture.story import Story, story
from wsinspect.clients import messages
from wsinspect.clients.facts import (
    MOST_LATE_NS,
    Attempt,
    Block,
    ClientFacts,
    Digest,
    Known,
    Late,
    Lateness,
    Said,
    Stall,
    Transport,
    address_of,
    keyed_digest,
    known_by,
    retry_after,
)
from wsinspect.clients.grading import Client, judge
from wsinspect.clients.joining import join
from wsinspect.faults.sessions import SessionBy
from wsinspect.handshake.heads import RawHead
from wsinspect.vocabulary import Direction, How, State

#: Messages read of a connection, and bytes of each.
_FIRST, _LAST, _CUT = 64, 256, 4096
_PAGE: Final = 2000
_MOST_FAULTS: Final = 100_000
_MOST_POLLS: Final = 50_000
_PINGS: Final = 64
#: Kinds of rules that end a client's TCP connection or TLS handshake before its request.
_UNHEARD: Final = frozenset({"reset_on_accept", "tls_error"})
#: Kinds of rules that keep all clients out while they are armed, unless their settings narrow them.
_BLOCKING: Final = frozenset(
    {"refuse", "hang", "blackhole", "refuse_tcp", "reset_on_accept", "tls_error", "redirect"}
)
_NARROWING: Final = frozenset({"match", "when", "probability", "tap"})
#: Clients poll again within this time (SignalR's wait for 90 s); a session without a poll for longer is over.
_POLL_NS: Final = 120 * 10**9
#: A request that was served this long after one that was not shows that its client went on.
_WENT_ON_NS: Final = 10**9
#: Where nothing was measured a timer is at most this late; more than this is not a late timer.
_NOISE_NS: Final = 20_000_000
_MOST_LATE: Final = 100_000
_KEPT: Final = 4096


def judged_clients(
    capture: Queried, by: SessionBy | None = None, *, until_ns: int | None = None, noise_ns: int = 0
) -> list[Client]:
    """All client sessions of a capture, each with its measures and its grade.

    Args:
        by: what tells clients apart; by default what the recording run was given.
        until_ns: the present, for a capture that is still being written.
        noise_ns: how late timers were on this machine, where somebody has measured it.
    """
    facts = read_facts(capture, by, until_ns=until_ns, noise_ns=noise_ns)
    return [judge(session, facts) for session in join(facts.attempts)]


def read_facts(
    capture: Queried, by: SessionBy | None = None, *, until_ns: int | None = None, noise_ns: int = 0
) -> ClientFacts:
    """What `judge` needs; see `judged_clients`."""
    query = capture.query
    done = story(capture)
    digest = keyed_digest(secrets.token_bytes(16))
    by = by or _recorded_choice(query)
    horizon = max(rows.last_ns(query), until_ns or 0)
    attempts = list(_attempts(query, digest, by, done, horizon))
    blocks = tuple(_blocks(done))
    attempts += list(_unheard(query, attempts, done))
    polled = _polled(query, digest, attempts, blocks, horizon)
    polled_by_id = {one.attempt.id: one for one in polled}
    attempts += [one.attempt for one in polled]

    @lru_cache(maxsize=_KEPT)
    def said(connection_id: int) -> tuple[Said, ...]:
        if connection_id < 0:
            return tuple(_polled_messages(polled_by_id[connection_id].requests))
        return tuple(map(_said, rows.messages(query, connection_id, _FIRST, _LAST, _CUT)))

    return ClientFacts(
        attempts=attempts,
        blocks=blocks,
        phases=tuple(
            (step.time_ns, number)
            for step in (done.steps if done else ())
            if step.kind == "phase" and isinstance(number := step.detail.get("phase"), int)
        ),
        phases_end_ns=next(
            (
                step.time_ns
                for step in (done.steps if done else ())
                if step.kind == "phase" and step.detail.get("phase") is None
            ),
            None,
        ),
        horizon_ns=horizon,
        lateness=Lateness(max(noise_ns, _late_phases(done)), tuple(_late_times(query))),
        said=lambda one: said(one.id) if one.is_open else (),
        pings=lambda one: rows.client_pings(query, one.id, _PINGS) if one.id > 0 else (),
        digest=digest,
    )


def _recorded_choice(query: Query) -> SessionBy | None:
    stored = rows.session_by(query)
    try:
        return SessionBy.parse(str(json.loads(stored))) if stored is not None else None
    except (TypeError, ValueError, RecursionError):
        return None


def _attempts(
    query: Query, digest: Digest, by: SessionBy | None, done: Story | None, horizon: int
) -> Iterator[Attempt]:
    runs = sorted(at for raw in rows.run_starts(query) if isinstance(at := _json(raw), int))
    kinds = rows.fault_kinds(query, _MOST_FAULTS)
    stalls = _stalls(query, done)
    after = 0
    while page := rows.attempts(query, after, _PAGE):
        for row in page:
            yield _attempt(row, query, digest, by, runs, kinds, stalls.get(row.id, ()), horizon)
        after = page[-1].id


def _attempt(
    row: rows.ClientAttempt,
    query: Query,
    digest: Digest,
    by: SessionBy | None,
    runs: Sequence[int],
    kinds: dict[str, str],
    stalls: Sequence[Stall],
    horizon: int,
) -> Attempt:
    path = str(row.path or "/")
    known = known_by(_head(row.request), path, digest, by)
    closes: tuple[int | None, int | None] = (None, None)
    if row.has_client_close or row.has_server_close:
        closes = rows.closes(query, row.id)
    began = _time(row.attempt_ns) or _time(row.open_ns) or 0
    # What the server does while a fault passes nothing on reaches the client later, or never.
    server_ends = [_visible(_time(at), stalls) for at in (closes[1], row.server_end_ns)]
    ends = [closes[0], row.client_end_ns, row.proxy_end_ns, *server_ends, row.closed_ns]
    end = min((at for one in ends if (at := _time(one)) is not None), default=None)
    if end is None and row.state == State.LOST:
        end = next((at for at in runs if at > began), horizon)  # the engine was killed
    own = [closes[0], row.client_end_ns]
    response = _head(row.response)
    values = response.get_all("retry-after") if response is not None else []
    rule = None if row.rule is None else str(row.rule)
    opened = _time(row.open_ns)
    # Whoever has left before the answer came never had a connection.
    has_left = opened is not None and end is not None and end < opened
    return Attempt(
        id=row.id,
        run=bisect_right(runs, began) or 1,
        tap=row.tap,
        address=address_of(row.client),
        place=f"{row.scheme or 'ws'}://{row.host}:{row.port}",
        path=path.partition("?")[0],
        user_agent=known.user_agent,
        origin=known.origin,
        parts=known.parts,
        chosen=known.chosen,
        tokens=known.tokens,
        sid=known.sid,
        subprotocol=row.subprotocol,
        attempt_ns=began,
        open_ns=None if has_left else opened,
        end_ns=end,
        closed_ns=end if has_left else _time(row.closed_ns),
        state=str(row.state),
        status=row.status if isinstance(row.status, int) and not has_left else None,
        error="left before the answer" if has_left else None if row.error is None else str(row.error),
        retry_after_ns=retry_after(values[0]) if values and row.open_ns is None else None,
        ended_by=row.ended_by,
        how=row.how,
        client_code=row.client_close_code,
        server_code=row.server_close_code,
        rule=rule,
        fault=kinds.get(rule or ""),
        close_ns=min((at for one in own if (at := _time(one)) is not None), default=None),
        stalls=tuple(stalls),
        frames=(row.c2s_frames, row.s2c_frames),
        sizes=(row.c2s_bytes, row.s2c_bytes),
    )


def _visible(at_ns: int | None, stalls: Sequence[Stall]) -> int | None:
    """When the client sees what the server did then."""
    for stall in stalls:
        if (
            at_ns is not None
            and stall.from_ns <= at_ns
            and (stall.until_ns is None or at_ns < stall.until_ns)
        ):
            return stall.until_ns
    return at_ns


def _stalls(query: Query, done: Story | None) -> dict[int, list[Stall]]:
    """When which connection passed nothing on, by faults."""
    found: dict[int, list[Stall]] = {}
    for connection_id, time_ns, rule, kind, detail in rows.silencing_faults(query, _MOST_FAULTS):
        facts = json_object(detail) or {}
        if kind == "idle_timeout" and facts.get("how") != "silent":
            continue
        for_ms = facts.get("for_ms")
        until = time_ns + int(for_ms * 1e6) if isinstance(for_ms, int | float) else None
        disarmed = _disarmed(done, str(rule), time_ns)
        ends = [at for at in (until, disarmed) if at is not None]
        stall = Stall(time_ns, min(ends) if ends else None, str(rule))
        found.setdefault(connection_id, []).append(stall)
    return found


def _disarmed(done: Story | None, rule: str, after_ns: int) -> int | None:
    for step in done.steps if done else ():
        if step.kind == "rule" and step.time_ns >= after_ns and step.detail.get("rule") == rule:
            return None if step.detail.get("armed") else step.time_ns
    return None


def _blocks(done: Story | None, kinds: frozenset[str] = _BLOCKING) -> Iterator[Block]:
    """When rules of these kinds kept every client out."""
    armed: dict[str, int] = {}
    for step in done.steps if done else ():
        name = str(step.detail.get("rule"))
        settings = step.detail.get("settings")
        if step.kind != "rule" or step.detail.get("kind") not in kinds:
            continue
        if isinstance(settings, dict) and _NARROWING & settings.keys():
            continue
        if step.detail.get("armed"):
            armed.setdefault(name, step.time_ns)
        elif name in armed:
            yield Block(armed.pop(name), step.time_ns, name)
    yield from (Block(from_ns, None, name) for name, from_ns in armed.items())


def _unheard(query: Query, attempts: Sequence[Attempt], done: Story | None) -> Iterator[Attempt]:
    """Tries that a rule ended before their request, as attempts with negative ids.

    Whose they are only the address says: where it is several clients', nobody has them.
    """
    armed = [one for one in _blocks(done, _UNHEARD) if one.rule]
    if not armed:
        return
    whose: dict[tuple[str | None, str], Attempt | None] = {}
    for one in attempts:
        before = whose.setdefault((one.tap, one.address), one)
        if before is not None and (before.path, _who(before)) != (one.path, _who(one)):
            whose[one.tap, one.address] = None
    after, count = 0, 0
    while count < _MOST_POLLS and (page := rows.cut_off(query, after, _PAGE)):
        for event_id, time_ns, raw in page:
            detail = json_object(raw) or {}
            like = whose.get((_text(detail.get("tap")), address_of(_text(detail.get("client")))))
            rule = next((block.rule for block in armed if _is_within(time_ns, block)), None)
            is_ours = detail.get("how") == "proxy" or detail.get("rule") == rule
            if like is None or rule is None or not is_ours:
                continue
            lasted_ms = detail.get("ms")
            lasted_ns = int(lasted_ms * 1e6) if isinstance(lasted_ms, int | float) else 0
            yield Attempt(
                id=-event_id,
                run=like.run,
                tap=like.tap,
                address=like.address,
                place=like.place,
                path=like.path,
                user_agent=like.user_agent,
                origin=like.origin,
                parts=like.parts,
                chosen=like.chosen,
                attempt_ns=time_ns - lasted_ns,
                end_ns=time_ns,
                closed_ns=time_ns,
                state=State.FAILED,
                error="cut off before its request",
                ended_by="fault",
                how=How.RST,
                rule=rule,
            )
        after, count = page[-1][0], count + len(page)


def _late_times(query: Query) -> Iterator[Late]:
    """When the engine's own timers were notably late."""
    for time_ns, raw in rows.lateness(query, _MOST_LATE):
        detail = json_object(raw) or {}
        for_ns, worst_ns = detail.get("for_ns"), detail.get("worst_ns", detail.get("for_ns"))
        if isinstance(time_ns, int) and isinstance(for_ns, int) and isinstance(worst_ns, int):
            yield Late(time_ns - for_ns, time_ns, worst_ns)


def _late_phases(done: Story | None) -> int:
    """How late the engine's own timers were: phases take as long as they were to take, and this."""
    worst = _NOISE_NS
    phases = [step for step in (done.steps if done else ()) if step.kind == "phase"]
    for before, after in pairwise(phases):
        for_ms = before.detail.get("for_ms")
        if isinstance(for_ms, int | float) and for_ms > 0:
            late = after.time_ns - before.time_ns - int(for_ms * 1e6)
            if late <= MOST_LATE_NS:
                worst = max(worst, late)
    return worst


class _Request(NamedTuple):
    """One request of a session of long-polling, as its event has it."""

    id: int
    time_ns: int
    detail: dict[str, Any]

    @property
    def is_served(self) -> bool:
        return self.detail.get("status") == 200

    @property
    def is_signalr(self) -> bool:
        return self.detail.get("protocol") == "signalr"

    @property
    def is_farewell(self) -> bool:
        """Whether its client ended the session by it."""
        said = self.detail.get("request")
        return self.detail.get("method") == "DELETE" or (
            not self.is_signalr and isinstance(said, str) and said.rpartition("\x1e")[2] in ("1", "1:1")
        )


class _Polled(NamedTuple):
    attempt: Attempt
    requests: Sequence[_Request]


def _polled(
    query: Query, digest: Digest, attempts: Sequence[Attempt], blocks: Sequence[Block], horizon: int
) -> list[_Polled]:
    """Sessions of long-polling, as attempts with negative ids."""
    known = _Pollers(attempts)
    found: dict[str, list[_Request]] = {}
    after, count = 0, 0
    while count < _MOST_POLLS and (page := rows.polls(query, after, _PAGE)):
        for event_id, time_ns, raw in page:
            one = _Request(event_id, time_ns, json_object(raw) or {})
            sid = one.detail.get("sid")
            # Without a session each request is a try of its own.
            found.setdefault(f"{event_id}" if sid is None else f"sid {sid}", []).append(one)
        after, count = page[-1][0], count + len(page)
    polled = [
        _Polled(_polling(requests, known, digest, blocks, horizon), requests) for requests in found.values()
    ]
    newest: dict[tuple[Any, ...], int] = {}
    for each in (*attempts, *(one.attempt for one in polled)):
        place = each.tap, each.address, each.path, *_who(each)
        newest[place] = max(newest.get(place, 0), each.attempt_ns)
    # One that its client has not asked since it began another one is over.
    return [one._replace(attempt=_replaced(one, newest)) for one in polled]


def _replaced(one: _Polled, newest: Mapping[tuple[Any, ...], int]) -> Attempt:
    attempt, last = one.attempt, one.requests[-1].time_ns
    if (
        attempt.end_ns is not None
        or newest[attempt.tap, attempt.address, attempt.path, *_who(attempt)] <= last
    ):
        return attempt
    return replace(
        attempt, end_ns=last, closed_ns=last, state=State.CLOSED, ended_by="client", error="no more requests"
    )


def _polled_messages(requests: Sequence[_Request]) -> Iterator[Said]:
    """What both sides said, as far as the bodies are on record."""
    count = 0
    for at in requests:
        for side, key in ((Direction.CLIENT_TO_SERVER, "request"), (Direction.SERVER_TO_CLIENT, "response")):
            body = at.detail.get(key)
            if not isinstance(body, str) or not body or body == "ok":
                continue
            for data in messages.polled(body, is_signalr=at.is_signalr):
                sent = at.time_ns if at.is_served else None
                yield Said(0, side, at.time_ns, data[:_CUT], len(data), sent)
                count += 1
                if count >= _FIRST + _LAST:
                    return


class _Pollers:
    """Whose WebSocket attempts the requests of long-polling belong to."""

    def __init__(self, attempts: Sequence[Attempt]) -> None:
        self._by_id = {one.id: one for one in attempts}
        #: By tap, address and path: an attempt; None where several clients have been there.
        self._by_place: dict[tuple[str | None, str, str], Attempt | None] = {}
        for one in attempts:
            place = one.tap, one.address, one.path
            before = self._by_place.setdefault(place, one)
            if before is not None and _who(before) != _who(one):
                self._by_place[place] = None

    def like(self, detail: dict[str, Any]) -> Attempt | None:
        """An attempt of the same client, by the engine's own account or because nobody else was there.

        Libraries of servers poll with another `User-Agent` than they open WebSockets with.
        """
        number = detail.get("client_session")
        if isinstance(number, int) and number in self._by_id:
            return self._by_id[number]
        address = address_of(_text(detail.get("client")))
        return self._by_place.get((_text(detail.get("tap")), address, _polled_path(detail)))


def _who(one: Attempt) -> tuple[Any, ...]:
    return one.place, one.user_agent, one.origin, one.chosen, frozenset(one.parts.items())


def _polled_path(detail: dict[str, Any]) -> str:
    return str(detail.get("path") or "/").removesuffix("/negotiate")


def _polling(
    requests: Sequence[_Request],
    known: _Pollers,
    digest: Digest,
    blocks: Sequence[Block],
    horizon: int,
) -> Attempt:
    event_id, begun, first = requests[0]
    good = [one.time_ns for one in requests if one.is_served]
    like = next((like for one in requests if (like := known.like(one.detail)) is not None), None)
    who = Known("", "", {}, None, frozenset(), None)
    if like is not None:
        who = Known(like.user_agent, like.origin, dict(like.parts), like.chosen, frozenset(), None)
    end = _end_of(requests, blocks, horizon)
    said = [one.direction for one in _polled_messages(requests) if not messages.is_greeting(one.data)]
    return Attempt(
        id=-event_id,
        run=like.run if like is not None else 1,
        transport=Transport.POLLING,
        tap=like.tap if like is not None else _text(first.get("tap")),
        address=like.address if like is not None else address_of(_text(first.get("client"))),
        place=like.place if like is not None else str(first.get("host") or ""),
        path=like.path if like is not None else _polled_path(first),
        user_agent=who.user_agent,
        origin=who.origin,
        parts=who.parts,
        chosen=who.chosen,
        sid=None if first.get("sid") is None else digest(str(first["sid"])),
        attempt_ns=begun,
        open_ns=good[0] if good else None,
        end_ns=end.time_ns if end else None,
        closed_ns=end.time_ns if end else None,
        state=State.CLOSED if end else State.OPEN,
        status=None if good else first.get("status"),
        error=end.error if end and (good or not first.get("status")) else None,
        ended_by=end.by if end else None,
        how=end.how if end else None,
        rule=end.rule if end else None,
        fault="refuse" if end and end.rule else None,
        frames=(said.count(Direction.CLIENT_TO_SERVER), said.count(Direction.SERVER_TO_CLIENT)),
        is_stream=any(one.detail.get("stream") == "begun" for one in requests),
    )


class _End(NamedTuple):
    """How a session of long-polling ended.

    Attributes:
        error: in a few words.
    """

    time_ns: int
    by: str
    error: str
    how: str | None = None
    rule: str | None = None


def _end_of(requests: Sequence[_Request], blocks: Sequence[Block], horizon: int) -> _End | None:
    """The end of a session; None where it continues.

    Server-Sent Events say nothing for as long as the server does: they are open until their answer ends.
    """
    streams = [one for one in requests if one.detail.get("stream") in ("begun", "ended", "left")]
    is_stream = any(one.detail["stream"] == "begun" for one in streams)
    last_served = max((one.time_ns for one in requests if one.is_served), default=0)
    for one in requests:
        status, stream = one.detail.get("status"), one.detail.get("stream")
        if one.is_farewell and one.is_served | (one.detail.get("method") == "DELETE"):
            return _End(one.time_ns, "client", "it said goodbye", How.CLOSE_FRAME)
        if is_stream:
            if stream == "ended":
                return _End(one.time_ns, "server", "the stream ended")
            if stream == "left":
                return _End(one.time_ns, "client", "it left the stream")
        elif not one.is_served and last_served - one.time_ns < _WENT_ON_NS:
            if stream == "left":
                return _End(one.time_ns, "client", "it left")
            if status is None:
                return _End(one.time_ns, "server", "no answer")
            rule = next((block.rule for block in blocks if _is_within(one.time_ns, block)), None)
            by = "server" if rule is None else "fault"
            return _End(one.time_ns, by, f"answer {status}", How.REFUSED, rule)
    last = requests[-1].time_ns
    if not is_stream and last + _POLL_NS < horizon:
        return _End(last, "client", "no more requests")
    return None


def _is_within(time_ns: int, block: Block) -> bool:
    return block.from_ns <= time_ns and (block.until_ns is None or time_ns <= block.until_ns)


def _said(row: rows.ClientMessage) -> Said:
    data = row.data if isinstance(row.data, bytes) else str(row.data or "").encode("utf-8", "replace")
    sent = row.sent_after_ns
    return Said(
        row.id,
        Direction(bool(row.side)),
        row.time_ns,
        data,
        row.length if isinstance(row.length, int) else len(data),
        row.time_ns + sent if isinstance(sent, int) and sent >= 0 else None,
    )


def _head(raw: Any) -> RawHead | None:
    if raw is None:
        return None
    return RawHead.parse(raw if isinstance(raw, bytes) else str(raw).encode("utf-8", "surrogateescape"))


def _time(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _json(value: Any) -> Any:
    try:
        return json.loads(value)
    except (TypeError, ValueError, RecursionError):
        return None
