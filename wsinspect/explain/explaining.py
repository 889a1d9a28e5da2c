"""What the lines of one input say together: each failure once, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from wsinspect.explain.matching import Seen, match_all
from wsinspect.explain.places import Places, best, read_places
from wsinspect.explain.reading import Line, Reading
from wsinspect.explain.table import Ask, Cause, Pattern, Situation, situations
from wsinspect.findings.close_codes import known_code
from wsinspect.findings.close_reasons import what_is_said
from wsinspect.findings.fixes import fixes_for
from wsinspect.findings.model import Fix
from wsinspect.text import ELLIPSIS
from wsinspect.wire.close_codes import close_name

#: Characters of a line that are quoted.
_SHOWN: Final = 300
#: The port of the example's tap.
_TAP_PORT: Final = 8081
_PLACEHOLDER: Final = "wss://HOST/PATH"


@dataclass(frozen=True, kw_only=True)
class Explained:
    """One cause with what to do about it."""

    cause: Cause
    fixes: tuple[Fix, ...]

    def as_json(self) -> dict[str, Any]:
        """The object in `causes`."""
        return {
            "cause": self.cause.words,
            "findings": list(self.cause.findings),
            "tell_apart": self.cause.tell_apart,
            "fixes": [fix.as_json() for fix in self.fixes],
        }


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """One failure.

    Attributes:
        lines: those that say it, at most a few; `count` of all.
        title, meaning: of the situation, filled from the line.
        probe: the one question that tells the causes apart; "" where the line alone decides.
        next: commands to run.
    """

    pattern: Pattern
    situation: Situation
    lines: tuple[Line, ...]
    count: int
    places: Places
    title: str
    meaning: str
    causes: tuple[Explained, ...]
    probe: str
    next: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The object in `explanations`."""
        return {
            "situation": self.situation.name,
            "title": self.title,
            "meaning": self.meaning,
            "program": self.pattern.program,
            "pattern": self.pattern.name,
            "source": self.pattern.source,
            "line": shown(self.lines[0].text),
            "line_number": self.lines[0].number,
            "count": self.count,
            "url": self.places.url,
            "host": self.places.host,
            "path": self.places.path,
            "status": self.places.status,
            "close_code": self.places.code,
            "upstream": self.places.upstream,
            "causes": [one.as_json() for one in self.causes],
            "probe": self.probe,
            "next": list(self.next),
        }


@dataclass(frozen=True, kw_only=True)
class Account:
    """All that an input says.

    Attributes:
        unknown: lines that no pattern knows.
    """

    explanations: tuple[Explanation, ...]
    unknown: tuple[Line, ...]
    notes: tuple[str, ...]

    @property
    def is_recognised(self) -> bool:
        """Whether any line was."""
        return bool(self.explanations)

    def as_json(self) -> dict[str, Any]:
        """The object of `--json`, without what a capture adds."""
        return {
            "recognised": self.is_recognised,
            "explanations": [one.as_json() for one in self.explanations],
            "unknown_lines": len(self.unknown),
            "notes": list(self.notes),
        }


def explain(reading: Reading) -> Account:
    """What the lines say.

    A line that is vague (a bare 1006) says nothing where another one of the same input is precise, and one
    that names nothing wrong only where no other does.
    """
    seen = match_all(reading.lines)
    wrong = [one for one in seen if _situation_of(one).causes]
    precise = [one for one in wrong if not one.pattern.is_vague]
    groups: dict[str, list[Seen]] = {}
    for one in precise or wrong or seen:
        groups.setdefault(_situation_of(one).name + _variant(one), []).append(one)
    together = best([*(one.places for one in seen), *_addressed(reading.lines)])
    explanations = [_explanation(group, together) for group in groups.values()]
    explanations.sort(key=lambda one: (-one.count, one.lines[0].number))
    known = {one.line.number for one in seen}
    unknown = tuple(line for line in reading.lines if line.number not in known)
    return Account(explanations=tuple(explanations), unknown=unknown, notes=tuple(reading.notes))


def _addressed(lines: Sequence[Line]) -> Iterable[Places]:
    """WebSocket URLs in any line: programs say where they connect to before they say that it failed."""
    for line in lines:
        places = read_places(line, {})
        if places.url is not None and places.url.lower().startswith("ws"):
            yield Places(url=places.url)


def _variant(seen: Seen) -> str:
    """What keeps lines of one situation apart: a private code is not another one."""
    return f" {seen.places.code}" if seen.pattern.situation == "close" else ""


def _situation_of(seen: Seen) -> Situation:
    table = situations()
    name = seen.pattern.situation
    if name == "status":
        status = seen.places.status or 0
        name = next(
            (one for one in (f"status-{status}", f"status-{status // 100}xx") if one in table), "status-other"
        )
    elif name == "close":
        code = seen.places.code or 0
        private = "close-private" if 3000 <= code <= 4999 else "close-reserved"
        name = "abnormal" if code == 1006 else f"close-{code}"
        name = name if name in table else private
    return table[name]


