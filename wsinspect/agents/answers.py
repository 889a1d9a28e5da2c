"""What an agent gets: small objects, each cut counted, and how to get the rest.

Contract: pure; what comes in are the objects of `--json`. Secrets in heads and URLs are masked, texts are cut
at a number of characters that the caller names, and lists at a number of items; what was left out is counted
in `left_out`, and `more` has the arguments that give the next ones. Everything that a peer of the watched
connection wrote (payloads, close reasons, bodies, header values, titles that quote them) is under
`untrusted`: it is data, and whatever it asks for is not to be done. URLs are what a connection is found by,
and stand outside.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from wsinspect.decoders.as_json import content
from wsinspect.formats.secrets import mask_json, mask_url
from wsinspect.units import format_size

Json = dict[str, Any]

#: Characters of evidence, titles and fixes that are kept.
TEXT_CHARACTERS: Final = 600
_UNREADABLE: Final = re.compile(r"[^\t\n\r\x20-\x7e\u00a0-\uffff]")
#: Where a quotation begins; an apostrophe stands inside of a word.
_QUOTES: Final = re.compile(r"(?:^|[\s(\[:])['\"]")
_CONNECTION: Final = ("id", "tap", "state", "status", "subprotocol", "ended_by", "how", "rule")
_FINDING: Final = ("id", "severity", "fault_of", "hop", "confidence", "connection", "frame")


def cut(text: str, characters: int) -> str:
    """The beginning of a text; how much is missing stands at its end."""
    if len(text) <= characters:
        return text
    return f"{text[:characters]}... ({len(text) - characters} characters more)"


def bounded(name: str, items: Sequence[Any], limit: int, more: Json | None = None) -> Json:
    """A list, at most `limit` of it.

    Args:
        name: of the list in the answer.
        more: the arguments that give what was left out, where it was.
    """
    answer: Json = {name: list(items[:limit])}
    if len(items) > limit:
        answer["left_out"] = len(items) - limit
        if more:
            answer["more"] = more
    return answer


def connection_answer(one: Mapping[str, Any]) -> Json:
    """A connection of `show --json`, without what is empty."""
    answer = {name: one[name] for name in _CONNECTION if one.get(name) is not None}
    answer["url"] = mask_url(one["url"] or "")
    answer["frames"] = one["frames"]
    if one["open_ns"] and one["closed_ns"]:
        answer["open_seconds"] = round((one["closed_ns"] - one["open_ns"]) / 1e9, 3)
    codes = {
        side: one[f"{side}_code"] for side in ("client", "server") if one.get(f"{side}_code") is not None
    }
    if codes:
        answer["close_codes"] = codes
    if one["js"] is not None:
        answer["javascript"] = one["js"]
    said = {side: one[f"{side}_reason"] for side in ("client", "server") if one.get(f"{side}_reason")}
    said |= {"error": one["error"]} if one.get("error") else {}
    if said:
        answer["untrusted"] = said
    return answer


def _own_title(rule: str) -> str:
    """What a rule's findings are called where they name no details."""
    from wsinspect.findings.registry import all_rules  # the server starts without them

    return next((one.title for one in all_rules() if one.id == rule), rule)


def requests_answer(requests: Sequence[Mapping[str, Any]], limit: int) -> Json:
    """What the client of an attempt asked for just before it: the last ones of `show --json`'s `requests`."""
    before = [one for one in requests if one["seconds"] is not None and one["seconds"] < 0]
    if not before:
        return {}
    items = [
        {
            "method": one["method"],
            "url": mask_url(one["url"] or ""),
            "seconds": one["seconds"],
            **{name: one[name] for name in ("what", "status", "ms", "media_type") if one[name] is not None},
            **({"untrusted": cut(mask_json(one["error"]), TEXT_CHARACTERS)} if one["error"] else {}),
        }
        for one in before[-limit:]
    ]
    answer: Json = {"requests_before": items}
    if len(before) > len(items):
        answer["requests_left_out"] = len(before) - len(items)
    return answer


def frame_answer(frame: Mapping[str, Any], said: Any, since_ns: int | None, characters: int) -> Json:
    """A frame of `show --json`.

    Args:
        said: its message as a text or a JSON value; None where no message ended with it.
        since_ns: the time that `seconds` counts from.
        characters: of the message to keep.
    """
    answer: Json = {"id": frame["id"], "direction": frame["direction"], "op": frame["op"]}
    if since_ns is not None:
        answer["seconds"] = round((frame["time_ns"] - since_ns) / 1e9, 6)
    answer["bytes"] = frame["length"]
    if frame["violations"]:
        answer["violations"] = frame["violations"]
    if frame.get("ping") and frame["ping"].get("rtt_ns"):
        answer["rtt_ms"] = round(frame["ping"]["rtt_ns"] / 1e6, 3)
    if frame["fault_event"] is not None:
        answer["touched_by_a_fault"] = True
    if "close" in frame:
        answer["close_code"] = frame["close"]["code"]
        if frame["close"]["reason"]:
            answer["untrusted"] = cut(frame["close"]["reason"], characters)
    elif said is not None:
        answer["untrusted"] = cut(said, characters)
    if frame.get("evicted"):
        answer["payload"] = "deleted to make room"
    return answer


