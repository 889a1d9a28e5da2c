"""DATA frames past the h2 library: what arrives, leaves and is counted, against h2 itself."""

from __future__ import annotations

from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, StreamReset
from h2.exceptions import FlowControlError, ProtocolError
from h2.settings import SettingCodes
from hyperframe.frame import DataFrame, Frame, PingFrame, PriorityFrame, SettingsFrame, WindowUpdateFrame
from hypothesis import given
from hypothesis import strategies as st

from tests.support.examples import examples
from wsinspect.proxy.seams.http2_tunnels import WINDOW_BYTES, Outbox, RelayedConnection, RunReceived, Tunnel
from wsinspect.wire.data_frames import Run, data_frames, read_run

CONNECT = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "https"),
    (":path", "/chat"),
    (":authority", "localhost"),
]
GET = [(":method", "POST"), (":scheme", "https"), (":path", "/"), (":authority", "localhost")]
CONFIG: dict[str, Any] = {"validate_inbound_headers": False, "validate_outbound_headers": False}
#: The stream that is a tunnel, one that is not, and one that a test may make a tunnel.
CHAT, PLAIN, OTHER = 1, 3, 5


class Side:
    """Our connection in the role of a server, its one tunnel, and a client that is the library's."""

    def __init__(self, *, window: int = 65_535, frame: int = 16_384, is_tunnel: bool = True) -> None:
        self.h2_conn = RelayedConnection(H2Configuration(client_side=False, **CONFIG))
        self.h2_conn.local_settings.enable_connect_protocol = 1
        self.h2_conn.local_settings.acknowledge()
        self.h2_conn.initiate_connection()
        self.client = H2Connection(H2Configuration(client_side=True, **CONFIG))
        self.client.local_settings.update(
            {SettingCodes.INITIAL_WINDOW_SIZE: window, SettingCodes.MAX_FRAME_SIZE: frame}
        )
        self.client.local_settings.acknowledge()
        self.client.max_inbound_frame_size = frame
        self.client.initiate_connection()
        self.outbox = Outbox()
        self.outbox.begin()
        self.tunnel = Tunnel(self, CHAT, self.outbox)
        self.came: list[tuple[str, Any]] = []
        self.tunnel.attach(self)
        self.exchange()
        self.client.send_headers(CHAT, CONNECT)
        for stream_id in (PLAIN, OTHER):
            self.client.send_headers(stream_id, GET)
        self.exchange()
        for stream_id in (CHAT, PLAIN, OTHER):
            self.h2_conn.send_headers(stream_id, [(":status", "200")])
        self.exchange()
        if is_tunnel:
            self.h2_conn.tunnels[CHAT] = self.tunnel
            self.tunnel.is_open = True

    def exchange(self) -> None:
        """What is ready on each side reaches the other one."""
        while (out := self.client.data_to_send()) or self.h2_conn._data_to_send:
            self.h2_conn.receive_data(out)
            self.arrived(self.h2_conn.data_to_send())

    def arrived(self, data: bytes) -> None:
        """At the client."""
        for event in self.client.receive_data(data):
            if isinstance(event, DataReceived):
                self.came.append(("client", event.data))

    # The tunnel's owner and receiver

    def is_open_for_us(self, stream_id: int) -> bool:
        return bool(self.h2_conn.streams[stream_id].open)

    def is_closed(self, stream_id: int) -> bool:
        return bool(self.h2_conn.streams[stream_id].closed)

    def flush(self) -> None:
        self.arrived(self.h2_conn.data_to_send())

    def forget(self, stream_id: int) -> None:
        self.h2_conn.tunnels.pop(stream_id, None)

    def end_connection(self, how: str) -> None:
        raise AssertionError(how)

    def data(self, data: bytes, flow_bytes: int, is_end: bool) -> None:
        self.came.append(("data", (data, flow_bytes, is_end)))

    def run(self, run: Run) -> None:
        self.came.append(("data", (run.data, run.size, False)))

    def reset(self, code: int) -> None:
        self.came.append(("reset", code))

    def lost(self, how: str, detail: str, is_ours: bool) -> None:
        raise AssertionError(how)

    def ended(self, how: str) -> None:
        raise AssertionError(how)

    def drained(self) -> None:
        return

    # What arrived

    def receive(self, data: bytes, *, first_runs: bool = False, all_of_it: bool = True) -> list[Any]:
        """The events, each as what can be compared; runs as what h2 would have made of their frames."""
        found: list[Any] = []
        events: list[Any] = []
        if first_runs:
            data = self.h2_conn.take_runs(data, events.append)
        if data or not first_runs:
            events += self.h2_conn.receive_data(data)
        while all_of_it and self.h2_conn.has_more:
            events += self.h2_conn.receive_data(b"")
        for event in events:
            if isinstance(event, RunReceived):
                found += [("DataReceived", CHAT, piece, len(piece)) for piece in event.run.pieces]
            elif isinstance(event, DataReceived):
                found.append(
                    ("DataReceived", event.stream_id, bytes(event.data or b""), event.flow_controlled_length)
                )
            elif isinstance(event, ProtocolError):
                found.append((type(event).__name__, str(event)))
            else:
                code = event.error_code if isinstance(event, StreamReset) else None
                found.append((type(event).__name__, getattr(event, "stream_id", None), code))
        return found

    def accounts(self) -> Any:
        """What h2 counts."""
        connection = self.h2_conn
        return (
            connection.inbound_flow_control_window,
            connection.outbound_flow_control_window,
            connection.state_machine.state,
            {
                number: (
                    stream.inbound_flow_control_window,
                    stream.outbound_flow_control_window,
                    stream.state_machine.state,
                )
                for number, stream in connection.streams.items()
            },
            connection.data_to_send(),
        )


