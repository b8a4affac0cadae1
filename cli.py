"""Launcher for a checkout: `python cli.py …` is `ots …`."""

from ots.main import main

if __name__ == "__main__":
    main()
