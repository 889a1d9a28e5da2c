"""What the lines of an input say together, and which commands are offered."""

import shlex

import pytest

from wsinspect.explain.explaining import explain
from wsinspect.explain.reading import read_lines
from wsinspect.present.explanation import account_lines
from wsinspect.present.terminal import Palette


def account(text):
    return explain(read_lines(text.encode()))


def first(text):
    return account(text).explanations[0]


@pytest.mark.parametrize(
    ("text", "situation"),
    [
        ("1006", "abnormal"),
        ("code=1006", "abnormal"),
        ("CloseEvent {code: 1008, reason: 'no'}", "close-1008"),
        ("1016", "close-reserved"),
        ("4000", "close-private"),
        ("502 Bad Gateway", "status-502"),
        ("Unexpected server response: 418", "status-4xx"),
        ("Unexpected server response: 521", "status-521"),
        ("Unexpected server response: 527", "status-5xx"),
        ("Unexpected server response: 204", "status-2xx"),
        ("Unexpected server response: 303", "status-3xx"),
        ("Unexpected server response: 101", "status-101"),
    ],
)
def test_statuses_and_codes_find_their_situation(text, situation):
    if text == "1016":
        assert not account(text).is_recognised  # neither a code that is defined nor a private one
        assert first("websocket: close 1016").situation.name == situation
        return
    assert first(text).situation.name == situation


@pytest.mark.parametrize(
    ("text", "situation"),
    [
        ("[2026-11-30 11:00:00 +0000] [7] [CRITICAL] WORKER TIMEOUT (pid:9)", "worker-timeout"),
        ("[7] [ERROR] Worker (pid:9) was sent SIGKILL! Perhaps out of memory?", "worker-killed"),
        ("[7] [ERROR] Worker (pid:9) exited with code 3.", "worker-killed"),
        ("https://evil.test is not an accepted origin.", "origin-refused"),
        ("Cross origin websockets not allowed", "origin-refused"),
        ("Invalid session 4hE-MDhfkkvBPa1CAAAB", "socketio-session"),
        ("Invalid transport for session 4hE-MDhfkkvBPa1CAAAB", "socketio-transport"),
        ('"Invalid transport"', "socketio-transport"),
        (
            "The client is using an unsupported version of the Socket.IO or Engine.IO protocols",
            "socketio-version",
        ),
        ("4hE: Failed websocket upgrade, expected UPGRADE packet, received 4 instead.", "socketio-websocket"),
        ("engineio.exceptions.ConnectionError: OPEN packet not returned by server", "socketio-polling"),
        ("websockets.exceptions.InvalidMessage: did not receive a valid HTTP request", "no-request"),
        ("ValueError: unsupported protocol; expected HTTP/1.1: SSH-2.0-OpenSSH_9.2p1", "not-http"),
        ("ssl.SSLError: [SSL] unsupported protocol (_ssl.c:1006)", "tls-version"),
        ("unsupported protocol", "tls-version"),
        ("connection handler failed", "handler-failed"),
        (
            "Expected ASGI message 'websocket.accept', 'websocket.close' but got 'http.response.start'",
            "handler-failed",
        ),
        ('nginx: [emerg] unknown "connection_upgrade" variable', "no-map"),
        (
            "upstream connect error or disconnect/reset before headers. reset reason: protocol error",
            "upstream-invalid",
        ),
        ("curl: (22) Refused WebSockets upgrade: 403", "status-403"),
        ("curl: (22) Refused WebSocket upgrade: 403", "status-403"),
        ("WebSocket connection to 'ws://a.test/' failed: Expected 101 status code", "status-other"),
        (
            "WebSocket connection to 'ws://a.test/' failed: Data frame received after close",
            "frame-after-close",
        ),
        ("http: response.WriteHeader on hijacked connection from main.serve (main.go:9)", "hijacked"),
        ("failed to get reader: failed to read frame header: EOF", "abnormal"),
        ("Invalid opcode received", "frame-opcode"),
        ("Received close frame with a 1-byte body.", "frame-close"),
        ("tornado.websocket.WebSocketClosedError", "send-too-late"),
        (
            "upstream connect error or disconnect/reset before headers. reset reason: overflow",
            "circuit-breaker",
        ),
        (
            "upstream connect error or disconnect/reset before headers. reset reason: connection timeout",
            "upstream-timeout-connect",
        ),
        (
            "upstream connect error or disconnect/reset before headers. reset reason: remote reset",
            "upstream-reset",
        ),
        (
            "upstream connect error or disconnect/reset before headers. reset reason: connection termination",
            "upstream-closed",
        ),
        (
            "upstream connect error or disconnect/reset before headers. reset reason: local reset",
            "hop-gave-up",
        ),
        ("MQTT connect error: Connection refused: Bad User Name or Password", "mqtt-refused"),
        ("Connection refused: no further information", "connect-refused"),
        ('Error Domain=SRWebSocketErrorDomain Code=504 "Timed out connecting to server"', "connect-timeout"),
        ("listen tcp 10.1.2.3:80: bind: cannot assign requested address", "listen-address"),
        ("connect EADDRNOTAVAIL 127.0.0.1:8080 - Local (127.0.0.1:0)", "no-ports"),
        (
            "org.eclipse.jetty.websocket.api.exceptions.WebSocketTimeoutException: Connection Idle Timeout",
            "server-idle",
        ),
        ('at=error code=H12 desc="Request timeout"', "upstream-timeout-answer"),
        ('H12 desc="Request timeout" path="/cable"', "upstream-timeout-answer"),
        ("error code: 1033", "tunnel-connector"),
    ],
)
def test_lines_of_servers_and_clients_find_their_situation(text, situation):
    assert first(text).situation.name == situation


