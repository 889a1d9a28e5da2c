"""The recorder of `run --config`: a finding that a configuration explains names the line in it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from wsinspect.doctor.configuration.judging import explain_finding
from wsinspect.doctor.configuration.reading import Configuration, read_configurations
from wsinspect.doctor.target import target_of_handshake
from wsinspect.errors import UsageError
from wsinspect.findings.facts import ConnectionFacts
from wsinspect.findings.model import Finding
from wsinspect.recorder import process


def explained(read: Sequence[Configuration], finding: Finding, facts: ConnectionFacts) -> Finding:
    """The finding with its line, where one of these configurations explains it."""
    if facts.port is None:
        return finding
    scheme, path = facts.scheme or "ws", facts.path or "/"
    target = target_of_handshake(scheme, facts.host or "", facts.port, path, facts.raw_request_in)
    return finding if target is None else explain_finding(finding, read, target)[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a recorder, as `wsinspect.recorder.process` does; returns its exit code.

    A configuration that cannot be read any more costs the lines, not the recording.
    """
    parser = argparse.ArgumentParser(prog="wsinspect.proxy.placing", add_help=False, allow_abbrev=False)
    parser.add_argument("--config", action="append", default=[])
    options, rest = parser.parse_known_args(arguments)
    try:
        read = read_configurations(options.config)
    except UsageError as error:
        print(f"wsinspect: {error}", file=sys.stderr, flush=True)
        return process.main(rest)
    return process.main(rest, lambda finding, facts: explained(read, finding, facts))


if __name__ == "__main__":
    sys.exit(main())
