"""What a maintainer asks of the seams.

python -m wsinspect.proxy.seams                       check the installed mitmproxy, as every start does
python -m wsinspect.proxy.seams --against 12.4.0      what of that version differs from the installed one
python -m wsinspect.proxy.seams --against FOLDER      the same for an unpacked one (with mitmproxy/ in it)
"""

from __future__ import annotations

import argparse
import ast
import inspect
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from wsinspect.errors import LocalError
from wsinspect.proxy.seams.check import verify

#: What the seams lean on, by file: classes and functions that they subclass, call, or count on to call them.
LEANS_ON: Final[dict[str, tuple[str, ...]]] = {
    "mitmproxy/addonmanager.py": ("AddonManager", "safecall"),
    "mitmproxy/addons/next_layer.py": ("NextLayer",),
    "mitmproxy/addons/proxyserver.py": ("Proxyserver.register_connection", "Proxyserver.server_connect"),
    "mitmproxy/hooks.py": ("Hook",),
    "mitmproxy/http.py": ("MessageData",),
    "mitmproxy/net/http/http1/assemble.py": ("assemble_request_head", "assemble_response_head"),
    "mitmproxy/net/http/http1/read.py": ("read_request_head", "_read_request_line", "read_response_head"),
    "mitmproxy/net/http/url.py": ("parse_authority",),
    "mitmproxy/net/tls.py": ("starts_like_tls_record", "create_proxy_server_context"),
    "mitmproxy/optmanager.py": ("_Option",),
    "mitmproxy/proxy/commands.py": ("StartHook",),
    "mitmproxy/proxy/context.py": ("Context",),
    "mitmproxy/proxy/events.py": ("CommandCompleted",),
    "mitmproxy/proxy/layer.py": ("Layer", "NextLayer"),
    "mitmproxy/proxy/layers/http/__init__.py": ("HttpLayer", "HttpStream", "HttpClient", "validate_request"),
    "mitmproxy/proxy/layers/http/_http1.py": ("Http1Connection", "Http1Server", "Http1Client"),
    "mitmproxy/proxy/layers/http/_http2.py": ("Http2Connection", "Http2Server", "Http2Client"),
    "mitmproxy/proxy/layers/http/_http_h2.py": ("BufferedH2Connection",),
    "mitmproxy/proxy/layers/modes.py": ("HttpProxy", "HttpUpstreamProxy", "ReverseProxy", "Socks5Proxy"),
    "mitmproxy/proxy/layers/tcp.py": ("TCPLayer",),
    "mitmproxy/proxy/layers/tls.py": ("TLSLayer", "ServerTLSLayer", "ClientTLSLayer"),
    "mitmproxy/proxy/layers/websocket.py": ("WebsocketLayer",),
    "mitmproxy/proxy/mode_servers.py": ("ProxyConnectionHandler",),
    "mitmproxy/proxy/server.py": ("TimeoutWatchdog", "ConnectionHandler", "LiveConnectionHandler"),
    "mitmproxy/proxy/tunnel.py": ("TunnelLayer", "LayerStack"),
}


_CODE: Final = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def differences(installed: Path, other: Path) -> Iterator[str]:
    """What of `LEANS_ON` is not the same in two trees, one line each; comments and docstrings do not count.

    Args:
        installed, other: folders that hold `mitmproxy/`.
    """
    for file, names in LEANS_ON.items():
        ours, theirs = _definitions(installed / file), _definitions(other / file)
        for name in names:
            if name not in theirs:
                yield f"{file}: {name} is gone"
                continue
            for part in sorted(one for one in {*ours, *theirs} if one == name or one.startswith(f"{name}.")):
                if ours.get(part) != theirs.get(part):
                    kind = "new" if part not in ours else "gone" if part not in theirs else "changed"
                    yield f"{file}: {part} is {kind}"
    for option in sorted(set(_options(other)) - set(_options(installed))):
        yield f"option {option} is new: read what it does before it can be given with --set"


def _definitions(path: Path) -> dict[str, str]:
    """Qualified names of classes (their own statements) and functions, each with its code."""
    found: dict[str, str] = {}
    if not path.is_file():
        return found

    def walk(body: Sequence[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef):
                name = f"{prefix}{node.name}"
                walk(node.body, f"{name}.")
                own = [one for one in node.body if not isinstance(one, _CODE) and not _is_docstring(one)]
                found[name] = "\n".join([*map(ast.unparse, node.bases), *map(ast.unparse, own)])
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                code = [one for one in node.body if not _is_docstring(one)]
                found[f"{prefix}{node.name}"] = "\n".join([ast.unparse(node.args), *map(ast.unparse, code)])

    walk(ast.parse(path.read_bytes()).body, "")
    return found


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _options(tree: Path) -> Iterator[str]:
    """The names of all options that a mitmproxy has."""
    for path in (tree / "mitmproxy").rglob("*.py"):
        source = path.read_bytes()
        for node in ast.walk(ast.parse(source)) if b"add_option" in source else ():
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "add_option"
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                yield str(node.args[0].value)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command of the module docstring; exit code 1 where something differs."""
    import mitmproxy
    from mitmproxy import version

    parser = argparse.ArgumentParser(prog="python -m wsinspect.proxy.seams")
    parser.add_argument(
        "--against", metavar="VERSION-OR-FOLDER", help="compare the installed mitmproxy with this one"
    )
    options = parser.parse_args(arguments)
    installed = Path(inspect.getfile(mitmproxy)).parents[1]
    if options.against is None:
        verify()
        print(f"mitmproxy {version.VERSION}: every seam finds what it leans on")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        other = Path(options.against)
        if not (other / "mitmproxy").is_dir():
            other = Path(folder)
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder]
            command += [
                "--disable-pip-version-check",
                "--ignore-requires-python",
                f"mitmproxy=={options.against}",
            ]
            if subprocess.run(command, check=False).returncode:
                print(
                    f"{options.against} is neither a folder with mitmproxy in it nor a version of it",
                    file=sys.stderr,
                )
                return 2
        found = list(differences(installed, other))
    for line in found:
        print(line)
    count = "1 difference" if len(found) == 1 else f"{len(found)} differences"
    print(f"{count} to mitmproxy {version.VERSION} in what the seams lean on")
    return 1 if found else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LocalError as error:
        sys.exit(str(error))
