"""What an Apache httpd does to a handshake on its way, how long it waits, and the lines that mend it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from wsinspect.doctor.configuration.apache.choice import Found, Passing, parameters_of
from wsinspect.doctor.configuration.apache.tree import seconds_of, shown
from wsinspect.doctor.configuration.directives import Directive
from wsinspect.doctor.configuration.model import (
    RAISED_SECONDS,
    Defect,
    Edit,
    Lines,
    handshake_headers,
    kind_of_header,
)
from wsinspect.doctor.target import Target
from wsinspect.units import whole_number

#: The first release whose http workers carry an upgrade (`upgrade=websocket`).
_UPGRADE_PARAMETER: Final = (2, 4, 47)
_DEFAULT_TIMEOUT: Final = 60.0
_TIMEOUTS: Final = {"timeout": "Timeout", "proxytimeout": "ProxyTimeout"}


def defects(found: Found, target: Target, version: tuple[int, ...] | None) -> Iterator[Defect]:
    """What is wrong on the way to the server, in its order.

    Args:
        version: httpd's; None if it is not known.
    """
    if found.passing is None:
        return
    judge = _Judge(found, found.passing, target, version)
    yield from judge.upgrade()
    yield from judge.headers()
    yield from judge.hostname()
    yield from judge.changed()


def before_requests(found: Found) -> Iterator[Defect]:
    """What ends connections that another client may open: a PROXY header or a certificate is asked for."""
    header = found.effective("remoteipproxyprotocol")
    if header is not None and [one.lower() for one in header.args] == ["on"]:
        words = "'RemoteIPProxyProtocol On' hangs up on whoever sends no PROXY header in front of the request"
        advice = "'RemoteIPProxyProtocol Off', or make the load balancer in front send that header"
        yield Defect("silent", words, header.at, advice=advice)
    scopes = [*(one.block or () for one in reversed(found.locations)), *found.scopes]
    verify = next((one for scope in scopes for one in scope if one.name == "sslverifyclient"), None)
    if verify is not None and [one.lower() for one in verify.args] == ["require"]:
        words = "'SSLVerifyClient require' ends TLS with all that have none"
        yield Defect("certificate", words, verify.at)


def limits(found: Found) -> Iterator[Defect]:
    """How long a tunnel may be idle, and an answer may take: the longer of both sides' timeouts."""
    passing = found.passing
    if passing is None:
        return
    own = passing.parameters.get("timeout")
    proxy = found.effective("proxytimeout")
    general = found.effective("timeout")
    base = seconds_of(general.args[0]) if general and general.args else _DEFAULT_TIMEOUT
    behind = seconds_of(own) if own else seconds_of(proxy.args[0]) if proxy and proxy.args else base
    if base is None or behind is None:
        return
    at = passing.directive if own else proxy or general or passing.directive
    quoted = (
        f"timeout={own}"
        if own
        else " ".join((_TIMEOUTS.get(at.name, at.name), *at.args))
        if at is not passing.directive
        else ""
    )
    words = f"'{quoted}'" if quoted else "no 'ProxyTimeout': the default of 'Timeout', 60 s, holds"
    edits = Edits(found)
    if own:
        mended = edits.replacing(passing.directive, f"timeout={own}", f"timeout={RAISED_SECONDS}")
    elif proxy is not None:
        lines = Lines(proxy.file, found.tree.sources.texts.get(proxy.file, ""))
        mended = (lines.replace(proxy.line, f"{lines.indent(proxy.line)}ProxyTimeout {RAISED_SECONDS}"),)
    else:
        mended = edits.into_host(f"ProxyTimeout {RAISED_SECONDS}")
    # httpd 2.4.71, measured: an open WebSocket ends after the longer of both sides' timeouts.
    longer, silence = at, words
    if base > behind:
        own_words = f"'Timeout {general.args[0]}'" if general and general.args else "Timeout's default, 60 s"
        longer, silence = (general or at), f"{own_words}, which is longer than {words}"
    yield Defect("idle", f"{silence}: silence for that long ends it", longer.at, mended, max(base, behind))
    yield Defect("handshake", f"{words}: how long the server has to answer", at.at, mended, behind)


#: What ProxyErrorOverride takes for an error, of what a handshake may be answered with.
_OVERRIDDEN: Final = (400, 401, 403, 404, 405, 410, 500, 502, 503)


def covers(found: Found) -> Iterator[Defect]:
    """Pages of httpd's own in the place of the server's: each keeps the status that the server gave."""
    scopes = [*(one.block or () for one in reversed(found.locations)), *found.scopes]
    override = next(
        (own[-1] for scope in scopes if (own := [one for one in scope if one.name == "proxyerroroverride"])),
        None,
    )
    if override is None or [one.lower() for one in override.args[:1]] != ["on"]:
        return
    codes = [code for one in override.args[1:] if (code := whole_number(one)) is not None]
    words = f"'{shown(override)}' puts a page of httpd's own in the place of the server's own answer"
    advice = "ProxyErrorOverride Off   # here: clients get the server's own answer"
    for code in codes or _OVERRIDDEN:
        yield Defect("covered", words, override.at, status=code, advice=advice)


