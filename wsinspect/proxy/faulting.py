"""Faults on the sockets: `FaultController` applies an engine's rules, `LinkFaults` those of one WebSocket.

A connection without a rule has no `LinkFaults`, and its bytes are not looked at before they have left. With
one, bytes go through `faults.connection.ConnectionFaults`, whose actions are done here: write, end, record.
Time comes from the event loop's timers; nothing is awaited, so no direction ever waits for the other one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from mitmproxy import http

from wsinspect.capture.windows import Known, UnknownWindowError
from wsinspect.faults.board import Board
from wsinspect.faults.connection import ConnectionFaults, Context
from wsinspect.faults.kinds import Scope
from wsinspect.faults.lane import Lane
from wsinspect.faults.rule import Rule
from wsinspect.faults.scripting import Script
from wsinspect.faults.seeded import Place
from wsinspect.faults.sessions import Session
from wsinspect.faults.stages.scripted import Scripted
from wsinspect.handshake.heads import RawHead
from wsinspect.handshake.negotiation import Negotiation, negotiate
from wsinspect.proxy.attempt_faults import AttemptFaults, LiveFacts
from wsinspect.proxy.holding import HeldHandshake
from wsinspect.proxy.link_faults import FaultedLink, LinkFaults
from wsinspect.proxy.seams.http1 import wire_head
from wsinspect.wire.opcodes import Direction

#: A healthy recorder is at most a quarter of a second behind.
_WINDOW_PAUSES = (0.02, 0.03, 0.05, *(0.1,) * 40, 1.0, 2.0, 5.0)
WindowOf = Callable[[int, Direction, int], Known | None]
_ON_OPEN = (Scope.FRAME, Scope.CONNECTION)


class FaultController:
    """Applies the rules of a board to all connections of an engine.

    Args:
        window_of: finds out what a connection's receiver had inflated after this many frames; None while it
            is not known yet, `UnknownWindowError` where it never will be. Without it every connection's
            compression is followed from its opening.
    """

    def __init__(self, board: Board, now_ns: Callable[[], int], *, window_of: WindowOf | None = None) -> None:
        self.board = board
        self.now_ns = now_ns
        self.attempts: dict[int, AttemptFaults] = {}
        self.held_handshakes: dict[str, HeldHandshake] = {}
        self._window_of = window_of
        self._searches: set[asyncio.Task[None]] = set()
        self._phase_timer: asyncio.TimerHandle | None = None
        board.on_change.append(self._on_change)
        board.on_do = self._do_now
        board.on_reset = self._let_go

    # Attempts

    def attempt(self, number: int, tap: str | None, flow: http.HTTPFlow, session: Session) -> AttemptFaults:
        """An opening handshake of a client session has begun."""
        facts = LiveFacts(number, tap, flow)
        path = flow.request.path.partition("?")[0]
        place = Place(tap or "", facts.host or "", path, session.attempts)
        attempt = AttemptFaults(facts, session, place, self.now_ns())
        self.attempts[number] = attempt
        self.client_came()
        return attempt

    def client_came(self) -> None:
        """A client tries to connect, by WebSocket or by polling: the first one starts the phases."""
        if not self.board.has_started and self._starts_with_attempt:
            self.start_phases()

    @property
    def _starts_with_attempt(self) -> bool:
        scenario = self.board.scenario
        return scenario is not None and scenario.start == "first-attempt"

    def opened(self, number: int, link: FaultedLink, flow: http.HTTPFlow) -> None:
        """The 101 was relayed."""
        attempt = self.attempts.get(number)
        if attempt is None:
            return
        attempt.link = link
        attempt.opened_ns = self.now_ns()
        attempt.session.connections += 1
        attempt.connection_number = attempt.session.connections
        attempt.negotiate = partial(_negotiation, flow)
        rules = self.board.armed(*_ON_OPEN)
        if rules or self._must_follow(attempt):
            faults = self._begin(attempt, (b"", b""))
            for rule in rules:
                # A rule that does not concern this connection may have left it without faults.
                faults = attempt.link.faults or self._begin(attempt, (b"", b""))
                faults.arm(rule, self.board.order)
        self._drop_if_idle(attempt)

    def closed(self, number: int) -> None:
        """Nothing more comes of an attempt."""
        attempt = self.attempts.pop(number, None)
        if attempt is not None:
            seconds = (self.now_ns() - attempt.begun_ns) / 1e9
            for _, script in self.scripts:
                script.end(attempt.facts, was_open=attempt.link is not None, seconds=seconds)
        if attempt is not None and attempt.link is not None and attempt.link.faults is not None:
            attempt.link.faults.close()

    def lose_held(self) -> None:
        """The engine has closed all connections: an end that waited behind what was held comes no more."""
        for number in list(self.attempts):
            self.closed(number)

    def faults_of(self, number: int) -> LinkFaults | None:
        """The faults of an open connection, begun now where there were none; None where it is not open."""
        attempt = self.attempts.get(number)
        if attempt is None or attempt.link is None:
            return None
        return attempt.link.faults or self._begin(attempt, (None, None))

    def _must_follow(self, attempt: AttemptFaults) -> bool:
        """Whether a rule that may be armed later needs to know what was compressed before."""
        if self._window_of is not None and not any(map(_reads_content, self.board.known(*_ON_OPEN))):
            return False
        deflate = attempt.negotiation.deflate
        return deflate is not None and any(deflate.takeover(direction) for direction in Direction)

    def _begin(self, attempt: AttemptFaults, windows: tuple[bytes | None, bytes | None]) -> LinkFaults:
        link = attempt.link
        assert link is not None
        # Before its first frame a direction has compressed nothing.
        c2s, s2c = (
            b"" if window is None and not one.frames and one.is_at_frame else window
            for window, one in zip(windows, link.boundaries, strict=True)
        )
        context = Context(
            facts=attempt.facts,
            place=attempt.place,
            connection_number=attempt.connection_number,
            attempt_ns=attempt.begun_ns,
            opened_ns=attempt.opened_ns,
            deflate=attempt.negotiation.deflate,
            windows=(c2s, s2c),
        )
        connection_faults = ConnectionFaults(context, link.boundaries, self.board.seed)
        connection_faults.unsent_bytes = link.unsent_bytes
        connection_faults.on_hit = lambda author: self.board.hit(author, self.now_ns())
        faults = LinkFaults(link, connection_faults, keeps=self._must_follow(attempt))
        link.faults = faults
        link.route()
        for lane in connection_faults.lanes:
            if lane.splitter.awaits_window and self._window_of is not None:
                task = asyncio.get_running_loop().create_task(self._search(attempt, faults, lane))
                self._searches.add(task)
                task.add_done_callback(self._searches.discard)
        return faults

    async def _search(self, attempt: AttemptFaults, faults: LinkFaults, lane: Lane) -> None:
        """Find what was compressed before the first rule was armed on an open connection."""
        assert self._window_of
        frames = attempt.link.boundaries[lane.direction].frames if attempt.link else 0
        for pause in _WINDOW_PAUSES:
            await asyncio.sleep(pause)
            if attempt.link is None or attempt.link.faults is not faults or not lane.splitter.awaits_window:
                return
            try:
                known = await asyncio.to_thread(self._window_of, attempt.facts.id, lane.direction, frames)
            except UnknownWindowError:
                return
            if known is not None:
                lane.splitter.give_window(known.window, known.begun)
                return

    async def windows_known(self, seconds: float) -> None:
        """Wait until what compressed connections have sent before is known, so that rules can act on it."""
        if self._searches:
            await asyncio.wait(self._searches, timeout=seconds)

    def _drop_if_idle(self, attempt: AttemptFaults) -> None:
        """No rule concerned the connection after all."""
        faults = attempt.link.faults if attempt.link is not None else None
        if faults is not None:
            faults.by_hand(lambda _faults, _now: None)

    # Rules

    @property
    def scripts(self) -> list[tuple[Rule, Script]]:
        """The scripts of armed rules, in order."""
        armed = self.board.armed(Scope.FRAME)
        return [(rule, rule.fault.runner) for rule in armed if isinstance(rule.fault, Scripted)]

    def _on_change(self, rule: Rule, is_armed: bool) -> None:
        if rule.scope not in _ON_OPEN:
            return
        for attempt in list(self.attempts.values()):
            link = attempt.link
            if link is None:
                continue
            if link.faults is None and is_armed:
                self._begin(attempt, (None, None))
            if link.faults is not None:
                if is_armed:
                    link.faults.arm(rule, self.board.order)
                else:
                    link.faults.disarm(rule.name)
            self._drop_if_idle(attempt)

    def _do_now(self, rule: Rule) -> None:
        """A phase does something once, to all open connections."""
        for number in list(self.attempts):
            faults = self.faults_of(number)
            if faults is not None:
                faults.act_once(rule, self.board.order)

    def _let_go(self) -> None:
        """All rules were taken away: nothing that was done once lasts any longer."""
        for attempt in list(self.attempts.values()):
            faults = attempt.link.faults if attempt.link is not None else None
            for name in faults.faults.lasting if faults is not None else ():
                attempt.link.faults.disarm(name)  # type: ignore[union-attr]

    # Phases

    def start_phases(self) -> None:
        """The scenario's clock begins."""
        self.board.start(self.now_ns())
        self._schedule_phase()

    def _schedule_phase(self) -> None:
        if self._phase_timer is not None:
            self._phase_timer.cancel()
            self._phase_timer = None
        if self.board.due is not None:
            loop = asyncio.get_running_loop()
            delay = max(0, self.board.due - self.now_ns()) / 1e9
            self._phase_timer = loop.call_later(delay, self._on_phase)

    def _on_phase(self) -> None:
        self.board.advance(self.now_ns() + 1000)
        self._schedule_phase()

    def close(self) -> None:
        """The engine ends: no timer of ours is left."""
        if self._phase_timer is not None:
            self._phase_timer.cancel()
            self._phase_timer = None
        for task in list(self._searches):
            task.cancel()


def _reads_content(rule: Rule) -> bool:
    keys = rule.filter.keys if rule.filter is not None else frozenset()
    return rule.fault.alters or bool(keys & {"body", "json"})


def _negotiation(flow: http.HTTPFlow) -> Negotiation:
    request = wire_head(flow.request)
    response = wire_head(flow.response) if flow.response else None
    return negotiate(
        RawHead.parse(request.raw) if request else None, RawHead.parse(response.raw) if response else None
    )
