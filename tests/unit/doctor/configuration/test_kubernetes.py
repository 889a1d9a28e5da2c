"""Kubernetes manifests: which rule a URL meets, and what its controller's annotations do to a handshake."""

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


def ingress(annotations: str = "", name: str = "web", kind: str = "nginx", host: str = "app.example") -> str:
    notes = f"  annotations:\n{annotations}" if annotations else ""
    return f"""apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {name}
{notes}spec:
  ingressClassName: {kind}
  rules:
    - host: {host}
      http:
        paths:
          - path: /
            pathType: Prefix
            backend: {{service: {{name: web, port: {{number: 80}}}}}}
          - path: /ws
            pathType: Prefix
            backend: {{service: {{name: sockets, port: {{number: 3000}}}}}}
"""


def note(key: str, value: str) -> str:
    return f"    {key}: {value}\n"


NGINX = "nginx.ingress.kubernetes.io/"
SNIPPET = f"    {NGINX}configuration-snippet: |\n      LINE\n"


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ("", []),
        (note("other/one", "x"), []),
        (note(f"{NGINX}proxy-http-version", '"1.0"'), ["upgrade"]),
        (note(f"{NGINX}backend-protocol", "GRPC"), ["upgrade"]),
        (note(f"{NGINX}backend-protocol", "HTTPS"), []),
        (SNIPPET.replace("LINE", 'proxy_set_header Upgrade "";'), ["upgrade"]),
        (SNIPPET.replace("LINE", 'proxy_set_header Connection "close";'), ["upgrade"]),
        (SNIPPET.replace("LINE", "proxy_set_header Connection $connection_upgrade;"), []),
        (SNIPPET.replace("LINE", 'proxy_set_header Upgrade "websocket";'), []),
        (SNIPPET.replace("LINE", "proxy_set_header Host inside;"), ["host"]),
        (SNIPPET.replace("LINE", "return 403;"), ["answer"]),
        (note(f"{NGINX}rewrite-target", "/"), ["path"]),
        (note(f"{NGINX}upstream-vhost", "inside"), ["host"]),
        (note(f"{NGINX}auth-type", "basic"), ["answer"]),
        (note(f"{NGINX}force-ssl-redirect", '"true"'), ["answer"]),
        (note("nginx.org/proxy-read-timeout", '"60s"'), ["upgrade"]),
        (note("nginx.org/websocket-services", "web"), ["upgrade"]),
        (note("nginx.org/websocket-services", "web, sockets"), []),
    ],
)
def test_what_is_wrong_with_ingress_nginx(tmp_path, annotations, expected) -> None:
    read = read_in(tmp_path, {"a.yaml": ingress(annotations)})
    found = read.meets(parse_target("ws://app.example/ws")[0])
    assert found is not None
    assert (found.words, found.at.line, kinds(found)) == ("Ingress web", found.at.line, expected)
    for one in found.defects:
        if one.edits:
            assert one.kind not in kinds(mend(read, one, "ws://app.example/ws"))
            git_applies(read, one)
            return


def test_the_rule_that_fits_best(tmp_path) -> None:
    text = "---\n".join(
        (
            ingress(name="any", host='"*.example"'),
            "apiVersion: v1\nkind: Secret\ndata: {a: [\n",
            ingress(name="very"),
            "apiVersion: v1\nkind: ConfigMap\n" + "# padding\n" * 8000,
        )
    )
    files = {"all.yaml": text}
    assert met_in(tmp_path, files, "ws://app.example/ws").words == "Ingress very"
    assert met_in(tmp_path, files, "ws://b.example/ws").words == "Ingress any"
    assert read_in(tmp_path, files).meets(parse_target("ws://b.c.example/ws")[0]) is None
    one = met_in(tmp_path, files, "ws://app.example/ws/x")
    two = met_in(tmp_path, files, "ws://app.example/wsx")
    assert one.at.line != two.at.line


@pytest.mark.parametrize(
    ("kind", "annotations", "seen", "words"),
    [
        ("nginx", "", "60.1 s", "its default is 60 s"),
        ("nginx", note(f"{NGINX}proxy-read-timeout", '"30"'), "30.1 s", "'proxy-read-timeout: 30'"),
        ("nginx", note(f"{NGINX}proxy-read-timeout", '"3600"'), "60.1 s", None),
        ("nginx", note("nginx.org/websocket-services", "sockets"), "60.1 s", "its default is 60 s"),
        ("alb", "", "60.1 s", "its default is 60 s"),
        (
            "alb",
            note("alb.ingress.kubernetes.io/load-balancer-attributes", "a=b,idle_timeout.timeout_seconds=90"),
            "90.2 s",
            "timeout_seconds=90",
        ),
        ("haproxy", note("haproxy.org/timeout-tunnel", "5m"), "300.2 s", "'timeout-tunnel: 5m'"),
        ("haproxy", "", "60.1 s", None),
        ("traefik", "", "60.1 s", None),
    ],
)
def test_the_timeout_that_ended_it(tmp_path, kind, annotations, seen, words) -> None:
    read = read_in(tmp_path, {"a.yaml": ingress(annotations, kind=kind)})
    target = parse_target("ws://app.example/ws")[0]
    better, explained = with_configuration(
        judgement("WS-DROP-002", f"silence {seen}", hop="nginx"), (read,), target
    )
    assert (explained is not None) == (words is not None)
    if explained is not None:
        assert words is not None
        assert words in better.headline
        assert "3600" in str(better.findings[0].fixes[0].diff) or "1h" in str(
            better.findings[0].fixes[0].diff
        )
        git_applies(read, explained.defect)


