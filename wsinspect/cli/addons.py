"""`wsinspect addons`: the path of the scripts for stock mitmproxy."""

from __future__ import annotations

import click

from wsinspect.cli.options import examples


@click.command(epilog=examples('mitmdump -s "$(wsinspect addons)/handshake_log.py"', "wsinspect addons"))
def addons() -> None:
    """Print the directory of the scripts for stock mitmproxy, and on stderr what each does."""
    import ast

    from wsinspect.cli.output import echo, note
    from wsinspect.errors import LocalError
    from wsinspect.launch.paths import addons_dir

    place = addons_dir()
    if place is None:
        raise LocalError(
            "this installation has no addon scripts", hint="install the wheel, or use a checkout"
        )
    echo(str(place))
    for script in sorted(place.glob("*.py")):
        summary = (ast.get_docstring(ast.parse(script.read_bytes())) or "").partition("\n")[0]
        note(f"  {script.name}  {summary}")
