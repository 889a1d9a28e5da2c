"""`python -m wsinspect`."""

from wsinspect.cli.main import main

if __name__ == "__main__":
    main()
