"""`wsinspect show` on captures of this test's making."""

from __future__ import annotations

import base64
import json
import re
import sqlite3
import unicodedata
import zlib

import pytest
from click.testing import CliRunner

from tests.support import journals, warm
from tests.support.journals import Script, index, write_journal
from tests.support.tui_captures import CaptureBuilder
from tests.unit.cli.maker import C2S, S2C, CaptureMaker, home
from wsinspect.cli.detail import Detail, show_connection
from wsinspect.cli.listing import reconnect_hint
from wsinspect.cli.main import cli
from wsinspect.present.terminal import Palette
from wsinspect.recorder.opening import open_capture
from wsinspect.text import cell_width
from wsinspect.wire.opcodes import Opcode

EVIL = "\x1b]0;owned\x07\x9b31m\u202e\x7f"
OFFER = b"Sec-WebSocket-Protocol: chat.v2, chat.v1\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"
ANSWER = b"Sec-WebSocket-Protocol: chat.v2\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"


def deflated(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    """A rich connection, a refused one, one without boundaries, a failed one, one whose engine died."""
    maker = CaptureMaker(tmp_path_factory.mktemp("show") / "chat.db")
    maker.attempt(1, extra=OFFER + b"X-Evil: " + EVIL.encode() + b"\r\n")
    maker.open(1, extra=ANSWER)
    maker.frame(1, C2S, Opcode.TEXT, b'{"op":"sub"}' + EVIL.encode(), 10)
    maker.frame(1, S2C, Opcode.TEXT, "日本\n".encode(), 12, fin=False, held_ms=30)
    maker.frame(1, S2C, Opcode.PING, b"p1", 13)
    maker.frame(1, S2C, Opcode.CONTINUATION, b"tail " * 200, 14)
    maker.frame(1, C2S, Opcode.PONG, b"p1", 18)
    maker.frame(1, C2S, Opcode.PONG, b"zz", 19)
    maker.frame(1, S2C, Opcode.TEXT, deflated(b"hello " * 1000), 20, rsv=4)
    maker.frame(1, S2C, Opcode.BINARY, bytes(range(64)), 21)
    maker.frame(1, C2S, Opcode.PING, b"\xff\xfe", 22)
    maker.frame(1, S2C, Opcode.CLOSE, b"\x03\xe9bye " + EVIL.encode(), 23)
    maker.frame(1, C2S, Opcode.CLOSE, b"\x03\xe9", 24)
    maker.closed(1, 30, side="server", how="fin")
    maker.attempt(2, 100, path="/admin?" + "x" * 200, tap="edge")
    maker.refuse(2, f"<html>{EVIL}\n".encode() * 20, 105)
    maker.attempt(3, 200)
    maker.open(3, 205)
    maker.frame(3, S2C, 3, b"reserved", 206)
    maker.raw(3, S2C, b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff and more", 210)
    maker.closed(3, 215, side="client", how="rst")
    maker.attempt(4, 300)
    maker.event(4, 301, event="failed", where="connect", error="refused " + EVIL, status=None)
    maker.closed(4, 302)
    maker.attempt(5, 400)
    maker.open(5, 405)
    return maker.finish(is_killed=True)


@pytest.fixture
def show(tmp_path):
    """Runs `wsinspect show` as its user does, and holds every output to what no output may break."""

    def run(*args, code=0, **environment):
        words = ["show", *map(str, args)]
        done = warm.run(words, folder=tmp_path, environment=home(tmp_path) | environment)
        assert done.returncode == code, done.stderr
        assert_harmless(done.stdout)
        assert_harmless(done.stderr)
        return done.stdout if code == 0 else done.stderr

    return run


def assert_harmless(output):
    plain = re.sub("\x1b\\[[0-9;]*m(?=.)|\x1b\\[0m", "", output)  # colours of ours, where they were asked for
    assert not [char for char in plain if char != "\n" and unicodedata.category(char) in ("Cc", "Cf", "Cs")]


def rows(output):
    """The frame rows by number, without what is before and after the table."""
    return {
        int(line.split()[0]): line for line in output.splitlines() if re.match(r" +\d+ +-?\d+\.\d{6} ", line)
    }


def test_connections_are_listed(show, capture):
    header, *lines = show(capture).splitlines()
    assert header.split()[:4] == ["#", "STATE", "TAP", "CLIENT"]
    assert [line.split()[:2] for line in lines] == [
        ["1", "closed"],
        ["2", "refused"],
        ["3", "closed"],
        ["4", "failed"],
        ["5", "lost"],
    ]
    assert lines[0].endswith("1001 by server")
    assert lines[1].endswith("HTTP 403")
    assert "…" in lines[1]
    assert lines[2].endswith("1006: RST by client, no CLOSE")
    assert "refused ␛]0;owned" in lines[3]
    assert lines[4].endswith("the proxy exited")


def test_connections_as_json(show, capture):
    found = json.loads(show(capture, "--json"))
    assert (found["schema"], found["live"]) == (1, False)
    first = found["connections"][0]
    assert first["url"] == "ws://example.org/chat"
    assert first["js"] == {"code": 1001, "wasClean": True}
    assert first["frames"] == {"c2s": 5, "s2c": 6}
    assert first["server_reason"] == "bye " + EVIL
    assert [one["state"] for one in found["connections"]] == ["closed", "refused", "closed", "failed", "lost"]


def test_a_handshake_shows_what_the_proxy_changed(show, capture):
    output = show(capture, 1)
    assert "Connection 1  ws://example.org/chat  tap main  closed" in output
    assert "client        127.0.0.1:5000 at 127.0.0.1:8080, HTTP/1.1" in output
    assert "server        example.org:80 (10.0.0.1:80) from 10.0.0.2:6000, HTTP/1.1" in output
    assert "answer        101 in 4 ms; key of 16 bytes, Sec-WebSocket-Accept correct" in output
    assert "subprotocol   chat.v2 (offered: chat.v2, chat.v1)" in output
    assert "    +1.000 ms  request received" in output
    assert "Request (lines changed by the proxy: 1)" in output
    assert "  -  Host: localhost:8080\n  +  Host: example.org\n" in output
    assert "X-Evil: ␛]0;owned␇\\x9b31m\\u202e␡" in output
    assert "Response (unchanged)" in output


def test_frames_are_rows_with_what_they_belong_to(show, capture):
    found = rows(show(capture, 1))
    assert list(found) == list(range(1, 12))
    assert found[1].split()[:7] == [
        "1",
        "0.010000",
        "0.000",
        "c>s",
        "TEXT",
        "F···",
        str(12 + len(EVIL.encode())),
    ]
    assert '{"op":"sub"}␛]0;owned' in found[1]
    assert "╭ fragment 1 of 2; sent on 30 ms later  日本␊" in found[2]
    assert "↺ 5, rtt 5 ms, client leg" in found[3]
    assert "╰ fragment 2 of 2; message 2, 1007 B  tail" in found[4]
    assert found[4].endswith("…")
    assert "↺ 3, rtt 5 ms, client leg" in found[5]
    assert "unsolicited" in found[6]
    assert found[7].split()[5] == "F1··"
    assert "→ 5.9 KiB  hello hello" in found[7]
    assert found[8].endswith("00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f …")
    assert "no pong  ff fe" in found[9]
    assert '1001 going away "bye ␛]0;owned' in found[10]


def test_the_end_is_shown(show, capture):
    output = show(capture, 1)
    assert "At 0.030000 s" not in output  # the line about the server's leg says it
    assert "Ended by the server after 30 ms: CLOSE frame" in output
    assert "JavaScript    code 1001 (going away), wasClean true" in output
    assert 'server sent   1001 going away "bye ␛]0;owned' in output
    assert "client sent   1001 going away\n" in output


def test_whole_payloads_are_text_or_hex(show, capture):
    output = show(capture, 1, "--payload")
    assert '    {"op":"sub"}␛]0;owned␇\\x9b31m\\u202e␡\n' in output
    assert "    日本\n" in output
    assert "    " + "hello " * 1000 + "\n" in output
    assert "    00000030  30 31 32 33 34 35 36 37  38 39 3a 3b 3c 3d 3e 3f  0123456789:;<=>?\n" in output


def test_a_refused_attempt_shows_headers_and_body(show, capture):
    output = show(capture, 2)
    assert "Before the response\n     HTTP/1.1 103 Early Hints" in output
    assert "X-Why: ␛[31mno" in output
    assert "403 in" in output
    assert "more lines; --payload shows them" in output
    assert show(capture, 2, "--payload").count("<html>␛]0;owned") == 20


def test_lost_boundaries_and_violations_are_shown(show, capture):
    output = show(capture, 3)
    assert "! ✖ reserved-opcode" in rows(output)[12]
    assert "! reserved-opcode: The opcode is reserved. (RFC 6455 §5.2)" in output
    assert "Bytes outside frames: 19 s>c after frame 12 (length-top-bit)" in output
    assert ".......... and m" in show(capture, 3, "--payload")


def test_failed_and_lost_connections_say_why(show, capture):
    failed = show(capture, 4)
    assert "error         refused ␛]0;owned" in failed
    assert "no response" in failed
    assert "Lost: the proxy exited" in show(capture, 5)


def test_a_connection_as_json(show, capture):
    found = json.loads(show(capture, 1, "--json", "--payload"))
    assert found["schema"] == 1
    assert found["handshake"]["changed_by_proxy"]["request"] == [
        {"kind": "changed", "name": "Host", "before": "Host: localhost:8080", "after": "Host: example.org"}
    ]
    assert found["handshake"]["heads"]["request_in"].startswith("GET /chat HTTP/1.1\r\nHost: localhost")
    frames = {frame["id"]: frame for frame in found["frames"]}
    assert len(frames) == 11
    assert frames[1]["payload"]["text"] == '{"op":"sub"}' + EVIL
    binary = bytes(range(64))
    told = [one for one in (*found["frames"], *found["messages"]) if one["opcode"] == Opcode.BINARY]
    payloads = [one["payload"] for one in told if one["length"] == len(binary)]
    assert [base64.b64decode(payload["base64"]) for payload in payloads] == [binary, binary]
    assert payloads[0]["text"] == binary.decode()
    assert (
        frames[3]["ping"]
        == {"frame": 3, "pong": 5, "leg": "client", "rtt_ns": 5_000_000}
        == frames[5]["ping"]
    )
    assert frames[8]["header"] == "8240"
    assert frames[9]["payload"] == {"base64": "//4="}
    assert frames[10]["close"] == {"code": 1001, "reason": "bye " + EVIL}
    messages = {message["id"]: message for message in found["messages"]}
    assert messages[2]["payload"]["text"] == "日本\n" + "tail " * 200
    assert messages[7]["payload"]["text"] == "hello " * 1000
    assert messages[7]["compressed"] is True
    assert "payload" not in json.loads(show(capture, 1, "--json"))["frames"][0]
    opaque = json.loads(show(capture, 3, "--json"))["opaque"]
    assert opaque[0]["length"] == 19


def test_colour_is_there_only_when_asked_for(show, capture):
    assert "\x1b" not in show(capture, 1)
    assert "\x1b[34m" in show(capture, 1, "--color", "always")
    assert "\x1b" not in show(capture, 1, "--color", "never", NO_COLOR="")


def test_following_a_capture_that_is_over_prints_it_and_ends(show, capture):
    assert show(capture, "--follow").splitlines()[-1].endswith("the proxy exited")
    assert "Ended by the server after 30 ms" in show(capture, 1, "--follow")
    events = [json.loads(line) for line in show(capture, 1, "--follow", "--json").splitlines()]
    assert {event["schema"] for event in events} == {1}
    assert [event["event"] for event in events[:3]] == ["connection", "handshake", "frame"]
    assert [event["event"] for event in events].count("message") == 4
    assert events[-1]["ended_by"] == "server"


def test_last_is_the_newest_and_a_number_is_its_connection(show, capture, tmp_path):
    assert "no capture yet" in show(code=2)
    place = tmp_path / ".local/share/wsinspect/captures"
    place.mkdir(parents=True)
    (place / "20260101-000000-1.db").write_bytes(capture.read_bytes())
    assert show() == show("last") == show(capture)
    assert show(4) == show("last", 4) == show(capture, 4)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.db", "there is no capture"),
        (".", "there is no capture"),
        ("empty.db", "empty.db is an empty file, not a capture"),
        ("text.db", "text.db is not a capture: file is not a database (wsinspect import makes one of "),
        ("other.db", "not a capture of wsinspect"),
        ("newer.db", "update wsinspect"),
        ("cut.db", "cut.db is damaged: database disk image is malformed (copy it again"),
    ],
)
def test_a_file_that_is_not_a_capture_is_one_line_and_exit_code_2(show, capture, tmp_path, name, words):
    (tmp_path / "text.db").write_text("hello " * 1000)
    (tmp_path / "empty.db").touch()
    sqlite3.connect(tmp_path / "other.db").executescript("CREATE TABLE x (y)").connection.close()
    (tmp_path / "newer.db").write_bytes(capture.read_bytes())
    newer = sqlite3.connect(tmp_path / "newer.db")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    (tmp_path / "cut.db").write_bytes(capture.read_bytes()[:20_000])
    error = show(tmp_path / name, code=2)
    assert words in error
    assert error.startswith("wsinspect: ")
    assert error.count("\n") == 1