def run_of(*pieces: bytes, stream_id: int = CHAT) -> Run:
    run = read_run(data_frames(stream_id, pieces), 0, 1 << 20, 1 << 30)
    assert run is not None
    return run


def padded(data: bytes) -> bytes:
    frame = DataFrame(CHAT, data, flags=["PADDED"])
    frame.pad_length = 7
    return frame.serialize()


def with_end(data: bytes) -> bytes:
    return DataFrame(CHAT, data, flags=["END_STREAM"]).serialize()


FRAMES = st.one_of(
    st.tuples(st.integers(1, 300), st.integers(1, 8)).map(
        lambda one: data_frames(CHAT, [bytes(one[0])] * one[1])
    ),
    st.binary(min_size=1, max_size=20).map(lambda data: data_frames(CHAT, [data])),
    st.binary(max_size=9).map(lambda data: data_frames(PLAIN, [data])),
    st.binary(max_size=9).map(padded),
    st.just(data_frames(CHAT, [b""])),
    st.just(PingFrame(0, b"12345678").serialize()),
    st.just(WindowUpdateFrame(0, window_increment=5).serialize()),
    st.just(WindowUpdateFrame(CHAT, window_increment=9).serialize()),
)
RARE = {
    "end": with_end(b"the end"),
    "empty end": with_end(b""),
    "reset": b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08",
    "header block": b"\0\0\x01\x01\0\0\0\0\x05\x88" + data_frames(CHAT, [b"within it"]),
    "no increment": b"\0\0\x04\x08\0\0\0\0\0\0\0\0\0",
    "more than the window": data_frames(CHAT, [bytes(16_384)] * 70),
}


