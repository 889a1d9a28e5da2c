"""Traefik's labels in a Compose file: the same as its own files, each value where its label stands."""

from __future__ import annotations

import pytest

from tests.support.configurations import git_applies, kinds, mend, met_in, read_in
from wsinspect.doctor.target import parse_target

COMPOSE = """services:
  traefik:
    image: traefik:v3.1
    command:
      - --providers.docker=true
      - --entrypoints.web.address=:80
      - --entrypoints.web.http.redirections.entrypoint.to=websecure
      - --entrypoints.websecure.address=:443
  chat:
    labels:
      - "traefik.enable=true"
      - "traefik.http.routers.chat.rule=Host(`a.example`) && PathPrefix(`/ws`)"
      - "traefik.http.routers.chat.middlewares=strip@docker, quiet"
      - "traefik.http.middlewares.strip.stripprefix.prefixes=/api,/ws"
      - traefik.http.middlewares.quiet.headers.customrequestheaders.Connection=close
  mapped:
    deploy:
      labels:
        traefik.http.routers.mapped.rule: Host(`b.example`)
        traefik.http.routers.mapped.middlewares: plain
        traefik.http.middlewares.plain.headers.customrequestheaders.Upgrade: ""
        traefik.http.services.mapped.loadbalancer.passhostheader: "false"
        traefik.http.services.mapped.loadbalancer.server.scheme: h2c
  pattern:
    labels:
      - traefik.http.routers.pattern.rule=Host(`c.example`)
      - traefik.http.routers.pattern.middlewares=pattern
      - traefik.http.middlewares.pattern.replacepathregex.regex=^/ws/(.*)$$
      - traefik.http.middlewares.pattern.replacepathregex.replacement=/socket/$$1
  variable:
    labels:
      - traefik.http.routers.variable.rule=Host(`${DOMAIN}`)
"""
FILES = {"compose.yaml": COMPOSE}


@pytest.mark.parametrize(
    ("url", "place", "expected", "lines"),
    [
        ("wss://a.example/ws/x", "router chat", ["path", "upgrade"], ["stripprefix", "Connection=close"]),
        ("wss://b.example/", "router mapped", ["upgrade"], ["customrequestheaders.Upgrade"]),
        ("wss://c.example/ws/1", "router pattern", ["path"], ["replacepathregex.regex"]),
        ("ws://c.example/x", "router pattern", ["answer"], ["redirections.entrypoint.to"]),
        ("wss://d.example/", "no router", ["answer"], [""]),
    ],
)
def test_what_a_url_meets(tmp_path, url, place, expected, lines) -> None:
    found = met_in(tmp_path, FILES, url)
    assert (found.words, kinds(found)) == (place, expected)
    for one, line in zip(found.defects, lines, strict=True):
        assert line in COMPOSE.split("\n")[one.at.line - 1]


def test_a_variable_of_the_shell_is_not_known(tmp_path) -> None:
    assert any("${DOMAIN}" in one for one in met_in(tmp_path, FILES, "wss://d.example/").unsure)


@pytest.mark.parametrize(
    ("url", "kind"), [("wss://a.example/ws/x", "upgrade"), ("wss://b.example/", "upgrade")]
)
def test_a_header_is_taken_out_with_its_label(tmp_path, url, kind) -> None:
    read = read_in(tmp_path, FILES)
    found = read.meets(parse_target(url)[0])
    assert found is not None
    defect = next(one for one in found.defects if one.kind == kind)
    assert kind not in kinds(mend(read, defect, url))
    git_applies(read, defect)


def test_a_value_is_changed_where_it_stands(tmp_path) -> None:
    text = COMPOSE.replace("services.mapped", "services.b").replace(
        "routers.mapped.middlewares: plain", "routers.mapped.service: b"
    )
    for compose in (
        text,
        text.replace('        traefik.http.services.b.loadbalancer.passhostheader: "false"', ""),
    ):
        read = read_in(tmp_path, {"compose.yaml": compose})
        found = read.meets(parse_target("wss://b.example/")[0])
        assert found is not None
        after = mend(read, found.defects[0], "wss://b.example/")
        assert len(after.defects) == len(found.defects) - 1


LABEL = "      - traefik.http.routers.a.rule=Host(`a`)\n"


@pytest.mark.parametrize(
    "more",
    [
        "      - traefik.http.routers.\n      - traefik.http.routers.a.rule\n",
        "      - traefik.http.routers.a=1\n",
        f"      - traefik.http.routers.{'a.' * 5000}rule=x\n",
        "      - |\n        traefik.http.routers.b.rule=Host(`a`)\n        && Path(`/`)\n",
        "      - {traefik.http.routers.a.rule: [x]}\n",
        "      - traefik.http.routers.a.rule=\n      - traefik.http.routers.a.rule.x=y\n",
        "    deploy: {labels: [1, {a: b}, 'traefik.http=x', '=']}\n    command: --entrypoints.=\n",
        "  b: [traefik.http.routers.a.rule=Host(`a`)]\nlabels:\n- traefik.http.routers.a.rule=x\n",
    ],
)
def test_odd_labels_end_in_an_answer(tmp_path, more) -> None:
    text = f"services:\n  a:\n    labels:\n{LABEL}{more}"
    read = read_in(tmp_path, {"compose.yaml": text}, "compose.yaml")
    read.meets(parse_target("ws://a/")[0])