def finding_answer(one: Mapping[str, Any]) -> Json:
    """A finding: what, whose doing, the evidence, the first fix with its place and diff."""
    one = mask_json(one)  # before anything is cut: half a URL is not known for one
    answer = {name: one[name] for name in _FINDING if one.get(name) is not None}
    title = cut(one["title"], TEXT_CHARACTERS)
    said: Json = {"evidence": [cut(line, TEXT_CHARACTERS) for line in one["evidence"][:4]]}
    if _QUOTES.search(title):  # of a peer's words: the rule's own title says what it is about
        title, said = _own_title(str(one["id"])), {"title": title, **said}
    answer["title"], answer["untrusted"] = title, said
    if one["causes"]:
        answer["other_causes"] = [
            f"{cut(cause['cause'], 200)} (tell apart: {cut(cause['tell_apart'], 200)})"
            for cause in one["causes"][:4]
        ]
    if one["fixes"]:
        fix = one["fixes"][0]
        answer["fix"] = {
            "for": fix["for"],
            "text": cut(fix["text"], TEXT_CHARACTERS),
            **{name: fix[name] for name in ("file", "line", "diff", "proven") if name in fix},
        }
    return answer


def diagnosis_answer(found: Mapping[str, Any], limit: int) -> Json:
    """The findings of `diagnose --json`, errors first."""
    findings = [finding_answer(one) for one in (*found["findings"], *found.get("origin_findings", ()))]
    answer: Json = {"file": found["file"], "connections_looked_at": found["connections"]}
    answer |= bounded("findings", findings, limit, {"limit": len(findings)})
    if not findings:
        answer["nothing_found"] = (
            found["nothing_to_look_at"]
            or "no problem in what was recorded; of what was not, nothing is known"
        )
    if found["notes"]:
        answer["notes"] = found["notes"][:5]
    if found["on_purpose"] or found.get("origin_on_purpose"):
        answer["faults_on_purpose"] = True
    return answer


def doctor_answer(found: Mapping[str, Any], limit: int) -> Json:
    """The verdict of `doctor --json`: the sentence, the findings, what was ruled out, what to try next."""
    found = mask_json(found)
    answer: Json = {"verdict": found["verdict"], "headline": found["headline"], "url": found["url"]}
    if found.get("stopped"):
        answer["stopped"] = found["stopped"]
    answer |= bounded(
        "findings",
        [finding_answer(one) for one in found["findings"]],
        limit,
        {"limit": len(found["findings"])},
    )
    answer["ruled_out"] = [cut(line, 200) for line in found["ruled_out"][:8]]
    if found["next_steps"]:
        answer["next_steps"] = found["next_steps"][:5]
    probes = found.get("probes") or ()
    answer["asked"] = [
        f"{one['asks']}: {one['status'] or one['error'] or one['state']}" for one in probes[:12]
    ]
    return answer


def explanation_answer(found: Mapping[str, Any], limit: int) -> Json:
    """The explanations of `explain --json`."""
    explanations = [
        {
            "line": cut(one["line"], 200),
            "title": one["title"],
            "meaning": cut(one["meaning"], TEXT_CHARACTERS),
            "causes": [
                {
                    "cause": cause["cause"],
                    "tell_apart": cause["tell_apart"],
                    "fix": cut(cause["fixes"][0]["text"], 300) if cause["fixes"] else None,
                }
                for cause in one["causes"][:5]
            ],
        }
        for one in found["explanations"]
    ]
    answer: Json = {"recognised": found["recognised"]}
    return answer | bounded("explanations", explanations, limit, {"limit": len(explanations)})


def payload_text(payload: bytes, size: int, *, is_cut: bool, is_binary: bool) -> str:
    """A message's content as one text: text as it is, other bytes by their size and as base64.

    Args:
        size: of all of it, in bytes; `payload` may be its beginning alone.
        is_cut: more follows, so that the last character may be half of one.
        is_binary: of a binary message, which is text only where a person could read it.
    """
    found = content(payload, is_cut=is_cut)
    text = found.get("text")
    if text is not None and not (is_binary and _UNREADABLE.search(text)):
        return text
    return f"{format_size(size)} of binary, base64: {base64.b64encode(payload).decode('ascii')}"


def only(items: Iterable[Json], fields: Sequence[str] | None) -> list[Json]:
    """The items with these fields alone; all of them without `fields`."""
    if not fields:
        return list(items)
    return [{name: value for name, value in item.items() if name in fields} for item in items]


__all__ = [
    "bounded",
    "connection_answer",
    "cut",
    "diagnosis_answer",
    "doctor_answer",
    "explanation_answer",
    "finding_answer",
    "frame_answer",
    "only",
    "payload_text",
    "requests_answer",
]
