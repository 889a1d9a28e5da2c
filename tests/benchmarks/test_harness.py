"""The benchmark itself: frames as the RFC has them, medians and goals, and one short run without a proxy."""

import json
import os
import shutil
import sys

import pytest

from tests.benchmarks import __main__ as bench
from tests.benchmarks import counting, instructions, replaying, tables, wsframes
from tests.benchmarks.measures import TITLES, Place
from tests.benchmarks.peers import Peer, other_version
from tests.benchmarks.processes import BenchError, Child, Load
from tests.support.certs import make_certificates
from wsinspect.capture.reader import Capture


def test_client_frame_when_payload_is_the_rfcs_example():
    # RFC 6455 §5.7: a single-frame masked text message "Hello"
    frame = wsframes.client_frame(b"Hello", bytes.fromhex("37fa213d"), wsframes.TEXT)
    assert frame == bytes.fromhex("818537fa213d7f9f4d5158")


@pytest.mark.parametrize(
    ("payload", "expected"), [(64, 70), (125, 131), (126, 134), (65_535, 65_543), (65_536, 65_550)]
)
def test_wire_size_when_the_length_field_grows(payload, expected):
    assert wsframes.wire_size(payload) == expected
    assert len(wsframes.client_frame(bytes(payload), b"\x01\x02\x03\x04")) == expected


@pytest.mark.parametrize("frames", [1, 3, 4, 9])
def test_frame_blocks_when_frames_do_not_fill_the_last_block(frames):
    blocks = list(wsframes.frame_blocks(64, frames, block_bytes=4 * 70))
    assert sum(len(block) for block in blocks) == frames * 70


def test_response_when_the_key_is_the_rfcs_example():
    # RFC 6455 §1.3
    head = b"GET / HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in wsframes.response(head)


def test_medians_when_one_round_lost_a_frame():
    rounds = {"small": {"wsinspect": [{"frames_per_s": 1.0, "lost": 0}, {"frames_per_s": 3.0, "lost": 2}]}}
    found = tables.medians(rounds)
    assert found["small"]["wsinspect"] == {"frames_per_s": 2.0, "lost": 2}
    assert [goal.is_met for goal in tables.goals(found) if "missing" in goal.promise] == [False]


def test_goals_when_peers_are_missing():
    assert tables.goals(tables.medians({"echo": {"direct": [{"p50_us": 50.0, "p99_us": 80.0}]}})) == []


ABOUT = dict.fromkeys(
    ("date", "machine", "system", "python", "cores", "rounds", "sizes", "load", "minutes"), ""
)
THEN: tables.Medians = {
    "small": {"direct": {"of_direct": 1.0}, "wsinspect": {"of_direct": 0.2, "of_mitmdump": 1234.0}},
    "echo": {"wsinspect": {"p50_us": 100.0, "of_direct": 2.0}},
    "findings": {"wsinspect": {"busy_with": 1.0, "short_with": 1.0, "pairs_with": 1.5}},
}


@pytest.mark.parametrize(
    ("measure", "metric", "value", "named"),
    [
        ("small", "of_direct", 0.18, []),
        ("small", "of_direct", 0.16, ["64 B frames pipelined, of direct: 0.16x, before 0.20x"]),
        ("small", "of_mitmdump", 1000.0, ["64 B frames pipelined, of mitmdump: 1,000x, before 1,234x"]),
        ("small", "of_mitmdump", 9000.0, []),
        ("echo", "of_direct", 2.5, ["Echo round trip, one 64 B frame, of direct: 2.50x, before 2.00x"]),
        ("echo", "of_direct", 1.0, []),
        ("echo", "p50_us", 900.0, []),
        ("findings", "pairs_with", 1.6, []),
        ("findings", "pairs_with", 1.8, [f"{TITLES['findings']}, with rules: 1.80x, before 1.50x"]),
    ],
)
def test_a_ratio_that_is_much_worse_than_on_the_last_page_is_named(measure, metric, value, named):
    page = tables.markdown(THEN, {**ABOUT, "versions": {"wsinspect": "0.1.0"}})
    now = {name: {peer: dict(one) for peer, one in peers.items()} for name, peers in THEN.items()}
    now[measure]["wsinspect"][metric] = value
    assert tables.fallen(now, page) == named
    assert tables.fallen(now, "") == []


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, "compared with then.md\nno ratio is more than 15 % worse"),
        (
            {"machine": "Another"},
            "compared with then.md, which is of another machine (This one; this one: Another)\n"
            "no ratio is more than 15 % worse",
        ),
    ],
)
@pytest.mark.parametrize("sizes", tables.SIZES.values())
def test_a_page_of_as_many_frames_is_compared(sizes, facts, expected):
    about = {**ABOUT, "machine": "This one", "date": "2026-11-30", "sizes": sizes}
    page = tables.markdown(THEN, {**about, "versions": {"wsinspect": "0.1.0"}})
    assert tables.comparison(THEN, {**about, **facts}, "then.md", page) == expected


