"""Faults on opening handshakes, and before the request is known: a mitmproxy addon.

It is added behind `AttemptLog`, so that an attempt has its number and its request is recorded as it came.
Only an attempt that is to be delayed waits, and nothing else waits with it; it continues when its rule is
taken away, or its client leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, Final

from mitmproxy import connection, ctx, http, tls
from mitmproxy.net.http import http1, status_codes

from wsinspect.faults.held import Held
from wsinspect.faults.kinds import FaultKind, Scope, connections, handshakes
from wsinspect.faults.rule import Rule
from wsinspect.faults.scripting import Handshake
from wsinspect.faults.seeded import Chance, Place
from wsinspect.proxy.attempt_faults import AttemptFaults, LiveFacts
from wsinspect.proxy.attempts import HELD_BY, AttemptLog, attempt_of
from wsinspect.proxy.faulting import FaultController
from wsinspect.proxy.holding import HeldHandshake, bytes_of, change_head, head_text, text_of
from wsinspect.proxy.seams.http1 import attach_head
from wsinspect.proxy.seams.transport import Wire
from wsinspect.vocabulary import events

#: A TLS alert record of TLS 1.2, which every client reads: type, version, length, level "fatal".
_ALERT = b"\x15\x03\x03\x00\x02\x02"
_RESPONSE_KINDS = (handshakes.BadAccept,)
#: How long a change of rules waits for a listener to close or open.
_PATIENCE_SECONDS: Final = 5.0
_OUTAGES = (handshakes.Refuse, handshakes.Hang, connections.Blackhole)


class HandshakeFaults:
    """See the module docstring.

    Attributes:
        clients: how many TCP connections of clients there were.
    """

    def __init__(self, controller: FaultController, log: AttemptLog) -> None:
        self.controller = controller
        self.log = log
        self.clients = 0
        self._accepted: dict[str, int] = {}
        self._waiting: dict[asyncio.Event, tuple[str, str]] = {}  # rule and client
        self._armed_ns: dict[str, int] = {}
        self._listeners = asyncio.Lock()
        self._listener_timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        controller.board.on_change.append(self._on_change)
        controller.board.on_event = lambda event: log.sink.event(0, event, controller.now_ns())

    def start(self) -> None:
        """The listeners are up: what was armed from the start begins to act."""
        self.controller.board.record()
        for rule in self.controller.board.armed(Scope.ACCEPT):
            self._on_change(rule, True)

    # Before the request

    def client_connected(self, client: connection.Client) -> None:
        self.clients += 1
        rule = self._accepts(handshakes.ResetOnAccept, client)
        wire = Wire.of_client(client) if rule else None
        if rule and wire:
            self._log_accept(rule, client, {})
            wire.reset_on_close(client)
            client.error = "reset by a fault"

    def client_disconnected(self, client: connection.Client) -> None:
        for event, (_, client_id) in list(self._waiting.items()):
            if client_id == client.id:
                event.set()

    def tls_start_client(self, data: tls.TlsData) -> None:
        client = data.context.client
        rule = self._accepts(handshakes.TlsError, client, client.sni or "")
        if rule is None or not isinstance(rule.fault, handshakes.TlsError):
            return
        self._log_accept(rule, client, {"sni": client.sni, "alert": rule.fault.alert})
        self.log.tls_failed_by[client.id] = rule.name
        wire = Wire.of_client(client)
        code = handshakes.ALERTS.get(rule.fault.alert)
        if wire and code is not None:
            wire.write(client, _ALERT + bytes((code,)))
        data.ssl_conn = None
        if wire:
            wire.hang_up(client)

    def _accepts(self, kind: type[FaultKind], client: connection.Client, sni: str = "") -> Rule | None:
        """The rule of this kind that acts on a new TCP connection."""
        tap = self.log.taps.of(client)
        name = tap.name if tap else ""
        for rule in self.controller.board.armed(Scope.ACCEPT):
            if not isinstance(rule.fault, kind) or rule.tap not in (None, name):
                continue
            pattern = getattr(rule.fault, "sni", None)
            if pattern is not None and not fnmatch.fnmatchcase(sni.lower(), pattern.lower()):
                continue
            number = self._accepted[rule.name] = self._accepted.get(rule.name, 0) + 1
            chance = Chance(self.controller.board.seed, rule.name, Place(name, "", "", 0), "")
            if (
                rule.when.admits_time(self._elapsed(rule))
                and rule.when.admits_number(number)
                and _is_chosen(rule, chance, number)
            ):
                return rule
        return None

    def _elapsed(self, rule: Rule) -> int:
        """Since it was armed: before the request nothing else is known to count from."""
        now = self.controller.now_ns()
        return now - self._armed_ns.setdefault(rule.name, now)

    def _log_accept(self, rule: Rule, client: connection.Client, detail: dict[str, Any]) -> None:
        now = self.controller.now_ns()
        self.controller.board.hit(rule.author, now)
        peer = client.peername
        tap = self.log.taps.of(client)
        facts = {
            "client": f"{peer[0]}:{peer[1]}",
            "tap": tap.name if tap else None,
            **detail,
        }
        self.log.sink.event(0, _event(rule, self.controller.board.seed, facts), now)

    # The listener

    def _on_change(self, rule: Rule, is_armed: bool) -> None:
        if is_armed:
            self._armed_ns[rule.name] = self.controller.now_ns()
        if not is_armed:
            self._armed_ns.pop(rule.name, None)
            self._accepted.pop(rule.name, None)
            for event, (name, _) in list(self._waiting.items()):
                if name == rule.name:
                    event.set()
        if isinstance(rule.fault, handshakes.RefuseTcp):
            self._set_listeners_soon()

    def _set_listeners_soon(self) -> None:
        task = asyncio.get_running_loop().create_task(self._set_listeners())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def listeners_set(self, seconds: float = _PATIENCE_SECONDS) -> None:
        """Wait until listeners are open and closed as the rules of this moment want it, at most so long."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    async def _set_listeners(self) -> None:
        """Close and open listeners as the armed rules want it, and look again when that changes."""
        async with self._listeners:
            rules = [
                rule
                for rule in self.controller.board.armed(Scope.ACCEPT)
                if isinstance(rule.fault, handshakes.RefuseTcp)
            ]
            self._look_again(rules)
            rules = [rule for rule in rules if rule.when.admits_time(self._elapsed(rule))]
            for instance in list(ctx.master.addons.get("proxyserver").servers):
                tap = self.log.taps.of_spec(instance.mode.full_spec)
                name = tap.name if tap else None
                rule = next((rule for rule in rules if rule.tap in (None, name)), None)
                if rule is not None and instance.is_running:
                    await instance.stop()
                    now = self.controller.now_ns()
                    self.controller.board.hit(rule.author, now)
                    self.log.sink.event(0, _event(rule, self.controller.board.seed, {"tap": name}), now)
                elif rule is None and not instance.is_running:
                    with contextlib.suppress(OSError):  # somebody took the port: mitmproxy has logged it
                        await instance.start()

    def _look_again(self, rules: Iterable[Rule]) -> None:
        if self._listener_timer is not None:
            self._listener_timer.cancel()
            self._listener_timer = None
        moments = [
            moment - self._elapsed(rule)
            for rule in rules
            for moment in (rule.when.start_ns, rule.when.end_ns)
            if moment is not None and moment > self._elapsed(rule)
        ]
        if moments:
            loop = asyncio.get_running_loop()
            self._listener_timer = loop.call_later(min(moments) / 1e9 + 0.001, self._set_listeners_soon)

    # The handshake

    def requestheaders(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        if attempt_of(flow) is None:
            return self._outage(flow)
        faulted = self._attempt_faults(flow)
        if faulted is None or self._is_refused_by_script(flow, faulted):
            return None
        if not self.controller.board.armed(Scope.HANDSHAKE):
            return None
        return self._apply(flow, faulted, of="request")

    def _is_refused_by_script(self, flow: http.HTTPFlow, faulted: AttemptFaults) -> bool:
        """Show the request to the scripts, and do what they want; True where one has answered it."""
        for rule, script in self.controller.scripts:
            fields = [(text_of(name), text_of(value)) for name, value in flow.request.headers.fields]
            request = Handshake(script.connection(faulted.facts), flow.request.path, list(fields))
            done = script.handshake(request)
            if done is None:
                continue
            if done.refusal is not None:
                status, body, headers = done.refusal
                self._record(rule, faulted, {"did": "refuse", "status": status}, ends=True)
                self._answer(flow, handshakes.Refuse(status=status, headers=headers, body=body))
                return True
            if done.headers != fields or done.path != flow.request.path:
                pairs = [(bytes_of(name), bytes_of(value)) for name, value in done.headers]
                flow.request.headers = http.Headers(pairs)
                flow.request.path = done.path
                self._record(rule, faulted, {"did": "change"})
        return False

    # other requests, too: a server that is down does not answer long-polling either

    def _outage(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        board = self.controller.board
        rules = [
            rule
            for rule in board.armed(Scope.HANDSHAKE, Scope.CONNECTION)
            if isinstance(rule.fault, _OUTAGES) and rule.fault.only == "all"
        ]
        return self._apply_outages(flow, rules) if rules and flow.response is None else None

    async def _apply_outages(self, flow: http.HTTPFlow, rules: Sequence[Rule]) -> None:
        tap = self.log.taps.of(flow.client_conn)
        name = tap.name if tap else None
        facts = LiveFacts(0, name, flow)
        for rule in rules:
            remaining = self._outage_left(rule, facts, name)
            if remaining == 0:
                continue
            detail: dict[str, Any] = {"tap": name, "method": flow.request.method}
            detail |= {"host": facts.host, "path": facts.path}
            now = self.controller.now_ns()
            self.controller.board.hit(rule.author, now)
            if isinstance(rule.fault, handshakes.Refuse):
                detail["status"] = rule.fault.status
            self.log.sink.event(0, _event(rule, self.controller.board.seed, detail), now)
            flow.metadata[HELD_BY] = rule.name
            if isinstance(rule.fault, handshakes.Refuse):
                flow.request.stream = False
                self._answer(flow, rule.fault)
                return
            await self._wait(rule, flow, remaining)
            del flow.metadata[HELD_BY]  # what comes now is the server's

    def _outage_left(self, rule: Rule, facts: LiveFacts, tap: str | None) -> int | None:
        """For how long the rule acts on a request that comes now, None for as long as it is armed, 0 if not.

        Rules that choose attempts or count something are about WebSockets.
        """
        when, elapsed = rule.when, self._elapsed(rule)
        is_counted = when.counts_frames or when.attempt or when.connection
        if rule.tap not in (None, tap) or is_counted or not when.admits_time(elapsed):
            return 0
        if rule.filter is not None and not (
            rule.selects_connections and rule.filter.connection_predicate()(facts)
        ):
            return 0
        number = self._accepted[rule.name] = self._accepted.get(rule.name, 0) + 1
        place = Place(tap or "", facts.host or "", (facts.path or "").partition("?")[0], 0)
        if not _is_chosen(rule, Chance(self.controller.board.seed, rule.name, place, ""), number):
            return 0
        if isinstance(rule.fault, handshakes.Refuse):
            return None
        assert isinstance(rule.fault, handshakes.Hang | connections.Blackhole)
        if isinstance(rule.fault, connections.Blackhole) and rule.fault.for_ is not None:
            return max(0, when.start_ns + rule.fault.for_ - elapsed)
        return rule.fault.for_

    def responseheaders(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        faulted = self._attempt_faults(flow)
        if faulted is None or not self.controller.board.armed(Scope.HANDSHAKE):
            return None
        return self._apply(flow, faulted, of="response")

    def _attempt_faults(self, flow: http.HTTPFlow) -> AttemptFaults | None:
        attempt = attempt_of(flow)
        return self.controller.attempts.get(attempt.number) if attempt else None

    async def _apply(self, flow: http.HTTPFlow, faulted: AttemptFaults, *, of: str) -> None:
        for rule in self.controller.board.armed(Scope.HANDSHAKE):
            fault = rule.fault
            part = "response" if isinstance(fault, _RESPONSE_KINDS) else getattr(fault, "of", "request")
            if part != of or not self._matches(rule, faulted):
                continue
            number = faulted.session.count(rule.name)
            elapsed = self.controller.now_ns() - faulted.session.first_ns
            chance = Chance(self.controller.board.seed, rule.name, faulted.place, "")
            when = rule.when
            acts = (
                when.admits_time(elapsed) and when.admits_number(number) and _is_chosen(rule, chance, number)
            )
            if acts and await self._act(rule, flow, faulted, chance, number):
                return

    def _matches(self, rule: Rule, faulted: AttemptFaults) -> bool:
        if rule.tap not in (None, faulted.place.tap):
            return False
        if not rule.when.admits_session(faulted.place.attempt, faulted.connection_number):
            return False
        return rule.filter is None or rule.filter.connection_predicate()(faulted.facts)

    async def _act(
        self, rule: Rule, flow: http.HTTPFlow, faulted: AttemptFaults, chance: Chance, number: int
    ) -> bool:
        """Do it; True when the attempt is answered."""
        fault = rule.fault
        detail: dict[str, Any] = {"match": number}
        if isinstance(fault, handshakes.Refuse | handshakes.Redirect):
            self._record(rule, faulted, {**detail, "status": fault.status}, ends=True)
            self._answer(flow, fault)
            return True
        if isinstance(fault, handshakes.Hang):
            self._record(rule, faulted, detail)
            await self._wait(rule, flow, fault.for_)
        elif isinstance(fault, handshakes.BreakHandshake):
            return await self._hold(rule, fault, flow, faulted, number)
        elif isinstance(fault, handshakes.Delay):
            extra = (2 * chance.uniform(number, "jitter") - 1) * fault.jitter
            delay = max(0, int(fault.delay + extra))
            self._record(rule, faulted, {**detail, "of": fault.of, "delay_ms": delay / 1e6})
            await self._wait(rule, flow, delay)
        else:
            change(fault, flow)
            self._record(rule, faulted, {**detail, **fault.settings()})
        return False

    async def _hold(
        self,
        rule: Rule,
        fault: handshakes.BreakHandshake,
        flow: http.HTTPFlow,
        faulted: AttemptFaults,
        number: int,
    ) -> bool:
        """Hold a handshake until somebody decides; True when the attempt is answered."""
        now = self.controller.now_ns()
        response = flow.response if fault.of == "response" else None
        held = Held(
            name=f"h{faulted.facts.id}-{fault.of}",
            rule=rule.name,
            connection=faulted.facts.id,
            what=fault.of,
            direction="s2c" if response is not None else "c2s",
            since_ns=now,
            until_ns=None if fault.timeout is None else now + fault.timeout,
            opcode=None,
            data=head_text(flow, response).encode("utf-8", "surrogateescape"),
        )
        waiting = HeldHandshake(held)
        self.controller.held_handshakes[held.name] = waiting
        event = waiting.decided
        try:
            await self._wait(rule, flow, fault.timeout, event)
        finally:
            self.controller.held_handshakes.pop(held.name, None)
        decision = waiting.decision
        held_ms = (self.controller.now_ns() - now) / 1e6
        detail: dict[str, Any] = {"match": number, "of": fault.of, "did": decision.action, "held_ms": held_ms}
        if decision.action == "answer":
            detail["status"] = decision.status
            self._record(rule, faulted, detail, ends=True)
            self._answer(
                flow, handshakes.Refuse(status=decision.status, headers=decision.headers, body=decision.body)
            )
            return True
        if decision.action == "drop":
            self._record(rule, faulted, detail, ends=True)
            wire = Wire.of_client(flow.client_conn)
            if wire is not None:
                wire.reset_on_close(flow.client_conn)
            flow.kill()
            return True
        if decision.action == "edit" and decision.head is not None:
            change_head(flow, response, decision.head)
            detail["head"] = decision.head[:4096]
        self._record(rule, faulted, detail)
        return False

    async def _wait(
        self, rule: Rule, flow: http.HTTPFlow, duration_ns: int | None, event: asyncio.Event | None = None
    ) -> None:
        event = event or asyncio.Event()
        self._waiting[event] = (rule.name, flow.client_conn.id)
        if (attempt := attempt_of(flow)) is not None:
            attempt.on_left = event.set
        try:
            await asyncio.wait_for(event.wait(), None if duration_ns is None else duration_ns / 1e9)
        except TimeoutError:
            pass  # it has waited as long as it should
        finally:
            self._waiting.pop(event, None)

    def _answer(self, flow: http.HTTPFlow, fault: handshakes.Refuse | handshakes.Redirect) -> None:
        headers: list[tuple[str, str]] = []
        body = b""
        if isinstance(fault, handshakes.Redirect):
            headers.append(("Location", fault.location))
        else:
            headers += fault.headers
            body = fault.body.encode()
        fields = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers]
        if not any(name.lower() == b"content-length" for name, _ in fields):
            fields.append((b"Content-Length", b"%d" % len(body)))
        response = http.Response(
            b"HTTP/1.1",
            fault.status,
            status_codes.RESPONSES.get(fault.status, "Fault").encode(),
            http.Headers(fields),
            body,
            None,
            flow.request.timestamp_start,
            flow.request.timestamp_start,
        )
        flow.response = response
        attempt = attempt_of(flow)
        if attempt:
            head = attach_head(response, http1.assemble_response_head(response))
            head.forwarded = attempt.answered
            attempt.is_answered_by_fault = True

    def _record(
        self, rule: Rule, faulted: AttemptFaults, detail: dict[str, Any], *, ends: bool | None = None
    ) -> None:
        now = self.controller.now_ns()
        self.controller.board.hit(rule.author, now)
        event = _event(rule, self.controller.board.seed, detail, ends=ends)
        self.log.sink.event(faulted.facts.id, event, now)

    def stop(self) -> None:
        """The engine ends: nothing waits any more."""
        for event in list(self._waiting):
            event.set()
        if self._listener_timer is not None:
            self._listener_timer.cancel()
            self._listener_timer = None


def change(fault: FaultKind, flow: http.HTTPFlow) -> None:
    """Change the request or the response."""
    message: http.Message | None = (
        flow.response if getattr(fault, "of", "response") == "response" else flow.request
    )
    if message is None:
        return
    if isinstance(fault, handshakes.StripHeaders):
        for name in fault.names:
            message.headers.pop(name, None)
    elif isinstance(fault, handshakes.SetHeaders):
        for name, value in fault.headers:
            message.headers[name] = value
    elif isinstance(fault, handshakes.DropSubprotocol):
        message.headers.pop("Sec-WebSocket-Protocol", None)
    elif isinstance(fault, handshakes.DowngradeHttp10):
        message.http_version = "HTTP/1.0"
    elif isinstance(fault, handshakes.BadAccept):
        message.headers["Sec-WebSocket-Accept"] = fault.value


def _is_chosen(rule: Rule, chance: Chance, number: int) -> bool:
    return rule.probability >= 1 or chance.uniform(number) < rule.probability


def _event(rule: Rule, seed: int, detail: dict[str, Any], ends: bool | None = None) -> events.Fault:
    return events.Fault(rule=rule.name, kind=rule.kind, seed=seed, detail=detail, ends=ends)


__all__ = ["HandshakeFaults", "change"]
