"""HAProxy: its sections again, as far as their lines are harmless, around our own listener and servers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from wsinspect.doctor.configuration.haproxy.choice import Found
from wsinspect.doctor.configuration.haproxy.tree import Line, Section, Tree, seconds_of
from wsinspect.doctor.configuration.model import Met
from wsinspect.doctor.proof.model import Setup, Stage, Writer
from wsinspect.doctor.target import Target

#: First words of lines that are taken over. None of them opens a file, connects, runs anything or says
#: who to be.
_HARMLESS: Final = frozenset(
    (
        "mode",
        "acl",
        "use_backend",
        "default_backend",
        "retries",
        "redirect",
        "http-request",
        "http-response",
        "hash-type",
    )
)
_OPTIONS: Final = frozenset(
    (
        *(
            "httpclose",
            "http-server-close",
            "http-keep-alive",
            "forwardfor",
            "http-buffer-request",
            "redispatch",
        ),
        *(
            "http-no-delay",
            "http-ignore-probes",
            "forceclose",
            "http-use-htx",
            "clitcpka",
            "srvtcpka",
            "tcpka",
        ),
    )
)
_ACTIONS: Final = frozenset(
    (
        *(
            "deny",
            "return",
            "redirect",
            "tarpit",
            "auth",
            "reject",
            "allow",
            "set-header",
            "add-header",
            "del-header",
        ),
        *(
            "replace-header",
            "replace-value",
            "set-path",
            "set-pathq",
            "replace-path",
            "replace-pathq",
            "set-uri",
        ),
        *("replace-uri", "set-query", "set-method", "set-var", "unset-var", "set-status"),
    )
)
_UNSAID: Final = frozenset(
    (
        *(
            "bind",
            "log",
            "server",
            "maxconn",
            "errorfile",
            "description",
            "balance",
            "stats",
            "log-format",
            "default-server",
        ),
        *(
            "cookie",
            "http-reuse",
            "backlog",
            "fullconn",
            "unique-id-format",
            "unique-id-header",
            "server-template",
        ),
    )
)
#: Words that name a file.
_FILES: Final = re.compile(
    r"^(-f|file|lf-file|errorfile|errorfiles|hdr-file)$|^map(_\w+)?\(|,map(_\w+)?\(|^lua\.|,lua\.|^http_auth"
)


@dataclass(frozen=True)
class HAProxyProver:
    """HAProxy in the foreground, without its master."""

    programs: tuple[str, ...] = ("haproxy",)
    version_arguments: tuple[str, ...] = ("-v",)

    def refuses(self, version: str) -> str | None:
        """No version does what it should not with such a configuration."""
        return None

    def setup(self, tree: Tree, met: Met, target: Target, stage: Stage) -> Setup:
        """haproxy.cfg with the one frontend that the URL meets, and all backends."""
        found: Found = met.found
        writer = _Writer(stage)
        writer.line("global")
        writer.line("    maxconn 100")
        for section in tree.sections:
            if section.kind == "defaults":
                writer.section(section, is_met=False)
            elif section is found.frontend or section.kind in ("backend", "listen"):
                writer.section(section, is_met=section is found.frontend)
        text = "\n".join(writer.lines) + "\n"
        command = ["-db", "-f", "haproxy.cfg"]
        return Setup(
            {"haproxy.cfg": text},
            command,
            [*command, "-c"],  # with `-q` it does not say what it refuses
            list(dict.fromkeys(writer.left_out)),
            {"haproxy.cfg": writer.origins},
        )

    def missing_variable(self, words: str, setup: Setup) -> str | None:
        """HAProxy has no variables that a line left out would define."""
        return None


class _Writer(Writer):
    def section(self, section: Section, *, is_met: bool) -> None:
        kind = section.kind if is_met or section.kind != "listen" else "backend"
        self.line(" ".join((kind, *map(_quoted, section.head.words[1:]))), section.head.at)
        if is_met:
            certificate = self.stage.certificate
            tls = f" ssl crt {certificate.name}" if certificate else ""
            self.line(f"    bind 127.0.0.1:{self.stage.port}{tls}")
        for one in section.lines:
            for text in self._texts(one):
                self.line(f"    {text}", one.at)

    def _texts(self, one: Line) -> Iterator[str]:
        first, words = one.words[0], one.words
        option = words[1] if first == "option" and len(words) > 1 else ""
        option = words[2] if first == "no" and words[1:2] == ("option",) and len(words) > 2 else option
        if first == "timeout" and len(words) > 2:
            yield f"timeout {_quoted(words[1])} {self._time(words[2])}"
        elif first == "server" and len(words) > 2:
            yield self._server(words)
        elif first in ("option", "no") and option in _OPTIONS:
            yield " ".join(map(_quoted, words))
        elif first in _HARMLESS and self._is_harmless(words):
            yield " ".join(_word(word) for word in words)
        elif first not in _UNSAID and option not in (
            "httplog",
            "dontlognull",
            "httpchk",
            "tcplog",
            "dontlog-normal",
        ):
            self.left_out.append(one.text)

    @staticmethod
    def _is_harmless(words: tuple[str, ...]) -> bool:
        if words[0] in ("http-request", "http-response"):
            action = words[1].split("(")[0] if len(words) > 1 else ""
            if action not in _ACTIONS:
                return False
        return not any(_FILES.search(word) for word in words)

    def _server(self, words: tuple[str, ...]) -> str:
        kept = [f"server {_quoted(words[1])} 127.0.0.1:{self.stage.application}"]
        rest = words[3:]
        for name in ("proto", "ws"):
            if name in rest[:-1] and not (name == "proto" and "ssl" in rest):
                kept.append(f"{name} {_quoted(rest[rest.index(name) + 1])}")
        return " ".join(kept)

    def _time(self, text: str) -> str:
        seconds = seconds_of(text)
        if seconds is None or self.stage.scale == 1:
            return _quoted(text)
        return f"{max(1, round(seconds * 1000 / self.stage.scale))}ms"


def _word(word: str) -> str:
    return word if word in ("{", "}", "!{", "!") else _quoted(word)


def _quoted(word: str) -> str:
    """A word as HAProxy reads it back."""
    if re.fullmatch(r"[\w./:%\[\](),=^$+*?|@!-]+", word) and "$" not in word and "\\" not in word:
        return word
    return "'" + word.replace("'", "'\\''") + "'"
