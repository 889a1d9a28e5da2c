"""One open WebSocket with faults on it: both lanes, the rules armed on it, and how it is ended by us.

Contract: `feed`, `end`, `wake`, `arm` and `disarm` are given the time (nanoseconds) and answer with actions,
to be done in order (`take`). With no rule armed and nothing held, what is sent is what was fed. A rule that
is armed begins at the next frame boundary; one that is disarmed lets go of what it held.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from wsinspect.faults.frames import Surroundings, WireFrame
from wsinspect.faults.held import Decision, Held
from wsinspect.faults.lane import FULL_BYTES, Lane
from wsinspect.faults.rule import Author, Rule
from wsinspect.faults.seeded import Chance, Place
from wsinspect.faults.stage import Armed, Stage
from wsinspect.faults.stages.breakpoints import BreakStage
from wsinspect.faults.stages.messages import OPCODES, close_payload
from wsinspect.faults.stages.registry import STAGES
from wsinspect.vocabulary import events
from wsinspect.vocabulary.rules import BY_HAND
from wsinspect.wire.boundaries import Boundary
from wsinspect.wire.deflate import DeflateParams
from wsinspect.wire.opcodes import Direction, Opcode

C2S, S2C = Direction.CLIENT_TO_SERVER, Direction.SERVER_TO_CLIENT


class Send(NamedTuple):
    """Write bytes to the receiver of a direction.

    Attributes:
        late: numbers of frames that were held and whose last byte is among these.
    """

    direction: Direction
    data: bytes
    late: tuple[int, ...] = ()


class PassEnd(NamedTuple):
    """The sender of a direction ended it; now the receiver is to see the same end."""

    direction: Direction
    how: str


class Abort(NamedTuple):
    """End the transports: `to` gets `how`, another side a FIN."""

    to: str
    how: str


class Report(NamedTuple):
    """An event for the journal: a fault acted, was skipped, or holds a frame."""

    event: events.Event


Action = Send | PassEnd | Abort | Report


@dataclass(frozen=True, kw_only=True)
class Context:
    """What is known of a connection when faults begin on it.

    Attributes:
        facts: for filters.
        place: for chance.
        connection_number: which one of its client session, from 1.
        attempt_ns: when its attempt began.
        opened_ns: when the 101 was relayed.
        deflate: permessage-deflate's parameters.
        windows: what each receiver has inflated; None where that is not known.
    """

    facts: Any
    place: Place
    connection_number: int
    attempt_ns: int
    opened_ns: int
    deflate: DeflateParams | None
    windows: tuple[bytes | None, bytes | None]


class _Closing:
    """A closing handshake of ours.

    Attributes:
        awaited: directions whose sender has not answered with its CLOSE frame yet.
        swallowed: directions whose CLOSE frame goes no further.
    """

    def __init__(
        self, awaited: set[Direction], swallowed: set[Direction], deadline: int, timeout: int
    ) -> None:
        self.awaited = awaited
        self.swallowed = swallowed
        self.deadline: int | None = deadline
        self.timeout = timeout


class ConnectionFaults:
    """See the module docstring.

    Args:
        boundaries: where the streams of both directions are.
        seed: of all chance.
    """

    def __init__(self, context: Context, boundaries: Sequence[Boundary], seed: int) -> None:
        surroundings = Surroundings()
        surroundings.connection = context.facts
        surroundings.start_ns = context.attempt_ns
        self.context = context
        self.seed = seed
        self.lanes = tuple(
            Lane(
                self,
                direction,
                boundaries[direction],
                deflate=context.deflate,
                window=context.windows[direction],
                surroundings=surroundings,
            )
            for direction in (C2S, S2C)
        )
        self._actions: list[Action] = []
        self._stages: dict[str, list[tuple[Lane, Stage[Any]]]] = {}
        self._once: set[str] = set()
        self._closing: _Closing | None = None
        self._closes: set[Direction] = set()
        self.is_aborted = False
        self._ended_by: Author | None = None
        self._late_by = Author(BY_HAND, "hold")  # the newest rule that acted
        self._ended: set[Direction] = set()
        self._heard_ns: list[int | None] = [None, None]  # when each direction's receiver got its last bytes
        self._now = 0
        self._spoken = 0  # frames of ours so far: each has a masking key of its own
        self.unsent_bytes: Callable[[Direction], int] = lambda direction: 0
        self.on_hit: Callable[[Author], None] = lambda author: None

    # What the relay tells

    def passes(self, direction: Direction, data: bytes, now: int) -> bool:
        """Whether bytes that arrived may leave as they came, at once; where not, they are to be fed."""
        may_pass = not self.is_aborted and self.lanes[direction].passes(data, now)
        if may_pass:
            self._heard_ns[direction] = now
        return may_pass

    def feed(self, direction: Direction, data: bytes, now: int) -> None:
        """Bytes arrived; what comes after an abort is recorded and not passed on."""
        self._now = now
        if not self.is_aborted:
            self.lanes[direction].feed(data, now)
        elif self._ended_by is not None:
            for item in self.lanes[direction].splitter.feed(data, now):
                if isinstance(item, WireFrame):
                    self.lost(direction, item, self._ended_by)

    def end(self, direction: Direction, how: str, now: int) -> None:
        """A sender ended its direction."""
        self._ended.add(direction)
        if self.is_aborted:
            self._actions.append(PassEnd(direction, how))
        else:
            self.lanes[direction].end(how, now)
            if how == "rst":
                self._lose_receiver(self.lanes[direction.other], now)
            if len(self._ended) == len(Direction):
                # Nobody waits for a decision any more, and the connection could not end before one.
                self.pass_all(now)

    def wake(self, now: int) -> None:
        """The time in `due` has come."""
        self._now = now
        for lane in self.lanes:
            if not self.is_aborted:
                lane.wake(now)
        for name in [*self._once]:
            self._finish_once(name, now)
        closing = self._closing
        if closing is not None and closing.deadline is not None and closing.deadline <= now:
            closing.deadline = None
            self.abort("both", "fin", now)

    @property
    def due(self) -> int | None:
        """When to call `wake`, in nanoseconds; None where there is nothing to wait for."""
        if self.is_aborted:
            return None
        first = self._closing.deadline if self._closing is not None else None
        for lane in self.lanes:
            for stage in lane.stages:
                due = stage.due
                if due is not None and (first is None or due < first):
                    first = due
        return first

    def take(self) -> list[Action]:
        """What is to be done now, in order."""
        actions, self._actions = self._actions, []
        return actions

    @property
    def is_at_rest(self) -> bool:
        """Whether rules are armed, and none of them holds anything or waits for a moment."""
        if self._closing is not None or self.is_aborted or not self._stages:
            return False
        for lane in self.lanes:
            for stage in lane.stages:
                if stage.due is not None or not stage.is_empty:
                    return False
        return True

    @property
    def is_idle(self) -> bool:
        """Whether the relay can do without it from here on."""
        return self._closing is None and not self.is_aborted and all(lane.is_idle for lane in self.lanes)

    @property
    def holds(self) -> bool:
        """Whether bytes are kept back."""
        return any(lane.holds for lane in self.lanes)

    @property
    def held_bytes(self) -> int:
        """How many bytes are kept back."""
        return sum(lane.held_bytes for lane in self.lanes)

    def give_up(self) -> tuple[list[Send], tuple[Boundary, Boundary]]:
        """When idle: the bytes of unfinished frames, and where both streams are after them."""
        sends: list[Send] = []
        boundaries: list[Boundary] = []
        for lane in self.lanes:
            held, boundary = lane.splitter.give_up()
            boundaries.append(boundary)
            if held:
                sends.append(Send(lane.direction, held))
        return sends, (boundaries[0], boundaries[1])

    # Rules

    def concerns(self, rule: Rule) -> bool:
        """Whether a rule acts on this connection at all."""
        context = self.context
        return (
            type(rule.fault) in STAGES
            and rule.tap in (None, context.place.tap)
            and rule.when.admits_session(context.place.attempt, context.connection_number)
            and (
                rule.filter is None
                or not rule.selects_connections
                or rule.filter.connection_predicate()(context.facts)
            )
        )

    def arm(self, rule: Rule, order: Sequence[str], now: int) -> None:
        """Begin to act; `order` has the names of all rules in the order of application."""
        if rule.name in self._stages or not self.concerns(rule) or self.is_aborted:
            return
        armed = Armed(rule, max(now, self.context.opened_ns), self.context.opened_ns)
        stage_type = STAGES[type(rule.fault)]
        before = set(order[: order.index(rule.name)]) if rule.name in order else set(order)
        pairs: list[tuple[Lane, Stage[Any]]] = []
        for direction in rule.directions:
            lane = self.lanes[direction]
            chance = Chance(self.seed, rule.name, self.context.place, direction.short)
            stage = stage_type(armed, rule.fault, lane, chance)
            lane.insert(stage, sum(other.rule.name in before for other in lane.stages))
            pairs.append((lane, stage))
        self._stages[rule.name] = pairs
        self._wake_due(now)

    def act_once(self, rule: Rule, order: Sequence[str], now: int) -> None:
        """Do something once, now; what lasts for a time stays armed until that is over."""
        self.arm(rule, order, now)
        if rule.name in self._stages and not self._finish_once(rule.name, now):
            self._once.add(rule.name)

    def _finish_once(self, name: str, now: int) -> bool:
        is_over = all(stage.is_over for _, stage in self._stages.get(name, ()))
        if is_over:
            self.disarm(name, now)
        return is_over

    def disarm(self, name: str, now: int) -> None:
        """Stop acting, and let go of what is held."""
        self._once.discard(name)
        for lane, stage in self._stages.pop(name, []):
            lane.remove(stage, now)

    @property
    def armed(self) -> list[str]:
        """The names of the rules that are armed here."""
        return list(self._stages)

    @property
    def lasting(self) -> list[str]:
        """The names of what was done once and lasts."""
        return list(self._once)

    def _wake_due(self, now: int) -> None:
        if self.due is not None and self.due <= now:
            self.wake(now)

    # Breakpoints

    def held_messages(self) -> list[Held]:
        """What breakpoints hold, with when each side has got its last bytes, and who has left."""
        gone = tuple(side for way, side in ((C2S, "client"), (S2C, "server")) if way in self._ended)
        return [
            replace(held, client_heard_ns=self._heard_ns[S2C], server_heard_ns=self._heard_ns[C2S], gone=gone)
            for _, stage in self._break_stages()
            for held in stage.held_messages()
        ]

    def decide(self, name: str, decision: Decision, now: int) -> bool:
        """Do with a held message what was decided; False where nothing here has that name."""
        self._now = now
        for lane, stage in self._break_stages():
            if stage.decide(name, decision, now):
                if decision.action == "answer":
                    self._answer(lane.direction.other, decision, now)
                lane.outlet.flush()
                return True
        return False

    def pass_all(self, now: int) -> int:
        """Let everything pass that breakpoints hold; how many messages."""
        self._now = now
        count = 0
        for lane, stage in self._break_stages():
            count += stage.decide_all(Decision(), now)
            lane.outlet.flush()
        return count

    def _break_stages(self) -> list[tuple[Lane, BreakStage]]:
        return [(lane, one) for lane in self.lanes for one in lane.stages if isinstance(one, BreakStage)]

    def _answer(self, direction: Direction, decision: Decision, now: int) -> None:
        """Say something to the sender of a message that goes no further; no ledger entry of its own."""
        lane = self.lanes[direction]
        key = Chance(self.seed, "break", self.context.place, direction.short).octets(4, now, "masking key")
        data = lane.make(OPCODES[decision.opcode], decision.payload or b"", key)
        self._by_hand(direction, "inject", {"sent": data[:4096].hex(), "bytes": len(data)}, injected=True)
        lane.encoder.insert(data, now, is_message=decision.opcode in ("text", "binary"))
        lane.outlet.flush()

    # By hand

    def inject(self, direction: Direction, data: bytes, now: int, *, is_message: bool = False) -> None:
        """Send a frame of ours at the next frame boundary; a message not inside another one."""
        lane = self.lanes[direction]
        detail = {"sent": data[:4096].hex(), "bytes": len(data)}
        self._by_hand(direction, "inject", detail, injected=True)
        lane.encoder.insert(data, now, is_message=is_message)
        lane.outlet.flush()

    def close_by_hand(self, to: str, code: int, reason: str, timeout_ns: int, now: int) -> None:
        """Begin a closing handshake."""
        self._by_hand(S2C, "close", {"code": code, "reason": reason, "to": to}, ends=True)
        self.close(to, code, reason, timeout_ns, Author(BY_HAND, "close"), now)

    def abort_by_hand(self, to: str, how: str, now: int) -> None:
        """End without a close frame."""
        self._by_hand(S2C, "abort", {"how": how, "to": to}, ends=True)
        self.abort(to, how, now)

    def _by_hand(self, direction: Direction, kind: str, detail: Mapping[str, Any], **more: Any) -> None:
        author = Author(BY_HAND, kind)
        self.on_hit(author)
        self._log(direction, author, None, detail, **more)

    # lane.Owner

    def sent(self, direction: Direction, data: bytes, late: tuple[int, ...] = ()) -> None:
        if not self.is_aborted:
            self._heard_ns[direction] = self._now
            self._actions.append(Send(direction, data, late))

    def held(self, direction: Direction, ordinal: int) -> None:
        self._actions.append(Report(events.Held(direction=direction.short, frame=ordinal)))

    def written(self, send: Send) -> list[events.Sent]:
        """The bytes were handed to the socket: the events that report it for frames that were held."""
        short = send.direction.short
        return [events.Sent(direction=short, frame=ordinal) for ordinal in send.late]

    def unwritten(self, send: Send) -> list[events.Fault]:
        """The socket took no more bytes: the events for frames that were held until then."""
        lane = self.lanes[send.direction]
        by = lane.holder or self._late_by
        detail = {"lost": "the connection had already ended"}
        return [self._event(send.direction, by, ordinal, detail, dropped=True) for ordinal in send.late]

    def lose_held(self) -> None:
        """The connection is over: what is still held is recorded as never sent."""
        for lane in self.lanes:
            self._lose(lane, "the connection ended first")

    def _lose_receiver(self, lane: Lane, now: int) -> None:
        """Who resets a connection reads nothing more: an end behind what is held need not wait for it."""
        self._lose(lane, "its receiver had reset the connection")
        lane.outlet.is_dead = True
        lane.let_go(now)

    def _lose(self, lane: Lane, why: str) -> None:
        by = lane.holder or self._ended_by or self._late_by
        for frame in lane.unsent.take():
            detail = {"bytes": len(frame.raw), "lost": why}
            self._log(lane.direction, by, frame.ordinal, detail, dropped=True)

    def ended(self, direction: Direction, how: str) -> None:
        self._actions.append(PassEnd(direction, how))

    def report(
        self, direction: Direction, rule: Rule, ordinal: int | None, detail: Mapping[str, Any], **more: Any
    ) -> None:
        if not more.pop("is_same_hit", False):
            self.on_hit(rule.author)
        self._late_by = rule.author
        is_cut = more.get("ends") and rule.kind in ("limit_data", "truncate")
        if ordinal is not None and (more.get("dropped") or is_cut):
            unsent = self.lanes[direction].unsent
            if is_cut and ordinal in unsent.turn:
                detail = {**detail, "copy": True}  # of a frame that has left
            unsent.forget(ordinal)
        self._log(direction, rule.author, ordinal, detail, **more)

    def skipped(self, rule: Rule, reason: str) -> None:
        self._actions.append(Report(events.FaultSkipped(rule=rule.name, kind=rule.kind, reason=reason)))

    def say(self, direction: Direction, opcode: str, payload: bytes, by: Author, now: int) -> None:
        lane = self.lanes[direction]
        self._spoken += 1
        key = Chance(self.seed, by.rule, self.context.place, direction.short).octets(
            4, self._spoken, "masking key"
        )
        data = lane.make(OPCODES[opcode], payload, key)
        self.on_hit(by)
        self._log(direction, by, None, {"sent": data[:4096].hex(), "bytes": len(data)}, injected=True)
        lane.encoder.insert(data, now, is_message=opcode in ("text", "binary"))
        lane.outlet.flush()

    def is_stuck(self, direction: Direction) -> bool:
        return self.unsent_bytes(direction) > FULL_BYTES

    def lost(self, direction: Direction, frame: WireFrame, by: Author) -> None:
        detail = {"bytes": len(frame.raw), "behind": by.kind}
        self.lanes[direction].unsent.forget(frame.ordinal)
        self._log(direction, by, frame.ordinal, detail, dropped=True)

    def _log(
        self,
        direction: Direction,
        author: Author,
        ordinal: int | None,
        detail: Mapping[str, Any],
        **more: Any,
    ) -> None:
        if more.get("ends"):
            self._ended_by = author
        self._actions.append(Report(self._event(direction, author, ordinal, detail, **more)))

    def _event(
        self,
        direction: Direction,
        author: Author,
        ordinal: int | None,
        detail: Mapping[str, Any],
        **more: Any,
    ) -> events.Fault:
        return events.Fault(
            rule=author.rule,
            kind=author.kind,
            seed=self.seed,
            direction=direction.short,
            frame=ordinal,
            detail=dict(detail),
            **more,
        )

    def abort(self, to: str, how: str, now: int) -> None:
        if not self.is_aborted:
            for lane in self.lanes:
                lane.outlet.flush()
            self.is_aborted = True
            for lane in self.lanes:
                lane.encoder.closed_by = lane.encoder.closed_by or self._ended_by
            self.lose_held()
            self._actions.append(Abort(to, how))

    def close(self, to: str, code: int, reason: str, timeout_ns: int, by: Author, now: int) -> None:
        """Send CLOSE frames and wait for the answers; without them in time the connection is aborted.

        What is held goes out first; what comes later is recorded and not passed on.
        A side that gets no CLOSE of ours gets the other side's answer, and its own answer goes no further.
        """
        if self._closing is not None or self.is_aborted:
            return
        ways: dict[str, tuple[Literal[0, 1], ...]] = {"both": (0, 1), "client": (1,), "server": (0,)}
        directions = [Direction(value) for value in ways[to] if Direction(value) not in self._closes]
        self._closing = _Closing(
            {direction.other for direction in directions} - self._closes,
            {direction.other for direction in directions} if to == "both" else set(directions),
            now + timeout_ns,
            timeout_ns,
        )
        payload = close_payload(code, reason)
        key = Chance(self.seed, "close", self.context.place, "c2s").octets(4, 1, "masking key")
        for direction in directions:
            lane = self.lanes[direction]
            lane.let_go(now)
            lane.encoder.close(lane.make(Opcode.CLOSE, payload, key), by, now)
            lane.outlet.flush()

    def saw_close(self, direction: Direction, frame: WireFrame, now: int) -> bool:
        """A peer's CLOSE frame, while we close: whether it goes no further."""
        closing = self._closing
        if closing is None:
            self._closes.add(direction)
            return False
        if direction in closing.awaited:
            closing.awaited.discard(direction)
            if not closing.awaited:
                # RFC 6455 section 7.1.1: now the server closes the TCP connection; it is given time to.
                closing.deadline = now + closing.timeout
        return direction in closing.swallowed


__all__ = ["BY_HAND", "Abort", "Action", "ConnectionFaults", "Context", "PassEnd", "Report", "Send"]