@examples(100)
@given(
    st.lists(FRAMES, max_size=12),
    st.lists(st.sampled_from(list(RARE)), max_size=2),
    st.lists(FRAMES, max_size=4),
    st.lists(st.integers(0, 999), max_size=6),
    st.lists(st.booleans(), min_size=7, max_size=7),
    st.lists(st.booleans(), min_size=7, max_size=7),
    st.sampled_from([1, 2, 5, 9, 30, 128]),
)
def test_what_comes_is_what_h2_makes_of_it_however_it_is_cut(
    before, rare, after, places, shortcuts, waits, portion
):
    raw = b"".join([*before, *(RARE[name] for name in rare), *after])
    cuts = sorted(len(raw) * place // 999 for place in places)
    ours, theirs = Side(), Side(is_tunnel=False)
    ours.h2_conn.portion = portion
    expected: list[Any] = []
    for frame in frames_of(raw):
        expected += theirs.receive(frame)
        if expected and expected[-1][0].endswith("Error"):
            break
    found: list[Any] = []
    for begin, end, is_short, all_of_it in zip(
        [0, *cuts], [*cuts, len(raw)], shortcuts, [*waits[:-1], True], strict=False
    ):
        # What comes while a portion waits for its turn goes behind it, and not past it.
        is_short = is_short and not ours.h2_conn.has_more
        found += ours.receive(raw[begin:end], first_runs=is_short, all_of_it=all_of_it)
        if found and found[-1][0].endswith("Error"):
            break
    else:
        found += ours.receive(b"")
    assert found == expected
    assert ours.accounts() == theirs.accounts()


COUNTED = {
    "PING": (PingFrame(0, b"12345678").serialize(), 32),
    "SETTINGS": (SettingsFrame(0, {}).serialize(), 32),
    "PRIORITY": (PriorityFrame(1001, stream_weight=3).serialize(), 32),
    "WINDOW_UPDATE": (WindowUpdateFrame(CHAT, window_increment=1).serialize(), 32),
    "an unknown type": (b"\0\0\0\xee\0\0\0\0\0", 32),
    "empty DATA": (data_frames(CHAT, [b""]), 32),
    "RST_STREAM": (b"\0\0\x04\x03\0\0\0\0" + bytes([PLAIN]) + bytes(4), 4),
    "DATA by turns": (data_frames(CHAT, [b"1"]) + data_frames(OTHER, [b"22"]), 64),
}


@pytest.mark.parametrize("kind", COUNTED)
def test_a_read_full_of_tiny_frames_is_handled_in_portions_and_whole(kind):
    frame, most = COUNTED[kind]
    side = Side()
    side.h2_conn.tunnels[OTHER] = other = Tunnel(side, OTHER, side.outbox)
    other.is_open = True
    last = data_frames(CHAT, [b"last"])
    raw = frame * (65_536 // len(frame)) + last
    handled: list[int] = []
    taken = bytearray()

    def take(data: bytes) -> None:
        before = len(side.h2_conn._partial) + len(data)
        for event in side.h2_conn.receive_data(data):
            taken.extend(event.run.raw if isinstance(event, RunReceived) else b"")
        handled.append(before - len(side.h2_conn._partial))

    take(raw)
    while side.h2_conn.has_more:
        take(b"")
    assert sum(handled) == len(raw)
    assert max(handled) <= most * len(frame) + len(last)
    assert taken.endswith(last)


def test_a_setting_that_h2_applies_to_each_stream_counts_by_their_number():
    side = Side()
    for number in range(7, 7 + 2 * 90, 2):
        side.client.send_headers(number, GET)
    while out := side.client.data_to_send():
        side.receive(out)
    side.h2_conn.portion = 40
    raw = SettingsFrame(0, {4: 65_535}).serialize()
    side.h2_conn.receive_data(raw * 100)
    assert side.h2_conn.has_more
    assert len(side.h2_conn._partial) == (100 - 5) * len(raw)  # nine each, of 93 streams


def test_runs_past_the_layers_come_in_portions_too():
    side = Side()
    side.h2_conn.tunnels[OTHER] = other = Tunnel(side, OTHER, side.outbox)
    other.is_open = True
    pair = data_frames(CHAT, [b"1"]) + data_frames(OTHER, [b"22"])
    taken: list[RunReceived] = []
    left = side.h2_conn.take_runs(pair * 1000, taken.append)
    assert len(taken) == 128
    assert left == pair * (1000 - 64)


def frames_of(raw: bytes) -> list[bytes]:
    found = []
    while raw:
        _, length = Frame.parse_frame_header(memoryview(raw[:9]))
        found.append(raw[: 9 + length])
        raw = raw[9 + length :]
    return found


@examples(150)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["run", "write", "open", "give"]), st.integers(1, 40_000), st.integers(1, 5)
        ),
        max_size=12,
    ),
    st.sampled_from([(0, 16_384), (65_535, 16_384), (1 << 20, 1 << 17)]),
    st.booleans(),
)
def test_what_leaves_is_what_was_written_and_within_the_windows(actions, sizes, ends):
    """The client is h2, which raises for whatever is more than it allows."""
    window, frame = sizes
    side = Side(window=window, frame=frame)
    written = b""
    for what, size, count in actions:
        if what == "run":
            pieces = [bytes([size & 255]) * size] * count
            side.tunnel.write_run(run_of(*pieces, stream_id=99))
            written += b"".join(pieces)
        elif what == "write":
            side.tunnel.write(b"w" * size)
            written += b"w" * size
        else:
            side.client.increment_flow_control_window(size, CHAT if what == "open" else None)
        side.outbox.flush()
        side.exchange()
    if ends:
        side.tunnel.finish()
    side.client.increment_flow_control_window(1 << 30)
    side.client.increment_flow_control_window(1 << 30, CHAT)
    side.outbox.flush()
    side.exchange()
    assert b"".join(data for _, data in side.came) == written
    assert side.tunnel.unsent == 0
    if not ends:
        there = side.client.streams[CHAT]
        assert side.h2_conn.outbound_flow_control_window == side.client.inbound_flow_control_window
        assert side.h2_conn.streams[CHAT].outbound_flow_control_window == there.inbound_flow_control_window


def test_frames_leave_as_they_came_where_the_windows_allow_it():
    side = Side()
    assert side.tunnel.write_run(run_of(b"one", b"three", b"5", stream_id=7))
    side.outbox.flush()
    side.exchange()
    assert [data for _, data in side.came] == [b"one", b"three", b"5"]


def test_a_run_behind_what_waits_does_not_overtake_it():
    side = Side(window=0)
    side.tunnel.write(b"first")
    assert not side.tunnel.write_run(run_of(b"second"))
    side.client.increment_flow_control_window(100, CHAT)
    side.exchange()
    side.outbox.flush()
    side.exchange()
    assert b"".join(data for _, data in side.came) == b"firstsecond"


