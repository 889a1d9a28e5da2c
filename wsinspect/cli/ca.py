"""`wsinspect ca`: where the certificate authority is, and how to trust it by hand."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wsinspect.cli.options import examples, json_option

if TYPE_CHECKING:
    from wsinspect.proxy.authority import Authority


@click.command(
    epilog=examples(
        "wsinspect ca",
        "wsinspect ca --json | jq -r .certificate",
        'curl --cacert "$(wsinspect ca --path)" --proxy http://127.0.0.1:8080 https://localhost:8443/',
        failed="the certificate is not valid now",
    )
)
@click.option("--path", "only_path", is_flag=True, help="Print only the certificate's path.")
@click.option("--ca-dir", type=click.Path(path_type=Path), help="Directory of the CA.")
@json_option
def ca(only_path: bool, ca_dir: Path | None, as_json: bool) -> int:
    """Show where the CA certificate is, its fingerprint, and how to trust it.

    It is created if there is none yet. `wsinspect browser` needs none of this: its profile trusts the
    certificate already.
    """
    from wsinspect.cli.output import echo, echo_json
    from wsinspect.launch.paths import ca_dir as default_ca_dir
    from wsinspect.launch.paths import ensure_private_dir
    from wsinspect.launch.trust import ways_to_trust
    from wsinspect.proxy.authority import ensure_authority

    authority = ensure_authority(ensure_private_dir((ca_dir or default_ca_dir()).absolute()))
    is_valid = authority.is_valid_at(datetime.datetime.now(datetime.UTC))
    ways = ways_to_trust(authority.certificate)
    if as_json:
        trust = [{"for": way.reader, "trust": way.trust, "undo": way.undo} for way in ways]
        echo_json({**_facts(authority), "is_valid": is_valid, "trust": trust})
    elif only_path:
        echo(str(authority.certificate))
    else:
        for line in _summary(authority, is_valid):
            echo(line)
        for way in ways:
            echo()
            echo(way.reader)
            for line in way.trust:
                echo(f"  {line}")
            for line in way.undo:
                echo(f"  undo: {line}")
    return 0 if is_valid else 1


def _facts(authority: Authority) -> dict[str, str]:
    return {
        "certificate": str(authority.certificate),
        "subject": authority.subject,
        "sha256": authority.sha256,
        "spki_sha256": authority.spki_sha256,
        "not_before": authority.not_before.isoformat(),
        "not_after": authority.not_after.isoformat(),
    }


def _summary(authority: Authority, is_valid: bool) -> list[str]:
    from wsinspect.text import escape

    digits = authority.sha256.upper()
    fingerprint = ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))
    period = f"{authority.not_before:%Y-%m-%d} to {authority.not_after:%Y-%m-%d}"
    return [
        f"certificate  {escape(str(authority.certificate))}",
        f"issued to    {escape(authority.subject)}",
        f"SHA-256      {fingerprint}",
        f"valid        {period}"
        + ("" if is_valid else "  NOT VALID NOW: move its directory away, and a new one is created"),
        "",
        "Anyone who has the key next to it can read the TLS traffic of everyone who trusts it. Trust it only",
        "where you test: `wsinspect browser` and the variables below do not change the system.",
    ]
