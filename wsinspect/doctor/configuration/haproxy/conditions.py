"""Conditions of an HAProxy configuration, decided as far as a handshake decides them.

That is by method, path, query, headers, TLS and port. Maps, files, variables and addresses of clients are not
known here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from wsinspect.doctor.configuration.haproxy.tree import Line, Section
from wsinspect.doctor.configuration.model import handshake_headers
from wsinspect.doctor.configuration.patterns import UndecidedError, is_any, search
from wsinspect.doctor.target import Target
from wsinspect.units import whole_number

_METHODS: Final = ("beg", "end", "sub", "dir", "dom", "reg", "str")
#: Headers that no browser's handshake has.
_NEVER_SENT: Final = frozenset(
    ("content-length", "content-type", "transfer-encoding", "x-requested-with", "range")
)


class Conditions:
    """What holds for the handshake of a URL.

    Attributes:
        path: as the rules before have left it.
        headers: those of the handshake, by name in lower case.
        unsure: what could not be decided; such a condition is taken for one that does not hold.
    """

    def __init__(self, target: Target, unsure: list[str]) -> None:
        self._target = target
        self.path = target.path
        self.headers = handshake_headers(target)
        self.unsure = unsure

    def unknown(self, line: Line, words: str) -> None:
        """Note what is not known here."""
        self.unsure.append(f"'{line.words[0]}' in {line.at}: {words} is not known here")

    def holds(self, line: Line, section: Section) -> bool:
        """Whether a line's condition holds; what is not known is said, and taken for no."""
        try:
            return self._condition(line.words, section)
        except UndecidedError as error:
            self.unknown(line, str(error))
            return False

    def _condition(self, words: Sequence[str], section: Section) -> bool:
        at = next((index for index, one in enumerate(words) if one in ("if", "unless")), None)
        if at is None:
            return True
        wanted = words[at] == "if"
        return self._any(words[at + 1 :], section) == wanted

    def _any(self, words: Sequence[str], section: Section) -> bool:
        terms: list[list[str]] = [[]]
        for one in words:
            if one in ("or", "||"):
                terms.append([])
            else:
                terms[-1].append(one)
        return is_any(partial(self._every, term, section) for term in terms)

    def _every(self, words: Sequence[str], section: Section) -> bool:
        at, unknown = 0, None
        while at < len(words):
            word, negated = words[at], False
            if word.startswith("!"):
                word, negated = word[1:], True
                if not word:
                    at += 1
                    word = words[at] if at < len(words) else ""
            test: Sequence[str] | None = None
            if word == "{":
                end = next((index for index in range(at, len(words)) if words[index] == "}"), len(words))
                test, at = words[at + 1 : end], end
            try:
                if (self._named(word, section) if test is None else self._test(test)) == negated:
                    return False
            except UndecidedError as error:
                unknown = error
            at += 1
        if unknown is not None:
            raise unknown
        return True

    def _named(self, name: str, section: Section) -> bool:
        known = {
            "TRUE": True,
            "FALSE": False,
            "METH_GET": True,
            "HTTP": True,
            "HTTP_1.1": True,
            "HTTP_1.0": False,
        }
        known |= {"METH_POST": False, "METH_OPTIONS": False, "METH_HEAD": False, "HTTP_CONTENT": False}
        if name in known:
            return known[name]
        tests = [one for one in section.inherited("acl") if len(one.words) > 2 and one.words[1] == name]
        if not tests:
            raise UndecidedError(f"acl {name}")
        return is_any(partial(self._test, one.words[2:]) for one in tests)

    def _test(self, words: Sequence[str]) -> bool:
        """One test: what is looked at, how, and with what."""
        if not words:
            raise UndecidedError("an empty condition")
        fetch, *rest = words
        ignores_case, method = False, ""
        while rest and rest[0].startswith("-") and rest[0] != "--":
            flag = rest.pop(0)
            if flag == "-i":
                ignores_case = True
            elif flag == "-m" and rest:
                method = rest.pop(0)
            else:
                raise UndecidedError(f"'{' '.join(words)}'")
        if rest[:1] == ["--"]:
            rest.pop(0)
        values = self._fetch(fetch)
        name = fetch.split("(")[0].split(",")[0]
        if isinstance(values, bool):
            return values
        how = method or next(
            (one for one in _METHODS if name.endswith(f"_{one}")), "int" if name.endswith("_cnt") else "str"
        )
        if how == "found":
            return bool(values)
        if how not in _METHODS and how != "int":
            raise UndecidedError(f"'{' '.join(words)}'")
        return any(_compare(how, value, pattern, ignores_case) for value in values for pattern in rest)

    def _fetch(self, fetch: str) -> list[str] | bool:
        name, _, converters = fetch.partition(",")
        if "(" in name and ")" not in name:
            name, converters = fetch, ""
        match = re.fullmatch(r"([\w.]+?)(?:\(([^)]*)\))?(?:,(.*))?", fetch)
        if match is None:
            raise UndecidedError(fetch)
        base, argument, converters = match[1], (match[2] or "").split(",")[0].strip(), match[3] or ""
        base = re.sub(r"^(req\.|capture\.req\.)", "", base)
        for one in _METHODS:
            base = base.removesuffix(f"_{one}")
        if base in ("ssl_fc", "ssl_fc_has_sni"):
            return self._target.is_tls
        if base in ("always_true", "always_false"):
            return base == "always_true"
        values = self._values(base, argument)
        if values is None:
            raise UndecidedError(fetch)
        for one in re.findall(r"[\w.]+(?:\([^)]*\))?", converters):
            values = [_converted(value, one, fetch) for value in values]
        return values

    def _values(self, base: str, argument: str) -> list[str] | None:
        target, host = self._target, self.headers["host"]
        known = {
            "path": self.path,
            "pathq": target.target,
            "url": target.target,
            "uri": target.target,
            "base": host + self.path,
            "query": target.query,
            "method": "GET",
            "ver": "1.1",
            "dst_port": str(target.port),
            "ssl_fc_sni": target.host,
        }
        if base in known:
            return [known[base]] if known[base] or base != "query" else []
        if base in ("hdr", "fhdr"):
            value = self.headers.get(argument.lower())
            if value is None and argument.lower() not in _NEVER_SENT:
                return None
            return [] if value is None else [value]
        if base in ("hdr_cnt", "fhdr_cnt"):
            return [str(int(argument.lower() in self.headers))]
        if base in ("urlp", "url_param"):
            pairs = [one.partition("=") for one in target.query.split("&")]
            return [value for name, _, value in pairs if name == argument]
        return None


