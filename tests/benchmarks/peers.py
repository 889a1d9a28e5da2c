"""What is measured: a plain connection, nginx, stock mitmdump, mockttp, and wsinspect with its recorder.

A peer is started once and kept for all rounds, warm; wsinspect is started again for every measurement, so
that each has its own capture, which is counted and removed. A peer that is not installed says so and is
left out.
"""

import contextlib
import dataclasses
import re
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.processes import ROOT, BenchError, Child, cpu_s, resident_mb, wait_for
from tests.support.certs import Certificates

NODE_MODULES = ROOT / "tests" / "node" / "node_modules"
MOCKTTP = Path(__file__).with_name("mockttp.cjs")
NGINX_CONF = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log warn;
worker_rlimit_nofile {files};
events {{ worker_connections {files}; }}
http {{
  access_log off;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{
    listen 127.0.0.1:{port}{tls};
    location / {{
      proxy_pass {scheme}://127.0.0.1:{target}; proxy_http_version 1.1;
      proxy_read_timeout 1h; proxy_send_timeout 1h;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";
      proxy_set_header Host $host;
    }}
  }}
}}
"""
#: The same versions on both legs, for nginx as for us.
NGINX_TLS = """ ssl;
    ssl_certificate {certificates.chain}; ssl_certificate_key {certificates.key};
    ssl_protocols TLSv1.2 TLSv1.3; proxy_ssl_protocols TLSv1.2 TLSv1.3"""


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def version_of(command: list[str], pattern: str = r"\d+\.\d+[.\d]*") -> str:
    """The version a program prints."""
    answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    found = re.search(pattern, answer.stdout + answer.stderr)
    return found.group() if found else "unknown"


@dataclass
class Running:
    """A started peer."""

    port: int
    pid: int | None = None
    capture: Path | None = None
    child: Child | None = None
    #: CPU seconds until it listened.
    ready_cpu_s: float = 0.0

    def resident_mb(self) -> float | None:
        """Memory of its processes, in MB."""
        return None if self.pid is None else resident_mb(self.pid)

    def cpu_s(self) -> float | None:
        """CPU seconds of its processes so far."""
        return None if self.pid is None else cpu_s(self.pid)

    def relay_cpu_s(self) -> float | None:
        """CPU seconds of the process that relays: for us without the recorder's."""
        return None if self.pid is None else cpu_s(self.pid, alone=True)

    def query(self, statement: str) -> int | None:
        """One number from the capture; None while there is no such table yet."""
        if self.capture is None or not self.capture.exists():
            return None
        try:
            with contextlib.closing(
                sqlite3.connect(f"{self.capture.as_uri()}?mode=ro", uri=True, timeout=10)
            ) as base:
                row = base.execute(statement).fetchone()
        except sqlite3.OperationalError:
            return None
        return int(row[0] or 0)


@dataclass
class Peer:
    """One row of the table. ``is_bounded``: a slow peer gets as many frames as take a few seconds."""

    name: str
    version: str = ""
    is_bounded: bool = False
    only: frozenset[str] = frozenset()
    missing: str = ""
    #: A program that it runs under, with the seconds that it then may take to start.
    wrapper: tuple[str, ...] = ()
    ready_s: float = 30.0
    _child: Child | None = field(default=None, repr=False)
    _running: Running | None = field(default=None, repr=False)

    def command(self, folder: Path, port: int, target: int) -> list[str]:
        """The command line that starts it."""
        raise NotImplementedError

    @contextlib.contextmanager
    def serve(self, folder: Path, target: int) -> Iterator[Running]:
        """The running peer in front of the target."""
        if self._running is None:
            port = free_port()
            self._child = child = Child(
                [*self.wrapper, *self.command(folder, port, target)], folder, self.name.replace(" ", "-")
            )
            self._running = Running(self.ready(child, port), child.pid)
        yield self._running

    def ready(self, child: Child, port: int) -> int:
        """Wait until it listens; its port."""

        def probe() -> int | None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return port
            return None

        return wait_for(self.name, probe, seconds=self.ready_s, alive=child.is_alive)

    def over_tls(self, certificates: Certificates) -> "Peer | None":
        """The same with TLS on both legs; None where that is not measured."""
        return None

    def under(self, wrapper: tuple[str, ...], seconds: float) -> "Peer":
        """Another one of the same that runs under a program, and has so long to start."""
        return dataclasses.replace(self, wrapper=wrapper, ready_s=seconds, _child=None, _running=None)

    def stop(self) -> None:
        """End it."""
        if self._child is not None:
            self._child.stop(seconds=10)
        self._child = self._running = None


class Direct(Peer):
    """No proxy at all."""

    @contextlib.contextmanager
    def serve(self, folder: Path, target: int) -> Iterator[Running]:
        """The target itself."""
        yield Running(target)

    def over_tls(self, certificates: Certificates) -> Peer | None:
        """The target itself."""
        return self


@dataclass
class Nginx(Peer):
    """nginx with the usual lines for WebSockets and one worker."""

    certificates: Certificates | None = None
    _over_tls: "Nginx | None" = field(default=None, repr=False)

    def command(self, folder: Path, port: int, target: int) -> list[str]:
        """Its own configuration in the run's folder."""
        tls = "" if self.certificates is None else NGINX_TLS.format(certificates=self.certificates)
        scheme = "https" if tls else "http"
        conf = folder / f"nginx-{scheme}.conf"
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        conf.write_text(
            NGINX_CONF.format(folder=folder, port=port, target=target, tls=tls, scheme=scheme, files=files)
        )
        return [nginx_path() or "nginx", "-p", str(folder), "-c", str(conf), "-e", str(folder / "nginx.log")]

    def over_tls(self, certificates: Certificates) -> Peer | None:
        """Another nginx."""
        if self._over_tls is None:
            self._over_tls = Nginx("nginx tls", self.version, certificates=certificates)
        return self._over_tls

    def stop(self) -> None:
        """End both."""
        if self._over_tls is not None:
            self._over_tls.stop()
        super().stop()