@pytest.mark.parametrize("scope", [CHAT, None])
def test_a_refusal_whose_body_waits_for_a_window_is_whole(scope):
    side = Side(window=1 << 17 if scope is None else 100)
    side.tunnel.is_open = False
    # More than the stream's window, or than the connection's, which a page has used up.
    if scope is None:
        side.h2_conn.send_data(PLAIN, bytes(65_535))
    side.h2_conn.send_data(CHAT, b"refused".ljust(300), end_stream=True)
    side.exchange()
    side.client.increment_flow_control_window(1000, scope)
    side.exchange()
    body = b"".join(data for _, data in side.came).removeprefix(bytes(65_535) if scope is None else b"")
    assert body == b"refused".ljust(300)
    assert side.h2_conn.streams[CHAT].state_machine.state.name == "HALF_CLOSED_LOCAL"
    assert not side.h2_conn.has_unsent


def test_what_comes_before_an_error_is_not_lost_with_it():
    side = Side()
    found = side.receive(data_frames(CHAT, [b"last words"]) + b"\0\0\x04\x08\0\0\0\0\0\0\0\0\0")
    assert found[0] == ("DataReceived", CHAT, b"last words", 10)
    assert found[-1][0].endswith("Error")
    assert len(found) == 2


def test_more_than_the_window_is_an_error_of_the_sender_at_the_frame_that_is_too_much():
    side = Side()
    frames = [bytes(16_384)] * (WINDOW_BYTES // 16_384 + 1)
    found = side.receive(data_frames(CHAT, frames))
    assert found[-1][0] == FlowControlError.__name__
    side = Side()
    assert len(side.receive(data_frames(CHAT, frames[:-1]))) == len(frames) - 1
    assert side.receive(data_frames(CHAT, [b"x"]))[-1][0] == FlowControlError.__name__


@pytest.mark.parametrize("first_runs", [False, True])
def test_a_frame_in_pieces_is_nothing_until_it_is_whole(first_runs):
    side = Side()
    raw = data_frames(CHAT, [b"in pieces"])
    for at in range(len(raw) - 1):
        assert side.receive(raw[at : at + 1], first_runs=first_runs) == []
    assert side.receive(raw[-1:], first_runs=first_runs) == [("DataReceived", CHAT, b"in pieces", 9)]


def test_the_runs_that_come_first_are_taken_and_the_rest_is_left():
    side = Side()
    ping = PingFrame(0, b"12345678").serialize()
    taken: list[RunReceived] = []
    assert side.h2_conn.take_runs(data_frames(CHAT, [b"a", b"b"]) + ping, taken.append) == ping
    assert [one.run.data for one in taken] == [b"ab"]
    # What is not whole waits for more, unless it is longer than it may be.
    assert side.h2_conn.take_runs(ping[:4], taken.append) == b""
    assert side.h2_conn.take_runs(ping[4:], taken.append) == ping
    long = b"\xff\xff\xff\0\0\0\0\0\x01"
    assert side.h2_conn.take_runs(long, taken.append) == long


def test_what_comes_on_a_stream_that_we_have_reset_is_h2s_to_judge():
    side, other = Side(), Side(is_tunnel=False)
    for one in (side, other):
        one.h2_conn.reset_stream(CHAT, ErrorCodes.CANCEL)
    raw = data_frames(CHAT, [b"late", b"later"])
    assert side.receive(raw) == other.receive(raw)
    assert side.accounts() == other.accounts()
    assert side.tunnel.write_run(run_of(b"no more")) is False


@pytest.mark.parametrize("cut", [0, 1, 23, 24, 30])
def test_a_clients_first_bytes_may_come_in_any_pieces(cut):
    client = H2Connection(H2Configuration(client_side=True, **CONFIG))
    client.initiate_connection()
    raw = client.data_to_send()
    ours = RelayedConnection(H2Configuration(client_side=False, **CONFIG))
    ours.initiate_connection()
    found = ours.receive_data(raw[:cut]) + ours.receive_data(raw[cut:])
    assert [type(event).__name__ for event in found] == ["RemoteSettingsChanged"]


def test_a_frame_longer_than_allowed_is_an_error_before_it_is_there():
    side = Side()
    found = side.receive(data_frames(CHAT, [b"before"]) + b"\xff\xff\xff\0\0\0\0\0\x01")
    assert [name for name, *_ in found] == ["DataReceived", "FrameTooLargeError"]
    assert b"\0\0\0\x06" in side.h2_conn.data_to_send()  # GOAWAY FRAME_SIZE_ERROR
    assert side.receive(data_frames(CHAT, [b"after"]))[-1][0] == "ProtocolError"


def test_what_is_no_http2_is_an_error():
    ours = RelayedConnection(H2Configuration(client_side=False, **CONFIG))
    ours.initiate_connection()
    [error] = ours.receive_data(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert isinstance(error, ProtocolError)
