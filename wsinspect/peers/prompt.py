"""A line at a time from a terminal, with history and completion, while frames are printed above it.

The only importer of prompt_toolkit, which keeps the line that is being typed whole while others are printed.
"""

from __future__ import annotations

import contextlib
import os
import termios
from collections.abc import AsyncGenerator, Iterable, Iterator
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.buffer import Buffer, CompletionState
from prompt_toolkit.completion import (
    CompleteEvent,
    Completer,
    Completion,
    PathCompleter,
    get_common_complete_suffix,
)
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.patch_stdout import patch_stdout

from wsinspect.filters.completion import complete
from wsinspect.peers.templates import KNOWN
from wsinspect.peers.typed import HELP


class LineCompleter(Completer):
    """Commands, placeholders, paths behind `@` and `/file`, and filters behind `/expect`."""

    def __init__(self) -> None:
        self._paths = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        text = document.text_before_cursor
        for begin in ("@", "/file ", "/binary @"):
            if text.startswith(begin) and not text.startswith("@@"):
                rest = text[len(begin) :]
                yield from self._paths.get_completions(Document(rest, len(rest)), complete_event)
                return
        if text.startswith("/expect "):
            rest = text.removeprefix("/expect ")
            found = complete(rest, len(rest))
            for one in found.candidates:
                yield Completion(one.text, start_position=found.start - len(rest), display_meta=one.help)
        elif text.startswith("/") and " " not in text and not text.startswith("//"):
            for written, words in HELP.items():
                command = written.split()[0]
                if command.startswith(text):
                    yield Completion(command, start_position=-len(text), display=written, display_meta=words)
        elif "{{" in text and "}}" not in text[text.rindex("{{") :]:
            begun = text[text.rindex("{{") :]
            for written, words in KNOWN.items():
                if written.startswith(begun):
                    yield Completion(written, start_position=-len(begun), display_meta=words)


def completing_keys() -> KeyBindings:
    """Tab that has completed when the next key comes.

    prompt_toolkit's own completes in a task: an Enter in the same stroke sends the line as it was before.
    """
    keys = KeyBindings()

    @keys.add("tab")
    def _(event: KeyPressEvent) -> None:
        complete_now(event.current_buffer)

    return keys


def complete_now(buffer: Buffer) -> None:
    """What is common to all completions is typed; of several there is a menu, and Tab goes through it."""
    if buffer.complete_state is not None:
        buffer.complete_next()
        return
    event = CompleteEvent(completion_requested=True)
    found = list(buffer.completer.get_completions(buffer.document, event))
    if len(found) == 1:
        buffer.apply_completion(found[0])
        return
    if common := get_common_complete_suffix(buffer.document, found):
        buffer.insert_text(common)
        found = list(buffer.completer.get_completions(buffer.document, event))
    if len(found) > 1:
        buffer.complete_state = CompletionState(buffer.document, found)
        buffer.on_completions_changed.fire()


@contextlib.contextmanager
def _kept_as_typed(terminal: int) -> Iterator[None]:
    """Keys that are typed between two prompts wait for the next one.

    There prompt_toolkit has put back the terminal's own editing, which shows them a second time and takes a
    Ctrl-D out. Ctrl-C stays a signal.
    """
    try:
        before = termios.tcgetattr(terminal)
    except termios.error:  # a pipe
        yield
        return
    changed = termios.tcgetattr(terminal)
    changed[3] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(terminal, termios.TCSADRAIN, changed)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


async def typed_lines(history: Path) -> AsyncGenerator[str, None]:
    """What is typed, until the end of input (Ctrl-D) or an interrupt (Ctrl-C).

    Args:
        history: a file that keeps what was typed; private, like a capture.
    """
    os.close(os.open(history, os.O_WRONLY | os.O_CREAT, 0o600))
    session: PromptSession[str] = PromptSession(
        history=FileHistory(str(history)),
        completer=LineCompleter(),
        auto_suggest=AutoSuggestFromHistory(),
        complete_while_typing=False,
        enable_open_in_editor=True,
        key_bindings=completing_keys(),
    )
    with patch_stdout(raw=True), _kept_as_typed(session.input.fileno()):
        while True:
            try:
                yield await session.prompt_async("> ")
            except (EOFError, KeyboardInterrupt):
                return
