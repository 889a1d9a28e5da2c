"""nginx configurations: which blocks a URL meets, what they lack, and the diff that mends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from wsinspect.doctor.configuration import read_configuration, with_configuration
from wsinspect.doctor.judge import Judgement
from wsinspect.doctor.nginx import corrected, defects, meets
from wsinspect.doctor.target import parse_target
from wsinspect.errors import UsageError
from wsinspect.findings.model import Finding

SERVERS = """
server { listen 80 default_server; server_name _; location / { return 404; } }
server { listen 80; server_name example.org *.example.org; location / { return 201; } }
server { listen 80; server_name www.example.*; location / { return 202; } }
server { listen 80; server_name ~^app\\d+\\.; location / { return 203; } }
server { listen 8443 ssl; server_name example.org; location / { return 204; } }
server { listen 80; server_name .dot.example; location / { return 205; } }
"""
LOCATIONS = """
server {
    location = /exact { return 201; }
    location /a { return 202; }
    location /a/b { return 203; }
    location ^~ /a/static { return 204; }
    location ~ \\.php$ { return 205; }
    location ~* \\.JPG$ { return 206; }
    location /outer { location /outer/inner { return 207; } }
}
"""


def met(folder: Path, text: str, url: str):
    file = folder / "app.conf"
    file.write_text(text)
    return meets(read_configuration(file).root, parse_target(url)[0])


def code(found) -> str:
    return next(found.innermost.all("return")).args[0]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ws://other.example/", "404"),
        ("ws://example.org/", "201"),
        ("ws://chat.example.org/", "201"),
        ("ws://www.example.net/", "202"),
        ("ws://app7.internal/", "203"),
        ("wss://example.org:8443/", "204"),
        ("ws://dot.example/", "205"),
        ("ws://a.dot.example/", "205"),
        ("ws://example.org:9999/", "201"),  # a port that is mapped: names alone decide
    ],
)
def test_the_server_is_chosen_by_nginxs_rules(tmp_path, url, expected) -> None:
    assert code(met(tmp_path, SERVERS, url)) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/exact", "201"),
        ("/a/x", "202"),
        ("/a/b/c", "203"),
        ("/a/static/x.php", "204"),
        ("/a/x.php", "205"),
        ("/x.jpg", "206"),
        ("/outer/inner/x", "207"),
    ],
)
def test_the_location_is_chosen_by_nginxs_rules(tmp_path, path, expected) -> None:
    assert code(met(tmp_path, LOCATIONS, f"ws://localhost{path}")) == expected


def test_a_path_that_no_location_has_meets_the_server(tmp_path) -> None:
    assert met(tmp_path, LOCATIONS, "ws://localhost/exactly").innermost.name == "server"


GOOD = """proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
        proxy_set_header Host $http_host;"""


def place(inside: str, server: str = "") -> str:
    return f"server {{\n    {server}\n    location /ws {{\n        {inside}\n    }}\n}}\n"


@pytest.mark.parametrize(
    ("text", "kinds", "words"),
    [
        (place(f"proxy_pass http://app;\n        {GOOD}"), [], ""),
        (place("proxy_pass http://app;", GOOD), [], ""),
        (place("proxy_pass http://app;"), ["upgrade", "host"], "the default before nginx 1.29.7"),
        (
            place("proxy_pass http://app; proxy_set_header X-A 1;", GOOD),
            ["upgrade", "host"],
            "cancels that of",
        ),
        (
            place(f"proxy_pass http://app;\n        {GOOD}".replace("$connection_upgrade", '""')),
            ["upgrade"],
            "proxy_set_header Connection",
        ),
        (place(f"proxy_pass http://app;\n        {GOOD}".replace("1.1", "1.0")), ["upgrade"], "HTTP/1.0"),
        (place(f"proxy_pass http://app;\n        {GOOD}".replace("$http_host", "$host")), ["host"], "$host"),
        (place("return 403;"), ["answer"], "return 403"),
        (place(f"deny all; proxy_pass http://app;\n        {GOOD}"), ["answer"], "deny all"),
        (place(f"auth_basic off; proxy_pass http://app;\n        {GOOD}"), [], ""),
        (place("root /srv;"), [], ""),
    ],
)
def test_what_is_wrong_for_a_websocket(tmp_path, text, kinds, words) -> None:
    found = list(defects(met(tmp_path, text, "ws://localhost/ws")))
    assert [one.kind for one in found] == kinds
    assert words in " ".join(one.words for one in found)


@pytest.mark.parametrize(
    "text",
    [
        place("proxy_pass http://app;"),
        place("proxy_pass http://app; proxy_set_header X-A 1;", GOOD),
        place("proxy_pass http://app;", "proxy_set_header X-Token 'a b';"),
        place(f"proxy_pass http://app;\n        {GOOD}".replace("$connection_upgrade", "close")),
        "server { location /ws { proxy_pass http://app; } }\n",
    ],
)
def test_what_is_corrected_has_no_defect_and_keeps_what_it_inherited(tmp_path, text) -> None:
    for _ in range(2):  # the upgrade, then Host
        found = met(tmp_path, text, "ws://localhost/ws")
        before = set(found.headers)
        for defect in list(defects(found))[:1]:
            lines = text.splitlines(keepends=True)
            text = "".join(corrected(lines, defect, str(tmp_path / "app.conf")))
    after = met(tmp_path, text, "ws://localhost/ws")
    assert list(defects(after)) == []
    assert before <= set(after.headers)


def judgement(rule: str) -> Judgement:
    one = Finding(
        id=rule,
        severity="error",
        fault_of="hop",
        hop="nginx",
        title="The hop removes the Upgrade headers",
        meaning="",
        js="",
        confidence="medium",
        evidence=("seen",),
        fixes=(),
    )
    return Judgement(verdict="failing", headline="", findings=(one,))


def test_a_finding_gets_file_line_and_diff_and_no_secret(tmp_path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "nginx.conf").write_text("events {}\nhttp { include conf.d/*.conf; include gone/a.conf; }\n")
    app = tmp_path / "conf.d" / "app.conf"
    app.write_text(place("proxy_pass http://app;", "proxy_set_header Authorization secret;"))
    read = read_configuration(tmp_path)
    assert [one.partition(": ")[0] for one in read.problems] == [f"{tmp_path / 'nginx.conf'}:2"]
    better = with_configuration(judgement("WS-HS-101"), read, parse_target("ws://localhost/ws")[0])
    (finding,) = better.findings
    fix = finding.fixes[0].as_json()
    assert (fix["file"], fix["line"]) == (str(app), 4)
    assert "+        proxy_set_header Upgrade $http_upgrade;" in fix["diff"]
    # A fixed "upgrade" for every request is advice that docs/findings.md warns of.
    assert "+        proxy_set_header Connection $http_connection;" in fix["diff"]
    assert "secret" not in fix["diff"]
    assert "Authorization ***" in fix["diff"]
    assert f"location /ws in {app}:3: HTTP/1.0 to the server" in better.headline
    assert finding.confidence == "high"
    other = with_configuration(judgement("WS-HS-017"), read, parse_target("ws://localhost/ws")[0])
    assert other.findings[0].evidence == ("seen",)
    assert "does not explain it" in other.ruled_out[-1]


def test_what_is_no_configuration_is_said(tmp_path) -> None:
    broken = tmp_path / "broken.conf"
    broken.write_text("http { server { listen 80 }\n")
    with pytest.raises(UsageError, match=r"broken\.conf:1"):
        read_configuration(broken)
    with pytest.raises(UsageError, match="is not there"):
        read_configuration(tmp_path)
