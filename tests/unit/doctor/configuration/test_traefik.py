"""Traefik's configuration: which router a URL meets, what its middlewares do, in YAML, TOML and
Kubernetes objects.
"""

from __future__ import annotations

import pytest

from tests.support.configurations import (
    ends_in_an_answer,
    git_applies,
    judgement,
    kinds,
    mend,
    met_in,
    read_in,
)
from wsinspect.doctor.configuration.judging import with_configuration
from wsinspect.doctor.target import parse_target

DYNAMIC = """http:
  routers:
    web:
      rule: Host(`app.example`)
      service: web
    socket:
      rule: Host(`app.example`) && (PathPrefix(`/ws`) || Headers(`Upgrade`, `h2c`))
      middlewares: [stripped, other@docker]
      service: socket
    first:
      rule: Host(`app.example`) && Path(`/ws/first`)
      priority: 1
      service: socket
    second:
      rule: PathPrefix(`/second`) && !Host(`no.example`)
      service: second
      middlewares:
        - moved
        - asked
    in:
      rule: Host(`app.example`) && PathPrefix(`/inside/very/long/path`) && ClientIP(`10.0.0.0/8`)
      service: web
  middlewares:
    stripped:
      headers:
        customRequestHeaders:
          X-Other: "1"
          Connection: ""
          Host: inside
    moved:
      stripPrefix:
        prefixes: [/second]
    asked:
      basicAuth:
        users: ["me:hash"]
  services:
    web:
      loadBalancer:
        servers: [{url: "http://10.0.0.1:80"}]
    socket:
      loadBalancer:
        serversTransport: slow
        passHostHeader: false
        servers:
          - url: http://10.0.0.1:3000
    second:
      loadBalancer:
        servers:
          - url: h2c://10.0.0.1:3000
  serversTransports:
    slow:
      forwardingTimeouts:
        responseHeaderTimeout: 20s
"""
STATIC = """entryPoints:
  web:
    address: ":80"
    http:
      redirections:
        entryPoint: {to: websecure, scheme: https}
  websecure:
    address: ":443"
    transport:
      respondingTimeouts:
        readTimeout: 90s
"""
FILES = {"dynamic.yml": DYNAMIC, "traefik.yml": STATIC}
TOML = """[http.routers.socket]
rule = "Host(`app.example`) && PathPrefix(`/ws`)"
service = "socket"
middlewares = ["stripped"]

[http.middlewares.stripped.headers.customRequestHeaders]
  Upgrade = "" # gone
  X-Other = "1"

[http.services.socket.loadBalancer]
passHostHeader = false
[[http.services.socket.loadBalancer.servers]]
url = "http://10.0.0.1:3000"

[entryPoints.websecure]
address = ":443"
[entryPoints.websecure.transport.respondingTimeouts]
readTimeout = "90s"
"""


@pytest.mark.parametrize(
    ("url", "place", "expected"),
    [
        ("wss://app.example/", "router web", []),
        ("wss://app.example/ws", "router socket", ["upgrade", "host", "host"]),
        ("wss://app.example/ws/first", "router socket", ["upgrade", "host", "host"]),
        ("wss://b.example/second/x", "router second", ["path", "answer", "h2"]),
        ("wss://no.example/second/x", "no router", ["answer"]),
        ("ws://app.example/", "router web", ["answer"]),
        ("wss://app.example/inside/very/long/path", "router web", []),
    ],
)
def test_what_a_url_meets(tmp_path, url, place, expected) -> None:
    found = met_in(tmp_path, FILES, url)
    assert (found.words, kinds(found)) == (place, expected)


def test_what_is_not_known_is_said(tmp_path) -> None:
    assert any("ClientIP" in one for one in met_in(tmp_path, FILES, "wss://app.example/").unsure)
    assert any("other@docker" in one for one in met_in(tmp_path, FILES, "wss://app.example/ws").unsure)


