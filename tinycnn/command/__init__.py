"""The `tinycnn` command: main.py has its errors and its list of subcommands, each of which is a file here."""

from tinycnn.command.main import main

__all__ = ["main"]
