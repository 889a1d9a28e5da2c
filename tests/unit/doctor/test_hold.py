"""Connections held against a server with a limit, on a clock that is moved by hand: which limit is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.unit.findings.facts_made import ended
from wsinspect.doctor.hold import MAX_HELD, Hold, Plan, Trial
from wsinspect.doctor.judge import ruled_out_by_holding
from wsinspect.findings.held import Held
from wsinspect.findings.model import Finding
from wsinspect.findings.probes import Probe, ProbeFacts
from wsinspect.findings.registry import diagnose_probes
from wsinspect.handshake.negotiation import Negotiation
from wsinspect.wire.frame import serialize_frame
from wsinspect.wire.opcodes import Direction, Opcode
from wsinspect.wire.stream import StreamDecoder

SECOND = 10**9
STEP = SECOND // 50
TRIAL = Trial(duration_ns=120 * SECOND)
KEY = b"\0\0\0\0"
IDS = {f"WS-DROP-{n:03}" for n in range(9, 14)} | {"WS-KA-009"}


@dataclass
class Server:
    """A server, and the hop before it, as seen from one connection; times in seconds.

    Attributes:
        counts: `any`, `server` or `client`: whose silence the hop counts, up to `idle`; `messages`: the
            server's own limit on silence, which counts nothing but messages of the client.
        lifetime: how old a connection gets.
        speaks: it sends a message by itself that often; `pings`: a PING.
        wants_pongs: it ends a client that has not answered within that time.
        forgets: after so long a silence nothing is passed on any more, and nobody says so.
        dies_at: when everything ends, on the clock of the trial.
        end: what the end looks like.
    """

    counts: str = "any"
    idle: float = 1e9
    lifetime: float = 1e9
    speaks: float = 0.0
    pings: float = 0.0
    wants_pongs: float = 1e9
    forgets: float = 1e9
    dies_at: float = 1e9
    refuses_control: bool = False
    refuses_messages: bool = False
    answers_pings: bool = True
    end: str = "fin"

    def __post_init__(self) -> None:
        self.last = {"any": 0, "server": 0, "client": 0, "messages": 0}
        self.out: list[bytes] = []
        self.asked: int | None = None
        self.is_over = False
        self.is_gone = False
        self.decoder = StreamDecoder(Direction.CLIENT_TO_SERVER)

    def say(self, now: int, opcode: int, payload: bytes = b"") -> None:
        self.last |= {"any": now, "server": now}
        self.out.append(serialize_frame(opcode, payload))

    def take(self, data: bytes, now: int) -> None:
        if not data or self.is_over:
            return
        self.is_gone = self.is_gone or now - self.last["any"] > self.forgets * SECOND
        if self.is_gone:
            return
        self.last |= {"any": now, "client": now}
        for frame in self.decoder.feed(data, now).frames:
            if frame.opcode == Opcode.TEXT:
                self.last["messages"] = now
            if frame.opcode == Opcode.PONG and frame.payload == b"beat":
                self.asked = None
            if frame.opcode == Opcode.PING and self.answers_pings:
                self.say(now, Opcode.PONG, frame.payload)
            is_control = frame.opcode != Opcode.TEXT and frame.payload != b"beat"
            if (self.refuses_control and is_control) or (self.refuses_messages and not is_control):
                self.is_over = True

    def tick(self, now: int, clock: int) -> None:
        """The timers, `now` from the beginning of this connection."""
        for every, opcode, payload in (
            (self.speaks, Opcode.TEXT, b"tick"),
            (self.pings, Opcode.PING, b"beat"),
        ):
            if every and now // STEP % round(every * SECOND / STEP) == 0 and now and not self.is_gone:
                self.say(now, opcode, payload)
                if opcode == Opcode.PING and self.asked is None:
                    self.asked = now
        is_mute = self.asked is not None and now - self.asked > self.wants_pongs * SECOND
        is_idle = now - self.last[self.counts] >= self.idle * SECOND
        is_old = now >= self.lifetime * SECOND or clock >= self.dies_at * SECOND
        self.is_over = self.is_over or is_mute or is_idle or is_old


def hold(
    make: Callable[[], Server], trial: Trial, plan: Plan, number: int, *, is_engineio: bool = False
) -> Held:
    """Play one connection to its end."""
    server = make()
    held = Hold(plan, trial, Negotiation(status=101), 0, lambda: KEY, is_engineio=is_engineio)
    now = 0

    def exchange() -> None:
        while server.out and not held.is_over:
            server.take(held.received(server.out.pop(0), now), now)

    length = trial.duration_ns - plan.start_ns
    while now < length and not held.is_over:
        now += STEP
        server.tick(now, now + plan.start_ns)
        if server.is_over and not server.is_gone:
            exchange()
            if server.end.isdigit():
                held.received(serialize_frame(Opcode.CLOSE, int(server.end).to_bytes(2, "big") + b"bye"), now)
            else:
                held.ended(server.end, now)
            break
        exchange()
        server.take(held.due(now), now)
        exchange()
        if held.is_asking and server.is_gone:
            held.vanished()
    if not held.is_over and server.answers_pings:
        server.take(held.ask(now), now)
        exchange()
        if held.is_asking:
            held.vanished()
    found = held.held(number, now, "ws://here/")
    return replace(found, open_ns=plan.start_ns, end_ns=plan.start_ns + found.age_ns)


def trial_of(make: Callable[[], Server], trial: Trial = TRIAL) -> list[Held]:
    return [hold(make, trial, plan, number) for number, plan in enumerate(trial.plans(), 2)]


def findings(held: list[Held]) -> list[Finding]:
    facts = ProbeFacts(main=Probe("handshake", "the handshake", ended()), held=tuple(held))
    return [one for one in diagnose_probes(facts) if one.id in IDS]


def say(make: Callable[[], Server], trial: Trial = TRIAL) -> list[str]:
    return [f"{one.id} {one.title}" for one in findings(trial_of(make, trial))]


WITH_MESSAGE = Trial(duration_ns=120 * SECOND, message=b"hello")

#: name, server, trial, titles (their beginnings)
MATRIX = [
    (
        "idle, of a silent server",
        lambda: Server(idle=60),
        TRIAL,
        ["WS-DROP-009 Connections end after 60 s of silence: an idle"],
    ),
    (
        "idle, short",
        lambda: Server(idle=1),
        TRIAL,
        ["WS-DROP-009 Connections end after 1 s of silence: an idle"],
    ),
    (
        "idle by RST",
        lambda: Server(idle=30, end="rst"),
        TRIAL,
        ["WS-DROP-009 Connections end after 30 s of silence: an idle"],
    ),
    (
        "idle with 1001",
        lambda: Server(idle=30, end="1001"),
        TRIAL,
        ["WS-DROP-009 Connections end after 30 s of silence: an idle"],
    ),
    (
        "idle, with messages",
        lambda: Server(idle=60),
        WITH_MESSAGE,
        ["WS-DROP-009 Connections end after 60 s of silence: an idle"],
    ),
    (
        "the server's silence",
        lambda: Server(counts="server", idle=60),
        TRIAL,
        ["WS-DROP-009 Connections end after 60 s of silence of the server"],
    ),
    (
        "the client's silence",
        lambda: Server(counts="client", idle=60, speaks=5),
        TRIAL,
        ["WS-DROP-009 Connections end after 60 s of silence of the client"],
    ),
    (
        "lifetime",
        lambda: Server(lifetime=60),
        TRIAL,
        ["WS-DROP-010 Connections end at the age of 60 s, pings or not: a lifetime"],
    ),
    (
        "lifetime, with messages",
        lambda: Server(lifetime=60),
        WITH_MESSAGE,
        ["WS-DROP-010 Connections end at the age of 60 s, busy or idle"],
    ),
    (
        "lifetime of a server that speaks",
        lambda: Server(lifetime=60, speaks=5),
        WITH_MESSAGE,
        ["WS-DROP-010 Connections end at the age of 60 s, busy or idle"],
    ),
    (
        "both",
        lambda: Server(idle=20, lifetime=60),
        WITH_MESSAGE,
        [
            "WS-DROP-009 Connections end after 20 s of silence: an idle",
            "WS-DROP-010 Connections end at the age of 60 s, busy or idle",
        ],
    ),
    (
        "messages alone count",
        lambda: Server(counts="messages", idle=60),
        WITH_MESSAGE,
        ["WS-DROP-010 Connections end 60 s after the client's last message"],
    ),
    (
        "messages alone count, none sent",
        lambda: Server(counts="messages", idle=60),
        TRIAL,
        ["WS-DROP-010 Connections end at the age of 60 s, pings or not: a lifetime"],
    ),
    (
        "heartbeat",
        lambda: Server(pings=20, wants_pongs=20),
        TRIAL,
        ["WS-KA-009 Clients that do not answer the server's pings are ended after 40 s"],
    ),
    (
        "heartbeat and lifetime",
        lambda: Server(pings=10, wants_pongs=10, lifetime=60),
        WITH_MESSAGE,
        [
            "WS-DROP-010 Connections end at the age of 60 s, busy or idle",
            "WS-KA-009 Clients that do not answer the server's pings are ended after 20 s",
        ],
    ),
    ("pings, and nobody minds", lambda: Server(pings=20), TRIAL, []),
    (
        "forgotten",
        lambda: Server(forgets=40),
        TRIAL,
        ["WS-DROP-011 Connections vanish after a silence of 30 s to 60 s"],
    ),
    ("a restart", lambda: Server(dies_at=70), TRIAL, ["WS-DROP-012 All connections ended at one moment"]),
    (
        "a restart of a server that speaks",
        lambda: Server(dies_at=70, speaks=3),
        TRIAL,
        ["WS-DROP-012 All connections ended at one moment"],
    ),
    ("control frames are refused", lambda: Server(refuses_control=True), TRIAL, ["WS-DROP-013"]),
    (
        "messages are refused",
        lambda: Server(refuses_messages=True, end="1008"),
        WITH_MESSAGE,
        ["WS-DROP-013 The server ends connections that send this message"],
    ),
    ("a healthy server", Server, TRIAL, []),
    ("a healthy server that speaks", lambda: Server(speaks=7), WITH_MESSAGE, []),
    ("a limit longer than the trial", lambda: Server(idle=300, lifetime=3600), WITH_MESSAGE, []),
    ("no pongs at all", lambda: Server(answers_pings=False), TRIAL, []),
]


@pytest.mark.parametrize(("name", "make", "trial", "wanted"), MATRIX, ids=[one[0] for one in MATRIX])
def test_the_limit_is_found(name, make, trial, wanted):
    found = say(make, trial)
    assert len(found) == len(wanted), found
    assert all(one.startswith(begin) for one, begin in zip(found, wanted, strict=True)), found


SPEAKERS: dict[str, dict[str, Any]] = {"nobody": {}, "the server": {"speaks": 3}, "its pings": {"pings": 3}}
LIMITS: list[dict[str, Any]] = [{"counts": counts, "idle": 30} for counts in ("any", "server", "client")] + [
    {"lifetime": 30}
]


@pytest.mark.parametrize("speaker", SPEAKERS)
@pytest.mark.parametrize("limit", LIMITS, ids=str)
def test_no_limit_is_taken_for_another_whoever_speaks(limit, speaker):
    """What cannot strike is not found, and what strikes is never taken for the other kind."""
    held = trial_of(lambda: Server(**limit, **SPEAKERS[speaker]), WITH_MESSAGE)
    found = findings(held)
    struck = [one for one in held if one.has_ended]
    if not struck:
        assert not found
        return
    if limit.get("counts") == "client" and speaker == "its pings":  # the pongs that it asks for keep it open
        assert found[0].id == "WS-KA-009"
        assert "on the client's silence" in found[0].causes[0].cause
        return
    assert found[0].id == ("WS-DROP-010" if "lifetime" in limit else "WS-DROP-009"), found
    assert "30 s" in found[0].title
    if limit.get("counts") == "server":
        assert "silence of the server" in found[0].title
    if limit.get("counts") == "client" and speaker == "the server":
        assert "silence of the client" in found[0].title


def test_which_side_counts_is_said_as_far_as_it_was_seen():
    silent = findings(trial_of(lambda: Server(idle=60)))[0]
    assert any("bytes of the client alone keep it open" in line for line in silent.evidence)
    server = findings(trial_of(lambda: Server(idle=60, counts="server")))[0]
    assert any("what the client sends does not keep it open" in line for line in server.evidence)


def test_the_table_of_known_limits_is_asked():
    found = findings(trial_of(lambda: Server(idle=60)))[0]
    assert any("proxy_read_timeout" in line for line in found.evidence)


def test_a_close_frame_is_the_servers_doing():
    found = findings(trial_of(lambda: Server(idle=30, end="1001")))[0]
    assert (found.fault_of, found.hop) == ("server", None)
    assert "1001" in found.js


def test_no_limit_is_a_lower_bound():
    lines = list(ruled_out_by_holding(trial_of(Server)))
    assert len(lines) == 1
    assert "6 connections stayed open for 1" in lines[0]
    assert "the longest silence 2 min" in lines[0]
    speaking = list(ruled_out_by_holding(trial_of(lambda: Server(speaks=7))))
    assert "every 7 s" in speaking[1]


def behind(name: str, age: float, how: str | None) -> Held:
    gaps = trial_of(lambda: Server(idle=age))[0].last
    return Held(number=9, way="silent", place=1, where=name, end_ns=round(age * SECOND), how=how, last=gaps)


@pytest.mark.parametrize(("age", "how", "fault"), [(120, None, "hop"), (60.1, "fin", "server")])
def test_the_server_behind_tells_whose_limit_it_is(age, how, fault):
    held = [*trial_of(lambda: Server(idle=60)), behind("ws://app:3000/", age, how)]
    [found] = findings(held)
    assert found.fault_of == fault
    assert any("ws://app:3000/" in line for line in found.evidence)


def test_engineio_pings_are_answered_as_its_client_does():
    hold = Hold(Plan("silent", 0, 0), TRIAL, Negotiation(status=101), 0, lambda: KEY, is_engineio=True)
    assert hold.received(serialize_frame(Opcode.TEXT, b'0{"sid":"a"}'), 1) == b""
    assert hold.received(serialize_frame(Opcode.TEXT, b"2"), 2) == serialize_frame(Opcode.TEXT, b"3", key=KEY)
    mute = Hold(Plan("mute", 0, 0), TRIAL, Negotiation(status=101), 0, lambda: KEY, is_engineio=True)
    assert mute.received(serialize_frame(Opcode.TEXT, b"2"), 2) == b""
    assert mute.held(1, 3).server_pings == 1


def chunks(data: bytes) -> Iterator[list[bytes]]:
    yield [data]
    yield [data[at : at + 1] for at in range(len(data))]


def test_bytes_in_any_pieces_are_the_same():
    data = serialize_frame(Opcode.PING, b"a") + serialize_frame(Opcode.CLOSE, b"\x03\xe9gone") + b"trailing"
    for pieces in chunks(data):
        hold = Hold(Plan("silent", 0, 0), TRIAL, Negotiation(status=101), 0, lambda: KEY)
        answers = b"".join(hold.received(piece, SECOND) for piece in pieces)
        found = hold.held(1, 2 * SECOND)
        assert answers == serialize_frame(Opcode.PONG, b"a", key=KEY)
        assert (found.how, found.code, found.reason, found.server_pings) == ("close-frame", 1001, "gone", 1)


def test_the_number_of_connections_is_bounded():
    assert len(WITH_MESSAGE.plans(100)) == MAX_HELD
    assert len(TRIAL.plans()) == 6
    assert [one.way for one in TRIAL.plans(3)].count("silent") == 3
    starts = [one.start_ns for one in TRIAL.plans()]
    assert len(set(starts)) == len(starts)
