"""The recorded client against real servers: what is sent, what is waited for, what is reported."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
import zlib
from contextlib import closing

import pytest

from tests.support.chats import RESPONSE, SECRET_REQUEST, Chat, chat_capture, sandwich_capture, store
from tests.support.journals import Foreign, Step
from tests.support.replay_peers import Server, echo, field
from tests.support.replay_questions import Answering, asking, numbered
from wsinspect.cli.main import cli, execute

DEFLATE_REQUEST = SECRET_REQUEST[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
DEFLATE_RESPONSE = RESPONSE[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"


@pytest.fixture
def replay(capsys):
    def run(path, *args):
        command = ["replay", str(path), *args, "--json"]
        code = execute(lambda: cli.main(command, prog_name="wsinspect", standalone_mode=False))
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else None, err

    return run


def one(result):
    (found,) = result["connections"]
    return found


@pytest.mark.parametrize("options", [(), ("--speed", "max"), ("--speed", "10"), ("--normalise",)])
def test_a_server_that_says_the_same_is_equal(tmp_path, replay, options):
    answering = Answering(lambda number: [json.dumps({"n": number}, separators=(",", ":"))])
    with Server(answering) as server:
        code, result, _ = replay(store(tmp_path / "a.db", asking()), "--to", server.url, *options)
    assert (code, one(result)["messages"]["equal"], one(result)["sent"]) == (0, 3, 3)
    assert [payload for _, _, payload in answering.got] == [
        *(b'{"ask":%d}' % n for n in range(3)),
        b"\x03\xe8bye",
    ]


def test_each_message_waits_for_what_was_said_before_it(tmp_path, replay):
    times = []

    def slow(peer):
        peer.accept()
        for number in range(3):
            assert peer.read() is not None
            times.append(("asked", number))
            time.sleep(0.05)
            times.append(("answers", number))
            peer.text(numbered(number))
        peer.send(8, (peer.read() or (8, True, b""))[2])

    with Server(slow) as server:
        code, _, _ = replay(store(tmp_path / "a.db", asking()), "--to", server.url)
    assert code == 0
    assert times == [(what, number) for number in range(3) for what in ("asked", "answers")]


def test_the_recorded_time_scaled(tmp_path, replay):
    with Server(Answering(lambda number: [numbered(number)])) as server:
        path = store(tmp_path / "a.db", asking(5))
        started = time.monotonic()
        code, _, _ = replay(path, "--to", server.url, "--speed", "2")
        took = time.monotonic() - started
    assert code == 0
    assert took > 0.08  # 5 times 40 ms at twice the speed


@pytest.mark.parametrize(
    ("answer", "verdict", "count"),
    [
        (lambda n: [numbered(n if n != 1 else 9)], "different", 1),
        (lambda n: [numbered(n), *(["{}"] if n == 1 else [])], "extra", 1),
    ],
)
def test_divergences_have_exit_code_1_and_a_diff(tmp_path, replay, answer, verdict, count):
    with Server(Answering(answer)) as server:
        code, result, _ = replay(store(tmp_path / "a.db", asking()), "--to", server.url)
    assert code == 1
    assert one(result)["messages"][verdict] == count
    (divergence,) = one(result)["divergences"]
    assert divergence["verdict"] == verdict
    assert divergence["diff"]


def test_a_message_that_does_not_come_is_missing_and_the_rest_is_played(tmp_path, replay):
    answering = Answering(lambda n: [numbered(n)] if n != 1 else [])
    with Server(answering) as server:
        code, result, _ = replay(store(tmp_path / "a.db", asking()), "--to", server.url, "--timeout", "200ms")
    assert code == 1
    assert one(result)["messages"]["missing"] == 1
    assert one(result)["messages"]["equal"] == 2
    assert len(answering.got) == 4


def test_volatile_fields_are_named_or_found_by_a_second_recording(tmp_path, replay):
    first = store(tmp_path / "a.db", asking(answer=b'{"n":%d,"id":"old"}'))
    second = store(tmp_path / "b.db", asking(answer=b'{"n":%d,"id":"other"}'))
    with Server(Answering(lambda n: [f'{{"n":{n},"id":"new"}}'])) as server:
        assert replay(first, "--to", server.url)[0] == 1
        code, result, _ = replay(first, "--to", server.url, "--ignore", "json:$.id")
        assert (code, one(result)["messages"]["ignored"]) == (0, 3)
        code, result, err = replay(first, "--to", server.url, "--also", str(second))
        assert (code, one(result)["messages"]["ignored"]) == (0, 3)
        assert "json:$.id" in err


def test_frames_go_out_as_recorded(tmp_path, replay):
    script = Chat()
    script.accept(1)
    script.client(1, b"he", fin=False)
    script.client(1, b"p", opcode=9)
    script.client(1, b"llo", opcode=0)
    script.client(1, b"lonely", opcode=10)
    script.client(1, b"", opcode=8)
    script.end(1, "server")
    path = store(tmp_path / "a.db", script)
    for options, wanted in [
        ((), [(1, False, b"he"), (9, True, b"p"), (0, True, b"llo"), (10, True, b"lonely"), (8, True, b"")]),
        (("--normalise",), [(1, True, b"hello"), (8, True, b"\x03\xe8")]),
    ]:
        answering = Answering(lambda n: [])
        with Server(answering) as server:
            replay(path, "--to", server.url, *options)
        assert answering.got == wanted


def test_pings_are_answered_live_and_not_as_recorded(tmp_path, replay):
    script = Chat()
    script.accept(1)
    script.server(1, b"then", opcode=9)
    script.client(1, b"then", opcode=10)
    script.server(1, b"go on")
    script.client(1, b"x")
    script.client(1, b"\x03\xe8", opcode=8)
    script.end(1, "server")
    got = []

    def pinging(peer):
        peer.accept()
        peer.send(9, b"now")
        peer.send(1, b"go on")  # what the client waits for, so that its CLOSE does not overtake our ping
        while frame := peer.read():
            got.append(frame)
            if frame[0] == 8:
                peer.send(8, frame[2])
                return

    with Server(pinging) as server:
        code, _, _ = replay(store(tmp_path / "a.db", script), "--to", server.url)
    assert code == 0
    assert (10, True, b"then") not in got
    assert (10, True, b"now") in got


def deflated(path):
    compressor = zlib.compressobj(wbits=-15)
    script = Chat()
    script.accept(1, DEFLATE_REQUEST)
    script.steps[-2:-2] = []
    for number in range(3):
        data = compressor.compress(b"hello hello %d" % number) + compressor.flush(zlib.Z_SYNC_FLUSH)
        script.client(1, data[:-4], rsv=4)
    script.client(1, b"\x03\xe8", opcode=8)
    script.end(1, "server")
    steps = [
        step._replace(arguments=(*step.arguments[:2], DEFLATE_RESPONSE, *step.arguments[3:]))
        if step.method == "head" and step.arguments[2] == RESPONSE
        else step
        for step in script.steps
    ]
    script.steps = steps
    return store(path, script)


@pytest.mark.parametrize("accepts", [True, False])
def test_compressed_messages_go_as_they_are_where_that_is_agreed_else_inflated(tmp_path, replay, accepts):
    got = []

    def server(peer):
        peer.accept(*(["Sec-WebSocket-Extensions: permessage-deflate"] if accepts else []))
        while frame := peer.read():
            if frame[0] == 8:
                peer.send(8, frame[2])
                return
            got.append(frame[2])

    with Server(server) as running:
        code, result, _ = replay(deflated(tmp_path / "a.db"), "--to", running.url)
    wanted = [b"hello hello %d" % number for number in range(3)]
    if accepts:
        inflater = zlib.decompressobj(wbits=-15)
        assert [inflater.decompress(data + b"\0\0\xff\xff") for data in got] == wanted
    else:
        assert got == wanted
        assert "sent uncompressed" in one(result)["notes"][0]
    assert code == 0


def test_a_refusal_is_compared_with_the_recorded_one(tmp_path, replay):
    def forbid(peer):
        peer.socket.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    path = chat_capture(tmp_path / "a.db")
    with Server(forbid) as server:
        assert replay(path, "--to", server.url, "-c", "2")[0] == 0
        code, result, _ = replay(path, "--to", server.url, "-c", "1")
    assert code == 1
    assert one(result)["problems"] == ["the server answers 403, recorded was 101"]


def test_nobody_there_is_one_line_and_exit_code_1(tmp_path, replay):
    code, result, _ = replay(chat_capture(tmp_path / "a.db"), "--to", "ws://127.0.0.1:1", "-c", "1")
    assert code == 1
    assert one(result)["problems"][0].startswith("cannot connect to 127.0.0.1:1")


def test_a_server_that_ends_early_or_resets_is_reported(tmp_path, replay):
    def drop(peer):
        peer.accept()
        peer.read()

    with Server(drop) as server:
        code, result, _ = replay(store(tmp_path / "a.db", asking()), "--to", server.url)
    assert code == 1
    assert one(result)["problems"] == ["the server ended the connection before all was sent (2 left)"]
    assert one(result)["messages"]["missing"] >= 1


def test_another_close_code_is_a_divergence(tmp_path, replay):
    def closing(peer):
        peer.accept()
        for number in range(3):
            peer.read()
            peer.text(numbered(number))
        peer.read()
        peer.send(8, b"\x03\xf3oops")

    with Server(closing) as server:
        code, result, _ = replay(store(tmp_path / "a.db", asking()), "--to", server.url)
    assert code == 1
    assert one(result)["problems"] == ["the server closes with 1011 'oops', recorded was 1000 'bye'"]


def test_a_client_that_reset_the_connection_does_so_again(tmp_path, replay):
    script = Chat()
    script.accept(1)
    script.client(1, b"x")
    script.end(1, "client", "rst")
    ends = []

    def server(peer):
        peer.accept()
        assert peer.read() == (1, True, b"x")
        try:
            ends.append(peer.socket.recv(1))
        except ConnectionResetError:
            ends.append("reset")

    with Server(server) as running:
        replay(store(tmp_path / "a.db", script), "--to", running.url)
    assert ends == ["reset"]


def test_connections_that_overlapped_play_at_once_and_others_one_after_the_other(tmp_path, replay):
    script = Chat()
    script.accept(1)
    script.accept(2)
    script.client(1, b"1")
    script.client(2, b"2")
    for number in (1, 2):
        script.client(number, b"\x03\xe8", opcode=8)
        script.end(number, "client")
    script.tick()
    script.accept(3)
    script.client(3, b"\x03\xe8", opcode=8)
    script.end(3, "client")
    both = threading.Barrier(2, timeout=5)
    order: list[int] = []

    def server(peer):
        peer.accept()
        while frame := peer.read():
            if frame[0] == 1:
                both.wait()
            elif frame[0] == 8:
                order.append(len(order))
                peer.send(8, frame[2])
                return

    with Server(server) as running:
        code, result, _ = replay(store(tmp_path / "a.db", script), "--to", running.url)
    assert (code, len(result["connections"]), len(order), running.errors) == (0, 3, 3, [])


def test_headers_are_replaced(tmp_path, replay):
    with Server(echo) as server:
        replay(
            chat_capture(tmp_path / "a.db"),
            "--to",
            server.url + "/other",
            "-c",
            "1",
            "-H",
            "Cookie: sid=new",
            "--timeout",
            "300ms",
        )
    assert field(server.heads[0], "cookie") == "sid=new"
    assert server.heads[0].startswith(b"GET /other HTTP/1.1")


def test_a_cut_recording_says_so_before_it_is_played(tmp_path, replay):
    script = Chat(meta={"snaplen": 4})
    script.accept(1)
    script.client(1, b"0123456789")
    script.server(1, b"0123456789")
    script.client(1, b"\x03\xe8", opcode=8)
    script.server(1, b"\x03\xe8", opcode=8)
    script.end(1, "server")
    answering = Answering(lambda n: ["0123456789"])
    with Server(answering) as server:
        code, _, err = replay(store(tmp_path / "a.db", script), "--to", server.url)
    assert "1 frames to send were cut in the recording" in err
    assert "1 frames to expect were cut" in err
    assert answering.got[0] == (1, True, b"0123")
    assert code == 0


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), "give either --to URL or --serve"),
        (("--to", "nonsense"), "not a server URL"),
        (("--to", "ws://a", "--speed", "200"), "invalid speed"),
        (("--to", "ws://a", "--ignore", "id"), "invalid place to ignore"),
        (("--to", "ws://a", "-H", "x"), "invalid header"),
        (("--to", "ws://a", "-c", "9"), "has no connection 9"),
        (("--to", "ws://a", "--also", "missing.db"), "there is no capture"),
        (("--serve", "0", "--gate", "x"), "invalid gate"),
        (("--serve", "0", "--gate", "1=regex:("), "regular expression"),
        (("--serve", "0", "--gate", "1=subset:{"), "is not JSON"),
    ],
)
def test_mistakes_are_one_line(tmp_path, replay, args, words):
    code, result, err = replay(chat_capture(tmp_path / "a.db"), *args)
    assert (code, result) == (2, None)
    assert words in err


def test_what_a_fault_ended_is_ended_by_the_client_and_injected_frames_are_nobodys(tmp_path, replay):
    script = Chat()
    script.accept(1)
    for number in range(2):
        script.client(1, b'{"ask":%d}' % number)
        script.server(1, numbered(number).encode())
    # The engine's words for a frame of its own, and for a connection that it ended.
    extra = {"rule": "extra", "kind": "inject", "direction": "s2c", "frame": 1, "injected": True}
    over = {"rule": "over", "kind": "abort", "ends": {"by": "fault", "how": "rst"}}
    for fault in (extra, over):
        script.steps.append(Step("event", (1, Foreign({"event": "fault", **fault}), script.now)))
    script.end(1, "proxy", "rst")
    path = store(tmp_path / "a.db", script)
    with Server(Answering(lambda n: [numbered(n)])) as server:
        code, result, _ = replay(path, "--to", server.url)
    report = one(result)
    assert (code, report["problems"], report["messages"]["equal"]) == (0, [], 2)
    assert "what the peers themselves sent is played" in report["notes"][0]


# -- nothing waits forever


def set_times(path, **times):
    """Give connections other times: `attempt_ns`, `closed_ns` by connection, in SQL."""
    with closing(sqlite3.connect(path)) as database, database:
        for column, value in times.items():
            database.execute(f"UPDATE connection SET {column} = {value}")
    return path


def two_echoes():
    script = Chat()
    for number in (1, 2):
        script.accept(number)
        script.client(number, b"%d" % number)
        script.server(number, b"%d" % number)
        script.end(number, "client")
    return script


@pytest.mark.parametrize(
    "times",
    [
        {"closed_ns": "attempt_ns"},
        {"attempt_ns": "1000000000", "closed_ns": "1000000000"},
        {"closed_ns": "attempt_ns - 1000000"},
        {"closed_ns": "1", "attempt_ns": "NULL"},
        {"attempt_ns": "10 - id", "closed_ns": "id"},
    ],
    ids=[
        "ends as it begins",
        "all at one time",
        "ends before it begins",
        "no beginning",
        "each before the other",
    ],
)
def test_connections_with_odd_times_are_all_played(tmp_path, replay, times):
    path = set_times(store(tmp_path / "a.db", two_echoes()), **times)
    with Server(echo) as server:
        code, result, _ = replay(path, "--to", server.url, "--timeout", "2s")
    assert (code, [each["messages"]["equal"] for each in result["connections"]]) == (0, [1, 1])


def test_a_server_that_stops_reading_is_given_up_after_the_timeout(tmp_path, replay):
    script = Chat()
    script.accept(1)
    for _ in range(200):
        script.client(1, b"x" * 60_000)
    script.end(1, "client")
    done = threading.Event()

    def deaf(peer):
        peer.accept()
        done.wait(60)

    with Server(deaf) as server:
        code, result, _ = replay(store(tmp_path / "a.db", script), "--to", server.url, "--timeout", "300ms")
        done.set()
    assert code == 1
    (problem,) = one(result)["problems"]
    assert problem.startswith("the server reads nothing for 300 ms (")


def test_a_recorded_silence_ends_with_the_connection(tmp_path, replay):
    """The recorded time is kept only as long as somebody is there."""
    script = Chat()
    script.accept(1)
    script.client(1, b"1")
    script.tick(3_600_000)
    script.client(1, b"2")
    script.end(1, "client")

    def leaving(peer):
        peer.accept()
        peer.read()

    with Server(leaving) as server:
        code, result, _ = replay(store(tmp_path / "a.db", script), "--to", server.url, "--speed", "1")
    assert code == 1
    assert one(result)["problems"] == ["the server ended the connection before all was sent (1 left)"]


# -- a recorded attempt that failed


def failed_attempt(said=None):
    """`said`: the status with which the proxy that recorded it answered by itself."""
    script = Chat()
    script.begin(1, SECRET_REQUEST, "/room?id=7")
    script.event(1, "failed", where="connect", error="connection refused", status=said)
    script.event(1, "closed")
    return script


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("101 Switching Protocols", None),
        ("403 Forbidden", None),
        ("101 Switching Protocols", 502),
        ("502 x", 502),
    ],
)
def test_a_failed_attempt_that_is_answered_now_is_a_divergence(tmp_path, replay, status, said):
    def answering(peer):
        if status.startswith("101"):
            peer.accept()
            peer.read()
        else:
            peer.socket.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

    with Server(answering) as server:
        code, result, _ = replay(store(tmp_path / "a.db", failed_attempt(said)), "--to", server.url)
    assert code == 1
    problem = f"the server answers {status[:3]}; the recorded attempt failed: connection refused"
    assert one(result)["problems"] == [problem]


@pytest.mark.parametrize("said", [None, 502])
def test_a_failed_attempt_that_fails_again_is_as_recorded(tmp_path, replay, said):
    with Server(echo) as server:
        url = server.url  # nobody listens there any more
    code, result, _ = replay(store(tmp_path / "a.db", failed_attempt(said)), "--to", url)
    assert (code, one(result)["problems"]) == (0, [])
    assert "the recorded attempt failed too: connection refused" in one(result)["notes"][0]


def test_a_recorded_refusal_that_is_a_101_now_plays_nothing(tmp_path, replay):
    path = chat_capture(tmp_path / "a.db")
    with Server(echo) as server:
        code, result, _ = replay(path, "--to", server.url, "--connection", "2")
    assert (code, one(result)["problems"]) == (1, ["the server answers 101, recorded was 403"])


# -- at any speed


@pytest.mark.parametrize("speed", ["max", "100"])
def test_a_close_waits_for_the_answers_that_are_outstanding(tmp_path, replay, speed):
    """A server of today drops what it still owes once it has read a CLOSE."""
    read = threading.Event()
    late = []

    def owing(peer):
        peer.accept()

        def answer():
            read.wait(10)
            for number in range(40):
                time.sleep(0.002)
                late.append(number)  # before the answer leaves: the CLOSE may follow it at once
                peer.text(numbered(number))

        worker = threading.Thread(target=answer)
        worker.start()
        asked = 0
        while frame := peer.read():
            if frame[0] == 8:
                assert len(late) == 40, "the CLOSE came before the answers"
                peer.send(8, frame[2])
                break
            asked += 1
            if asked == 40:
                read.set()
        worker.join()

    with Server(owing) as server:
        code, result, _ = replay(store(tmp_path / "a.db", asking(40)), "--to", server.url, "--speed", speed)
    assert server.errors == []
    assert (code, one(result)["messages"]["equal"], one(result)["messages"]["missing"]) == (0, 40, 0)


def test_a_close_waits_no_longer_than_the_timeout(tmp_path, replay):
    answering = Answering(lambda number: [numbered(number)] if number < 2 else [])
    with Server(answering) as server:
        path = store(tmp_path / "a.db", asking(3))
        code, result, _ = replay(path, "--to", server.url, "--speed", "max", "--timeout", "300ms")
    assert code == 1
    assert one(result)["messages"]["missing"] == 1
    assert answering.got[-1][0] == 8


def test_of_two_taps_around_a_hop_the_clients_alone_are_played(tmp_path, replay):
    """What the hop sent behind it is its answer to the same messages: not once more."""
    with Server(Answering(lambda number: ["an answer"])) as server:
        path = sandwich_capture(tmp_path / "a.db")
        _, result, err = replay(path, "--to", server.url, "--timeout", "2s")
    assert [one["connection"] for one in result["connections"]] == [1, 3, 5]
    assert "2 connections" in err
