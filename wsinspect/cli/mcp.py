"""`wsinspect mcp`: the tools of an agent, over the Model Context Protocol."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from wsinspect.cli.options import examples
from wsinspect.cli.output import say

#: How clients have it in their configuration: the file, and what is around the entry.
_CLIENTS = {
    "claude": "claude_desktop_config.json, or .mcp.json in a project",
    "cursor": ".cursor/mcp.json",
    "gemini": ".gemini/settings.json",
    "vscode": ".vscode/mcp.json",
    "codex": "~/.codex/config.toml",
}


@click.command(
    epilog=examples(
        "wsinspect mcp --print-config            for a client that reads mcpServers",
        "wsinspect mcp --print-config codex",
        "wsinspect mcp --allow-faults",
    )
)
@click.option("--allow-faults", is_flag=True, help="Also offer fault and inject, which change traffic.")
@click.option(
    "--print-config",
    "client",
    type=click.Choice(list(_CLIENTS)),
    is_flag=False,
    flag_value="claude",
    help="Print what to add to a client's configuration, and leave.",
)
def mcp(allow_faults: bool, client: str | None) -> None:
    """Serve the tools of an agent on stdin and stdout, over the Model Context Protocol.

    doctor, diagnose, connections, frames, explain and wait_for only read. Answers are bounded, secrets in
    headers and URLs are masked, and what peers wrote is marked as untrusted.
    """
    from wsinspect.errors import LocalError

    if client is not None:
        click.echo(_config(client, allow_faults))
        say(f"add this to {_CLIENTS[client]}")
        return
    try:
        from wsinspect.agents.server import serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("mcp", "mcp_types"):
            raise
        raise LocalError(
            "the Model Context Protocol needs the package mcp, which is not installed",
            hint="with Python 3.12 or newer: pipx inject wsinspect mcp, or pip install 'wsinspect[mcp]'",
        ) from None
    if sys.stdin.isatty():
        say("waiting for a client on stdin; Ctrl-C ends it")
    serve(allows_faults=allow_faults)


def _config(client: str, allows_faults: bool) -> str:
    """The entry, with the command as this installation has it."""
    own = Path(sys.argv[0]).absolute()
    is_script = own.name.removesuffix(".exe") == "wsinspect"
    command = str(own) if is_script else sys.executable
    arguments = [*([] if is_script else ["-m", "wsinspect"]), "mcp"]
    arguments += ["--allow-faults"] if allows_faults else []
    if client == "codex":
        return f"[mcp_servers.wsinspect]\ncommand = {json.dumps(command)}\nargs = {json.dumps(arguments)}"
    entry = {"command": command, "args": arguments}
    if client == "vscode":
        return json.dumps({"servers": {"wsinspect": {"type": "stdio", **entry}}}, indent=2)
    return json.dumps({"mcpServers": {"wsinspect": entry}}, indent=2)
