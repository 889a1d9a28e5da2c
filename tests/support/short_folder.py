"""A folder for a browser's temporary files, with a path short enough for its socket."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

_PATIENCE_S = 5.0


class ShortFolder:
    """Right below /tmp: with pytest's own path the browser's socket would not fit into 103 bytes."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="b", dir="/tmp"))

    def remove(self) -> None:
        """Remove it; a browser that was killed may still be writing into it.

        Raises:
            OSError: something is written into it for seconds on end.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while self.path.exists():
            try:
                shutil.rmtree(self.path)
            except OSError:
                if time.monotonic() > deadline:
                    raise
