"""Where the commands print, and how they fail."""

from __future__ import annotations

from rich.console import Console

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


class CommandFailed(Exception):
    """A command cannot do what was asked; the message is a sentence for the person at the terminal."""


def say(line: str) -> None:
    """One line of news, as it is."""
    out.print(line, markup=False)