class Mitmdump(Peer):
    """Stock mitmdump of the same version, quiet; ``options`` are further ones."""

    options: tuple[str, ...] = ()

    def command(self, folder: Path, port: int, target: int) -> list[str]:
        """Reverse mode, its own empty configuration."""
        return [
            str(Path(sys.executable).with_name("mitmdump")),
            "-q",
            "--mode",
            f"reverse:http://127.0.0.1:{target}",
            "--listen-host",
            "127.0.0.1",
            "-p",
            str(port),
            "--set",
            f"confdir={folder / 'mitmproxy'}",
            *self.options,
        ]


class MitmdumpRaw(Mitmdump):
    """The same with its WebSocket layer switched off: bytes pass as a TCP flow and no frame is seen."""

    options = ("--set", "websocket=false", "--set", "rawtcp=true")


class Mockttp(Peer):
    """mockttp forwarding WebSockets."""

    def command(self, folder: Path, port: int, target: int) -> list[str]:
        """The script next to this file; the port is chosen by mockttp."""
        return ["node", str(MOCKTTP), str(NODE_MODULES), str(target)]

    def ready(self, child: Child, port: int) -> int:
        """The port it printed."""
        found = child.wait_line(30, "port")
        self.version = str(found["version"])
        return int(found["port"])


@dataclass
class Wsinspect(Peer):
    """``wsinspect run --headless``, recording; ``checkout``: the folder whose version runs.

    ``program``: what Python runs, where it is not just the command.
    """

    options: tuple[str, ...] = ()
    checkout: Path = ROOT
    python: str = sys.executable
    program: tuple[str, ...] = ("-m", "wsinspect")
    scheme: str = "http"

    @contextlib.contextmanager
    def serve(self, folder: Path, target: int) -> Iterator[Running]:
        """A new engine with a new capture, both gone afterwards."""
        own = Path(tempfile.mkdtemp(prefix="capture-", dir=folder))
        capture = own / "bench.db"
        command = [
            *self.wrapper,
            self.python,
            *self.program,
            "run",
            "--headless",
            "--json",
            "--reverse",
            f"{self.scheme}://127.0.0.1:{target}",
            "--listen",
            "127.0.0.1:0",
            "--capture",
            str(capture),
            "--ca-dir",
            str(folder / "ca"),
            *self.options,
        ]
        child = Child(command, own, "engine", self.checkout)
        try:
            ready = child.wait_line(self.ready_s, "listeners")
            spent = cpu_s(child.pid, alone=True)
            yield Running(int(ready["listeners"][0]["port"]), child.pid, capture, child, spent)
        finally:
            child.stop(seconds=120)
            shutil.rmtree(own, ignore_errors=True)

    def over_tls(self, certificates: Certificates) -> Peer | None:
        """With the certificate of its own CA, and a server that it need not trust."""
        return dataclasses.replace(self, scheme="https", options=(*self.options, "--insecure"))


def nginx_path() -> str | None:
    """nginx is in a place that is not on every user's PATH."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def all_peers() -> list[Peer]:
    """Every peer, also those that cannot run here (``missing`` says why)."""
    nginx = nginx_path()
    mitmdump = Path(sys.executable).with_name("mitmdump")
    stock = version_of([str(mitmdump), "--version"]) if mitmdump.exists() else ""
    no_stock = "" if stock else f"{mitmdump} does not exist"
    has_mockttp = shutil.which("node") and (NODE_MODULES / "mockttp").is_dir()
    ours = version_of([sys.executable, "-m", "wsinspect", "--version"])
    return [
        Direct("direct"),
        Nginx(
            "nginx",
            version_of([nginx, "-v"]) if nginx else "",
            missing="" if nginx else "nginx is not installed",
        ),
        Mitmdump("mitmdump", stock, is_bounded=True, missing=no_stock),
        MitmdumpRaw("mitmdump rawtcp", stock, is_bounded=True, missing=no_stock),
        Mockttp(
            "mockttp",
            is_bounded=True,
            missing="" if has_mockttp else f"{NODE_MODULES}/mockttp is not installed",
        ),
        Wsinspect("wsinspect", ours),
        Wsinspect("wsinspect snaplen", ours, only=frozenset({"bulk"}), options=("--snaplen", "4KiB")),
    ]


def other_version(checkout: Path) -> Peer:
    """Another version of wsinspect from its working tree; BenchError where there is none.

    It runs in the environment that ``.ci/env`` made in that tree, since it may need other versions of its
    libraries, or in ours.
    """
    if not (checkout / "wsinspect" / "__main__.py").is_file():
        raise BenchError(f"{checkout} has no wsinspect/: --beside takes the folder of another working tree")
    found = subprocess.run(
        ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    own = checkout.resolve() / Path(sys.prefix).name / "bin" / "python"
    return Wsinspect(
        "wsinspect before",
        found.stdout.strip() or "unknown",
        checkout=checkout.resolve(),
        python=str(own) if own.is_file() else sys.executable,
    )


def choose(names: list[str], checkout: Path | None = None) -> list[Peer]:
    """The peers with these names (all when empty), and another version; an unknown name is an error."""
    peers = all_peers() + ([other_version(checkout)] if checkout is not None else [])
    known = {peer.name for peer in peers}
    if unknown := set(names) - known:
        raise BenchError(f"unknown peer {', '.join(sorted(unknown))}; there are: {', '.join(sorted(known))}")
    return [peer for peer in peers if not names or peer.name in names]
