"""A payload as JSON can say it: its text or base64, and the value of text that is JSON.

Contract: `show --json` and `run --json` write payloads with these names; they are stable for `"schema": 1`.
"""

from __future__ import annotations

import base64
import codecs
import json
import math
from typing import Any

from wsinspect.decoders.limits import MAX_BYTES


def content(data: bytes, *, is_cut: bool = False, is_binary: bool = False) -> dict[str, str]:
    """Bytes as `{"text": ...}`, or `{"base64": ...}` where they are not UTF-8.

    Args:
        is_cut: more followed, so that the last character may be half of one; that half is left out of a text.
        is_binary: of a BINARY frame or message: its bytes are in base64 always, as in HAR files, and its
            text stands next to them where they are UTF-8.
    """
    found: dict[str, str] = {}
    try:
        found["text"] = codecs.getincrementaldecoder("utf-8")().decode(data, final=not is_cut)
    except UnicodeDecodeError:
        is_binary = True
    if is_binary:
        found["base64"] = base64.b64encode(data).decode("ascii")
    return found


def json_members(data: bytes) -> dict[str, Any]:
    """`{"json": value}` where the bytes are a JSON object or array, else nothing.

    Other values are as readable in the text. What JSON cannot say again, such as `NaN`, is none (RFC 8259).
    """
    if len(data) > MAX_BYTES or data.lstrip()[:1] not in (b"{", b"["):
        return {}
    try:
        return {"json": json.loads(data, parse_constant=_refuse, parse_float=_finite)}
    except (ValueError, RecursionError):  # text that only begins like JSON, or numbers of thousands of digits
        return {}


def _refuse(word: str) -> float:
    raise ValueError(word)


def _finite(text: str) -> float:
    """A number that JSON can say again."""
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)