class _Judge:
    def __init__(
        self, found: Found, passing: Passing, target: Target, version: tuple[int, ...] | None
    ) -> None:
        self._found = found
        self._passing = passing
        self._target = target
        self._version = version
        self._edits = Edits(found)

    def upgrade(self) -> Iterator[Defect]:
        scheme = self._passing.url.partition("://")[0].lower()
        one = self._passing.directive
        old = self._version is not None and self._version < _UPGRADE_PARAMETER
        modules = self._found.tree.modules
        if scheme in ("h2", "h2c"):
            url = re.sub(
                r"^h2c?://", lambda match: "https://" if match[0] == "h2://" else "http://", self._passing.url
            )
            words = f"'{self._passing.url}' is HTTP/2 to the server, which has no upgrade"
            yield Defect(
                "h2", words, one.at, self._edits.replacing(one, self._passing.url, f"{url} upgrade=websocket")
            )
        elif scheme in ("fcgi", "ajp", "scgi", "uwsgi"):
            yield Defect("upgrade", f"{scheme}:// cannot carry an upgrade", one.at)
        elif scheme in ("ws", "wss"):
            if modules and "proxy_wstunnel" not in modules and (old or "proxy_http" not in modules):
                words = "mod_proxy_wstunnel is not loaded, so nothing handles ws://"
                yield Defect("answer", words, one.at, status=500, advice="a2enmod proxy_wstunnel")
        elif scheme == "balancer":
            yield from self._balanced()
        elif self._passing.parameters.get("upgrade", "").lower() not in ("websocket", "any"):
            yield self._no_upgrade(old)
        elif (
            one.name == "proxypassmatch"
            and self._passing.url == re.sub(r"\$\d", "", one.args[1]) != one.args[1]
        ):
            words = f"'{shown(one)}': its parameters do not hold where what '$1' stands for is empty"
            yield Defect("upgrade", words, one.at, self._edits.as_websocket(one))
        for name in ("force-proxy-request-1.0", "proxy-nokeepalive"):
            if (found := self._environment(name)) is not None and name.startswith("force"):
                yield Defect(
                    "upgrade",
                    f"'SetEnv {name}' makes it HTTP/1.0 to the server",
                    found.at,
                    self._edits.removing(found),
                )

    def _no_upgrade(self, old: bool) -> Defect:
        one = self._passing.directive
        if one.name == "sethandler":
            words = f"'{shown(one)}' carries no upgrade: a handler has none"
            return Defect("upgrade", words, one.at, advice="ProxyPass with upgrade=websocket instead")
        if one.name == "rewriterule":
            words = f"'{shown(one)}' passes it to http://, which carries no upgrade"
            return Defect("upgrade", words, one.at, self._edits.as_websocket(one))
        if old:
            words = f"'{shown(one)}' carries no upgrade; before 2.4.47 that takes ws://"
            return Defect("upgrade", words, one.at, self._edits.as_websocket(one))
        if one.name == "proxypassmatch" and "$" in one.args[1]:
            # upgrade=websocket does not hold where a group is empty (httpd 2.4.71).
            words = f"'{shown(one)}' carries no upgrade; ws:// does"
            return Defect("upgrade", words, one.at, self._edits.as_websocket(one))
        words = f"'{shown(one)}' carries no upgrade without upgrade=websocket"
        advice = (
            ""
            if self._version
            else "needs httpd 2.4.47; before that: ws:// instead of http://, and mod_proxy_wstunnel"
        )
        return Defect(
            "upgrade", words, one.at, self._edits.appending(one, " upgrade=websocket"), advice=advice
        )

    def _balanced(self) -> Iterator[Defect]:
        name = re.match(r"balancer://[^/]+", self._passing.url)
        members = [
            member
            for scope in self._found.scopes
            for proxy in scope
            if proxy.name == "proxy" and proxy.args and name and proxy.args[0].rstrip("/").startswith(name[0])
            for member in proxy.all("balancermember")
            if member.args
        ]
        plain = [
            one
            for one in members
            if one.args[0].startswith("http")
            and parameters_of(one.args[1:]).get("upgrade", "").lower() not in ("websocket", "any")
        ]
        if plain and self._passing.parameters.get("upgrade", "").lower() not in ("websocket", "any"):
            words = f"'BalancerMember {plain[0].args[0]}' carries no upgrade without upgrade=websocket"
            edits = tuple(edit for one in plain for edit in self._edits.appending(one, " upgrade=websocket"))
            yield Defect("upgrade", words, plain[0].at, edits)

    def _environment(self, name: str) -> Directive | None:
        for scope in self._found.scopes:
            for one in scope:
                if one.name == "setenv" and one.args[:1] == (name,) and one.args[1:2] not in (("0",), ()):
                    return one
        return None

    def headers(self) -> Iterator[Defect]:
        for scope in [*self._found.scopes, *(one.block or () for one in self._found.locations)]:
            for one in scope:
                if one.name != "requestheader" or len(one.args) < 2:
                    continue
                args = one.args[1:] if one.args[0].lower() == "early" else one.args
                action, name, value = args[0].lower(), args[1], args[2] if len(args) > 2 else ""
                kind = kind_of_header(name)
                if (
                    kind is None
                    or action not in ("unset", "set", "edit", "edit*")
                    or "expr=" in " ".join(args)
                ):
                    continue
                if action == "set" and (
                    "%{" in value
                    or value.lower() == handshake_headers(self._target).get(name.lower(), "\0").lower()
                ):
                    continue
                words = f"'RequestHeader {action} {name}' {'removes' if action == 'unset' else 'changes'} it"
                yield Defect(kind, words, one.at, self._edits.removing(one))

    def hostname(self) -> Iterator[Defect]:
        preserve = next(
            (
                one
                for one in (self._passing.location.all("proxypreservehost") if self._passing.location else ())
            ),
            None,
        )
        preserve = preserve or self._found.effective("proxypreservehost")
        if preserve is not None and preserve.args[:1] and preserve.args[0].lower() == "on":
            return
        if preserve is None:
            words = "no 'ProxyPreserveHost On': the server gets the name in the URL that it is passed to"
            yield Defect(
                "host", words, self._passing.directive.at, self._edits.into_host("ProxyPreserveHost On")
            )
        else:
            words = (
                f"'ProxyPreserveHost {' '.join(preserve.args)}': the server does not get the client's Host"
            )
            lines = self._edits.lines(preserve.file)
            mended = lines.replace(preserve.line, f"{lines.indent(preserve.line)}ProxyPreserveHost On")
            yield Defect("host", words, preserve.at, (mended,))

    def changed(self) -> Iterator[Defect]:
        if (
            self._passing.path is not None
            and self._passing.path != self._target.path
            and "balancer" not in self._passing.url
        ):
            one = self._passing.directive
            words = f"'{shown(one)}' makes {self._target.path} into {self._passing.path}"
            edits: tuple[Edit, ...] = ()
            location = self._passing.location
            is_location = location is not None and location.name.startswith("location")
            prefix = location.args[-1] if location is not None and is_location else one.args[0]
            if one.name == "proxypass" and self._found.path == self._target.path:
                authority = re.match(r"\w+://[^/]+", self._passing.url)
                edits = (
                    self._edits.replacing(one, self._passing.url, authority[0] + prefix) if authority else ()
                )
            yield Defect("path", words, one.at, edits)


