"""Pages as they are written; what browsers make of them is in tests/e2e/test_report_browsers.py."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.chats import Chat, chat_capture, store
from tests.support.packets import REQUEST, SERVER, Tcp, Wire
from tests.support.report_pages import ATTACK, Parsed, attacking_capture, data_of
from tests.support.traces import Imported
from wsinspect.cli.main import cli, execute
from wsinspect.findings.model import RECORDING, FaultOf, Finding
from wsinspect.report import content
from wsinspect.report import page as page_module
from wsinspect.report.page import who_did

Report = Callable[..., str]


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Report:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    def run(path: Path, *options: str) -> str:
        args = ("report", str(path), "-o", "page.html", "--force", *options)
        assert execute(lambda: cli.main(args, prog_name="wsinspect", standalone_mode=False)) == 0
        run.err = capsys.readouterr().err  # type: ignore[attr-defined]
        return (tmp_path / "page.html").read_text()

    return run


def refused(path: Path) -> Path:
    """A hop in front of the server took Upgrade away."""
    wire = Wire()
    bad = REQUEST.replace(b"Upgrade: websocket\r\nConnection: Upgrade\r\n", b"Connection: close\r\n")
    edge = Tcp(wire, server=("10.0.0.2", 80)).open()
    origin = Tcp(wire, client=("10.0.0.2", 60000), server=("10.0.0.3", 3000)).open()
    edge.send(0, REQUEST)
    origin.send(0, bad)
    answer = b"HTTP/1.1 426 Upgrade Required\r\nServer: nginx\r\nContent-Length: 0\r\n\r\n"
    origin.send(SERVER, answer)
    edge.send(SERVER, answer)
    return Imported(path, wire, taps={"80": "edge", "3000": "origin"}).path


def test_the_verdict_comes_first_and_the_fix_after_it(tmp_path: Path, report: Report) -> None:
    text = Parsed(report(refused(tmp_path / "a"))).text()
    order = [
        "The hop removes the Upgrade headers",
        "A hop is what stands between the client and the server",
        "This was recorded in several places: edge and origin.",
        "ws://chat.example",
        "In these lines stands /ws for /chat, http://app for your application.",
        "What was seen",
        "Connections",
    ]
    places = [text.index(words) for words in order]
    assert places == sorted(places)


def test_a_diff_is_shown_once_and_words_that_only_we_use_are_explained(
    tmp_path: Path, report: Report
) -> None:
    config = tmp_path / "nginx.conf"
    config.write_text(
        "http { server { listen 80; server_name chat.example;\n"
        "location /chat { proxy_pass http://10.0.0.3:3000; } } }\n"
    )
    capture = refused(tmp_path / "a")
    page = report(capture, "--config", str(config))
    assert page.count("+++ b/") == page.count('<pre tabindex="0" class="diff">') == 1
    assert f"{config}, line 2</code></p>" in page
    assert "joined by key: the same Sec-WebSocket-Key on both sides of the hop" in page
    assert "c&gt;s is from the client to the server" not in page
    chat = Chat()
    chat.accept(1)
    chat.tick(60_000)
    chat.end(1, "server", "fin")
    said = Parsed(report(store(tmp_path / "b.db", chat))).text()
    assert said.index("c>s is from the client to the server") < said.index("silence c>s before the end: 60 s")


def test_on_paper_a_finding_as_long_as_a_page_begins_where_it_stands(tmp_path: Path, report: Report) -> None:
    """What is not to be divided moves to the next page as a whole: then the first one has a title alone."""
    style = report(refused(tmp_path / "a")).partition("@media print")[2].partition("</style>")[0]
    kept_whole = re.findall(r"([^{}]+)\{[^{}]*break-inside:avoid", style)
    selectors = {one.strip() for found in kept_whole for one in found.split(",")}
    assert ".fix" in selectors
    assert ".finding" not in selectors


def test_on_paper_the_timeline_is_drawn_at_once_and_its_legend_has_colours(
    tmp_path: Path, report: Report
) -> None:
    """Printing from dark mode changes the colours: what emptied the canvas then gets no animation frame."""
    page = report(refused(tmp_path / "a"))
    measure = page.partition("const measure = () => {")[2].partition("\n  };")[0]
    assert "canvas.width =" in measure
    assert "draw();" in measure.partition("canvas.width =")[2]
    assert "background:currentColor;print-color-adjust:exact" in page


def test_on_paper_what_is_alike_is_printed_in_part_and_counted(
    tmp_path: Path, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 300 attempts of a storm all handshakes were printed: 174 pages."""
    whole = report(chat_capture(tmp_path / "a.db"))
    assert 'class="more"' not in whole
    assert "Printed:" not in whole
    monkeypatch.setattr(page_module, "_PRINTED_ROWS", 1)
    monkeypatch.setattr(page_module, "_PRINTED_HANDSHAKES", 1)
    assert f"MOST = {page_module._DRAWN_ROWS};" in whole
    monkeypatch.setattr(page_module, "_DRAWN_ROWS", 1)
    found = report(chat_capture(tmp_path / "b.db"))
    assert [
        found.count(one) for one in ('<tr id="c', '" class="more"><th', '" class="more" open><summary')
    ] == [
        2,
        1,
        1,
    ]
    assert "Printed: 1 of 2 connections. The page has all." in found
    assert "Printed: 1 of 2 connections in the timeline. The page has all." in found
    assert "Printed: 1 of 2 handshakes, and those opened on the page. The page has all." in found
    style = found.partition("@media print")[2].partition("</style>")[0]
    assert "tr.more,details.more:not([open]){display:none}" in style
    assert 'querySelectorAll("details:not([open],.more)")' in found  # what printing opens


