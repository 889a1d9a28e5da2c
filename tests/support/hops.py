"""Real hops for the lab: nginx, HAProxy and Caddy from Debian's packages.

Each listens on a free port, has a configuration of its own, and stands in front of whatever port it is told.
`Hop.start` returns when the hop accepts connections; `stop` ends the process that was started and no other.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

LOOPBACK = "127.0.0.1"
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])

#: What makes nginx carry an upgrade.
NGINX_GOOD = """
proxy_http_version 1.1;
proxy_set_header Upgrade $http_upgrade;
proxy_set_header Connection $connection_upgrade;
proxy_set_header Host $http_host;
"""


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


class Hop:
    """A running reverse proxy.

    Attributes:
        port: where it listens.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.port = port
        self.process = process
        self._log = log

    @classmethod
    def start(cls, command: Sequence[str], port: int, folder: Path, timeout: float = 15.0) -> Hop:
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
                },
            )
        hop = cls(process, port, log)
        deadline = time.monotonic() + timeout
        while True:
            try:
                socket.create_connection((LOOPBACK, port), 0.2).close()
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
        import signal

        self.process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)

    def __enter__(self) -> Hop:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def nginx(
    folder: Path, locations: str, *, server: str = "", listen: str = "", http: str = "", main: str = ""
) -> Hop:
    """An nginx with these `location` blocks in its one server."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "nginx.conf"
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


def caddy(folder: Path, site: str) -> Hop:
    """A Caddy with one plain site."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "Caddyfile"
    config.write_text(f"{{\n admin off\n auto_https off\n}}\nhttp://{LOOPBACK}:{port} {{\n{site}\n}}\n")
    command = ["caddy", "run", "--config", str(config), "--adapter", "caddyfile"]
    return Hop.start(command, port, folder)
