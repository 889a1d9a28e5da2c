"""What leaves the screens: a request as a curl command, bytes as text, and where copies go.

A copy goes to the clipboard: by its own program where there is one (`clipboard`), else by the terminal (OSC
52); and to a file next to it, because not every terminal takes it, and none takes a large one.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from wsinspect.capture.records import Connection, Handshake
from wsinspect.handshake.heads import RawHead
from wsinspect.launch.paths import ensure_private_dir, state_dir
from wsinspect.present.client_commands import CLIENT_COMMANDS, opening_request
from wsinspect.present.curl import curl_of
from wsinspect.present.rows import byte_count
from wsinspect.text import escape
from wsinspect.tui.blobs import Blob
from wsinspect.tui.clipboard import copy, programs

#: Terminals refuse longer OSC 52 sequences; xterm's own limit is of this order.
CLIPBOARD_BYTES: Final = 64 * 1024
#: Binary data is copied as hex, up to this.
_HEX_BYTES: Final = CLIPBOARD_BYTES // 2
COPY_BYTES: Final = 256 * 1024 * 1024


def curl_command(connection: Connection, handshake: Handshake | None) -> str:
    """The opening handshake of a connection as a curl command (`present.curl`)."""
    raw = (handshake.request_in or handshake.request_out) if handshake is not None else None
    return curl_of(
        connection.scheme,
        connection.host,
        connection.port,
        connection.path,
        RawHead.parse(raw) if raw else None,
    )


def command_for(connection: Connection, handshake: Handshake | None, client: str) -> tuple[str, str, str]:
    """The opening handshake for another client: the text, its name, and the suffix of a file with it.

    Args:
        client: `c` for curl, else a key of `present.client_commands.CLIENT_COMMANDS`.
    """
    if client not in CLIENT_COMMANDS:
        return curl_command(connection, handshake), "curl command", ".sh"
    raw = (handshake.request_in or handshake.request_out) if handshake is not None else None
    command = CLIENT_COMMANDS[client]
    request = opening_request(
        connection.scheme,
        connection.host,
        connection.port,
        connection.path,
        RawHead.parse(raw) if raw else None,
    )
    return command.make(request), f"{command.name} command", command.suffix


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
        to_terminal: the terminal's clipboard.
        say: shows a sentence.
        deliver: from another thread, has something called in the event loop.
    """

    def __init__(
        self,
        to_terminal: Callable[[str], None],
        say: Callable[[str], None],
        deliver: Callable[..., None],
    ) -> None:
        self._to_terminal, self._say, self._deliver = to_terminal, say, deliver

    def text(self, text: str, what: str, suffix: str) -> None:
        """Text to the clipboard and to a file."""
        self.bytes(text.encode("utf-8", "surrogateescape"), what, suffix)

    def bytes(self, data: bytes, what: str, suffix: str) -> None:
        """Bytes: as text to the clipboard where they are that, else as hex; always to a file, as they are."""
        is_cut = False
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text, suffix, is_cut = data[:_HEX_BYTES].hex(), ".bin", len(data) > _HEX_BYTES
        try:
            path = save_copy(data, suffix)
        except OSError as error:
            self._say(f"cannot write the copy: {error}")
            return
        words = f"{escape(what)} ({byte_count(len(data))})"
        commands = programs(os.environ) if text and not is_cut else []
        if not commands:
            self._by_terminal(text, words, path, is_cut=is_cut)
            return

        def work() -> None:
            self._deliver(self._copied, copy(text.encode(), commands), text, words, path)

        threading.Thread(target=work, name="clipboard", daemon=True).start()

    def _copied(self, program: str | None, text: str, words: str, path: Path) -> None:
        """A program has taken it, or none would."""
        if program is None:
            self._by_terminal(text, words, path, is_cut=False)
        else:
            self._say(f"copied the {words} by {program}; also in {path}")

    def _by_terminal(self, text: str, words: str, path: Path, *, is_cut: bool) -> None:
        if text and not is_cut and len(text.encode()) <= CLIPBOARD_BYTES:
            self._to_terminal(text)
            self._say(f"copied the {words}; also in {path}")
        else:
            self._say(f"the {words} is in {path}: too large for a clipboard")

    def blob(self, blob: Blob, what: str) -> None:
        """Copy a payload whole, as `bytes` does; one larger than COPY_BYTES is refused."""
        if blob.length > COPY_BYTES:
            self._say(f"{byte_count(blob.length)} is too much to copy at once")
        else:
            self.bytes(blob.read(0, blob.length), what, ".bin")
