"""A frame and its connection as a filter asks about them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class AConnection:
    id: int = 3
    tap: str | None = "edge"
    host: str | None = "Example.org"
    port: int | None = 443
    path: str | None = "/chat?room=7"
    subprotocol: str | None = "chat.v2"
    is_closed: bool = True
    client_close_code: int | None = 4001
    server_close_code: int | None = None
    js_code: int | None = 1006
    js_was_clean: bool | None = False
    how: str | None = "rst"
    ended_by: str | None = "server"
    faults: list[str] = field(default_factory=lambda: ["lose-pongs", "drop"])
    findings: list[tuple[str, str]] = field(default_factory=lambda: [("WS-FR-003", "error")])
    headers: dict[str, list[str]] = field(
        default_factory=lambda: {
            "origin": ["https://a.example"],
            "server": ["nginx/1.22"],
            "upgrade": ["websocket"],
        }
    )

    def header_values(self, name: str) -> list[str]:
        return self.headers.get(name.lower(), [])


@dataclass
class AFrame:
    connection: AConnection = field(default_factory=AConnection)
    direction: int = 0
    opcode: int = 1
    fin: bool = True
    rsv1: bool = False
    rsv2: bool = False
    rsv3: bool = False
    masked: bool = True
    length: int = 2048
    wire_length: int = 2056
    message_id: int | None = 12
    fragment: int | None = None
    payload: bytes = b""
    body: bytes = b'{"op": "sub", "n": 5, "name": "Ada", "items": [{"id": 7}], "error": null}'
    rtt_ns: int | None = None
    gap_ns: int | None = None
    delta_ns: int | None = None
    t_ns: int | None = 13_000_000_000
    faults: list[str] = field(default_factory=list)
    findings: list[tuple[str, str]] = field(default_factory=list)
