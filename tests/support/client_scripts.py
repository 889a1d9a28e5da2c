"""What exports for other clients are tried with."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from wsinspect.capture.reader import Capture
from wsinspect.formats.clients_writer import ClientsWritten

#: Texts that a shell or JavaScript may take for something else.
TRICKY: Final = ['it\'s "quoted" $HOME `id` \\n', "${1}</script>\u2028", "%s\t%d", "ünï 😀"]


def written(write: Callable[..., ClientsWritten], path: Path, **options: Any) -> tuple[ClientsWritten, str]:
    out = io.BytesIO()
    with Capture.open(path) as capture:
        result = write(capture, out, **options)
    return result, out.getvalue().decode()
