"""Requests to the engine: functions for the thread of `link.ControlLink`, and what is said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from wsinspect.present.rows import byte_count
from wsinspect.text import counted, escape
from wsinspect.tui.engine.link import EngineView, Json, Work

if TYPE_CHECKING:
    from wsinspect.control.client import ControlClient
    from wsinspect.tui.engine.rule_language import Judgement


def add(judged: Judgement, taken: Sequence[str]) -> Work:
    """Add rules behind the others, or put a preset with phases in the place of all.

    Args:
        judged: what was typed.
        taken: names of rules that there are.
    """
    if judged.preset:
        return lambda control: control.put("/v1/scenario", _scenario(judged.preset))

    def work(control: ControlClient) -> list[Json]:
        names, made = list(taken), []
        for rule in judged.rules:
            settings = rule.settings()
            if judged.is_named:
                settings["name"] = _unique(rule.name, names)
            else:
                del settings["name"]
            made.append(control.post("/v1/faults", settings))
            names.append(str(made[-1].get("name")))
        return made

    return work


def _unique(name: str, taken: Sequence[str]) -> str:
    """The name, with a number where it is taken; as `--like` does."""
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}-{number}"
    return found


def _scenario(name: str) -> Json:
    from importlib.resources import files

    from ruamel.yaml import YAML

    text = files("wsinspect.faults.presets").joinpath(f"{name}.yaml").read_text("utf-8")
    loaded: Json = YAML(typ="safe", pure=True).load(text)
    return loaded


def change(old: Mapping[str, Any], judged: Judgement) -> Work:
    """Put what was typed in the place of a rule."""
    (rule,) = judged.rules
    settings = rule.settings()
    if not judged.is_named:
        settings["name"] = old["name"]
    kept = ("scope", "source", "hits", "last_ns")
    gone = {key: None for key in old if key not in settings and key not in kept}
    return lambda control: control.patch(f"/v1/faults/{old['name']}", {**gone, **settings})


def arm(name: str, is_armed: bool) -> Work:
    """Arm or disarm a rule."""
    return lambda control: control.patch(f"/v1/faults/{name}", {"armed": is_armed})


def remove(name: str) -> Work:
    """The request that removes the rule with this name."""
    return lambda control: control.delete(f"/v1/faults/{name}")


def reset() -> Work:
    """Take all rules away; the answer has `held`, what was held back until then."""

    def work(control: ControlClient) -> Json:
        held = EngineView(status=control.get("/v1/status")).held
        return {**control.post("/v1/reset"), "held": held}

    return work


def held() -> Work:
    """The list of messages and handshakes that breakpoints hold."""
    return lambda control: control.get("/v1/held")


def held_one(name: str) -> Work:
    """Something that is held, whole."""
    return lambda control: control.get(f"/v1/held/{name}")


def decide(name: str, decision: Json) -> Work:
    """Pass, edit, drop or answer something that is held."""
    return lambda control: control.post(f"/v1/held/{name}", decision)


def pass_all() -> Work:
    """Let everything pass that is held."""
    return lambda control: control.post("/v1/pass")


def inject(connection: int, direction: str, raw: bytes) -> Work:
    """Send a frame, byte for byte."""
    body = {"direction": direction, "raw": {"hex": raw.hex()}}
    return lambda control: control.post(f"/v1/connections/{connection}/inject", body)


def close(connection: int, to: str, code: int, reason: str) -> Work:
    """Begin a closing handshake."""
    body = {"to": to, "code": code, "reason": reason}
    return lambda control: control.post(f"/v1/connections/{connection}/close", body)


def abort(connection: int, to: str, how: str) -> Work:
    """End without a close frame."""
    return lambda control: control.post(f"/v1/connections/{connection}/abort", {"to": to, "how": how})


def status() -> Work:
    """The request for what is running (`GET /v1/status`)."""
    return lambda control: control.get("/v1/status")


def reset_words(reply: Json) -> str:
    """What a reset took away and let go; `reply` is what `reset` answers."""
    names = [str(name) for name in reply.get("removed", ())]
    held = reply.get("held", (0, None))
    if not names:
        return "there is no fault rule to remove"
    words = f"removed {counted(len(names), 'rule')} ({escape(', '.join(names))})"
    if not held[0]:
        return f"{words}; nothing was held back"
    size = "" if held[1] is None else f" ({byte_count(held[1])})"
    return f"{words}; released what {counted(held[0], 'connection')} held back{size}"


def held_words(held: tuple[int, int | None]) -> str:
    """`2 connections hold back 1.2 KiB`."""
    count, size = held
    what = " frames" if size is None else f" {byte_count(size)}"
    return f"{counted(count, 'connection')} {'holds' if count == 1 else 'hold'} back{what}"
