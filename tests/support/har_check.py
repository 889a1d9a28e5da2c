"""What HAR 1.2 demands of a file, from its specification: each thing that is missing or of a wrong type."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

NUMBER = (int, float)
PAIR = {"name": str, "value": str}
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
URI = re.compile(r"[a-z][a-z0-9+.-]*:[^\s<>\"{}|\\^`]+", re.IGNORECASE)
ENTRY = {
    "startedDateTime": DATE,
    "time": NUMBER,
    "cache": {},
    "timings": {"send": NUMBER, "wait": NUMBER, "receive": NUMBER},
    "request": {
        "method": str,
        "url": URI,
        "httpVersion": str,
        "cookies": [PAIR],
        "headers": [PAIR],
        "queryString": [PAIR],
        "headersSize": int,
        "bodySize": int,
    },
    "response": {
        "status": int,
        "statusText": str,
        "httpVersion": str,
        "cookies": [PAIR],
        "headers": [PAIR],
        "content": {"size": int, "mimeType": str},
        "redirectURL": str,
        "headersSize": int,
        "bodySize": int,
    },
}
LOG = {"log": {"version": str, "creator": {"name": str, "version": str}, "entries": [ENTRY]}}
#: Chrome's convention: https://developer.chrome.com/blog/new-in-devtools-76#websocket
MESSAGE = {"type": re.compile("send|receive"), "time": NUMBER, "opcode": int, "data": str}


def problems(value: Any, wanted: Any = LOG, place: str = "") -> Iterator[str]:
    """What is wrong with a HAR; nothing else in it may begin without an underscore."""
    if isinstance(wanted, dict):
        if not isinstance(value, dict):
            yield f"{place} is no object"
            return
        for key, inner in wanted.items():
            if key not in value:
                yield f"{place}.{key} is missing"
            else:
                yield from problems(value[key], inner, f"{place}.{key}")
        if "_webSocketMessages" in value:
            yield from problems(value["_webSocketMessages"], [MESSAGE], f"{place}._webSocketMessages")
    elif isinstance(wanted, list):
        if not isinstance(value, list):
            yield f"{place} is no array"
            return
        for number, item in enumerate(value):
            yield from problems(item, wanted[0], f"{place}[{number}]")
    elif isinstance(wanted, re.Pattern):
        if not isinstance(value, str) or not wanted.fullmatch(value):
            yield f"{place} is {value!r}"
    elif isinstance(value, bool) or not isinstance(value, wanted):
        yield f"{place} is {value!r}"