def _converted(value: str, converter: str, fetch: str) -> str:
    """What a converter makes of a value: `lower`, `upper`, `field(1,:)`, `word(2,/)`."""
    name, _, rest = converter.partition("(")
    if name in ("lower", "upper"):
        return value.lower() if name == "lower" else value.upper()
    index, _, separators = rest.removesuffix(")").partition(",")
    number = whole_number(index)
    if name in ("field", "word") and number and separators:
        parts = re.split(f"[{re.escape(separators)}]", value)
        parts = [one for one in parts if one or name == "field"]
        return parts[number - 1] if number <= len(parts) else ""
    raise UndecidedError(fetch)


def _compare(how: str, value: str, pattern: str, ignores_case: bool) -> bool:
    if how == "reg":
        return bool(search(pattern, value, ignores_case=ignores_case))
    if ignores_case:
        value, pattern = value.lower(), pattern.lower()
    checks: dict[str, Callable[[], bool]] = {
        "str": lambda: value == pattern,
        "beg": lambda: value.startswith(pattern),
        "end": lambda: value.endswith(pattern),
        "sub": lambda: pattern in value,
        "dir": lambda: f"/{pattern.strip('/')}/" in f"/{value.strip('/')}/",
        "dom": lambda: f".{pattern.strip('.')}." in f".{value.split(':')[0].strip('.')}.",
        "int": lambda: value == pattern,
    }
    return checks[how]()
