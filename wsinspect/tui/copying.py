"""What leaves the screens: a request as a curl command, bytes as text, and where copies go.

A copy goes to the terminal's clipboard (OSC 52), and to a file beside it, because not every terminal takes
it, and none takes a large one.
"""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from wsinspect.capture.records import Connection, Handshake
from wsinspect.handshake.heads import RawHead
from wsinspect.handshake.negotiation import is_valid_key
from wsinspect.launch.paths import ensure_private_dir, state_dir
from wsinspect.present.rows import byte_count
from wsinspect.text import escape
from wsinspect.tui.blobs import Blob

#: Terminals refuse longer OSC 52 sequences; xterm's own limit is of this order.
CLIPBOARD_BYTES: Final = 64 * 1024
COPY_BYTES: Final = 256 * 1024 * 1024
#: The key of RFC 6455 section 1.3: sixteen bytes, as a server demands.
_KEY: Final = b"dGhlIHNhbXBsZSBub25jZQ=="
#: curl sends these itself, or must not be told them.
_CURLS_OWN: Final = frozenset({b"host", b"content-length", b"accept-encoding"})
_UPGRADE: Final = (
    (b"connection", b"Connection", b"Upgrade"),
    (b"upgrade", b"Upgrade", b"websocket"),
    (b"sec-websocket-version", b"Sec-WebSocket-Version", b"13"),
    (b"sec-websocket-key", b"Sec-WebSocket-Key", _KEY),
)


def curl_command(connection: Connection, handshake: Handshake | None) -> str:
    """The opening handshake as a curl command that a server answers with 101.

    `--http1.1` because `Upgrade` does not exist in HTTP/2, a key of sixteen bytes, and the fields that RFC
    6455 section 4.1 demands where the request had them wrong or not at all.
    """
    scheme = "https" if connection.scheme in ("wss", "https") else "http"
    path = connection.path or "/"
    raw = (handshake.request_in or handshake.request_out) if handshake is not None else None
    head = RawHead.parse(raw) if raw else None
    host = (
        f"{connection.host or 'localhost'}:{connection.port}"
        if connection.port
        else connection.host or "localhost"
    )
    words = ["curl", "--http1.1", "--include", "--no-buffer"]
    for name, value in _fields(head):
        words += ["-H", f"{_text(name)}: {_text(value)}"]
    sent_host = head.get("Host") if head is not None else None
    if sent_host is not None and _text(sent_host) != host:
        words += ["-H", f"Host: {_text(sent_host)}"]
    return shlex.join([*words, f"{scheme}://{host}{path}"])


def _fields(head: RawHead | None) -> list[tuple[bytes, bytes]]:
    fields = [(field.name, field.value) for field in head.fields if field.name] if head is not None else []
    # `-H @NAME` would make curl read a file.
    kept = [
        (name, value)
        for name, value in fields
        if name.lower() not in _CURLS_OWN and not name.startswith(b"@")
    ]
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


def save_copy(data: bytes, suffix: str) -> Path:
    """A private file with what was copied; the last one of each kind is kept."""
    folder = ensure_private_dir(state_dir() / "copies")
    descriptor, name = tempfile.mkstemp(dir=folder, suffix=suffix)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    path = folder / f"copied{suffix}"
    Path(name).replace(path)
    return path


class Copier:
    """Puts copies where they go, and says so.

    Args:
        to_clipboard: the terminal's.
        say: shows a sentence.
    """

    def __init__(self, to_clipboard: Callable[[str], None], say: Callable[[str], None]) -> None:
        self._to_clipboard, self._say = to_clipboard, say

    def text(self, text: str, what: str, suffix: str) -> None:
        """Text to the clipboard and to a file."""
        self.bytes(text.encode("utf-8", "surrogateescape"), what, suffix)

    def bytes(self, data: bytes, what: str, suffix: str) -> None:
        """Bytes: as text to the clipboard where they are that and not too many; always to a file."""
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text, suffix = data[: CLIPBOARD_BYTES // 2].hex(), ".bin"
        try:
            path = save_copy(data, suffix)
        except OSError as error:
            self._say(f"cannot write the copy: {error}")
            return
        size = byte_count(len(data))
        if len(data) <= CLIPBOARD_BYTES and text:
            self._to_clipboard(text)
            self._say(f"copied the {escape(what)} ({size}); also in {path}")
        else:
            self._say(f"the {escape(what)} ({size}) is in {path}: too large for a clipboard")

    def blob(self, blob: Blob, what: str) -> None:
        """A payload."""
        if blob.length > COPY_BYTES:
            self._say(f"{byte_count(blob.length)} is more than can be copied at once")
        else:
            self.bytes(blob.read(0, blob.length), what, ".bin")
