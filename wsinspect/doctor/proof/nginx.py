"""nginx: its directives again, one a line, as far as they are harmless, around our own listener and
application.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from wsinspect.doctor.configuration.directives import Directive
from wsinspect.doctor.configuration.model import Met, Place
from wsinspect.doctor.configuration.nginx.defects import as_args, quoted, seconds_of
from wsinspect.doctor.configuration.nginx.tree import Tree
from wsinspect.doctor.proof.model import Setup, Stage
from wsinspect.doctor.target import Target

#: The first release with `-e`; older ones open the log file that they were built with.
_LEAST: Final = (1, 19, 5)
_LISTEN: Final = "127.0.0.1"
#: What is taken over as it is. None of these opens a file, connects to anything, runs anything, or says
#: who to be.
_HARMLESS: Final = frozenset(
    re.findall(
        r"\w+",
        """
    server_name map geo split_clients hostnames volatile default set if return rewrite break
    location internal satisfy allow deny auth_basic error_page recursive_error_pages add_header
    expires default_type types limit_except proxy_set_header proxy_http_version proxy_method
    proxy_pass_request_headers proxy_pass_request_body proxy_set_body proxy_buffering
    proxy_request_buffering proxy_buffer_size proxy_buffers proxy_busy_buffers_size proxy_redirect
    proxy_cookie_path proxy_cookie_domain proxy_cookie_flags proxy_hide_header proxy_pass_header
    proxy_ignore_headers proxy_intercept_errors proxy_next_upstream proxy_next_upstream_tries
    proxy_headers_hash_max_size proxy_headers_hash_bucket_size proxy_socket_keepalive merge_slashes
    underscores_in_headers ignore_invalid_headers large_client_header_buffers
    client_header_buffer_size client_max_body_size absolute_redirect port_in_redirect
    server_name_in_redirect server_tokens map_hash_max_size map_hash_bucket_size
    variables_hash_max_size variables_hash_bucket_size server_names_hash_max_size
    server_names_hash_bucket_size keepalive_requests tcp_nodelay tcp_nopush sendfile
    reset_timedout_connection chunked_transfer_encoding etag if_modified_since max_ranges
    msie_padding try_files index valid_referers rewrite_log uninitialized_variable_warn
    log_not_found
    """,
    )
)
_TIMES: Final = frozenset(
    re.findall(
        r"\w+",
        """
    proxy_read_timeout proxy_send_timeout proxy_connect_timeout proxy_next_upstream_timeout
    send_timeout client_body_timeout client_header_timeout keepalive_timeout lingering_time
    lingering_timeout
    """,
    )
)
#: Their defaults, in seconds: with scaled times they have to be written.
_DEFAULTS: Final = {"proxy_read_timeout": 60, "proxy_send_timeout": 60}
_PASSES: Final = ("uwsgi_pass", "scgi_pass", "fastcgi_pass", "grpc_pass", "memcached_pass")
#: Directives that every nginx.conf has and that do not matter here.
_UNSAID: Final = re.compile(
    r"^(listen|ssl_.*|access_log|error_log|log_format|user|pid|worker_.*|events|gzip.*|http2.*|include|resolver.*"
    r"|client_body_temp_path|.*_temp_path|charset|multi_accept|use|daemon|load_module|server|zone|keepalive"
    r"|types_hash.*|http3.*|quic.*|open_file_cache.*)$"
)
_BLOCKS_AS_DATA: Final = ("map", "geo", "split_clients", "types")


@dataclass(frozen=True)
class NginxProver:
    """nginx, or OpenResty where nginx is not installed."""

    programs: tuple[str, ...] = ("nginx", "openresty")
    version_arguments: tuple[str, ...] = ("-v",)

    def refuses(self, version: str) -> str | None:
        """Older ones write a log file of their own."""
        numbers = tuple(int(one) for one in re.findall(r"\d+", version)[:3])
        if numbers < _LEAST:
            return f"nginx {version} writes to its own log file; 1.19.5 and newer need not"
        return None

    def setup(self, tree: Tree, met: Met, target: Target, stage: Stage) -> Setup:
        """nginx.conf with the one server that the URL meets."""
        return _Writer(tree, met.found, target, stage).setup()

    def missing_variable(self, words: str, setup: Setup) -> str | None:
        """`unknown "x" variable`, where a directive with `$x` was left out."""
        found = re.search(r'unknown "(\w+)" variable', words)
        if found is None:
            return None
        name = found[1]
        is_ours = name.startswith(("geoip", "ssl_")) or any(f"${name}" in one for one in setup.left_out)
        return name if is_ours else None


class _Writer:
    def __init__(self, tree: Tree, found: Any, target: Target, stage: Stage) -> None:
        self._tree = tree
        self._met = found
        self._stage = stage
        self._target = target
        self._lines: list[str] = []
        self._origins: list[Place | None] = [None]
        self._left_out: list[str] = []
        self._upstreams: set[str] = set()

    def setup(self) -> Setup:
        """The text of nginx.conf, and where each of its lines comes from."""
        stage = self._stage
        server = next(one for one in self._met.chain if one.name == "server")
        http = next((one for one in self._met.chain if one.name == "http"), None)
        around = [
            *(http.block or () if http else ()),
            *(one for one in self._tree.root if one.name not in ("http", "server")),
        ]
        self._upstreams = {one.args[0] for one in around if one.name == "upstream" and one.args}
        for line in (
            "daemon off;",
            "master_process off;",
            "pid nginx.pid;",
            "error_log stderr;",
            "worker_rlimit_core 0;",
            "events { worker_connections 64; }",
            "http {",
            "access_log off;",
            *(f"{kind}_temp_path temp;" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")),
            *(f'map "" ${name} {{ default ""; }}' for name in stage.defined),
        ):
            self._line(line)
        if stage.scale != 1:
            written = {one.name for one in around}
            for name, seconds in _DEFAULTS.items():
                if name not in written:
                    self._line(f"{name} {self._time(seconds)};")
        for one in around:
            if one.name != "server":
                self._directive(one)
        self._line("server {")
        tls = " ssl" if stage.certificate else ""
        self._line(f"listen {_LISTEN}:{stage.port}{tls};")
        if stage.certificate:
            self._line(
                f"ssl_certificate {stage.certificate.name}; ssl_certificate_key {stage.certificate.name};"
            )
        for one in server.block or ():
            self._directive(one)
        self._line("}")
        self._line("}")
        files = {"nginx.conf": "\n".join(self._lines) + "\n", "empty/.keep": "", "passwords": ""}
        command = ["-p", str(stage.folder), "-c", "nginx.conf", "-e", "stderr"]
        return Setup(
            files,
            command,
            [*command, "-t", "-q"],
            list(dict.fromkeys(self._left_out)),
            {"nginx.conf": self._origins},
        )

    def _line(self, text: str, at: Place | None = None) -> None:
        self._lines.append(text)
        self._origins.append(at)

    def _time(self, seconds: float) -> str:
        return f"{max(1, round(seconds * 1000 / self._stage.scale))}ms"

    def _directive(self, one: Directive) -> None:
        for text in self._texts(one):
            self._line(text, one.at)
        if one.block is not None and self._is_open(one):
            for inner in one.block:
                self._directive(inner)
            self._line("}", one.at)

    def _is_open(self, one: Directive) -> bool:
        return one.name in ("location", "if", "limit_except") and self._is_taken(one)

    def _is_taken(self, one: Directive) -> bool:
        # A condition on a file would look at files of this machine.
        return not (one.name == "if" and one.args and one.args[0].startswith(("-", "!-")))

    def _texts(self, one: Directive) -> Iterator[str]:
        name, args = one.name, one.args
        if name in _BLOCKS_AS_DATA and one.block is not None:
            yield self._data_block(one)
        elif name == "upstream" and args:
            server = f"server {_LISTEN}:{self._stage.application};"
            yield f"upstream {quoted(args[0])} {{ {server} }}"
        elif name == "proxy_pass" and args:
            yield f"proxy_pass {self._passed(args[0])};"
        elif name in _PASSES:
            self._left_out.append(one.words)
            yield "return 502;"
        elif name in ("root", "alias"):
            yield "root empty;"
        elif name == "auth_basic_user_file":
            yield "auth_basic_user_file passwords;"
        elif name in _TIMES:
            yield self._timed(one)
        elif self._is_open(one):
            yield f"{name} ({_condition(args)}) {{" if name == "if" else f"{name} {as_args(args)} {{"
        elif name in _HARMLESS and one.block is None:
            yield f"{name} {as_args(args)};" if args else f"{name};"
        elif not _UNSAID.match(name):
            self._left_out.append(one.words)

    def _data_block(self, one: Directive) -> str:
        """A block of pairs, on one line; files that it includes are not opened."""
        inside = " ".join(
            f"{quoted(each.name)} {as_args(each.args)};" if each.args else f"{quoted(each.name)};"
            for each in one.block or ()
            if each.name not in ("include", "geo", "ranges", "proxy")
        )
        return f"{one.name} {as_args(one.args)} {{ {inside} }}"

    def _timed(self, one: Directive) -> str:
        seconds = seconds_of(one.args[0]) if one.args else None
        if seconds is None or self._stage.scale == 1:
            return f"{one.name} {as_args(one.args)};"
        return f"{one.name} {self._time(seconds)};"

    def _passed(self, url: str) -> str:
        """The same URL at our application: an upstream's name and the path are kept."""
        match = re.match(
            r"(?:https?|\$\{?\w+\}?)://([^/]*?)((?:/|\$\{?(?:request_uri|uri|document_uri|is_args)\}?).*)?$",
            url,
        )
        if match is None:
            return f"http://{_LISTEN}:{self._stage.application}"
        authority = match[1] if match[1] in self._upstreams else f"{_LISTEN}:{self._stage.application}"
        return quoted(f"http://{authority}{match[2] or ''}")


def _condition(args: tuple[str, ...]) -> str:
    """An `if`'s words; crossplane took its parentheses away."""
    return " ".join(
        one if re.fullmatch(r"[!=~*]+|\$\w+", one) else '"' + one.replace('"', '\\"') + '"' for one in args
    )