class Edits:
    """Changes of the files that were read."""

    def __init__(self, found: Found) -> None:
        self._found = found

    def lines(self, file: str) -> Lines:
        return Lines(file, self._found.tree.sources.texts.get(file, ""))

    def appending(self, one: Directive, text: str) -> tuple[Edit, ...]:
        lines = self.lines(one.file)
        at = lines.start(one.last) + len(lines.get(one.last).rstrip())
        return (Edit(one.file, at, at, text),)

    def into_host(self, line: str) -> tuple[Edit, ...]:
        """A new line at the beginning of the virtual host."""
        host = self._found.host
        if host is None and not self._found.tree.root:
            return ()  # what is for a server has no place in a .htaccess
        if host is None:
            one = self._found.tree.first
            lines = self.lines(one.file)
            return (lines.insert(one.line, line),)
        lines = self.lines(host.file)
        first = next(iter(host.block or ()), None)
        indent = lines.indent(first.line) if first is not None and first.file == host.file else "    "
        return (lines.insert(host.last + 1, indent + line),)

    def as_websocket(self, one: Directive) -> tuple[Edit, ...]:
        """`http://` of its URL made `ws://`; what stands behind it may be a macro's parameter."""
        lines = self.lines(one.file)
        shape = re.compile(r"(?<=[\s\"'])http(?=s?://)")
        match = shape.search(lines.text, lines.start(one.line), lines.start(one.last + 1))
        return (Edit(one.file, match.start(), match.end(), "ws"),) if match else ()

    def replacing(self, one: Directive, old: str, new: str) -> tuple[Edit, ...]:
        lines = self.lines(one.file)
        start = lines.start(one.line)
        at = lines.text.find(old, start, lines.start(one.last + 1))
        return (Edit(one.file, at, at + len(old), new),) if at >= 0 else ()

    def removing(self, one: Directive) -> tuple[Edit, ...]:
        lines = self.lines(one.file)
        return (Edit(one.file, lines.start(one.line), lines.start(one.last + 1), ""),)
