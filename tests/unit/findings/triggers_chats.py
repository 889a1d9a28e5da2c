"""Rules about OCPP, IRC and what websockify passes on: facts that trigger each, and near ones that do not."""

from __future__ import annotations

import json
from typing import Any

from tests.unit.findings.facts_made import cut, ended, frame, request, switching
from wsinspect.findings.facts import C2S, S2C

OF_OCPP: dict[str, Any] = {
    "raw_request_out": request(Sec_WebSocket_Protocol="ocpp1.6"),
    "raw_response_in": switching(Sec_WebSocket_Protocol="ocpp1.6"),
}
OF_IRC: dict[str, Any] = {
    "raw_request_out": request(Sec_WebSocket_Protocol="text.ircv3.net"),
    "raw_response_in": switching(Sec_WebSocket_Protocol="text.ircv3.net"),
}
BOOT = [2, "7", "BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"}]
CLOSING = "ERROR :Closing Link: nick[192.0.2.1] (Bad Password)"
NICK = (C2S, 0.1, "NICK nick")


def _said(*texts: tuple[Any, float, Any]) -> list[Any]:
    """Text messages; what is no text is sent as JSON."""
    return [
        frame(n, side, at, 1, (text if isinstance(text, str) else json.dumps(text)).encode())
        for n, (side, at, text) in enumerate(texts, 1)
    ]


def _booted(answer: Any, **facts: Any) -> Any:
    """A station that boots, and what it is answered."""
    return ended(*_said((C2S, 0.1, BOOT), (S2C, 0.2, answer)), **facts)


CASES: dict[str, tuple[list[Any], list[Any]]] = {
    "WS-APP-055": (
        [
            _booted([4, "7", "NotImplemented", "unknown action", {}], **OF_OCPP),
            _booted([4, "7", "FormationViolation", "", {}]),
            _booted([4, "8", "VendorsOwn", "no", {}], **OF_OCPP),
            ended(
                *_said((S2C, 0.1, [2, "1", "Reset", {}]), (C2S, 0.2, [4, "1", "InternalError", "x", {}])),
                **OF_OCPP,
            ),
        ],
        [
            _booted([3, "7", {"status": "Accepted"}], **OF_OCPP),
            # Another protocol's arrays: WAMP's, a list of numbers, what has no code.
            ended(*_said((C2S, 0.1, [1, "realm1", {}]), (S2C, 0.2, [4, "ticket", "NotImplemented", "", {}]))),
            ended(*_said((C2S, 0.1, [2, "7", "prices"]), (S2C, 0.2, [4, 5, 6]))),
            _booted([4, "7", ""], **OF_OCPP),
        ],
    ),
    "WS-APP-056": (
        [
            _booted([3, "7", {"status": "Rejected", "interval": 300}], **OF_OCPP),
            _booted([3, "7", {"status": "Rejected", "interval": 300}]),
        ],
        [
            _booted([3, "7", {"status": "Pending", "interval": 300}], **OF_OCPP),
            # The answer to another call.
            _booted([3, "8", {"status": "Rejected"}], **OF_OCPP),
        ],
    ),
    "WS-APP-057": (
        [
            cut(*_said((C2S, 0.1, BOOT)), at=5),
            ended(*_said((C2S, 0.1, BOOT)), at=5),
        ],
        [
            cut(*_said((C2S, 0.1, BOOT)), at=5, **OF_OCPP),
            _booted([3, "7", {"status": "Accepted"}]),
            cut(*_said((C2S, 0.1, [2, "7", "prices", {}])), at=5),
        ],
    ),
    "WS-APP-058": (
        [
            ended(*_said((C2S, 0.1, "PASS x"), (S2C, 0.3, CLOSING)), by="server", **OF_IRC),
            ended(*_said(NICK, (S2C, 0.3, f":srv NOTICE * :hello\r\n{CLOSING}\r\n")), by="server"),
            cut(*_said(NICK, (S2C, 1, "ERROR :Closing Link: (Ping timeout: 120 seconds)"))),
        ],
        [
            # A goodbye; another protocol's word; what was said long before the end.
            ended(*_said(NICK, (C2S, 0.2, "QUIT :bye"), (S2C, 0.3, CLOSING)), by="server", **OF_IRC),
            ended(*_said((C2S, 0.1, "hello"), (S2C, 0.3, "ERROR :no such room")), by="server"),
            ended(*_said(NICK, (S2C, 0.3, CLOSING)), at=60, by="server", **OF_IRC),
        ],
    ),
    "WS-APP-059": (
        [
            ended(by="server", reason="Target closed"),
            ended(frame(1, C2S, 0.1, 2, b"x"), by="server", reason="Target closed"),
            ended(at=60, by="server", reason="Target closed"),
        ],
        [
            ended(by="client", reason="Target closed"),
            ended(by="server", reason="Session closed"),
        ],
    ),
}
