"""Which virtual host of an Apache httpd a URL meets, and where its request goes, by httpd's own rules.

What mod_rewrite does in a virtual host is followed as far as the variables of a handshake are known; it
comes before ProxyPass (mod_proxy's translate hook), and the first ProxyPass that fits wins, those of the main
server before those of the virtual host. What none of them takes is looked for among the documents: sections
`<Directory>` and, where `AllowOverride` lets them speak, `.htaccess` files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, NamedTuple

from wsinspect.doctor.configuration.apache.access import refusal
from wsinspect.doctor.configuration.apache.request import Request
from wsinspect.doctor.configuration.apache.rewriting import REDIRECTS, Folder, Proxied, Rewriting
from wsinspect.doctor.configuration.apache.tree import HTACCESS, Tree, everywhere, shown
from wsinspect.doctor.configuration.directives import Directive
from wsinspect.doctor.configuration.model import Defect, Place
from wsinspect.doctor.target import Target
from wsinspect.units import whole_number

_LOCATIONS: Final = ("location", "locationmatch")
_FOLDERS: Final = ("directory", "directorymatch")
_IFS: Final = ("if", "elseif", "else")
_MAX_DEPTH: Final = 8


@dataclass
class Found:
    """What a URL meets.

    Attributes:
        host: the virtual host; None for the main server.
        passing: what passes the request on.
        locations: the sections that hold for it, in the order in which httpd merges them.
        path: what mod_rewrite has made of its path.
        documents: the folders of documents on the way, where nothing before passes it on.
    """

    tree: Tree
    host: Directive | None
    passing: Passing | None = None
    locations: Sequence[Directive] = ()
    path: str = "/"
    documents: list[tuple[Folder, Sequence[Directive]]] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)

    @property
    def scopes(self) -> list[Sequence[Directive]]:
        """The virtual host's directives, then the main server's."""
        return [*([self.host.block or ()] if self.host else []), self.tree.root]

    def effective(self, name: str) -> Directive | None:
        """The last directive of that name of the virtual host, else of the main server."""
        for scope in self.scopes:
            if own := [one for one in scope if one.name == name]:
                return own[-1]
        return None


class Passing(NamedTuple):
    """A ProxyPass, or a RewriteRule with [P].

    Attributes:
        url: where to, with what was put in.
        path: that the server sees; None if it is not known.
        parameters: `timeout=5` and so on, by name in lower case.
    """

    directive: Directive
    url: str
    path: str | None
    parameters: dict[str, str]
    location: Directive | None = None


def meets(tree: Tree, target: Target) -> tuple[Found, Defect | None]:
    """What a URL meets, and what answers its request before any server is asked."""
    found = Found(tree, None)
    found.host = _host(tree, target, found.unsure)
    answer = _Walk(found, target).run()
    if answer is not None and answer.kind == "answer" and (answer.status or 0) >= 400:
        files = [tree.root, *tree.folders.values()]
        has_own = any(one.name == "errordocument" for file in files for one in everywhere(file))
        answer = replace(answer, is_built_in=not has_own)
    return found, answer


def _host(tree: Tree, target: Target, unsure: list[str]) -> Directive | None:
    hosts = [one for one in tree.root if one.name == "virtualhost"]
    there = [one for one in hosts if any(_port(arg) in (target.port, None) for arg in one.args)]
    listens = {_port(one.args[0]) or 80 for one in tree.root if one.name == "listen" and one.args}
    if not there and hosts and target.port not in listens:
        alike = [one for one in hosts if _is_tls(one) == target.is_tls]
        there = alike or hosts
        if len(hosts) > 1:
            unsure.append(f"no virtual host has port {target.port}: the one was chosen by its name")
    for one in there:
        if any(_is_name(name, target.host.lower()) for name in _names(one)):
            return one
    return next(iter(there), None)


def _port(address: str) -> int | None:
    """The port of `*:443`; None if it says none, or `*`."""
    port = address.rpartition(":")[2]
    return whole_number(port, 5)


def _is_tls(host: Directive) -> bool:
    return any(one.args[:1] and one.args[0].lower() == "on" for one in host.all("sslengine"))


def _names(host: Directive) -> Iterator[str]:
    for one in host.all("servername", "serveralias"):
        for name in one.args:
            yield re.sub(r"^\w+://|:\d+$", "", name.lower())


def _is_name(pattern: str, host: str) -> bool:
    return fnmatchcase(host, pattern.replace("[", "[[]"))


# -- where a request goes


class _Walk:
    def __init__(self, found: Found, target: Target) -> None:
        self._found = found
        self._target = target
        self._request = Request(target, found.unsure)
        self._block = found.host.block or () if found.host else found.tree.root

    @property
    def _path(self) -> str:
        return self._request.path

    def run(self) -> Defect | None:
        """What answers by itself, or that nothing passes the request on.

        The rest is noted in what was found.
        """
        found = self._found
        answer = self._followed()
        found.path = self._path
        if answer is not None or found.passing is not None:
            return answer
        kept = next((one for one in self._passes() if one.args[1:2] == ("!",)), None)
        if kept is not None:
            return Defect("route", f"'{shown(kept)}' keeps this path from every ProxyPass", kept.at)
        return self._redirect(self._block) or Defect(
            "route", "passes nothing on: no ProxyPass for this path", self._here()
        )

    def _passes(self) -> Iterator[Directive]:
        """The `ProxyPass` directives that fit the path."""
        for scope in reversed(self._found.scopes):
            for one in scope:
                if one.name == "proxypass" and len(one.args) >= 2 and _is_below(self._path, one.args[0]):
                    yield one

    def _followed(self) -> Defect | None:
        found = self._found
        found.locations = sections = list(self._sections())
        scopes = [*reversed(found.scopes), *(one.block or () for one in sections)]
        environment = self._request.environment(scopes)
        answer = refusal(self._request, [one.block or () for one in sections], environment)
        rewritten = Rewriting(self._request).run(self._block)
        if isinstance(rewritten, Defect):
            return rewritten
        found.passing = (
            _as_passing(rewritten) or self._located(sections) or self._passed() or self._handled(sections)
        )
        if found.passing is not None and answer is None:
            own = [one.block or () for one in self._proxies(found.passing.url)]
            answer = refusal(self._request, own, environment)
        answer = answer or next(
            (hit for one in sections if (hit := self._redirect(one.block or ())) is not None), None
        )
        if answer is None and found.passing is None:
            documents = self._documents(environment)
            if isinstance(documents, Defect):
                return documents
            found.passing = documents
        return answer

    def _here(self) -> Place:
        return (self._found.host or self._found.tree.first).at

    # -- sections

    def _sections(self) -> Iterator[Directive]:
        """The sections that hold for the path: `<Location>` of the main server, then of the virtual host,
        then `<If>`, as httpd merges them.
        """
        scopes = list(reversed(self._found.scopes))
        yield from (one for scope in scopes for one in scope if one.name in _LOCATIONS and self._is_in(one))
        for scope in scopes:
            yield from self._chosen(scope, 0)
            for one in scope:
                if one.name in _LOCATIONS and self._is_in(one):
                    yield from self._chosen(one.block or (), 0)

    def _proxies(self, url: str) -> Iterator[Directive]:
        """The `<Proxy>` sections of a URL that it is passed to."""
        for scope in reversed(self._found.scopes):
            for one in scope:
                wanted = one.args[-1].rstrip("*") if one.args else "\0"
                if one.name == "proxy" and url.startswith(wanted):
                    yield one

    def _chosen(self, block: Sequence[Directive], depth: int) -> Iterator[Directive]:
        """Of each `<If>`, `<ElseIf>`, `<Else>` the one that holds."""
        is_done = False
        for one in block if depth < _MAX_DEPTH else ():
            if one.name not in _IFS or (one.name != "if" and is_done):
                continue
            holds = True if one.name == "else" else self._request.holds(one, " ".join(one.args))
            is_done = holds is not False  # one that is not known hides the others
            if holds:
                yield one
                yield from self._chosen(one.block or (), depth + 1)

    def _is_in(self, one: Directive) -> bool:
        args = list(one.args)
        is_pattern = one.name == "locationmatch"
        if args[:1] == ["~"]:
            is_pattern, args = True, args[1:]
        if not args:
            return False
        if is_pattern:
            return self._request.search(one, args[0], self._target.path) is not None
        prefix = args[0]
        if re.search(r"[*?\[]", prefix):
            return fnmatchcase(self._target.path, prefix)
        return _is_below(self._target.path, prefix)

    def _redirect(self, block: Sequence[Directive]) -> Defect | None:
        for one in block:
            if (
                one.name not in ("redirect", "redirectmatch", "redirectpermanent", "redirecttemp")
                or not one.args
            ):
                continue
            status = {"redirectpermanent": 301}.get(one.name, 302)
            args = list(one.args)
            given = whole_number(args[0]) or REDIRECTS.get(args[0].lower())
            if given is not None:
                status, args = given, args[1:]
            is_whole = len(args) == 1 and "://" in args[0]  # in a section: all that is in it
            fits = is_whole or (
                args[:1]
                and (
                    self._request.search(one, args[0], self._path)
                    if one.name == "redirectmatch"
                    else _is_below(self._path, args[0])
                )
            )
            if fits:
                return Defect(
                    "answer",
                    f"'{one.name.title()} {' '.join(one.args)}' answers itself",
                    one.at,
                    status=status,
                )
        return None

    # -- documents

    def _documents(self, environment: dict[str, bool | None]) -> Passing | Defect | None:
        """What the folders of documents do with it: access, redirects and rules of each."""
        self._found.documents = list(self._folders())
        blocks = [block for _, block in self._found.documents]
        if (refused := refusal(self._request, blocks, environment)) is not None:
            return refused
        for folder, block in reversed(self._found.documents):
            if (redirect := self._redirect(block)) is not None:
                return redirect
            done = Rewriting(self._request, folder).run(block)
            if isinstance(done, Defect):
                return done
            if done is not None:
                return _as_passing(done)
        return None

    def _folders(self) -> Iterator[tuple[Folder, Sequence[Directive]]]:
        tree, root = self._found.tree, self._found.effective("documentroot")
        if root is not None and root.args:
            place = tree.sources.real(root.args[0].rstrip("/") or "/")
        elif not tree.root and tree.folders:
            place = min(tree.folders, key=len)
            self._found.unsure.append(f"{place} is taken for the DocumentRoot: only its {HTACCESS} was given")
        else:
            return
        overrides = not tree.root
        parts = [part for part in self._path.split("/")[:-1] if part not in ("", ".", "..")]
        for depth in range(len(parts) + 1):
            path = str(Path(place, *parts[:depth]))
            own = [*self._of_folder(path, is_root=depth == 0)]
            for one in (each for section in own for each in section):
                if one.name == "allowoverride" and one.args:
                    overrides = one.args[0].lower() != "none"
            block = [each for section in own for each in section]
            if overrides:
                block += tree.folder(path)
            if block:
                yield Folder(path, "/" + "".join(f"{part}/" for part in parts[:depth])), block

    def _of_folder(self, path: str, *, is_root: bool) -> Iterator[Sequence[Directive]]:
        """The `<Directory>` sections of a folder; of the document root those of the folders above as well."""
        real = self._found.tree.sources.real
        for scope in reversed(self._found.scopes):
            for one in scope:
                if one.name not in _FOLDERS or not one.args:
                    continue
                if one.name == "directorymatch" or one.args[0] == "~":
                    fits = self._request.search(one, one.args[-1], path) is not None
                elif re.search(r"[*?\[]", one.args[0]):
                    fits = fnmatchcase(path, one.args[0].rstrip("/"))
                else:
                    named = real(one.args[0].rstrip("/") or "/")
                    fits = path == named or (is_root and Path(path).is_relative_to(named))
                if fits:
                    yield one.block or ()

    # -- ProxyPass

    def _located(self, locations: Sequence[Directive]) -> Passing | None:
        for location in reversed(locations):
            for one in location.all("proxypass"):
                if one.args:
                    prefix = location.args[-1] if location.name in _LOCATIONS else "/"
                    return self._passing(one, prefix, one.args[0], one.args[1:], location)
        return None

    def _passed(self) -> Passing | None:
        for one in (each for scope in reversed(self._found.scopes) for each in scope):
            if one.name == "proxypass" and len(one.args) >= 2 and _is_below(self._path, one.args[0]):
                if one.args[1] == "!":
                    return None
                return self._passing(one, one.args[0], one.args[1], one.args[2:], None)
            if one.name == "proxypassmatch" and len(one.args) >= 2:
                match = self._request.search(one, one.args[0], self._path)
                if match and one.args[1] == "!":
                    return None
                if match:
                    url = _with_groups(one.args[1], match)
                    # Without a back-reference the whole path is appended.
                    path = _path_of(url) if "$" in one.args[1] else _path_of(url).rstrip("/") + self._path
                    return Passing(one, url, path, parameters_of(one.args[2:]))
        return None

    def _handled(self, sections: Sequence[Directive]) -> Passing | None:
        """`SetHandler proxy:URL`; what the server sees is the path of a file, not of the URL."""
        for section in reversed(sections):
            for one in section.all("sethandler"):
                if one.args and one.args[0].lower().startswith("proxy:"):
                    return Passing(one, one.args[0][6:], None, {})
        return None

    def _passing(
        self, one: Directive, prefix: str, url: str, rest: Sequence[str], location: Directive | None
    ) -> Passing:
        path = _path_of(url) + self._path[len(prefix) :] if url.count("/") >= 3 else self._path[len(prefix) :]
        return Passing(one, url, path if path.startswith("/") else f"/{path}", parameters_of(rest), location)


def _as_passing(done: Proxied | None) -> Passing | None:
    return None if done is None else Passing(done.rule, done.url, done.path, {})


def _with_groups(text: str, match: re.Match[str]) -> str:
    """`$1` and so on, put in."""
    groups = [match[0], *match.groups()]
    return re.sub(
        r"\$(\d)", lambda one: (groups[int(one[1])] if int(one[1]) < len(groups) else "") or "", text
    )


def _is_below(path: str, prefix: str) -> bool:
    """As mod_proxy's alias_match: `/ws` fits `/ws` and `/ws/x`, not `/wsx`."""
    if not path.startswith(prefix):
        return False
    return prefix.endswith("/") or len(path) == len(prefix) or path[len(prefix)] == "/"


def _path_of(url: str) -> str:
    return re.sub(r"^\w+://[^/?]*", "", url).partition("?")[0]


def parameters_of(words: Sequence[str]) -> dict[str, str]:
    """The `timeout=5` and so on behind a URL, by name in lower case."""
    pairs = (one.partition("=") for one in words)
    return {name.lower(): value for name, _, value in pairs}
