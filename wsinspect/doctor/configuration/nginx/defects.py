"""What the place that a URL meets lacks for a WebSocket. One `proxy_set_header` in a block cancels all
inherited ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from wsinspect.doctor.configuration.directives import Directive
from wsinspect.doctor.configuration.model import (
    DROPS_QUERY,
    RAISED_SECONDS,
    Backend,
    Defect,
    Edit,
    Lines,
    backend_of,
)
from wsinspect.doctor.configuration.nginx.choice import Met, normalised
from wsinspect.doctor.configuration.nginx.tree import Tree, spans
from wsinspect.doctor.configuration.patterns import UndecidedError, search
from wsinspect.units import whole_number

#: The first release whose default is HTTP/1.1 to the server (nginx's CHANGES).
_HTTP11_DEFAULT: Final = (1, 29, 7)
_UPGRADE_LINES: Final = (
    "proxy_http_version 1.1;",
    "proxy_set_header Upgrade $http_upgrade;",
    # The client's own value: a fixed "upgrade" goes out with ordinary requests too; some servers fail those.
    "proxy_set_header Connection $http_connection;",
)
_HOST_LINE: Final = "proxy_set_header Host $http_host;"
#: Directives that pass a request on, and those that answer it.
_PASSES: Final = ("proxy_pass", "uwsgi_pass", "scgi_pass", "fastcgi_pass", "grpc_pass")
_CREDENTIALS: Final = ("cookie", "authorization", "origin")
_UNITS: Final = {
    "ms": 0.001,
    "s": 1,
    "": 1,
    "m": 60,
    "h": 3600,
    "d": 86400,
    "w": 604800,
    "M": 2592000,
    "y": 31536000,
}
_DEFAULT_TIMEOUT: Final = 60.0


def defects(met: Met, tree: Tree, version: tuple[int, ...] | None, path: str) -> Iterator[Defect]:
    """What is wrong here, the surest first.

    Args:
        version: of the nginx that runs; None if it is not known.
        path: of the URL, without its query.
    """
    reject = met.effective("ssl_reject_handshake")
    if reject is not None and reject.args[:1] == ("on",):
        server = next((one for one in met.chain if one.name == "server"), met.innermost)
        words = f"'{reject.words}': no other server of {server.where} has this name, so TLS is refused"
        yield Defect("tls", words, reject.at, advice="add the name to the 'server_name' of the right server")
    yield from _before_requests(met, tree)
    slash = _slash(met, normalised(path))
    if slash is not None:  # nginx redirects when it looks for the location: nothing in one is reached
        yield slash
        return
    yield from _answers(met)
    if met.answer is not None:
        return
    inside = met.innermost.get("internal")
    if inside is not None and not met.is_internal:
        yield Defect("answer", "'internal' answers 404 to requests from outside", inside.at, status=404)
        return
    proxied = passing(met)
    if proxied is None:
        if met.unread is None:
            yield _route(met)
        return
    if proxied.name in ("fastcgi_pass", "grpc_pass"):
        yield Defect("upgrade", f"'{proxied.name}' cannot carry an upgrade; 'proxy_pass' can", proxied.at)
        return
    if proxied.name != "proxy_pass" or met.unread is not None:
        return
    edits = Edits(met, tree, proxied)
    yield from _upgrade(met, proxied, edits, version)
    yield from _headers(met, edits)
    yield from _host(met, proxied, edits)
    yield from _path(met, proxied, edits, path)
    yield from _query(met, proxied, edits)
    yield from _covers(met)


def _before_requests(met: Met, tree: Tree) -> Iterator[Defect]:
    """What ends connections that another client may open: a PROXY header or a certificate is asked for."""
    blocks = [*tree.root, *(inner for one in tree.root if one.name == "http" for inner in one.block or ())]
    port = met.variables["server_port"]
    for server in (one for one in blocks if one.name == "server"):
        for one in server.all("listen"):
            is_it = (one.args[:1] or ("",))[0].rpartition(":")[2] == port
            if is_it and "proxy_protocol" in one.args[1:]:  # one is enough for all that share the address
                words = f"'{one.words}' hangs up on whoever sends no PROXY header in front of the request"
                advice = "take 'proxy_protocol' out, or make the load balancer in front send that header"
                yield Defect("silent", words, one.at, advice=advice)
    verify = met.effective("ssl_verify_client")
    if verify is not None and verify.args[:1] == ("on",):
        yield Defect("certificate", f"'{verify.words}' answers 400 to all without one", verify.at)


def passing(met: Met) -> Directive | None:
    """What passes the request on. It is not inherited, except by an `if` of the same location."""
    for block in reversed(met.chain):
        if (found := next((one for one in block.block or () if one.name in _PASSES), None)) is not None:
            return found
        if block.name != "if":
            return None
    return None


def limits(met: Met, tree: Tree) -> Iterator[Defect]:
    """How long nginx waits for the server: before the answer, and while a WebSocket is silent."""
    proxied = passing(met)
    if proxied is None or proxied.name != "proxy_pass" or met.unread is not None:
        return
    edits = Edits(met, tree, proxied)
    read = met.effective("proxy_read_timeout")
    seconds = _DEFAULT_TIMEOUT if read is None else seconds_of(read.args[0] if read.args else "")
    line = f"proxy_read_timeout {RAISED_SECONDS}s;"
    if seconds is not None:
        words = f"'{read.words}'" if read else "no 'proxy_read_timeout': its default is 60 s"
        mended = edits.replacing(read, line) if read else edits.adding((line,))
        at = (read or proxied).at
        yield Defect("idle", f"{words}: silence of the server for that long ends it", at, mended, seconds)
        yield Defect("handshake", f"{words}: how long the server has to answer", at, mended, seconds)
    connect = met.effective("proxy_connect_timeout")
    if connect is not None and (seconds := seconds_of(connect.args[0] if connect.args else "")) is not None:
        words = f"'{connect.words}': how long connecting to the server may take"
        yield Defect(
            "handshake", words, connect.at, edits.replacing(connect, "proxy_connect_timeout 60s;"), seconds
        )
    reload = next((one for one in tree.root if one.name == "worker_shutdown_timeout" and one.args), None)
    if reload is not None:
        words = f"'{reload.words}': open connections end that long after each reload"
        yield Defect("reload", words, reload.at, (), seconds_of(reload.args[0]))


def possible(met: Met, tree: Tree) -> Iterator[Defect]:
    """What may be why, by what is not known here: limits, conditions, and the server that it is passed to."""
    for one in met.doubtful:
        for inner in one.all("return"):
            status = whole_number(inner.args[0]) if inner.args else None
            if status is not None:
                words = f"'{inner.words}' answers where '{_condition(one)}' holds, which is not known here"
                is_plain = len(inner.args) == 1
                is_own = is_plain and _is_built_in(met, status)
                yield Defect("answer", words, inner.at, status=status, is_built_in=is_own)
    for name in ("limit_conn", "limit_req"):
        limit, code = met.effective(name), met.effective(f"{name}_status")
        status = (whole_number(code.args[0]) if code is not None and code.args else None) or 503
        if limit is not None:
            words = f"'{limit.words}' answers {status} to what is beyond it"
            is_own = _is_built_in(met, status)
            yield Defect("answer", words, limit.at, status=status, is_built_in=is_own)
    yield from _header_size(met)
    proxied = passing(met)
    if proxied is not None and proxied.name == "proxy_pass":
        yield from _covers(met, is_same=True)
    if proxied is not None and proxied.args:
        at = _upstream(tree, proxied.args[0]) or proxied
        words = f"'{at.words}' is where it goes: no valid answer came from there"
        yield Defect("upstream", words, at.at, backend=_backend(proxied, at))


def _header_size(met: Met) -> Iterator[Defect]:
    """Larger requests are answered with 400 (431 is not nginx's)."""
    one = met.effective("large_client_header_buffers")
    server = next((block for block in met.chain if block.name == "server"), met.innermost)
    words = f"'{one.words}'" if one else "no 'large_client_header_buffers': its default is 4 8k"
    yield Defect(
        "size",
        f"{words}: a line of the request may not be longer than one of them",
        (one or server).at,
        advice="large_client_header_buffers 4 32k;   # in the default server of this address, or in http",
    )


def _upstream(tree: Tree, url: str) -> Directive | None:
    """The `server` of the `upstream` that a `proxy_pass` names, where there is one."""
    name = re.sub(r"^\w+://", "", url).partition("/")[0]
    blocks = [*tree.root, *(inner for one in tree.root if one.name == "http" for inner in one.block or ())]
    named = next((one for one in blocks if one.name == "upstream" and one.args[:1] == (name,)), None)
    return None if named is None else named.get("server")


def _backend(proxied: Directive, at: Directive) -> Backend | None:
    """Where a `proxy_pass` leads, by its URL or by the `server` of the `upstream` that it names."""
    if proxied.name != "proxy_pass":
        return None
    scheme, _, _ = proxied.args[0].partition("://")
    url = proxied.args[0] if at is proxied else f"{scheme}://{at.args[0] if at.args else ''}"
    found = backend_of(url, proxied.at)
    # A `server` without a port has 80, whatever the scheme is.
    is_bare = found is not None and at is not proxied and not re.search(r":\d+$", at.args[0])
    return found._replace(port=80) if found is not None and is_bare else found


def seconds_of(text: str) -> float | None:
    """A time as nginx writes it: `60`, `60s`, `1h30m`; None if it is not one."""
    # Each number but the last one has its unit: a pattern without that takes forever for a long number.
    if not re.fullmatch(r"(?=.)(?:[0-9]{1,15}(?:ms|[smhdwMy])\s*)*(?:[0-9]{1,15})?", text):
        return None
    return sum(int(count) * _UNITS[unit] for count, unit in re.findall(r"([0-9]+)(ms|[smhdwMy]?)", text))


# -- each defect


def _answers(met: Met) -> Iterator[Defect]:
    answer = met.answer
    if answer is not None:
        status = whole_number(answer.args[0]) if answer.args else None
        if answer.name == "rewrite":
            status = 301 if "permanent" in answer.args[2:] else 302
        elif answer.name == "try_files":
            status = whole_number(answer.args[-1][1:]) or 404
        elif status is None:
            status = 302
        if status == 444:
            words = f"'{_short(answer)}'{_around(met, answer)} closes the connection without an answer"
            yield Defect("silent", words, answer.at)
            return
        is_plain = answer.name == "try_files" or (answer.name == "return" and len(answer.args) == 1)
        yield Defect(
            "answer",
            f"'{_short(answer)}'{_around(met, answer)} answers before any server is asked",
            answer.at,
            status=status,
            is_built_in=is_plain and status >= 400 and _is_built_in(met, status),
        )
        return
    rules = _access(met)
    is_own = _is_built_in(met, 403)
    for number, one in enumerate(rules):
        if one.name == "allow" and one.args[:1] == ("all",):
            break
        if one.name == "deny" and one.args[:1] == ("all",):
            words = f"'{one.words}'{_around(met, one)} answers" + (
                " all that no 'allow' lists" if number else " before any server is asked"
            )
            yield Defect("answer", words, one.at, status=403, is_built_in=is_own)
            break
    auth = met.effective("auth_basic")
    if auth is not None and auth.args[:1] != ("off",):
        yield Defect(
            "answer",
            "'auth_basic' asks for a password before any server is asked",
            auth.at,
            status=401,
            is_built_in=_is_built_in(met, 401),
        )
    request = met.effective("auth_request")
    if request is not None and request.args[:1] != ("off",):
        words = f"'{request.words}' asks another server first, and its 401 or 403 is the answer"
        for code in (401, 403):
            yield Defect("answer", words, request.at, status=code, is_built_in=_is_built_in(met, code))
        words = f"'{request.words}' asks another server first: where it is down, or answers anything else"
        words += " than 2xx, 401 or 403, nginx answers 500"
        yield Defect("answer", words, request.at, status=500, is_built_in=_is_built_in(met, 500))


def _is_built_in(met: Met, status: int) -> bool:
    """Whether nginx answers this status with its own page: no `error_page` in effect is for it."""
    if met.unread is not None:
        return False
    for block in reversed(met.chain):
        if pages := list(block.all("error_page")):
            return not any(str(status) in page.args[:-1] for page in pages)
    return True


def _covers(met: Met, *, is_same: bool = False) -> Iterator[Defect]:
    """Error pages in the place of an answer: of the server's only with `proxy_intercept_errors`.

    Args:
        is_same: those that keep the answer's status, and not those with one of their own.
    """
    pages = next((found for block in reversed(met.chain) if (found := list(block.all("error_page")))), [])
    intercepts = met.effective("proxy_intercept_errors")
    is_intercepting = intercepts is not None and intercepts.args == ("on",)
    for page in pages:
        changed = next((arg for arg in page.args[:-1] if arg.startswith("=")), None)
        named = [arg for arg in page.args[:-1] if whole_number(arg) is not None]
        codes = [arg for arg in named if is_intercepting or arg in _OF_GATEWAY]
        if not codes or (changed is None) != is_same:
            continue
        of_gateway = [code for code in codes if code in _OF_GATEWAY]
        others = len(of_gateway) < len(codes)
        # nginx's own 502 and 504 have this page in their place with proxy_intercept_errors and without it.
        whose = "nginx's own answer" if of_gateway else "the server's own answer"
        if of_gateway and is_intercepting:
            whose = "the server's or nginx's own answer"
        words = f"'{page.words}' answers in place of {whose} ({', '.join(codes)})"
        advice = "proxy_intercept_errors off;   # in this location: clients get the server's own answer"
        at = page.at
        if of_gateway:
            these = " and ".join(of_gateway)
            taken = f"take {these} out of '{page.words}'" if others else f"take '{page.words}' out"
            taken += f": clients get the {of_gateway[0]}"
            advice = f"{taken}; and {advice}" if is_intercepting else taken
        if changed is not None:
            # `=` alone takes the status of what the page's own location answers.
            status = whole_number(changed[1:]) or 200
            yield Defect("cover", words, at, status=status, advice=advice)
        elif is_intercepting:
            for code in codes:
                yield Defect("covered", words, at, status=int(code), advice=advice)


#: What nginx answers of its own where its way to the server fails.
_OF_GATEWAY: Final = ("502", "504")


def _around(met: Met, one: Directive) -> str:
    """The condition that a directive stands in, for a sentence: ` in 'if ($request_method = GET)'`."""
    blocks = (block for outer in met.chain for block in (outer, *outer.all("if", "limit_except")))
    inside = next(
        (block for block in blocks if block.name in ("if", "limit_except") and one in (block.block or ())),
        None,
    )
    return "" if inside is None else f" in '{_condition(inside)}'"


def _condition(block: Directive) -> str:
    """As it is written, cut where it is long: an `if` has its parentheses."""
    words = f"if ({' '.join(block.args)})" if block.name == "if" else block.words
    return words if len(words) <= 80 else f"{words[:79]}…"


def _short(one: Directive) -> str:
    return one.words if len(one.words) <= 80 else f"{one.words[:79]}…"


def _access(met: Met) -> list[Directive]:
    """The innermost block's `allow` and `deny`, in their order; they cancel inherited ones."""
    for block in reversed(met.chain):
        for limit in block.all("limit_except"):  # GET allows HEAD as well
            is_limited = "GET" not in (one.upper() for one in limit.args)
            if is_limited and (own := [*limit.all("allow"), *limit.all("deny")]):
                return own
        if own := [one for one in block.block or () if one.name in ("allow", "deny")]:
            return own
    return []


def _slash(met: Met, path: str) -> Defect | None:
    """nginx's own redirect: `location /ws/` with a proxy_pass, and a request for `/ws`."""
    server = next((one for one in met.chain if one.name == "server"), None)
    if server is None or path.endswith("/") or met.innermost.args[:1] == ("=",):
        return None
    if met.innermost is server and met.answer is not None:  # that comes before any location
        return None
    for one in server.all("location"):
        is_prefix = len(one.args) == 1 or one.args[:1] == ("^~",)
        is_it = is_prefix and one.args[-1:] == (f"{path}/",) and any(one.get(name) for name in _PASSES)
        if is_it and _is_behind(met, one.args[-1]):
            words = f"'{one.words}' ends in a slash, so nginx redirects {path} to {path}/"
            return Defect("slash", words, one.at, status=301)
    return None


def _is_behind(met: Met, prefix: str) -> bool:
    """Whether the path found no place of its own: only the server, or a shorter prefix."""
    inner = met.innermost
    return inner.name == "server" or (len(inner.args) == 1 and prefix.startswith(inner.args[-1]))


def _route(met: Met) -> Defect:
    inner = met.innermost
    words = " ".join(one for one in (inner.name, *inner.args))
    return Defect("route", f"{words} passes nothing on: no 'proxy_pass' for this path", inner.at)


def _upgrade(met: Met, proxied: Directive, edits: Edits, known: tuple[int, ...] | None) -> Iterator[Defect]:
    headers = met.headers
    missing: list[str] = []
    replaced: list[Edit] = []
    words: list[str] = []
    version = met.effective("proxy_http_version")
    if version is None and not (known and known >= _HTTP11_DEFAULT):
        whose = f"the default of {'.'.join(map(str, known))}" if known else "the default before nginx 1.29.7"
        words.append(f"HTTP/1.0 to the server, {whose}")
        missing.append(_UPGRADE_LINES[0])
    elif version is not None and version.args[:1] != ("1.1",):
        words.append(f"HTTP/{version.args[0] if version.args else '?'} to the server")
        replaced += edits.replacing(version, _UPGRADE_LINES[0])
    for name, line, wanted in (
        ("upgrade", _UPGRADE_LINES[1], "websocket"),
        ("connection", _UPGRADE_LINES[2], "upgrade"),
    ):
        one = headers.get(name)
        if one is None:
            outer = met.lost.get(name)
            words.append(f"no 'proxy_set_header {name.title()}'")
            if outer is not None:
                words[-1] += f" (the proxy_set_header in this block cancels that of {outer.where})"
            missing.append(_again(met, outer, wanted) or line)
            continue
        try:
            value = met.value(one.args[1])
        except UndecidedError as error:
            met.unsure.append(f"'{one.words}' in {one.where}: {error} is not known here")
            continue
        tokens = [token.strip().lower() for token in value.split(",")]
        if wanted not in tokens:
            made = (
                ""
                if value == one.args[1]
                else f", which makes it '{value}'"
                if value
                else ", which removes it"
            )
            shown = f"{one.name} {as_args(one.args)}"
            words.append(f"'{shown}'{made or (f' removes {name.title()}' if not value else '')}")
            replaced += edits.replacing(one, line)
    if words:
        mended = (*edits.adding(tuple(missing)), *replaced) if missing else tuple(replaced)
        yield Defect("upgrade", "; ".join(words), proxied.at, mended)


def _again(met: Met, cancelled: Directive | None, wanted: str) -> str | None:
    """A cancelled directive, to be written again: where it did what is wanted, its author knows it."""
    if cancelled is None:
        return None
    try:
        value = met.value(cancelled.args[1])
    except UndecidedError:
        return None
    is_good = wanted in (token.strip().lower() for token in value.split(","))
    return f"{cancelled.name} {as_args(cancelled.args)};" if is_good else None


def _headers(met: Met, edits: Edits) -> Iterator[Defect]:
    passes = met.effective("proxy_pass_request_headers")
    if passes is not None and passes.args[:1] == ("off",):
        line = "proxy_pass_request_headers on;"
        yield Defect(
            "websocket", f"'{passes.words}' removes all headers", passes.at, edits.replacing(passes, line)
        )
    hidden = next(
        (
            list(block.all("proxy_hide_header"))
            for block in reversed(met.chain)
            if block.get("proxy_hide_header")
        ),
        [],
    )
    for one in hidden:
        if one.args[:1] and one.args[0].lower() in ("upgrade", "connection", "sec-websocket-accept"):
            yield Defect("response", f"'{one.words}' spoils the 101", one.at, edits.removing(one))
    for name, one in met.headers.items():
        own = f"$http_{name.replace('-', '_')}"
        if one.args[1] == own or not (name.startswith("sec-websocket-") or name in _CREDENTIALS):
            continue
        shown = f"'proxy_set_header {as_args(one.args)}'"
        words = f"{shown} removes it" if not one.args[1] else f"{shown} changes it"
        kind = "websocket" if name.startswith("sec-") else "credentials"
        line = f"proxy_set_header {one.args[0]} {own};"
        yield Defect(kind, words, one.at, edits.replacing(one, line))  # type: ignore[arg-type]


def _host(met: Met, proxied: Directive, edits: Edits) -> Iterator[Defect]:
    host = met.headers.get("host")
    if host is None:
        words = "no 'proxy_set_header Host': the server gets the name in proxy_pass"
        yield Defect("host", words, proxied.at, edits.adding((_HOST_LINE,)))
        return
    try:
        # `$host` is the Host without its port: the same where the URL has none.
        if met.value(host.args[1]) == met.variables["http_host"]:
            return
    except UndecidedError:
        pass
    words = f"'{host.words}' is not the Host that the client sent"
    yield Defect("host", words, host.at, edits.replacing(host, _HOST_LINE))


def _query(met: Met, proxied: Directive, edits: Edits) -> Iterator[Defect]:
    """A `rewrite` to something that ends with `?` leaves the request's query out, and a token in it; so does
    a `set $args` without it.
    """
    one = met.dropped
    if one is None or any("$request_uri" in arg for arg in proxied.args):
        return
    if one.name == "rewrite":
        pattern, replacement, *flags = one.args
        kept = f"rewrite {as_args((pattern, replacement[:-1], *flags))};"
        mended = edits.replacing(one, kept)
    else:
        mended = edits.removing(one)
    yield Defect("credentials", f"'{one.name} {as_args(one.args)}' {DROPS_QUERY}", one.at, mended)


def _path(met: Met, proxied: Directive, edits: Edits, path: str) -> Iterator[Defect]:
    """A URI in proxy_pass takes the place of the location's prefix; a `rewrite ... break` changes the
    path.
    """
    target = proxied.args[0] if proxied.args else ""
    changed = met.variables["uri"]
    inner = met.innermost
    if changed != normalised(path):
        names = ("rewrite", "try_files")
        one = next((one for block in met.chain for one in block.block or () if one.name in names), None)
        at = (one or proxied).at
        words = f"'{one.words if one else 'rewrite'}' makes {path} into {changed}"
        yield Defect("path", words, at, edits.removing(one) if one else ())
        return
    if inner.name == "location" and inner.args[0] in ("~", "~*") and re.search(r"\$[1-9]", target):
        yield from _captured(proxied, inner, target, path)
        return
    match = re.match(r"(https?://[^/$]+)(/[^$]*)$", target)
    if match is None or inner.name != "location" or not path.startswith(inner.args[-1]):
        return
    becomes = match[2] + path[len(inner.args[-1]) :]
    if becomes != path:
        words = f"'{proxied.words}' makes {path} into {becomes}"
        yield Defect("path", words, proxied.at, edits.replacing(proxied, f"proxy_pass {match[1]};"))


def _captured(proxied: Directive, inner: Directive, target: str, path: str) -> Iterator[Defect]:
    """`$1` of the location's pattern in the URI of proxy_pass."""
    try:
        found = search(inner.args[-1], path, ignores_case=inner.args[0] == "~*")
    except UndecidedError:
        return
    uri = re.sub(r"^https?://[^/$]*|\$is_args|\$args|\?.*$", "", target)
    groups = [""] if found is None else [found[0], *found.groups()]
    becomes = re.sub(
        r"\$([1-9])", lambda one: (groups[int(one[1])] if int(one[1]) < len(groups) else "") or "", uri
    )
    if found is not None and "$" not in becomes and becomes != path:
        yield Defect("path", f"'{proxied.words}' makes {path} into {becomes}", proxied.at)


# -- edits


class Edits:
    """How lines come into the place that a URL meets, and others out of it."""

    def __init__(self, met: Met, tree: Tree, proxied: Directive) -> None:
        self._met = met
        self._texts = tree.sources.texts
        # `proxy_set_header` may not stand in an `if`: it stands in front of it then, and is inherited.
        inside = met.inside
        self._anchor = proxied if inside is met.innermost else inside
        self._block = met.innermost

    def adding(self, lines: tuple[str, ...]) -> tuple[Edit, ...]:
        """Lines to add, with what the block inherits so far where they would cancel that."""
        lines = self._with_inherited(lines)
        anchor = self._anchor
        if anchor.file != self._block.file:
            return self._at_beginning(lines)
        text = self._texts.get(anchor.file, "")
        span = _span(text, anchor)
        if span is None:
            return ()
        shown = Lines(anchor.file, text)
        line = shown.line_of(span[0])
        if text[shown.start(line) : span[0]].strip():  # the block is on one line
            return (Edit(anchor.file, span[0], span[0], "".join(f"{one} " for one in lines)),)
        return (shown.insert(line, *(shown.indent(line) + one for one in lines)),)

    def _at_beginning(self, lines: tuple[str, ...]) -> tuple[Edit, ...]:
        block = self._block
        text = self._texts.get(block.file, "")
        span = _span(text, block)
        if span is None:
            return ()
        shown = Lines(block.file, text)
        indent = shown.indent(shown.line_of(span[0])) + "    "
        if text[span[1] :].split("\n", 1)[0].strip():
            return (Edit(block.file, span[1], span[1], "".join(f" {one}" for one in lines)),)
        return (shown.insert(shown.line_of(span[1] - 1) + 1, *(indent + one for one in lines)),)

    def replacing(self, one: Directive, line: str) -> tuple[Edit, ...]:
        """Another directive in the place of one."""
        return replaced(self._texts, one, line)

    def removing(self, one: Directive) -> tuple[Edit, ...]:
        """A directive taken out, with its line where it has one of its own."""
        return removed(self._texts, one)

    def _with_inherited(self, added: tuple[str, ...]) -> tuple[str, ...]:
        place = self._block
        if place.get("proxy_set_header") is not None or not any("proxy_set_header" in one for one in added):
            return added
        names = {one.split()[1].lower() for one in added if one.startswith("proxy_set_header ")}
        kept = [one for name, one in self._met.headers.items() if name not in names]
        return (*added, *(f"proxy_set_header {one.args[0]} {quoted(one.args[1])};" for one in kept))


def replaced(texts: Mapping[str, str], one: Directive, line: str) -> tuple[Edit, ...]:
    """Another directive in the place of one, in these texts of files."""
    span = _span(texts.get(one.file, ""), one)
    return () if span is None else (Edit(one.file, span[0], span[1], line),)


def removed(texts: Mapping[str, str], one: Directive) -> tuple[Edit, ...]:
    """A directive taken out, with its line where it has one of its own, in these texts of files."""
    text = texts.get(one.file, "")
    span = _span(text, one)
    if span is None:
        return ()
    shown = Lines(one.file, text)
    first, last = shown.start(shown.line_of(span[0])), shown.start(shown.line_of(span[1] - 1) + 1)
    is_alone = not text[first : span[0]].strip() and not text[span[1] : last].strip()
    return (Edit(one.file, first, last, "") if is_alone else Edit(one.file, *span, ""),)


def _span(text: str, one: Directive) -> tuple[int, int] | None:
    """Where a directive stands; None where the text is read in another way than crossplane does."""
    found = spans(text)
    if one.number >= len(found):
        return None
    start, end = found[one.number]
    return (
        (start, end)
        if text.startswith(one.name, start) and text.count("\n", 0, start) + 1 == one.line
        else None
    )


def quoted(value: str) -> str:
    """A value as a directive's argument."""
    if re.fullmatch(r"[^\s;{}\"'\\]+", value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def as_args(args: Sequence[str]) -> str:
    """Arguments as they are written."""
    return " ".join(map(quoted, args))
