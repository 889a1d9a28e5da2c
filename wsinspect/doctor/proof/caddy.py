"""Caddy: the site of the URL again, as far as its directives are harmless, around our own listener and
servers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from wsinspect.doctor.configuration.caddy.json_reader import Found as JsonFound
from wsinspect.doctor.configuration.caddy.reader import Found, seconds_of
from wsinspect.doctor.configuration.caddy.tree import MAX_DEPTH, Tree
from wsinspect.doctor.configuration.directives import Directive
from wsinspect.doctor.configuration.model import Met
from wsinspect.doctor.proof.model import Setup, Stage, Writer
from wsinspect.doctor.target import Target

#: Directives and what may stand in them. None of these opens a file, connects elsewhere or runs anything.
_HARMLESS: Final = frozenset(
    (
        *(
            "handle",
            "handle_path",
            "route",
            "respond",
            "redir",
            "rewrite",
            "uri",
            "method",
            "header",
            "vars",
            "map",
        ),
        *("request_header", "error", "abort", "try_files", "handle_errors", "reverse_proxy", "header_up"),
        *("header_down", "transport", "versions", "stream_timeout", "stream_close_delay", "flush_interval"),
        *(
            "read_timeout",
            "write_timeout",
            "response_header_timeout",
            "dial_timeout",
            "keepalive",
            "compression",
        ),
        *(
            "max_conns_per_host",
            "expect_continue_timeout",
            "buffer_requests",
            "buffer_responses",
            "body",
            "close",
        ),
    )
)
_MATCHERS: Final = frozenset(
    (
        "path",
        "path_regexp",
        "host",
        "method",
        "protocol",
        "header",
        "header_regexp",
        "query",
        "not",
        "remote_ip",
        "client_ip",
    )
)
_TIMES: Final = (
    "read_timeout",
    "write_timeout",
    "response_header_timeout",
    "dial_timeout",
    "stream_timeout",
    "stream_close_delay",
)
_UNSAID: Final = frozenset(
    (
        "tls",
        "log",
        "encode",
        "root",
        "import",
        "lb_policy",
        "lb_retries",
        "lb_try_duration",
        "health_uri",
        "health_interval",
        "to",
        "file_server",
        "tls_insecure_skip_verify",
        "tls_server_name",
    )
)
#: Placeholders that read files or the environment.
_DANGEROUS: Final = re.compile(r"\{(?:file|env)\.|\{\$")


@dataclass(frozen=True)
class CaddyProver:
    """Caddy without its administration, certificates and saved configuration."""

    programs: tuple[str, ...] = ("caddy",)
    version_arguments: tuple[str, ...] = ("version",)

    def refuses(self, version: str) -> str | None:
        """1.x has another language."""
        return None if version.split(".")[0] not in ("0", "1") else f"Caddy {version}: 2 is needed"

    def setup(self, tree: Tree, met: Met, target: Target, stage: Stage) -> Setup:
        """A configuration with the one site, or the one server, that the URL meets."""
        if isinstance(met.found, JsonFound):
            return _in_json(met.found, stage)
        writer = _Writer(stage)
        found: Found = met.found
        for text in (
            "{",
            "admin off",
            "auto_https off",
            f"storage file_system {stage.folder}",
            "}",
        ):
            writer.line(text)
        scheme = "https" if stage.certificate else "http"
        host = f"[{target.host}]" if ":" in target.host else target.host
        writer.line(f"{scheme}://{host}:{stage.port} {{", found.site.at)
        writer.line("bind 127.0.0.1")
        if stage.certificate:
            writer.line(f"tls {stage.certificate} {stage.certificate}")
        writer.line(f"root * {stage.folder}/empty")
        for one in found.site.block or ():
            writer.directive(one, is_matcher=False)
        writer.line("}")
        return Setup(
            {"Caddyfile": "\n".join(writer.lines) + "\n", "empty/.keep": ""},
            ["run", "--config", "Caddyfile", "--adapter", "caddyfile"],
            ["adapt", "--config", "Caddyfile", "--adapter", "caddyfile"],
            list(dict.fromkeys(writer.left_out)),
            {"Caddyfile": writer.origins},
        )

    def missing_variable(self, words: str, setup: Setup) -> str | None:
        """Placeholders that nobody defines are empty."""
        return None


#: Fields of each handler that are taken over; those of others are left out, with the handler.
_FIELDS: Final = {
    "reverse_proxy": ("headers", "rewrite", "flush_interval", "stream_timeout", "stream_close_delay"),
    "static_response": ("status_code", "headers", "body", "close", "abort"),
    "rewrite": ("method", "uri", "strip_path_prefix", "strip_path_suffix", "uri_substring", "path_regexp"),
    "headers": ("request", "response"),
    "error": ("error", "status_code"),
    "subroute": (),
}
_TRANSPORT: Final = ("protocol", "versions", "compression", *_TIMES[:4])
_JSON_MATCHERS: Final = _MATCHERS | {"remote_ip", "client_ip"}


def _in_json(found: JsonFound, stage: Stage) -> Setup:
    """The server of the URL, its harmless handlers around our own listener and application."""
    left_out: list[str] = []
    routes = _routes(found.server.get("routes").plain(), stage, left_out, 0)
    server: dict[str, Any] = {
        "listen": [f"127.0.0.1:{stage.port}"],
        "automatic_https": {"disable": True},
        "routes": routes,
    }
    apps: dict[str, Any] = {"http": {"servers": {"proof": server}}}
    if stage.certificate:
        server["tls_connection_policies"] = [{}]
        pair = {"certificate": str(stage.certificate), "key": str(stage.certificate)}
        apps["tls"] = {"certificates": {"load_files": [pair]}}
    whole = {
        "admin": {"disabled": True, "config": {"persist": False}},
        "storage": {"module": "file_system", "root": str(stage.folder)},
        "apps": apps,
    }
    return Setup(
        {"caddy.json": json.dumps(whole, indent=1) + "\n", "empty/.keep": ""},
        ["run", "--config", "caddy.json"],
        ["validate", "--config", "caddy.json"],
        list(dict.fromkeys(left_out)),
    )


def _routes(routes: Any, stage: Stage, left_out: list[str], depth: int) -> list[dict[str, Any]]:
    kept = []
    for route in routes if isinstance(routes, list) and depth < MAX_DEPTH else ():
        if not isinstance(route, dict):
            continue
        one = {name: route[name] for name in ("group", "terminal") if name in route}
        matchers = [each for each in route.get("match") or () if isinstance(each, dict)]
        if matchers:
            if any(each.keys() - _JSON_MATCHERS for each in matchers):
                left_out.append(f"a route whose matcher is {', '.join(matchers[0])}")
                continue
            one["match"] = matchers
        found = [_handler(each, stage, left_out, depth) for each in route.get("handle") or ()]
        one["handle"] = [each for each in found if each is not None]
        if _DANGEROUS.search(json.dumps(one)):
            left_out.append("a route with placeholders that read files or the environment")
            continue
        kept.append(one)
    return kept


def _handler(handler: Any, stage: Stage, left_out: list[str], depth: int) -> dict[str, Any] | None:
    name = str(handler.get("handler")) if isinstance(handler, dict) else ""
    if name not in _FIELDS:
        left_out.append(f"handler {name}")
        return None
    kept: dict[str, Any] = {"handler": name}
    kept |= {key: _scaled(key, handler[key], stage) for key in _FIELDS[name] if key in handler}
    if name == "subroute":
        kept["routes"] = _routes(handler.get("routes"), stage, left_out, depth + 1)
    if name == "reverse_proxy":
        if "handle_response" in handler:
            left_out.append("reverse_proxy with handle_response")
            return None
        kept["upstreams"] = [{"dial": f"127.0.0.1:{stage.application}"}]
        transport = handler.get("transport")
        if isinstance(transport, dict) and transport.get("protocol") == "http":
            kept["transport"] = {
                key: _scaled(key, transport[key], stage) for key in _TRANSPORT if key in transport
            }
    return kept


def _scaled(name: str, value: Any, stage: Stage) -> Any:
    """Durations are texts, or numbers of nanoseconds."""
    if name not in _TIMES:
        return value
    seconds = value / 1e9 if isinstance(value, int | float) else seconds_of(str(value))
    return value if seconds is None else f"{max(1, round(seconds * 1000 / stage.scale))}ms"


class _Writer(Writer):
    def directive(self, one: Directive, *, is_matcher: bool) -> None:
        """It and what is inside, as far as they are harmless."""
        named = one.name.startswith("@")
        if named and one.args and one.args[0] not in _MATCHERS:
            self.left_out.append(one.words)
            return
        known = named or (one.name in _MATCHERS if is_matcher else one.name in _HARMLESS)
        text = " ".join((one.name, *self._arguments(one)))
        if one.name == "file_server" and not is_matcher:
            self.line("file_server", one.at)
        elif not known or _DANGEROUS.search(text):
            if one.name not in _UNSAID:
                self.left_out.append(one.words)
        elif one.name == "transport" and one.args[:1] != ("http",):
            self.left_out.append(one.words)
        elif one.block is None:
            self.line(text, one.at)
        else:
            self.line(f"{text} {{", one.at)
            for inner in one.block:
                self.directive(inner, is_matcher=named or is_matcher)
            self.line("}", one.at)

    def _arguments(self, one: Directive) -> Iterator[str]:
        if one.name in _TIMES and one.args:
            seconds = seconds_of(one.args[0])
            yield one.args[0] if seconds is None else f"{max(1, round(seconds * 1000 / self.stage.scale))}ms"
            return
        for index, arg in enumerate(one.args):
            is_matcher = index == 0 and arg.startswith(("/", "@", "*"))
            if one.name == "reverse_proxy" and not is_matcher:
                scheme = "h2c://" if arg.startswith("h2c://") else ""
                yield f"{scheme}127.0.0.1:{self.stage.application}"
                break
            yield _quoted(arg)
        if (
            one.name == "reverse_proxy"
            and one.block is not None
            and not any(not arg.startswith(("/", "@", "*")) for arg in one.args)
        ):
            yield f"127.0.0.1:{self.stage.application}"


def _quoted(word: str) -> str:
    if re.fullmatch(r"[^\s\"`#{}]+|\{[\w.>-]+\}", word):
        return word
    return f"`{word}`" if "`" not in word else '"' + word.replace('"', '\\"') + '"'