ROUTE = """apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: chat
spec:
  hostnames: [app.example]
  rules:
    - matches:
        - path: {type: PathPrefix, value: /ws}
      timeouts:
        request: 30s
      filters:
        - type: RequestHeaderModifier
          requestHeaderModifier:
            remove:
              - X-Other
              - Upgrade
      backendRefs: [{name: sockets, port: 3000}]
    - matches:
        - path: {type: PathPrefix, value: /moved}
          headers: [{name: Upgrade, value: websocket}]
      filters:
        - type: URLRewrite
          urlRewrite:
            hostname: inside
            path: {type: ReplacePrefixMatch, replacePrefixMatch: /}
    - matches: [{path: {type: Exact, value: /old}}]
      filters: [{type: RequestRedirect, requestRedirect: {statusCode: 301}}]
    - backendRefs: [{name: web, port: 80}]
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/ws", ["upgrade"]), ("/moved/x", ["host", "path"]), ("/old", ["answer"]), ("/other", [])],
)
def test_the_gateway_apis_routes(tmp_path, path, expected) -> None:
    assert kinds(met_in(tmp_path, {"route.yaml": ROUTE}, f"ws://app.example{path}")) == expected


def test_a_routes_timeout_and_header_are_mended(tmp_path) -> None:
    read = read_in(tmp_path, {"route.yaml": ROUTE})
    target = parse_target("ws://app.example/ws")[0]
    better, explained = with_configuration(judgement("WS-DROP-003", "age 30.1 s"), (read,), target)
    assert explained is not None
    assert "+        request: 0s" in str(better.findings[0].fixes[0].diff)
    found = read.meets(target)
    assert found is not None
    assert kinds(mend(read, found.defects[0], "ws://app.example/ws")) == []
    git_applies(read, found.defects[0])


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: x\nkind: Ingress\n",
        "apiVersion: x\nkind: Ingress\nmetadata: [\n",
        "apiVersion: x\nkind: Ingress\nspec: {rules: {http: {paths: {path: /}}}}\n",
        "apiVersion: x\nkind: Ingress\nmetadata: {annotations: [a, b]}\nspec: {defaultBackend: {}}\n",
        "apiVersion: x\nkind: HTTPRoute\nspec: {rules: [{matches: [{}]}, {filters: x}]}\n",
        "apiVersion: x\n{{ if .Values.x }}\nkind: Ingress\n",
        "apiVersion: x\nkind: List\nitems: &a\n  - kind: Ingress\n    items: *a\n",
    ],
)
def test_odd_files_end_in_an_answer(tmp_path, text) -> None:
    ends_in_an_answer(tmp_path / "a.yaml", text, "ws://x.example/ws")


@pytest.mark.parametrize(
    ("path", "url", "is_met"),
    [
        ("/*", "/ws", True),
        ("/ws/*", "/ws/room", True),
        ("/ws/*", "/ws", True),
        ("/ws*", "/wsx", True),
        ("/api/*", "/ws", False),
        ("/ws(/|$)(.*)", "/ws/room", True),
    ],
)
def test_patterns_of_load_balancers(tmp_path, path, url, is_met) -> None:
    text = f"""apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: chat}}
spec:
  ingressClassName: alb
  rules:
  - http:
      paths:
      - {{path: "{path}", pathType: ImplementationSpecific, backend: {{service: {{name: chat}}}}}}
"""
    found = read_in(tmp_path, {"ingress.yaml": text}).meets(parse_target(f"ws://a{url}")[0])
    assert (found is not None) == is_met


@pytest.mark.parametrize(
    ("match", "protocol", "expected", "possible"),
    [
        ("path: {type: RegularExpression, value: '/ws/[0-9]+'}", "", [], [403]),
        ("path: {type: RegularExpression, value: '/ws/[0-9]+'}", "kubernetes.io/ws", [], []),
        ("path: {type: RegularExpression, value: '/ws/[a-z]+'}", "", None, []),
        (
            "headers: [{type: RegularExpression, name: upgrade, value: web.*}]",
            "kubernetes.io/h2c",
            ["h2"],
            [],
        ),
        ("headers: [{type: RegularExpression, name: upgrade, value: h2c}]", "", None, []),
        ("queryParams: [{name: a, value: b}]", "", None, []),
    ],
)
def test_what_a_route_matches_and_its_backends(tmp_path, match, protocol, expected, possible) -> None:
    text = f"""apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: chat}}
spec:
  rules:
  - matches:
    - {{{match}}}
    backendRefs:
    - {{name: chat, port: 80}}
---
apiVersion: v1
kind: Service
metadata:
  name: chat
spec:
  ports:
  - port: 80
"""
    text += f"    appProtocol: {protocol}\n" if protocol else ""
    read = read_in(tmp_path, {"route.yaml": text})
    found = read.meets(parse_target("ws://a/ws/12")[0])
    if expected is None:
        assert found is None
        return
    assert found is not None
    assert kinds(found) == expected
    assert [one.status for one in found.possible] == possible
    for one in (*found.defects, *found.possible):
        after = mend(read, one, "ws://a/ws/12")
        assert not after.defects
        assert not after.possible
        git_applies(read, one)


def test_a_rule_without_a_backend(tmp_path) -> None:
    text = "apiVersion: v1\nkind: HTTPRoute\nmetadata: {name: a}\n"
    text += "spec:\n  rules:\n  - matches: [{path: {value: /ws}}]\n"
    assert [one.status for one in met_in(tmp_path, {"r.yaml": text}, "ws://a/ws").defects] == [500]
