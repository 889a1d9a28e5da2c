"""A frame that is made by hand: what was typed as bytes, and what is odd about it. Pure functions."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Final

from wsinspect.wire.close_codes import NEVER_ON_WIRE
from wsinspect.wire.frame import serialize_frame

OPCODES: Final = {"text": 1, "binary": 2, "ping": 9, "pong": 10, "close": 8, "cont": 0}
FORMS: Final = (("text", "text"), ("json", "JSON"), ("hex", "hex"), ("base64", "base64"))
_MAX_CONTROL: Final = 125
_CLOSE: Final = re.compile(r"\s*(?P<code>[0-9]{1,5})(?:\s+(?P<reason>.*))?", re.DOTALL)


def typed_payload(opcode: str, form: str, text: str) -> bytes:
    """The bytes that were typed; a CLOSE typed as text is its code and reason.

    Raises:
        ValueError: with what was expected.
    """
    if form == "hex":
        try:
            return bytes.fromhex(text)
        except ValueError:
            raise ValueError("expected pairs of hexadecimal digits, such as 48 69") from None
    if form == "base64":
        try:
            return base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("expected base64, such as SGk=") from None
    if form == "json":
        try:
            json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"not JSON: {error}") from None
    elif opcode == "close":
        return _close(text)
    return text.encode("utf-8", "surrogateescape")


def close_parts(text: str) -> tuple[int, str]:
    """Code and reason of `1001 going away`; code 0 where nothing was typed.

    Raises:
        ValueError: with what was expected.
    """
    if not text.strip():
        return 0, ""
    match = _CLOSE.fullmatch(text)
    if match is None or int(match["code"]) > 0xFFFF:
        raise ValueError("expected a close code and optionally a reason, such as 1001 going away")
    return int(match["code"]), match["reason"] or ""


def _close(text: str) -> bytes:
    code, reason = close_parts(text)
    return code.to_bytes(2, "big") + reason.encode() if code else b""


def frame_bytes(direction: str, opcode: str, payload: bytes, *, fin: bool, key: bytes) -> bytes:
    """The bytes on the wire; what a client sends is masked (RFC 6455 section 5.1).

    Args:
        direction: "c2s" or "s2c".
        key: four bytes to mask with.
    """
    return serialize_frame(OPCODES[opcode], payload, fin=fin, key=key if direction == "c2s" else None)


def oddities(opcode: str, payload: bytes, *, fin: bool) -> list[str]:
    """What a correct peer would not send; it is still sent."""
    found = []
    if opcode in ("ping", "pong", "close"):
        if len(payload) > _MAX_CONTROL:
            found.append(f"a control frame has at most {_MAX_CONTROL} bytes, this one {len(payload)}")
        if not fin:
            found.append("control frames cannot be fragments")
    if opcode == "close" and len(payload) == 1:
        found.append("a CLOSE frame has no payload, or a code of two bytes")
    if (
        opcode == "close"
        and len(payload) > 1
        and (code := int.from_bytes(payload[:2], "big")) in NEVER_ON_WIRE
    ):
        found.append(f"{code} must not be sent")
    if opcode == "text" and fin and not _is_text(payload):
        found.append("a text message has to be UTF-8")
    if opcode == "cont":
        found.append("a continuation needs an open fragmented message")
    elif not fin and opcode in ("text", "binary"):
        found.append("the message stays open until a continuation with FIN follows")
    return found


def _is_text(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


def hex_words(data: bytes, most: int) -> str:
    """The bytes as `81 02 48 69`, the first `most` of them."""
    shown = data[:most].hex(" ")
    return shown if len(data) <= most else f"{shown} and {len(data) - most} more"