def test_a_page_of_more_frames_is_not_compared():
    page = tables.markdown(THEN, {**ABOUT, "sizes": tables.SIZES[False], "versions": {"wsinspect": "0.1.0"}})
    worse = {"echo": {"wsinspect": {"of_direct": 9.0}}}
    said = tables.comparison(worse, {**ABOUT, "sizes": tables.SIZES[True]}, "then.md", page)
    assert said.startswith("not compared with then.md, ")
    assert "WORSE" not in said


@pytest.mark.slow
def test_run_when_there_is_no_proxy(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench, "CORES", sys.maxsize)
    report, page = tmp_path / "bench.json", tmp_path / "bench.md"
    options = ["--quick", "--rounds", "1", "--peer", "direct", "--json", str(report), "--markdown", str(page)]
    assert bench.main(options) == 0
    assert "Echo round trip" in capsys.readouterr().out
    assert json.loads(report.read_text())["medians"]["small"]["direct"]["frames"] == 100_000
    assert "| direct |" in page.read_text()


def test_choose_when_the_peer_is_unknown(capsys):
    assert bench.main(["--peer", "apache"]) == 2
    assert "unknown peer apache" in capsys.readouterr().err


def test_recording_when_messages_are_answered_by_themselves(tmp_path):
    with Capture.open(replaying.recording(tmp_path / "small.db", replaying.SMALL, 3)) as capture:
        (connection,) = capture.connections()
        opcodes = [frame.opcode for frame in capture.frames(connection.id)]
    assert opcodes == [1, 1, 1, 1, 1, 1, 8, 8]


def test_other_version_when_the_folder_is_no_working_tree(tmp_path):
    with pytest.raises(BenchError, match="has no wsinspect/"):
        other_version(tmp_path)


def test_calls_when_a_line_of_strace_is_interrupted():
    log = "\n".join(
        (
            '12 recvfrom(7, ""..., 65536, 0, NULL, NULL) = 64',
            "12 epoll_wait(3,  <unfinished ...>",
            '13 writev(9, [{iov_base=""..., iov_len=24}, {iov_base=""..., iov_len=64}], 2 <unfinished ...>',
            "12 <... epoll_wait resumed>[{events=EPOLLIN, data={u32=7, u64=7}}], 4, -1) = 1",
            "13 <... writev resumed>)             = 88",
            "12 recvfrom(7, 0x7f, 65536, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable)",
            "14 futex(0x7f, FUTEX_WAIT_PRIVATE, 2, NULL <detached ...>",
            "12 --- SIGSTOP {si_signo=SIGSTOP} ---",
            "13 +++ exited with 0 +++",
        )
    )
    assert counting.counts(log) == {"recvfrom": (2, 64), "epoll_wait": (1, 0), "writev": (1, 88)}


@pytest.mark.slow
def test_writes_when_nothing_is_between(tmp_path):
    certificates = make_certificates(tmp_path / "certificates")
    command = [sys.executable, "-m", "tests.benchmarks.target", certificates.chain, certificates.key]
    target = Child(list(map(str, command)), tmp_path, "target")
    try:
        load = Load("writes", int(target.wait_line(10, "port")["port"]), payload=1, frames=50)
        measured = load.result()
        load.finish()
    finally:
        target.stop(seconds=5)
    assert measured["frames"] == 50
    assert 1 <= measured["reads"] <= 50


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("5080,,instructions:u,123456,100.00,,\n", 5080),
        ("<not supported>,,instructions:u,0,100.00,,\n", None),
        ("<not counted>,,instructions:u,0,0.00,,\n", None),
        ("", None),
    ],
)
def test_perf_counts_where_the_processor_does(text, count):
    assert instructions.counted_by_perf(text) == count


def test_callgrind_counts_what_it_has_dumped():
    assert instructions.totals("events: Ir\nsummary: 5080\n\nfn=(1)\n+3 7\n\ntotals: 5080\n") == 5080
    assert instructions.totals("events: Ir\n") == 0


class _Kept(Peer):
    """A port that something listens on; keeps what was made of it to run under callgrind."""

    def command(self, folder, port, target):
        return [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]

    def under(self, wrapper, seconds):
        self.made = super().under((), seconds)
        return self.made


def test_what_ran_under_callgrind_has_ended_when_the_counting_failed(tmp_path, monkeypatch):
    pids = []

    def fail(running, counted, folder):
        pids.append(running.pid)
        raise BenchError("callgrind_control: no answer")

    monkeypatch.setattr(instructions, "_measured", fail)
    monkeypatch.setattr(instructions, "has_counter", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    peer = _Kept("kept")
    with pytest.raises(BenchError):
        instructions.measure(peer, Place(tmp_path, 0, 0, make_certificates(tmp_path)), is_quick=False)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