@pytest.mark.parametrize(
    "text",
    [
        "Invalid session cookie",
        "Invalid session token for user bob",
        "Invalid transport layer configuration",
        "Worker (pid:9) exited with code 0.",
        'unknown "upstream_host" variable',
        "failed to read frame header: EOF of the video stream is missing",
        "this is not an accepted originality test",
    ],
)
def test_what_only_sounds_like_them_is_not_taken_for_them(text):
    assert not account(text).is_recognised


def test_a_private_code_that_is_known_is_named():
    assert "Unauthorized" in first("websocket: close 4401").meaning
    assert "TLS only" in first("wss://ws.pusher.com/app/x?protocol=7 closed, code: 4000").meaning


def test_two_private_codes_are_two_failures():
    assert len(account("websocket: close 4401\nwebsocket: close 4000").explanations) == 2


def test_the_precise_line_wins_over_the_vague_one():
    text = "'ws://a/' failed: Error during WebSocket handshake: Unexpected response code: 404\n"
    found = account(text + "CloseEvent {wasClean: false, code: 1006, reason: ''}")
    assert [one.situation.name for one in found.explanations] == ["status-404"]


def test_what_is_fine_does_not_hide_what_is_vague():
    found = account('INFO: 127.0.0.1:5 - "WebSocket /ws" [accepted]\nclosed, code: 1006')
    assert [one.situation.name for one in found.explanations] == ["abnormal"]
    assert first('INFO: 127.0.0.1:5 - "WebSocket /ws" [accepted]').situation.name == "ok"


def test_lines_of_the_same_failure_are_counted_and_their_places_joined():
    text = "Error: connect ECONNREFUSED 127.0.0.1:3000\n" * 3 + "while connecting to ws://localhost:3000/ws"
    [one] = account(text).explanations
    assert one.count == 3
    assert one.places.url == "ws://localhost:3000/ws"
    assert account(text).unknown[0].number == 4


def test_s_client_is_one_case_and_its_last_word_decides():
    text = (
        "depth=0 CN = localhost\nverify error:num=20:unable to get local issuer certificate\n"
        "verify return:1\nverify error:num=10:certificate has expired\n"
        "Verification error: certificate has expired\n"
        "    Verify return code: 10 (certificate has expired)\n"
    )
    [one] = account(text).explanations
    assert one.situation.name == "certificate-expired"


def test_the_doctor_is_offered_with_the_url_of_the_line():
    one = first(
        "WebSocket connection to 'wss://a.example/ws?t=$(x)&b=c' failed: Unexpected response code: 502"
    )
    assert shlex.split(one.next[0]) == ["wsinspect", "doctor", "wss://a.example/ws?t=$(x)&b=c"]
    assert shlex.split(one.next[1]) == ["wsinspect", "run", "--tap", "app=8081=https://a.example"]


def test_a_proxys_line_gives_both_sides_to_the_doctor():
    one = first(
        "connect() failed (111: Connection refused) while connecting to upstream, request: "
        '"GET /ws HTTP/1.1", upstream: "http://127.0.0.1:9999/ws", host: "app.example"'
    )
    assert one.next[0] == "wsinspect doctor app.example/ws --direct http://127.0.0.1:9999/ws"


def test_a_host_and_port_are_used():
    assert first("Error: connect ECONNREFUSED 127.0.0.1:3000").next[0] == "wsinspect doctor 127.0.0.1:3000"
    assert first("connect ECONNREFUSED ::1:3000").next[0] == "wsinspect doctor '[::1]:3000'"


def test_what_happens_after_the_101_is_asked_by_a_tap_first():
    assert first("websocket: close 1011 (internal error)").next[0].startswith("wsinspect run --tap ")
    assert first("Invalid WebSocket frame: RSV1 must be clear").next[0].startswith("wsinspect run --tap ")


def test_wrong_code_and_pages_are_not_sent_to_the_doctor():
    assert first("Failed to execute 'send' on 'WebSocket': Still in CONNECTING state").next == ()
    assert first("net::ERR_BLOCKED_BY_LOCAL_NETWORK_ACCESS_CHECKS").next[0].startswith("wsinspect browser ")


def test_commands_have_no_control_characters():
    one = first(
        "WebSocket connection to 'wss://a.example/\x07x\u202ey' failed: Unexpected response code: 404"
    )
    assert all(char.isprintable() for command in one.next for char in command)


