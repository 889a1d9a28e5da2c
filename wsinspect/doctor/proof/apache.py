"""Apache httpd: its directives again, as far as they are harmless, around our own listener and servers."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wsinspect.doctor.configuration.apache.choice import Found
from wsinspect.doctor.configuration.apache.tree import Tree, seconds_of
from wsinspect.doctor.configuration.directives import Directive
from wsinspect.doctor.configuration.model import Met, Place
from wsinspect.doctor.proof.model import Setup, Stage
from wsinspect.doctor.target import Target

_MODULE_FOLDERS: Final = (
    "/usr/lib/apache2/modules",
    "/usr/lib64/httpd/modules",
    "/usr/lib/httpd/modules",
    "/usr/local/apache2/modules",
    "/opt/homebrew/opt/httpd/lib/httpd/modules",
)
_MODULES: Final = (
    *(
        "mpm_event",
        "unixd",
        "authz_core",
        "authz_host",
        "authz_user",
        "authn_core",
        "access_compat",
        "auth_basic",
    ),
    *("authn_file", "alias", "rewrite", "headers", "env", "setenvif", "ssl", "proxy", "proxy_http"),
    *("proxy_wstunnel", "slotmem_shm", "proxy_balancer", "lbmethod_byrequests"),
)
#: Modules that are loaded only if the configuration loads them: it behaves differently without them.
_AS_CONFIGURED: Final = ("proxy_http", "proxy_wstunnel")
_HARMLESS: Final = frozenset(
    (
        *(
            "servername",
            "serveralias",
            "proxypass",
            "proxypassmatch",
            "proxypassreverse",
            "proxypreservehost",
        ),
        *(
            "proxyrequests",
            "proxyaddheaders",
            "proxyvia",
            "proxybadheader",
            "proxyerroroverride",
            "rewriteengine",
        ),
        *("rewritecond", "rewriterule", "rewriteoptions", "rewritebase", "requestheader", "header", "setenv"),
        *("setenvif", "setenvifnocase", "browsermatch", "redirect", "redirectmatch", "redirectpermanent"),
        *(
            "redirecttemp",
            "require",
            "order",
            "deny",
            "allow",
            "satisfy",
            "authname",
            "authtype",
            "limitrequestline",
        ),
        *(
            "limitrequestfieldsize",
            "limitrequestfields",
            "allowencodedslashes",
            "mergeslashes",
            "usecanonicalname",
        ),
        *(
            "keepalive",
            "maxkeepaliverequests",
            "httpprotocoloptions",
            "balancermember",
            "proxyset",
            "proxywebsocketfallbacktoproxyhttp",
        ),
    )
)
_TIMES: Final = ("timeout", "proxytimeout", "keepalivetimeout", "proxywebsocketidletimeout")
_SECTIONS: Final = (
    "virtualhost",
    "location",
    "locationmatch",
    "proxy",
    "proxymatch",
    "if",
    "else",
    "elseif",
    "requireany",
    "requireall",
    "requirenone",
    "limit",
    "limitexcept",
)
_UNSAID: Final = re.compile(
    r"^(ssl.*|customlog|errorlog|loglevel|logformat|documentroot|directory.*|files.*|listen|loadmodule|user|group|server(root|admin|tokens|signature)"
    r"|pidfile|mutex|defaultruntimedir|define|include.*|protocols|addtype|add.*|.*mime.*|hostnamelookups|accessfilename|alias.*|options"
    r"|ifmodule|mpm.*|startservers|.*threads.*|maxrequest.*|maxconnections.*|traceenable|scriptalias|undefine|typesconfig|h2.*|expires.*|setoutputfilter)$"
)
#: Values that run a program, ask a directory, read a file or a map.
_DANGEROUS: Final = re.compile(
    r"(?i)\bprg:|\bfile\(|\$\{\w+:|%\{LA-|%\{SSL:|expr=|unix:|fcgi:|%\{reqenv|\b(dbm|dbd|txt|rnd)="
)
_DEFAULT_TIMEOUT: Final = 60.0


@dataclass(frozen=True)
class ApacheProver:
    """Apache httpd in the foreground, with one process."""

    programs: tuple[str, ...] = ("apache2", "httpd")
    version_arguments: tuple[str, ...] = ("-v",)

    def refuses(self, version: str) -> str | None:
        """2.2 has other directives."""
        numbers = tuple(int(one) for one in version.split(".")[:2])
        return None if numbers >= (2, 4) else f"httpd {version}: 2.4 is needed"

    def setup(self, tree: Tree, met: Met, target: Target, stage: Stage) -> Setup:
        """httpd.conf with the one virtual host that the URL meets."""
        writer = _Writer(stage, tree)
        writer.head()
        found: Found = met.found
        for one in tree.root:
            if one.name != "virtualhost":
                writer.directive(one)
        if found.host is not None:
            writer.line(f"<VirtualHost 127.0.0.1:{stage.port}>", found.host.at)
            writer.tls()
            for one in found.host.block or ():
                writer.directive(one)
            writer.line("</VirtualHost>", found.host.at)
        else:
            writer.tls()
        for folder, block in found.documents:
            writer.documents(folder.url, block)
        kept = {f"empty{folder.url}.keep": "" for folder, _ in found.documents}
        command = ["-f", str(stage.folder / "httpd.conf"), "-d", str(stage.folder), "-DFOREGROUND"]
        return Setup(
            {"httpd.conf": "\n".join(writer.lines) + "\n", "empty/.keep": "", **kept},
            command,
            [*command[:4], "-t"],
            list(dict.fromkeys(writer.left_out)),
            {"httpd.conf": writer.origins},
            is_entered=bool(found.documents),
        )

    def missing_variable(self, words: str, setup: Setup) -> str | None:
        """httpd does not miss variables."""
        return None


def _modules() -> tuple[Path, list[str]] | None:
    """The folder with modules, and which of ours are in it."""
    for name in _MODULE_FOLDERS:
        folder = Path(name)
        if folder.is_dir():
            return folder, [one for one in _MODULES if (folder / f"mod_{one}.so").is_file()]
    return None


class _Writer:
    def __init__(self, stage: Stage, tree: Tree) -> None:
        self.lines: list[str] = []
        self.origins: list[Place | None] = [None]
        self.left_out: list[str] = []
        self._stage = stage
        self._tree = tree

    def line(self, text: str, at: Place | None = None) -> None:
        self.lines.append(text)
        self.origins.append(at)

    def head(self) -> None:
        """What every httpd needs."""
        folder = self._stage.folder
        there = _modules()
        if there is not None:
            place, names = there
            loaded = self._tree.modules
            for one in names:
                if not (loaded and one in _AS_CONFIGURED and one not in loaded):
                    self.line(f'LoadModule {one}_module "{place}/mod_{one}.so"')
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            self.line("User #65534")
            self.line("Group #65534")
        for text in (
            f'ServerRoot "{folder}"',
            f'DefaultRuntimeDir "{folder}"',
            f'PidFile "{folder}/httpd.pid"',
            "ErrorLog /dev/stderr",
            f'DocumentRoot "{folder}/empty"',
            "ServerName localhost",
            "StartServers 1",
            "ServerLimit 2",
            "ThreadsPerChild 8",
            "MaxRequestWorkers 16",
            f"Listen 127.0.0.1:{self._stage.port}",
            f"Timeout {self._time(_DEFAULT_TIMEOUT)}",
        ):
            self.line(text)

    def tls(self) -> None:
        """Our certificate, where the URL has TLS."""
        if self._stage.certificate is not None:
            self.line("SSLEngine on")
            self.line(f'SSLCertificateFile "{self._stage.certificate}"')

    def documents(self, url: str, block: Sequence[Directive]) -> None:
        """What holds in a folder of documents: of `<Directory>` and `.htaccess` alike."""
        self.line(f'<Directory "{self._stage.folder}/empty{url}">')
        self.line("Options FollowSymLinks")  # rules in a folder need it
        if not any(one.name.startswith("require") for one in block):
            self.line("Require all granted")
        for one in block:
            self.directive(one)
        self.line("</Directory>")

    def directive(self, one: Directive) -> None:
        """It and what is inside, as far as they are harmless."""
        if one.block is not None:
            if one.name in _SECTIONS and not _DANGEROUS.search(" ".join(one.args)):
                self.line(f"<{' '.join((one.name, *map(_quoted, one.args)))}>", one.at)
                for inner in one.block:
                    self.directive(inner)
                self.line(f"</{one.name}>", one.at)
            elif not _UNSAID.match(one.name):
                self.left_out.append(f"<{' '.join((one.name, *one.args))}>")
            return
        for text in self._texts(one):
            self.line(text, one.at)

    def _texts(self, one: Directive) -> Iterator[str]:
        words = " ".join((one.name, *one.args))
        if one.name in _TIMES and one.args:
            seconds = seconds_of(one.args[0])
            yield words if seconds is None else f"{one.name} {self._time(seconds)}"
        elif one.name in _HARMLESS and not _DANGEROUS.search(words):
            yield " ".join((one.name, *map(_quoted, self._passed(one))))
        elif not _UNSAID.match(one.name):
            self.left_out.append(words)

    def _passed(self, one: Directive) -> Sequence[str]:
        """Its arguments, every URL that something is passed to at our application."""
        if one.name not in (
            "proxypass",
            "proxypassmatch",
            "balancermember",
            "proxypassreverse",
        ) and not _is_proxying(one):
            return one.args
        return [self._at_ours(arg) for arg in one.args]

    def _at_ours(self, arg: str) -> str:
        match = re.match(r"(https?|wss?|h2c?)://[^/]*(.*)$", arg)
        if match:
            scheme = {"https": "http", "wss": "ws", "h2": "http", "h2c": "http"}.get(match[1], match[1])
            return f"{scheme}://127.0.0.1:{self._stage.application}{match[2]}"
        name, equals, value = arg.partition("=")
        if (
            equals
            and name.lower() in ("timeout", "connectiontimeout", "ttl", "retry")
            and self._stage.scale != 1
        ):
            seconds = seconds_of(value)
            return arg if seconds is None or name.lower() != "timeout" else f"{name}={self._time(seconds)}"
        return arg

    def _time(self, seconds: float) -> str:
        if self._stage.scale == 1:
            return f"{seconds:g}"
        # httpd's own Timeout takes whole seconds.
        return str(max(1, round(seconds / self._stage.scale)))


def _is_proxying(one: Directive) -> bool:
    return one.name == "rewriterule" and len(one.args) > 2 and bool(re.search(r"\bP\b|proxy", one.args[2]))


def _quoted(word: str) -> str:
    if re.fullmatch(r"[^\s\"'<>\\]+", word):
        return word
    return '"' + word.replace('"', '\\"') + '"'