def test_on_paper_only_cells_with_a_long_word_break_within_words(tmp_path: Path, report: Report) -> None:
    page = report(refused(tmp_path / "a"))
    row = page.partition('<tr id="c1">')[2].partition("</tr>")[0]
    assert '<td class="long">ws://' in row
    assert "<td>refused</td>" in row
    style = page.partition("@media print")[2].partition("</style>")[0]
    assert "th,td{overflow-wrap:normal;" in style
    assert "td.long{overflow-wrap:anywhere}" in style


def test_what_clients_could_do_better_is_whole_on_a_narrow_screen(tmp_path: Path, report: Report) -> None:
    """Its sentences are longer than a line of any screen."""
    style = report(refused(tmp_path / "a")).partition("</style>")[0]
    wrapped = re.findall(r"([^{}]+)\{white-space:pre-wrap", style)
    assert any("[aria-labelledby=h-clients] pre" in one for one in wrapped)


def test_where_taps_are_several_each_connection_names_its_own(tmp_path: Path, report: Report) -> None:
    both, one = Parsed(report(refused(tmp_path / "a"))), Parsed(report(chat_capture(tmp_path / "b.db")))
    assert "Seen at" in both.texts["th"]
    assert {"edge", "origin"} <= {*both.texts["td"]}
    assert "Seen at" not in one.texts["th"]


def test_a_healthy_capture_says_so(tmp_path: Path, report: Report) -> None:
    script = Chat()
    script.accept(1)
    script.client(1, b"hello")
    script.client(1, (1000).to_bytes(2, "big"), opcode=8)
    script.server(1, (1000).to_bytes(2, "big"), opcode=8)
    script.end(1, "server")
    page = Parsed(report(store(tmp_path / "a.db", script)))
    assert "No problems found" in page.texts["h1"]


def test_nothing_at_all(tmp_path: Path, report: Report) -> None:
    page = Parsed(report(store(tmp_path / "a.db", Chat())))
    assert "There was nothing to look at" in page.texts["h1"]
    assert "There are no connections." in page.text()


def test_it_loads_nothing_and_its_policy_names_what_may_run(tmp_path: Path, report: Report) -> None:
    page = report(chat_capture(tmp_path / "a.db"))
    parsed = Parsed(page)
    assert not [tag for tag, _ in parsed.tags if tag in ("img", "link", "iframe", "object", "base", "form")]
    for _, attributes in parsed.tags:
        assert not {"src", "action", "srcset", "style"} & attributes.keys()
        assert not [name for name in attributes if name.startswith("on")]
        assert (attributes.get("href") or "#").startswith("#")
    [policy] = [
        one["content"] for _, one in parsed.tags if one.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    for tag in ("style", "script"):
        [block] = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.S)
        digest = base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_what_peers_say_is_text(tmp_path: Path, report: Report) -> None:
    page = report(attacking_capture(tmp_path / "a.db"), "--include-secrets")
    parsed = Parsed(page)
    assert "<img" not in page
    assert page.count("<script") == 2
    assert not [tag for tag, _ in parsed.tags if tag == "img"]
    assert ATTACK in "".join(data_of(page)["texts"])
    assert "window.hacked" in parsed.text()


