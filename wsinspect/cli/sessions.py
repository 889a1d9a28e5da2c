"""`show --sessions`: the clients of a capture, each with its story and its grade."""

from __future__ import annotations

import time
from pathlib import Path

from wsinspect.cli.listing import capture_state
from wsinspect.cli.output import echo, echo_json, prose_columns
from wsinspect.diagnosis.clients import judged_clients
from wsinspect.errors import UsageError
from wsinspect.faults.sessions import SessionBy
from wsinspect.present.clients import client_object, clients_lines
from wsinspect.present.terminal import Palette
from wsinspect.recorder.opening import open_capture


def show_sessions(path: Path, number: int | None, by: SessionBy | None, *, as_json: bool, color: str) -> None:
    """Print them.

    Args:
        number: of a connection, whose client alone is wanted.

    Raises:
        UsageError: no client has made that connection.
    """
    with open_capture(path) as capture:
        is_live = capture.is_live
        state = capture_state(capture) if as_json else {}
        clients = judged_clients(capture, by, until_ns=time.time_ns() if is_live else None)
        if number is not None:
            clients = [
                one for one in clients if any(attempt.id == number for attempt in one.session.attempts)
            ]
            if not clients:
                raise UsageError(f"{path} has no connection {number}", hint="wsinspect show lists them")
    if as_json:
        echo_json({"capture": str(path), **state, "sessions": [client_object(one) for one in clients]})
        return
    if not clients:
        echo("No client has tried to connect.")
    for line in Palette.choose(color).folded(clients_lines(clients), prose_columns()):
        echo(line)
