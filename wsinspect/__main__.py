"""The program: `wsinspect`, and `python -m wsinspect`."""

import os
import signal


def main() -> None:
    """Run the command line. Importing it takes a moment; an interrupt then prints no traceback."""
    signal.signal(signal.SIGINT, lambda _number, _frame: os._exit(130))
    from wsinspect.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