def test_a_program_puts_its_likely_cause_first():
    one = first('user "x" was not found in "/etc/nginx/.htpasswd", client: 10.0.0.1')
    assert one.causes[0].cause.words.startswith("The proxy itself asks")
    assert len(one.causes) == 4


def test_fixes_are_those_of_the_findings_for_the_software_of_the_line():
    one = first('x f app/s1 0/0/0/0/1001 101 132 - - sD-- 1/1/0/0/0 0/0 "GET /x HTTP/1.1"')
    assert next((fix.for_, fix.text) for fix in one.causes[0].fixes) == ("haproxy", "timeout tunnel 1h")


def test_json_has_all_of_it():
    content = account(
        "WebSocket connection to 'wss://a.example/ws' failed: Unexpected response code: 502"
    ).as_json()
    [one] = content["explanations"]
    assert content["recognised"] is True
    assert (one["status"], one["url"]) == (502, "wss://a.example/ws")
    assert one["causes"][0]["findings"] == ["WS-HS-020"]
    assert one["causes"][0]["fixes"]
    assert account("blah").as_json() == {
        "recognised": False,
        "explanations": [],
        "unknown_lines": 1,
        "notes": [],
    }


@pytest.mark.parametrize(
    "text",
    [
        "Server listening on port 3000",
        "websocket server listening on ws://localhost:3000",
        "Connected to ws://127.0.0.1:4000/ws",
        "[vite] connected.",
        "closed port 3000",
        "disconnected from localhost:3001",
        "error code=3001",
        "GET /style.css 200 in 1006ms",
        "Loaded 404 items",
        "2026-11-29 10:06:10 INFO started",
        '10.0.0.1 - - [29/Nov/2026:15:00:00 +0000] "GET /style.css HTTP/1.1" 200 1006 "-" "Mozilla/5.0"',
        "Reconnecting in 1000 ms",
        "process exited with code 1",
        "took 1001 ms",
        "user 4401 logged in",
    ],
)
def test_ordinary_lines_are_not_blamed(text):
    assert not account(text).is_recognised


def test_a_command_is_printed_once_and_opens_a_page():
    refused = "because it violates the following Content Security Policy directive: \"connect-src 'self'\"."
    found = account(f"Refused to connect to 'ws://127.0.0.1:12080/ws?group=zzz' {refused}")
    printed = [line.split() for line in account_lines(found, Palette()) if " run " in line]
    assert printed == [["run", "wsinspect", "browser", "https://HOST/PAGE"]]
    mixed = "Mixed Content: The page at 'https://a.test/x' was loaded over HTTPS, but attempted to connect to"
    one = first(f"{mixed} the insecure WebSocket endpoint 'ws://a.test/'. This request has been blocked")
    assert one.next == ("wsinspect browser https://a.test/x",)


@pytest.mark.parametrize(
    ("text", "situation", "words"),
    [
        ("closed due to 1008: Too many requests", "close-1008", "sent more messages"),
        ("received 1007 (invalid data) API key expired.; then sent 1007", "close-1007", "credentials"),
        ("received 1011 (internal error) You exceeded your quota; then sent 1011", "close-1011", "quota"),
        ("received 1001 (going away) Connection Idle Timeout; then sent 1001", "close-1001", "sent nothing"),
        ("WebSocket closed: code: 4014, reason: 'Disallowed intents'", "close-private", "does not accept"),
        ("WebSocket connection to 'wss://a.test:80/app' failed: ", "abnormal", "wss:// is TLS"),
        ("WebSocket connection to 'ws://a.test:443/app' failed: ", "abnormal", "ws:// is plain"),
        ("closed with code 1006 and reason read ECONNRESET", "reset", "An open WebSocket was reset"),
        ("Software caused connection abort", "client-aborted", "background"),
        ("[vite] ws proxy socket error: Error: read ECONNRESET", "reset", "An open WebSocket was reset"),
        ("Invalid handshake response getStatus: 403 Forbidden", "status-403", "Origin"),
        ("failed: WebSocket is closed due to suspension.", "page-suspended", "The page was left"),
        ("reason=Received continuation frame, which is not implemented.", "receiver-limited", "incomplete"),
    ],
)  # fmt: skip
def test_what_the_line_itself_names_comes_first(text, situation, words):
    found = first(text)
    assert found.situation.name == situation
    assert words in found.causes[0].cause.words


@pytest.mark.parametrize(
    "text",
    [
        "received 1008 (policy violation) policy; then sent 1008 (policy violation) policy",
        "received 1011 (internal error) internal error; then sent 1011",
        "WebSocket connection to 'wss://a.test:8080/app' failed: ",
        "WebSocket connection to 'wss://a.test/app' failed: ",
        "WebSocket connection to 'ws://a.test:80/app' failed: ",
    ],
)
def test_a_line_that_names_nothing_leaves_the_causes_as_they_are(text):
    found = first(text)
    assert [one.cause for one in found.causes] == list(found.situation.causes)