def test_an_unknown_connection_is_one_line_and_exit_code_2(show, capture):
    error = show(capture, 9, code=2)
    assert error.endswith("has no connection 9 (it has 1 to 5)\n")
    assert "--payloads" in show(capture, "--payloads", code=2)


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("UPDATE frame SET time_ns = 'x'", "is damaged: frame.time_ns holds text, not integer"),
        ("UPDATE connection SET attempt_ns = x'00'", "is damaged: connection.attempt_ns holds blob, not"),
        ("UPDATE handshake SET request_in = 'x'", "is damaged: handshake.request_in holds text, not blob"),
        ("UPDATE ping SET rtt_ns = 'x'", "is damaged: ping.rtt_ns holds text"),
        ("UPDATE connection SET error = cast(x'ff1b' AS text)", "Could not decode to UTF-8"),
    ],
)
def test_values_that_do_not_belong_there_are_damage(show, capture, tmp_path, sql, words):
    path = tmp_path / "damaged.db"
    open_capture(capture).close()  # indexed, whichever test comes first
    path.write_bytes(capture.read_bytes())
    database = sqlite3.connect(path)
    database.execute(sql)
    database.commit()
    database.close()
    error = show(path, 1, code=2)
    assert words in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE connection SET js_code = -5, client_close_code = 1 << 60, attempt_ns = 1 << 62",
        "UPDATE connection SET attempt_ns = -1, closed_ns = -1, port = -1, c2s_bytes = -1",
        "UPDATE frame SET header = x'', payload = 'text', wire_length = -1, time_ns = -1",
        """UPDATE handshake SET problems = '[7]', server_tls = '{"certificate": {"sans": 7}}'""",
        """UPDATE handshake SET client_tls = '{"alpn_offered": 3, "sni": []}', server_tls = '7'""",
    ],
)
def test_odd_values_are_shown_as_they_are(show, capture, tmp_path, sql):
    path = tmp_path / "odd.db"
    open_capture(capture).close()  # indexed, whichever test comes first
    path.write_bytes(capture.read_bytes())
    database = sqlite3.connect(path)
    database.execute(sql)
    database.commit()
    database.close()
    for args in ([], [1], [1, "--payload"], [1, "--json", "--payload"], ["--json"]):
        show(path, *args)


