"""Every hop times every cause: what comes first by one tap, by a sandwich and by `diagnose`.

A new cause is one line of `CAUSES`, a new hop one line of `matrix_hops.KINDS`. A cell is a failure of which we
know who did it: that party is blamed first, and a hop that did nothing is never blamed.
"""

import json

import pytest

from tests.support.hops import envoy_program
from tests.support.matrix_hops import KINDS
from tests.support.matrix_lab import Cause, is_agreed, play

SAME = "http://127.0.0.1:PORT"
TOKEN = {"Authorization": "Bearer abc"}
COOKIE = {"Cookie": "sid=abc"}

CAUSES = (
    # name, path, the sandwich's first (id, fault_of), what one tap may say first
    Cause("healthy", "/app/echo", None, ()),
    Cause("healthy close by the server", "/app/close-1000", None, ()),
    Cause("healthy with a subprotocol", "/app/echo?sub", None, (), subprotocols=["v1"]),
    Cause("healthy same origin", "/app/same-origin", None, (), origin=SAME),
    Cause("healthy with the Host changed", "/hop/host/echo", None, ()),
    Cause("healthy with the Origin changed", "/hop/origin/echo", None, (), origin=SAME),
    Cause("healthy in HTTP/1.0", "/hop/rewritten/echo", ("WS-HS-106", "hop"), ("WS-HS-011",)),
    Cause("login", "/app/302", ("WS-HS-007", "client"), ("WS-HS-007",)),
    Cause("401", "/app/401", ("WS-HS-009", "client"), ("WS-HS-009",)),
    Cause("403", "/app/403", ("WS-HS-010", "server"), ("WS-HS-010",)),
    Cause("403 of a browser", "/app/403?browser", ("WS-HS-010", "server"), ("WS-HS-010",), origin=SAME),
    Cause("404", "/app/404", ("WS-HS-011", "server"), ("WS-HS-011",)),
    Cause("429", "/app/429", ("WS-HS-017", "client"), ("WS-HS-017",)),
    Cause("500", "/app/500", ("WS-HS-019", "server"), ("WS-HS-019",)),
    Cause("wrong path", "/nowhere", ("WS-HS-011", "server"), ("WS-HS-011",)),
    Cause("wrong Origin", "/app/allowed-origin", ("WS-HS-010", "server"), ("WS-HS-010",), origin="https://evil.example"),
    Cause("wrong subprotocol", "/app/echo?wrong", ("WS-HS-026", "server"), ("WS-HS-026",), subprotocols=["v9"]),
    Cause("silent", "/hop/slow/silent", ("WS-HS-108", "server"), ("WS-HS-022", "WS-HS-020")),
    Cause("late", "/hop/slow/late", ("WS-HS-108", "server"), ("WS-HS-022", "WS-HS-020")),
    Cause("closing", "/app/closing", ("WS-HS-035", "server"), ("WS-HS-020", "WS-HS-035")),
    Cause("dead behind the tap", "/hop/dead/echo", ("WS-HS-032", "server"), ("WS-HS-020", "WS-HS-021")),
    Cause("gone", "/hop/gone/echo", ("WS-HS-020", "hop"), ("WS-HS-020", "WS-HS-021")),
    Cause("untrusted", "/hop/tls/echo", ("WS-HS-020", "hop"), ("WS-HS-020", "WS-HS-021")),
    Cause("302 of the hop", "/hop/302/echo", ("WS-HS-007", "client"), ("WS-HS-007",)),
    Cause("401 of the hop", "/hop/401/echo", ("WS-HS-009", "client"), ("WS-HS-009",)),
    Cause("403 of the hop", "/hop/403/echo", ("WS-HS-010", "hop"), ("WS-HS-010",)),
    Cause("404 of the hop", "/hop/404/echo", ("WS-HS-011", "hop"), ("WS-HS-011",)),
    Cause("429 of the hop", "/hop/429/echo", ("WS-HS-017", "client"), ("WS-HS-017",)),
    Cause("500 of the hop", "/hop/500/echo", ("WS-HS-019", "hop"), ("WS-HS-019",)),
    Cause("page of the hop", "/hop/page/echo", ("WS-HS-004", "hop"), ("WS-HS-004",)),
    Cause("stripped", "/hop/stripped/echo", ("WS-HS-101", "hop"), ("WS-HS-002", "WS-HS-012")),
    Cause("Host for a same-origin check", "/hop/host/same-origin", ("WS-HS-105", "hop"), ("WS-HS-010",), origin=SAME),
    Cause("Host and 401", "/hop/host/401", ("WS-HS-009", "client"), ("WS-HS-009",)),
    Cause("Host and 403", "/hop/host/403", ("WS-HS-010", "server"), ("WS-HS-010",)),
    Cause("Host and 404", "/hop/host/404", ("WS-HS-011", "server"), ("WS-HS-011",)),
    Cause("Host and another Origin", "/hop/host/same-origin?evil", ("WS-HS-010", "server"), ("WS-HS-010",), origin="https://evil.example"),
    Cause("Origin", "/hop/origin/same-origin", ("WS-HS-105", "hop"), ("WS-HS-010",), origin=SAME),
    Cause("query", "/hop/query/needs-token?token=x", ("WS-HS-106", "hop"), ("WS-HS-009",)),
    Cause("Cookie", "/hop/cookie/needs-cookie", ("WS-HS-105", "hop"), ("WS-HS-009",), headers=COOKIE),
    Cause("Cookie and 500", "/hop/cookie/500", ("WS-HS-019", "server"), ("WS-HS-019",), headers=COOKIE),
    Cause("Authorization", "/hop/authorization/needs-authorization", ("WS-HS-105", "hop"), ("WS-HS-009",), headers=TOKEN),
    Cause("version", "/hop/version/echo", ("WS-HS-104", "hop"), ("WS-HS-012", "WS-HS-002", "WS-HS-018")),
    Cause("subprotocol", "/hop/subprotocol/echo", ("WS-HS-104", "hop"), ("WS-HS-026",), subprotocols=["v1"]),
    Cause("bare 101", "/hop/bare-101/echo", ("WS-HS-110", "hop"), ("WS-HS-025",)),
    Cause("accept", "/hop/accept/echo", ("WS-HS-104", "hop"), ("WS-HS-024",)),
    Cause("HTTP/1.0", "/hop/http10/echo", ("WS-HS-102", "hop"), ("WS-HS-002", "WS-HS-012")),
    Cause("HTTP/1.0 and 401", "/hop/http10/401", ("WS-HS-009", "client"), ("WS-HS-009",)),
    Cause("idle", "/hop/idle/echo", ("WS-DROP-101", "hop"), ("WS-DROP-002",), does="wait"),
    Cause("lifetime", "/hop/lifetime/ticks", ("WS-DROP-101", "hop"), ("WS-DROP-003", "WS-DROP-005", "WS-DROP-006"), does="wait"),
    Cause("cut by the server", "/app/cut", ("WS-DROP-005", "server"), ("WS-DROP-005",), does="wait"),
    Cause("reset by the server", "/app/reset", ("WS-DROP-005", "server"), ("WS-DROP-005",), does="wait"),
    Cause("life of the server", "/app/life", ("WS-DROP-005", "server"), ("WS-DROP-005",), does="wait"),
    Cause("1001", "/app/close-1001", ("WS-CL-003", "server"), ("WS-CL-003",), does="wait"),
    Cause("1008", "/app/close-1008", ("WS-CL-003", "server"), ("WS-CL-003",), does="wait"),
    Cause("1011", "/app/close-1011", ("WS-CL-003", "server"), ("WS-CL-003",), does="wait"),
    Cause("4001", "/app/close-4001", ("WS-CL-003", "server"), ("WS-CL-003",), does="wait"),
    Cause("1011 of the client", "/app/echo?1011", ("WS-CL-003", "client"), ("WS-CL-003",), does="close-1011"),
    Cause("cut by the client", "/app/echo?cut", ("WS-DROP-005", "client"), ("WS-DROP-005",), does="cut"),
    Cause("reset by the client", "/app/echo?reset", ("WS-DROP-005", "client"), ("WS-DROP-005",), does="reset"),
    Cause("kill", "/app/echo?kill", ("WS-DROP-101", "hop"), ("WS-DROP-005",), does="kill"),
)
