"""For each rule over one connection or a whole capture: facts that trigger it, and near ones that do not."""

from __future__ import annotations

from typing import Any

from tests.unit.findings import (
    triggers_answers,
    triggers_apps,
    triggers_attempts,
    triggers_backpressure,
    triggers_chats,
    triggers_contexts,
    triggers_held,
    triggers_messages,
    triggers_open,
    triggers_openings,
    triggers_probes,
    triggers_socketio,
)

CASES: dict[str, tuple[list[Any], list[Any]]] = {
    **triggers_attempts.CASES,
    **triggers_backpressure.CASES,
    **triggers_contexts.CASES,
    **triggers_answers.CASES,
    **triggers_socketio.CASES,
    **triggers_open.CASES,
    **triggers_openings.CASES,
    **triggers_apps.CASES,
    **triggers_probes.CASES,
    **triggers_held.CASES,
    **triggers_messages.CASES,
    **triggers_chats.CASES,
}
