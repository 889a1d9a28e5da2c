"""Copying, and showing in a pager."""

from __future__ import annotations

import os
import shlex
import subprocess
from typing import Any

from textual.app import SuspendNotSupported

from wsinspect.present.rows import byte_count
from wsinspect.text import escape
from wsinspect.tui.blobs import MESSAGE, blob_of
from wsinspect.tui.copying import CLIPBOARD_BYTES, COPY_BYTES, curl_command, save_copy
from wsinspect.tui.shell import Shell


class Copies(Shell):
    """Actions that take something out of the screens."""

    def action_copy(self) -> None:
        """The finding's id, the heads, the row, or the payload: what has the focus."""
        self.show_chosen()
        if self.page == "findings":
            finding = self.findings.chosen()
            if finding is not None:
                self.copy_text(finding.rule, "finding's id", ".txt")
        elif self.page == "handshake":
            self._copy_heads()
        elif self.page == "main" and self.pane_number == 1:
            self._copy_url()
        elif self.page == "main" and self.pane_number == 3:
            self._copy_row()
        else:
            self.copy_payload()

    def _copy_url(self) -> None:
        one = self.model.connections.get(self.connection_in_view() or 0)
        if one is not None:
            self.copy_text(one.url, "URL", ".txt")

    def _copy_row(self) -> None:
        frames = self.frames
        if frames.selected_position() is not None:
            self.copy_text(frames.row_text(frames.cursor), "frame's row", ".txt")

    def _copy_heads(self) -> None:
        handshake = self.selection.handshake(self.handshake.connection or 0)
        if handshake is not None:
            heads = (
                handshake.request_in,
                handshake.request_out,
                handshake.response_in,
                handshake.response_out,
            )
            self.copy_bytes(b"".join(head for head in heads if head), "four heads", ".txt")

    def copy_payload(self) -> None:
        """The bytes that the inspector shows, else the chosen frame's message."""
        shown = self.inspector.content()
        if shown is None:
            position, source = self.frames.selected_position(), self.selection.source
            record = self.inspector.record
            if position is None or record is None or source is None:
                self.say("nothing to copy: choose a frame")
                return
            shown = blob_of(record, self.model.index, position, source, MESSAGE)
        blob, about = shown
        if blob.length > COPY_BYTES:
            self.say(f"{byte_count(blob.length)} are more than can be copied at once")
            return
        self.copy_bytes(blob.read(0, blob.length), about, ".bin")

    def action_copy_curl(self) -> None:
        """The opening handshake as curl."""
        number = self.handshake.connection if self.page == "handshake" else self.connection_in_view()
        one = self.model.connections.get(number or 0)
        if one is None:
            self.say("choose a connection first")
            return
        self.copy_text(curl_command(one, self.selection.handshake(one.id)), "curl command", ".sh")

    def copy_text(self, text: str, what: str, suffix: str) -> None:
        """Text to the clipboard and to a file."""
        self.copy_bytes(text.encode("utf-8", "surrogateescape"), what, suffix)

    def copy_bytes(self, data: bytes, what: str, suffix: str) -> None:
        """Bytes: as text to the clipboard where they are that and not too many; always to a file."""
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text, suffix = data[: CLIPBOARD_BYTES // 2].hex(), ".bin"
        try:
            path = save_copy(data, suffix)
        except OSError as error:
            self.say(f"cannot write the copy: {error}")
            return
        if len(data) <= CLIPBOARD_BYTES and text:
            self.copy_to_clipboard(text)
            self.say(f"copied the {escape(what)} ({byte_count(len(data))}); also in {path}")
        else:
            self.say(f"the {escape(what)} ({byte_count(len(data))}) is in {path}: too large for a clipboard")

    def action_pager(self) -> None:
        """What the inspector shows, in the user's pager; escaped as on the screen."""
        text = self.inspector.document_text()
        pager = shlex.split(os.environ.get("PAGER") or "less")
        environment: dict[str, Any] = {**os.environ, "LESSSECURE": "1"}
        try:
            with self.suspend():
                subprocess.run(pager, input=text.encode("utf-8", "replace"), env=environment, check=False)
        except SuspendNotSupported:
            self.say("this terminal cannot be lent to a pager")
        except OSError as error:
            self.say(f"{pager[0]}: {error.strerror}")
        self.refresh()