def test_messages_in_json_are_values_with_a_decoders_words(tmp_path, show):
    maker = CaptureMaker(tmp_path / "graph.db")
    maker.attempt(1, extra=b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n")
    maker.open(1, extra=b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n")
    texts = [
        b'{"id":"1","type":"subscribe","payload":{"query":"subscription { n }"}}',
        b'{"n": 1e999}',
        b'{"n": NaN}',
        b"[" * 100_000,
        b'{"n": ' + b"9" * 5000 + b"}",
        b"{no JSON}",
        b" [1, 2.5]",
    ]
    for number, text in enumerate(texts):
        maker.frame(1, C2S, Opcode.TEXT, text, 10 + number)
    maker.frame(1, C2S, Opcode.TEXT, deflated(b'{"type":"ping"}'), 30, rsv=4)
    path = maker.finish()
    messages = json.loads(show(path, 1, "--json", "--payload"), parse_constant=pytest.fail)["messages"]
    assert messages[0]["json"]["payload"] == {"query": "subscription { n }"}
    assert "subscribe" in messages[0]["summary"]
    assert ["json" in one for one in messages] == [True, False, False, False, False, False, True, False]
    assert messages[6]["json"] == [1, 2.5]
    assert messages[6]["summary"] is None
    assert messages[1]["payload"] == {"text": '{"n": 1e999}'}
    frames = {one["id"]: one for one in json.loads(show(path, 1, "--json"))["frames"]}
    for one in messages:
        assert one["op"] == "TEXT"
        assert one["first_ns"] == frames[one["first_frame"]]["first_ns"]
        assert one["time_ns"] == frames[one["last_frame"]]["time_ns"]


@pytest.mark.parametrize(
    ("clock", "column"),
    [
        ("relative", r"TIME S$|^ *1  +0\.010000  "),
        ("delta", r"DELTA S$|^ *2  +0\.002000  "),
        ("local", r"LOCAL TIME$|^ *1  \d\d:\d\d:\d\d\.\d{6}  "),
        ("utc", r"UTC$|^ *1  \d\d:\d\d:\d\d\.\d{6}  "),
    ],
)
def test_times_are_written_as_asked(show, capture, clock, column):
    heading, row = column.split("|")
    text = show(capture, 1, "--time", clock)
    header = next(line for line in text.splitlines() if "NOTE, PREVIEW" in line)
    assert re.search(heading.replace("$", r"  "), header)
    assert any(re.search(row, line) for line in text.splitlines())
    filtered = show(capture, 1, "--time", clock, "--filter", "op:text")
    assert next(line for line in filtered.splitlines() if "TEXT" in line) in text.splitlines()


def test_frames_of_several_connections_have_one_zero(show, tmp_path):
    """Counted from each one's own attempt their times would jump back and forth."""
    with CaptureBuilder(tmp_path / "two.db") as builder:
        for number in (1, 2):
            builder.connection(number, number * 1_000)
        for at in (3_000, 4_000):
            builder.frame(1, at, 1, b"one")
            builder.frame(2, at + 500, 1, b"two")
    rows = [line.split() for line in show(tmp_path / "two.db", "--filter", "op:text").splitlines()]
    assert [row[2] for row in rows if "TEXT" in row] == ["3.000000", "3.500000", "4.000000", "4.500000"]


def test_time_is_for_frames(show, capture):
    assert "--time needs a CONNECTION, or a filter for frames" in show(capture, "--time", "utc", code=2)
    assert "--time cannot be combined with --json" in show(capture, 1, "--time", "utc", "--json", code=2)
    assert "--time cannot be combined with --sessions" in show(capture, "--time", "utc", "--sessions", code=2)


def test_what_could_not_be_stored_is_said_for_the_capture_and_for_each_connection(tmp_path):
    script = Script()
    for number in (1, 2):
        script.open(number)
        script.data(number, 1, journals.text(b"hello", masked=False))
    loss = {"streams": [[1, 1]], "stream_bytes": [4096], "connections": [1]}
    script.event(0, "unstored", bytes=4096, records=2, reason="No space left on device", **loss)
    for number in (1, 2):
        script.now += 5 * 10**9
        script.end(number, "server")
    path = tmp_path / "a.db"
    write_journal(path, script.stop())
    index(path)

    def run(*arguments):
        return CliRunner().invoke(cli, ["show", str(path), *arguments], standalone_mode=False)

    listed = run()
    assert "incomplete; 4.0 KiB could not be stored (No space left on device)" in listed.stderr
    first, second = listed.stdout.splitlines()[1:]
    assert first.endswith("end not on record")
    assert second.endswith("1006: FIN by server, no CLOSE")
    lacking, whole = run("1").stdout, run("2").stdout
    assert "missing       4.0 KiB from the server could not be stored" in lacking
    assert "server sent   no CLOSE frame on record" in lacking
    assert "what came later was not recorded" in lacking
    assert "None" not in lacking
    assert "missing" not in whole
    assert "server sent   no CLOSE frame\n" in whole
    found = json.loads(run("--json").stdout)
    assert (found["missing"]["unstored_bytes"], found["missing"]["unstored_records"]) == (4096, 2)
    assert [one["missing"] and one["missing"]["s2c"] for one in found["connections"]] == [
        {"bytes": 4096},
        None,
    ]
    card = json.loads(run("1", "--json").stdout)["provenance"]
    assert card["last"]["s2c"]["silence_ns"] is None


@pytest.mark.parametrize(
    ("reason", "how", "records"),
    [
        ("No space left on device", "could not be stored", True),
        ("not in the trace", "not in the trace", False),
        ("not read: no secrets", "not read", True),
    ],
)
def test_json_says_what_is_missing_and_why_as_text_does(tmp_path, reason, how, records):
    script = Script()
    for number in (1, 2):
        script.open(number)
        script.data(number, 1, journals.text(b"hello", masked=False))
    loss = {"streams": [[1, 1]], "stream_bytes": [4096], "connections": [1] if records else []}
    script.event(0, "unstored", bytes=4096, records=2, reason=reason, **loss)
    for number in (1, 2):
        script.end(number, "server")
    path = tmp_path / "a.db"
    write_journal(path, script.stop())
    index(path)

    def run(*arguments):
        return CliRunner().invoke(cli, [*map(str, arguments)], standalone_mode=False)

    assert f"from the server {how}" in run("show", path, 1).stdout
    asked = [("show", path), ("show", path, 1), ("show", path, "--filter", "op:text")]
    asked += [("show", path, "--filter", "conn:1"), ("show", path, "--sessions"), ("diagnose", path)]
    for arguments in asked:
        found = json.loads(run(*arguments, "--json").stdout)
        assert found["missing"]["unstored_reason"] == reason, arguments
    lacking, whole = (
        json.loads(run("show", path, number, "--json").stdout)["connection"]["missing"] for number in (1, 2)
    )
    assert (lacking["how"], lacking["s2c"], lacking["records"]) == (how, {"bytes": 4096}, records)
    assert whole is None


def test_all_times_of_a_connection_count_from_its_attempt(tmp_path):
    """Rows, events, ends and the length of it: one zero point, wherever in the capture the attempt was."""
    script = Script()
    script.now += 3600 * 10**9
    script.open(1)
    script.now += 2 * 10**9
    script.data(1, 1, journals.text(b"hello", masked=False))
    script.now += 10**9
    script.event(1, "gap", direction="c2s", bytes=1, reason="full")
    script.now += 10**9
    script.end(1, "server")
    path = tmp_path / "a.db"
    write_journal(path, script.stop())
    index(path)
    shown = CliRunner().invoke(cli, ["show", str(path), "1"], standalone_mode=False).stdout
    assert re.search(r"^ +1 +2\.0000\d+ ", shown, re.MULTILINE)
    assert re.search(r"^At 3\.0000\d+ s: gap", shown, re.MULTILINE)
    assert re.search(r"^Ended by the server after 4 s: ", shown, re.MULTILINE)
    assert re.search(r"^ +server's leg +fin at 4 s", shown, re.MULTILINE)


def test_on_a_terminal_every_line_of_a_connection_fits_and_words_stay_whole(capture, capsys, monkeypatch):
    """Header lines and sentences continue below; in a pipe they stay whole, to be searched."""
    for number in range(1, 6):
        show_connection(Detail(capture, number), Palette())
        whole = capsys.readouterr().out
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        show_connection(Detail(capture, number), Palette())
        folded = capsys.readouterr().out.splitlines()
        monkeypatch.undo()
        assert max(map(cell_width, folded)) <= 80
        words = {word for line in folded for word in line.split()}
        said = [line for line in whole.splitlines() if re.match(r"Connection|Ended|  [a-z]+ ", line)]
        assert len(said) > 5
        assert [word for line in said for word in line.split() if len(word) < 60 and word not in words] == []


def test_the_findings_about_a_connection_are_named_worst_first_with_what_prints_them(show, tmp_path):
    path = tmp_path / "found.db"
    with CaptureBuilder(path) as builder:
        builder.connection(1)
        bad = builder.frame(1, 10, 3, b"x")
        builder.connection(2)
        builder.finding("WS-CL-001", "note", 1, None, title="a note")
        builder.finding("WS-FR-003", "error", 1, bad, title="a bad \x1b[31mframe")
    shown = show(path, 1)
    at = shown.index("\nFindings\n")
    assert shown[at:].splitlines()[2:] == [
        f"  ✖ WS-FR-003  a bad ␛[31mframe (frame {bad})",
        "  · WS-CL-001  a note",
        f"  what to do about it: wsinspect diagnose {path} --connection 1",
    ]
    assert "Findings" not in show(path, 2)


@pytest.mark.parametrize(
    ("clients", "apart_ms", "is_hinted"),
    [
        (["10.0.0.9"] * 20, 20, True),
        (["10.0.0.9"] * 8, 20, False),  # seven tries again
        (["10.0.0.9"] * 20, 0, False),  # a crowd at once
        ([f"10.0.0.{number}" for number in range(20)], 20, False),
    ],
)
def test_tries_in_a_row_are_said_to_be_a_clients_story(tmp_path, clients, apart_ms, is_hinted):
    with CaptureBuilder(tmp_path / "storm.db") as builder:
        for number, client in enumerate(clients, 1):
            builder.refused(number, number * apart_ms, client=f"{client}:{5000 + number}")
    with open_capture(tmp_path / "storm.db") as capture:
        hint = reconnect_hint(capture.connections())
    assert ("show --sessions" in hint) is is_hinted
    assert hint.startswith("19 of these") is is_hinted
