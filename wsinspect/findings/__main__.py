"""`python -m wsinspect.findings` prints docs/findings.md."""

from __future__ import annotations

import sys

from wsinspect.findings.catalogue import render

if __name__ == "__main__":
    sys.stdout.write(render())
