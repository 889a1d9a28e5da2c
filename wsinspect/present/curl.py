"""An opening handshake as a curl command."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Final

from wsinspect.handshake.heads import RawHead
from wsinspect.handshake.negotiation import is_valid_key
from wsinspect.net import bracketed

#: The key of RFC 6455 section 1.3: sixteen bytes, as a server demands.
_KEY: Final = b"dGhlIHNhbXBsZSBub25jZQ=="
#: curl sends these itself, or must not get them.
_CURLS_OWN: Final = frozenset({b"host", b"content-length", b"accept-encoding"})
_UPGRADE: Final = (
    (b"connection", b"Connection", b"Upgrade"),
    (b"upgrade", b"Upgrade", b"websocket"),
    (b"sec-websocket-version", b"Sec-WebSocket-Version", b"13"),
    (b"sec-websocket-key", b"Sec-WebSocket-Key", _KEY),
)


def curl_of(
    scheme: str | None,
    host: str | None,
    port: int | None,
    path: str | None,
    head: RawHead | None,
    *,
    options: Sequence[str] = (),
    is_exact: bool = False,
) -> str:
    """A command that a server answers with 101.

    `--http1.1` because `Upgrade` does not exist in HTTP/2, a key of sixteen bytes, and the fields that RFC
    6455 section 4.1 demands where the request had them wrong or not at all.

    Args:
        scheme, host, port, path: of the URL.
        head: the request; None for one that has only what is needed.
        options: more of curl's, such as `--insecure`.
        is_exact: send what the request has and no more, whether or not a server accepts that.
    """
    is_tls = scheme in ("wss", "https")
    place = f"{bracketed(host or 'localhost')}:{port}" if port else bracketed(host or "localhost")
    version = (
        "--http1.0" if is_exact and head is not None and head.http_version == b"HTTP/1.0" else "--http1.1"
    )
    words = ["curl", version, "--include", "--no-buffer", *options]
    if any(char in (path or "") for char in "[]{}"):
        words.append("--globoff")
    if re.search(r"/\.\.?(/|$)", (path or "").partition("?")[0]):
        words.append("--path-as-is")
    for name, value in _kept(head) if is_exact else _fields(head):
        # `NAME:` would make curl leave the field out.
        words += ["-H", f"{_text(name)}: {_text(value)}" if value else f"{_text(name)};"]
    if is_exact:
        sent = {name.lower() for name, _ in _kept(head)}
        words += [
            word
            for name in ("Accept", "User-Agent")
            if name.lower().encode() not in sent
            for word in ("-H", f"{name}:")
        ]
    sent_host = head.get("Host") if head is not None else None
    if sent_host is not None and _text(sent_host) != place:
        words += ["-H", f"Host: {_text(sent_host)}"]
    return shlex.join([*words, f"{'https' if is_tls else 'http'}://{place}{path or '/'}"])


def _kept(head: RawHead | None) -> list[tuple[bytes, bytes]]:
    """The fields that are curl's to send."""
    fields = [(field.name, field.value) for field in head.fields if field.name] if head is not None else []
    # `-H @NAME` would make curl read a file.
    return [
        (name, value)
        for name, value in fields
        # Nor are pseudo-header fields of HTTP/2: curl has no RFC 8441, and asks by an upgrade instead.
        if name.lower() not in _CURLS_OWN and not name.startswith((b"@", b":"))
    ]


def _fields(head: RawHead | None) -> list[tuple[bytes, bytes]]:
    kept = _kept(head)
    for key, name, value in _UPGRADE:
        at = next((number for number, field in enumerate(kept) if field[0].lower() == key), None)
        if at is None:
            kept.append((name, value))
        elif _is_wrong(key, kept[at][1]):
            kept[at] = (kept[at][0], value)
    return kept


def _is_wrong(key: bytes, value: bytes) -> bool:
    """Whether a server would have to refuse this value."""
    if key == b"sec-websocket-key":
        return not is_valid_key(value)
    return key == b"connection" and b"upgrade" not in value.lower()


def _text(value: bytes) -> str:
    """For a shell: printable characters only, so that pasting cannot do anything else."""
    return "".join(char for char in value.decode("utf-8", "replace") if char.isprintable())