def test_control_characters_are_visible(tmp_path: Path, report: Report) -> None:
    script = Chat()
    script.accept(1)
    script.server(1, "\x1b[2J\u202egnp.exe\x07".encode())
    page = report(store(tmp_path / "a.db", script))
    drawn = "".join(data_of(page)["texts"])
    assert not [char for char in "\x1b\x07\u202e" if char in page or char in drawn]


def test_secrets_are_masked_unless_asked(tmp_path: Path, report: Report) -> None:
    script = Chat()
    script.accept(1)
    script.client(1, b'{"op":"login","password":"hunter2"}')
    script.end(1, "server")
    path = store(tmp_path / "a.db", script)
    secrets = ("s3cr3t", "t0k3n", "abc123", "c00k1e", "hunter2")
    page = report(path)
    assert not [one for one in secrets if one in page]
    assert "are masked" in page
    page = report(path, "--include-secrets")
    assert [one for one in secrets if one in page] == [*secrets]
    assert "Nothing in it is masked" in page
    page = report(path, "--no-payload")
    assert "login" not in page


def test_frames_are_data_of_the_timeline(tmp_path: Path, report: Report) -> None:
    data = data_of(report(chat_capture(tmp_path / "a.db")))
    number, url, state, attempt, opened, closed, times, ids, bits, lengths, texts = data["lanes"][0]
    assert (number, state, attempt) == (1, "closed", 0)
    assert url == "ws://chat.example/room?id=7&token=***"
    assert opened <= sum(times) <= closed
    assert sum(ids) == 7
    assert [one & 15 for one in bits] == [1, 1, 9, 10, 2, 8, 8]
    assert [bool(one & content.S2C) for one in bits] == [False, True, True, False, True, False, True]
    assert lengths[0] == 22
    assert data["texts"][texts[5]] == '1000 normal closure "bye"'
    assert data["opcodes"][8] == "CLOSE"


def test_what_does_not_fit_is_counted(
    tmp_path: Path, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "MAX_FRAMES", 5)
    monkeypatch.setattr(content, "MAX_CONNECTIONS", 1)
    monkeypatch.setattr(content, "MAX_HANDSHAKES", 1)
    text = Parsed(report(chat_capture(tmp_path / "a.db"))).text()
    assert "2 frames left out" in text
    assert "1 more connection left out" in text


def test_every_part_has_a_heading_and_every_table_its_headers(tmp_path: Path, report: Report) -> None:
    parsed = Parsed(report(attacking_capture(tmp_path / "a.db")))
    ids = {one["id"] for _, one in parsed.tags if "id" in one}
    assert len(ids) == len([one for _, one in parsed.tags if "id" in one])
    for tag, one in parsed.tags:
        if tag == "section":
            assert one["aria-labelledby"] in ids
        if tag == "a":
            assert (one["href"] or "")[1:] in ids
        if tag == "th":
            assert one.get("scope") in ("col", "row")
    assert [tag for tag, _ in parsed.tags].count("h1") == 1


def test_other_formats_too(tmp_path: Path, report: Report) -> None:
    wire = Wire()
    Tcp(wire).upgrade()
    (tmp_path / "a.pcap").write_bytes(wire.pcap())
    assert "10.0.0.2:80" in report(tmp_path / "a.pcap")


@pytest.mark.parametrize(
    ("fault_of", "hop", "who"),
    [
        ("tool", "wsinspect", "wsinspect itself"),
        ("tool", None, "wsinspect itself"),
        ("tool", "mitmproxy", "wsinspect itself (mitmproxy)"),
        ("tool", RECORDING, "the recording"),
        ("server", "nginx", "the server (nginx)"),
        ("hop", "nginx", "nginx"),
    ],
)
def test_who_is_named_once(fault_of: FaultOf, hop: str | None, who: str) -> None:
    one = Finding(
        id="WS-X-001",
        severity="warning",
        fault_of=fault_of,
        hop=hop,
        title="It",
        meaning="",
        js="",
        confidence="high",
        evidence=(),
        fixes=(),
    )
    assert who_did(one) == who


def test_the_verdict_is_that_of_all_connections_that_it_is_about(tmp_path: Path, report: Report) -> None:
    script = Chat()
    for number, silence in enumerate((7_000, 6_780, 6_900), 1):
        script.accept(number)
        script.client(number, b"hello")
        script.server(number, b"hello")
        script.tick(silence)
        script.end(number, "server")
        script.tick(20_000)
    (verdict,) = Parsed(report(store(tmp_path / "a.db", script))).texts["h1"]
    assert "6.78 to 7 s" in verdict