def _explanation(group: Sequence[Seen], together: Places) -> Explanation:
    first = group[0]
    situation = _situation_of(first)
    places = best(one.places for one in group).or_else(
        together._replace(status=None, code=None, time_ns=None)
    )
    words = {
        "status": str(places.status or ""),
        "code": str(places.code or ""),
        "value": first.groups.get("value", ""),
        "reason": first.groups.get("reason", ""),
        "name": close_name(places.code) if places.code is not None else "",
    }
    meaning = " ".join(
        filter(None, (_filled(situation.meaning, words), _filled(first.pattern.meaning, words)))
    )
    if situation.name == "close-private" and (said := _private(first)) is not None:
        meaning = f"{said} {meaning}".strip()
    chosen = first.pattern.first
    causes = [
        *_of_line(first, situation, places),
        *sorted(situation.causes, key=lambda one: bool(chosen) and chosen not in (*one.findings, one.words)),
    ]
    return Explanation(
        pattern=first.pattern,
        situation=situation,
        lines=tuple(one.line for one in group[:3]),
        count=len(group),
        places=places,
        title=_filled(situation.title, words),
        meaning=meaning,
        causes=tuple(
            Explained(cause=one, fixes=fixes_for(one.topic, first.pattern.software) if one.topic else ())
            for one in causes
        ),
        probe=situation.probe,
        next=tuple(_commands(situation.ask, places)),
    )


#: What a URL's scheme says of the port that it is for, where the port is the other scheme's own.
_CROSSED: Final[dict[tuple[str, int | None], tuple[str, str]]] = {
    ("wss", 80): ("WS-TLS-017", "wss:// is TLS, and the URL's port 80 is plain HTTP's"),
    ("ws", 443): ("WS-TLS-018", "ws:// is plain, and the URL's port 443 is that of TLS"),
}
#: Situations that such a URL explains: the line says no more than that it failed.
_VAGUE: Final = ("abnormal", "status-other", "handshake-timeout", "empty-answer", "tls-version", "status-400")


def _of_line(seen: Seen, situation: Situation, places: Places) -> Iterable[Cause]:
    """What the line itself names: words of a close reason, and a URL whose scheme is not its port's."""
    said = what_is_said(seen.groups.get("reason", ""), places.code or 0)
    if said is not None and seen.pattern.situation == "close":
        who, other = "side that closed", "other side"
        finding = f"WS-CL-{places.code - 1000:03}" if places.code and places.code < 3000 else "WS-CL-030"
        words = said.cause.format(who=who, other=other)
        tell = said.tell_apart.format(who=who, other=other)
        yield Cause(words[0].upper() + words[1:], (finding,), tell, said.topic)
    if situation.name in _VAGUE and places.url is not None:
        finding, words = _CROSSED.get(_scheme_and_port(places.url), ("", ""))
        if finding:
            yield Cause(words, (finding,), "the same URL without a port, or with the other scheme", "scheme")


def _scheme_and_port(url: str) -> tuple[str, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme.lower(), parts.port
    except ValueError:
        return "", None


def _filled(text: str, words: dict[str, str]) -> str:
    for name, value in words.items():
        text = text.replace(f"{{{name}}}", value)
    return " ".join(text.split())


def _private(seen: Seen) -> str | None:
    """What a code from 3000 to 4999 means, where a library or service is known for it."""
    host = seen.places.url.partition("://")[2] if seen.places.url else seen.places.host or ""
    code, reason = seen.places.code or 0, seen.groups.get("reason", "")
    known = known_code(code, subprotocols=(), place=host, reason=reason)
    return None if known is None else f"{known.library}: {known.name}; {known.meaning}."


def _commands(ask: Ask, places: Places) -> Iterable[str]:
    """Command lines that can be pasted: every word is quoted for a shell."""
    target = places.target
    if ask == "code":
        return
    if ask == "page":
        is_page = places.url is not None and places.url.startswith(("http://", "https://"))
        yield f"wsinspect browser {_word(places.url if is_page and places.url else 'https://HOST/PAGE')}"
        return
    doctor = ["wsinspect", "doctor", target or _PLACEHOLDER]
    if places.direct is not None:
        doctor += ["--direct", places.direct]
    tap = _tap(places)
    commands = [" ".join(map(_word, doctor)), f"wsinspect run --tap {_word(tap)}"]
    yield from commands if ask == "doctor" else reversed(commands)


def _tap(places: Places) -> str:
    """A tap in front of the server that the line names."""
    server = places.direct or places.target or "wss://HOST"
    scheme, separator, rest = server.partition("://")
    if not separator:
        scheme, rest = "http", server
    authority = rest.partition("/")[0].partition("?")[0]
    http = {"ws": "http", "wss": "https"}.get(scheme, scheme)
    return f"app={_TAP_PORT}={http}://{authority}"


def _word(text: str) -> str:
    """For a shell: printable characters only, so that pasting cannot do anything else."""
    plain = "".join(char for char in text if char.isprintable())
    return plain if plain == _PLACEHOLDER else shlex.quote(plain)


def shown(text: str) -> str:
    """A line, cut to what is worth repeating."""
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + ELLIPSIS
