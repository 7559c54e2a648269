"""The command line. Each verb's module is imported when the verb is used, so that `--help` is quick."""

from inferway.cli.root import main

__all__ = ["main"]
