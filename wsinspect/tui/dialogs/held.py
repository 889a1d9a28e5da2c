"""A held message edited in place, or what its sender gets instead."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from textual.app import ComposeResult

from wsinspect.text import escape
from wsinspect.tui.dialogs.sheet import CANCEL, SELECT, Dialog, DialogInput, Pick, TextField
from wsinspect.tui.dialogs.typed_frame import FORMS, typed_payload
from wsinspect.tui.workspace import Workspace

Json = dict[str, Any]


class HeldDialog(Dialog):
    """Asks for the new payload; for a held handshake, for status and body of the answer.

    Args:
        one: what is held, as the control API gives it.
        action: `edit` or `answer`.
        send: takes its name, the decision, and what to say when it is done.
    """

    def __init__(
        self, workspace: Workspace, one: Json, action: str, send: Callable[[str, Json, str], None]
    ) -> None:
        super().__init__(workspace)
        self.one, self.action, self._send = one, action, send
        self.name_held = str(one.get("name"))
        sender = "client" if one.get("direction") == "c2s" else "server"
        what = (
            f"Edit {one.get('op') or one.get('what')}" if action == "edit" else f"Answer the {sender} instead"
        )
        self.keys = (SELECT, ("enter", "send" if action == "edit" else "answer"), CANCEL)
        self.heading = f"{escape(what)}, conn {one.get('connection')}"

    @property
    def is_handshake(self) -> bool:
        """Whether a handshake is held, which is answered with a status."""
        return self.one.get("what") != "message"

    def content(self) -> ComposeResult:
        """The payload and how it is written."""
        if self.is_handshake:
            yield TextField(self.workspace, "status, body", DialogInput("403 ", id="held-text"))
            return
        yield Pick(self.workspace, "payload as", FORMS, id="held-form")
        yield TextField(self.workspace, "payload", DialogInput(id="held-text"))

    def on_mount(self) -> None:
        """Begin with what is held; what has no place on one line of text begins as hex."""
        if not self.is_handshake:
            payload = self.one.get("payload") or {}
            text = payload.get("text")
            if self.action == "edit" and text is not None and text.isprintable():
                self.input("held-text").value = text
            elif self.action == "edit":
                data = text.encode() if text is not None else base64.b64decode(payload.get("base64", ""))
                self.pick("held-form").value = "hex"
                self.input("held-text").value = data.hex(" ")
        self.set_focus(self.input("held-text"))
        self.judge()

    def judge(self) -> None:
        """Say what is wrong with what was typed."""
        try:
            self._decision()
        except ValueError as error:
            self.wrong(escape(str(error)))
            return
        words = "enter sends it as edited" if self.action == "edit" else "enter answers; it goes no further"
        text = None if self.is_handshake else (self.one.get("payload") or {}).get("text")
        if self.action == "edit" and text is not None and not text.isprintable():
            words += "; to edit it as a text of several lines: esc, E"
        self.verdict(self.workspace.glyphs.good, words, "good")

    def _decision(self) -> Json:
        """What was typed, as the control API takes it.

        Raises:
            ValueError: with what was expected.
        """
        text = self.input("held-text").value
        if self.is_handshake:
            status, _, body = text.strip().partition(" ")
            if not status.isascii() or not status.isdigit() or not 200 <= int(status[:4]) <= 599:
                raise ValueError(
                    "expected a status from 200 to 599 and optionally a body, such as 403 go away"
                )
            return {"action": "answer", "status": int(status), "body": body}
        form = self.pick("held-form").value
        opcode = "binary" if form in ("hex", "base64") and self.action == "answer" else "text"
        data = typed_payload("text", form, text)
        return {"action": self.action, "opcode": opcode, "payload": {"hex": data.hex()}}

    def submit(self) -> None:
        """Send the decision and leave."""
        try:
            decision = self._decision()
        except ValueError as error:
            self.wrong(escape(str(error)))
            return
        words = "sent as edited" if self.action == "edit" else "answered; it went no further"
        self.dismiss(None)
        self._send(self.name_held, decision, words)