@pytest.mark.parametrize("files", [FILES, {"traefik.toml": TOML}], ids=["yaml", "toml"])
def test_the_diff_mends_it_and_applies(tmp_path, files) -> None:
    url = "wss://app.example/ws"
    read = read_in(tmp_path, files)
    found = read.meets(parse_target(url)[0])
    assert found is not None
    assert kinds(found)[0] == "upgrade"
    assert str(found.defects[0].at).endswith(("dynamic.yml:28", "traefik.toml:7"))
    assert "upgrade" not in kinds(mend(read, found.defects[0], url))
    host = found.defects[-1]
    assert len([one for one in kinds(mend(read, host, url)) if one == "host"]) < kinds(found).count("host")
    git_applies(read, found.defects[0])


@pytest.mark.parametrize("files", [FILES, {"traefik.toml": TOML}], ids=["yaml", "toml"])
def test_the_timeout_that_ended_it(tmp_path, files) -> None:
    read = read_in(tmp_path, files)
    target = parse_target("wss://app.example/ws")[0]
    better, explained = with_configuration(judgement("WS-DROP-002", "silence 90.1 s"), (read,), target)
    assert explained is not None
    assert "'readTimeout: 90s'" in better.headline
    git_applies(read, explained.defect)


def test_kubernetes_objects(tmp_path) -> None:
    text = """apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: chat}
spec:
  routes:
    - match: Host(`app.example`) && PathPrefix(`/ws`)
      kind: Rule
      middlewares:
        - name: stripped
      services: [{name: sockets, port: 3000}]
---
apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata: {name: stripped}
spec:
  headers:
    customRequestHeaders:
      Upgrade: ""
      X-Other: a
"""
    found = met_in(tmp_path, {"chat.yaml": text}, "wss://app.example/ws")
    assert (found.words, kinds(found)) == ("router chat", ["upgrade"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yml", "http:\n  routers:\n    a: {rule: 'Host(`a`'}\n"),
        ("a.yml", "http:\n  routers:\n    a: {rule: '" + "(" * 500 + "'}\n"),
        ("a.yml", "http:\n  routers:\n    a: {rule: '" + "!" * 500 + "'}\n    b: []\n"),
        ("a.yml", "http:\n  routers: x\n"),
        ("a.yml", "http: &a\n  routers: *a\n  middlewares: *a\n"),
        ("a.yml", "http:\n  routers:\n    a: {rule: 'HostRegexp(`((a+)+)+$`) && PathRegexp(`(`)'}\n"),
        ("a.toml", "[http.routers.a]\nrule = \n"),
        ("a.toml", "[http.routers]\na = 1\n"),
        ("a.toml", "[http.routers.a]\nrule = " + "[" * 3000),
    ],
)
def test_odd_files_end_in_an_answer(tmp_path, name, text) -> None:
    ends_in_an_answer(tmp_path / name, text, "wss://x.example/" + "a" * 40)


@pytest.mark.parametrize(
    ("middleware", "expected"),
    [
        ("stripPrefixRegex: {regex: ['/w[a-z]']}", ["path"]),
        ("stripPrefixRegex: {regex: ['/other']}", []),
        ("replacePathRegex: {regex: '^/ws/(.*)', replacement: '/x/$1'}", ["path"]),
        ("replacePathRegex: {regex: '^/api/(.*)', replacement: '/x/$1'}", []),
        ("chain: {middlewares: [b, a]}", ["path"]),  # a circle ends
        ("plugin: {simplecache: {path: /tmp}}", []),
    ],
)
def test_middlewares_that_change_the_path(tmp_path, middleware, expected) -> None:
    text = f"""http:
  routers:
    chat: {{rule: PathPrefix(`/ws`), middlewares: [a], service: chat}}
  middlewares:
    a: {{{middleware}}}
    b: {{addPrefix: {{prefix: /b}}}}
"""
    found = met_in(tmp_path, {"dynamic.yml": text}, "ws://a/ws/1")
    assert kinds(found)[: len(expected)] == expected
    assert bool(expected) == bool(kinds(found))
    assert [one.status for one in found.possible] == ([500] if "plugin" in middleware else [])
