"""Each row of the table of annotations does what it says on an Ingress, and says where that is written."""

from __future__ import annotations

import pytest

from tests.support.configurations import git_applies, kinds, mend, read_in
from wsinspect.doctor.configuration.annotations import table
from wsinspect.doctor.target import parse_target

INGRESS = """apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web
  annotations:
    example.com/other: "x"
    {note}
spec:
  rules:
    - host: app.example
      http:
        paths:
          - path: /
            pathType: Prefix
            backend: {{service: {{name: sockets}}}}
---
apiVersion: v1
kind: Service
metadata:
  name: sockets
  annotations:
    example.com/other: "x"
    {service}
"""
URL = "wss://app.example/ws"
#: Values of rows that some values do no harm in.
WRONG = {"upgrade": "keep-alive", "h2": "h2", "host": "false", "answer": "oidc", "silent": "10.0.0.0/8"}
RIGHT = {
    "connection-proxy-header": "upgrade",
    "proxy-http-version": "1.1",
    "backend-protocol": "HTTPS",
    "upstream-vhost": "$host",
    "server-proto": "h1",
    "backend-protocol-version": "HTTP1",
    "auth-type": "none",
    "inbound-cidrs": "0.0.0.0/0, ::/0",
    "service.passhostheader": "true",
    "service.serversscheme": "https",
}
KEYS = [(row, key) for row in table() for key in row.keys]


def text(key: str, value: str) -> str:
    note = f'{key}: "{value}"'
    other = "example.com/more: y"
    is_of_service = "/service." in key
    return INGRESS.format(note=other if is_of_service else note, service=note if is_of_service else other)


@pytest.mark.parametrize(("row", "key"), KEYS, ids=[key for _, key in KEYS])
def test_a_row_is_found_mended_and_has_its_source(tmp_path, row, key) -> None:
    read = read_in(tmp_path, {"a.yaml": text(key, WRONG[row.kind])})
    met = read.meets(parse_target(URL)[0])
    assert met is not None
    (defect,) = met.possible if row.is_possible else met.defects
    assert (defect.kind, defect.status) == (row.kind, row.status)
    assert key in (tmp_path / "a.yaml").read_text().splitlines()[defect.at.line - 1]
    assert row.source.startswith("https://")
    assert bool(defect.edits) == bool(row.mend)
    if defect.edits:
        assert kinds(mend(read, defect, URL)) == []
        git_applies(read, defect)


@pytest.mark.parametrize(
    ("row", "key"), [(row, key) for row, key in KEYS if row.unless], ids=[k for r, k in KEYS if r.unless]
)
def test_a_value_that_does_no_harm(tmp_path, row, key) -> None:
    met = read_in(tmp_path, {"a.yaml": text(key, RIGHT[key.rpartition("/")[2]])}).meets(parse_target(URL)[0])
    assert met is not None
    assert kinds(met) == []
