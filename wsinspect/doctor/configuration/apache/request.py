"""What is known of a handshake when httpd looks at it: its variables, and what `SetEnvIf` makes of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from wsinspect.doctor.configuration.apache.expressions import holds
from wsinspect.doctor.configuration.directives import Directive
from wsinspect.doctor.configuration.model import handshake_headers
from wsinspect.doctor.configuration.patterns import UndecidedError, search
from wsinspect.doctor.target import Target

#: Attributes of SetEnvIf that are not header fields (mod_setenvif).
_ATTRIBUTES: Final = ("request_uri", "request_method", "request_protocol", "remote_host", "remote_addr")
_SETTING: Final = ("setenvif", "setenvifnocase")


class Request:
    """A handshake on its way through httpd.

    Attributes:
        path: as mod_rewrite has left it.
        unsure: what could not be decided, a line each.
    """

    def __init__(self, target: Target, unsure: list[str]) -> None:
        self.target = target
        self.path = target.path
        self.unsure = unsure
        self._headers = handshake_headers(target)

    def search(
        self, one: Directive, pattern: str, text: str, *, ignores_case: bool = False
    ) -> re.Match[str] | None:
        """The match of a directive's pattern; None, and a line in `unsure`, where it cannot be decided."""
        try:
            match: re.Match[str] | None = search(pattern, text, ignores_case=ignores_case)
        except UndecidedError as error:
            self.unsure.append(f"{one.at}: {error} cannot be decided here")
            return None
        return match

    def variable(self, name: str) -> str:
        """`%{NAME}` of mod_rewrite and of expressions.

        Raises:
            UndecidedError: no handshake says it.
        """
        target = self.target
        if name.upper().startswith("HTTP:"):
            key = name[5:].lower()
            if key in self._headers:
                return self._headers[key]
            raise UndecidedError(f"%{{{name}}}")
        known = {
            "REQUEST_URI": self.path,
            "REQUEST_METHOD": "GET",
            "QUERY_STRING": target.query,
            "HTTP_HOST": target.authority,
            "SERVER_NAME": target.host,
            "SERVER_PORT": str(target.port),
            "HTTPS": "on" if target.is_tls else "off",
            "REQUEST_SCHEME": "https" if target.is_tls else "http",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "THE_REQUEST": f"GET {target.target} HTTP/1.1",
            # Only the variables of the manual exist; %{HTTP_UPGRADE} is empty, %{HTTP:Upgrade} is meant.
            "HTTP_UPGRADE": "",
            "HTTP_CONNECTION": "",
        }
        if name.upper() not in known:
            raise UndecidedError(f"%{{{name}}}")
        return known[name.upper()]

    def put_in(self, text: str) -> str:
        """A text with its variables' values.

        Raises:
            UndecidedError: one of them is not known.
        """
        return re.sub(r"%\{([^}]+)\}", lambda match: self.variable(match[1]), text)

    def holds(self, one: Directive, text: str) -> bool | None:
        """Whether an expression holds; None, and a line in `unsure`, where that is not known."""
        try:
            return holds(text, self.variable)
        except UndecidedError as error:
            self.unsure.append(f"{one.at}: {error} is not known here")
            return None

    def environment(self, scopes: Iterable[Iterable[Directive]]) -> dict[str, bool | None]:
        """The variables that SetEnv and SetEnvIf set: True set, False not, None where that is not known."""
        found: dict[str, bool | None] = {}
        for one in (each for scope in scopes for each in scope):
            if one.name == "setenv" and one.args:
                found[one.args[0]] = True
            elif one.name in _SETTING and len(one.args) > 2:
                is_met = self._is_met(one)
                for word in one.args[2:]:
                    name = word.removeprefix("!").partition("=")[0]
                    if is_met is not False:
                        found[name] = None if is_met is None else not word.startswith("!")
        return found

    def _is_met(self, one: Directive) -> bool | None:
        attribute, pattern = one.args[0].lower(), one.args[1]
        value = self.path if attribute == "request_uri" else self._headers.get(attribute)
        if attribute == "request_method":
            value = "GET"
        if value is None and attribute in _ATTRIBUTES:
            return None
        if value is None:
            return None if attribute in ("user-agent", "cookie", "referer", "authorization") else False
        try:
            return bool(search(pattern, value, ignores_case=one.name == "setenvifnocase"))
        except UndecidedError:
            return None
