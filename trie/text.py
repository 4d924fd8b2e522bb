"""Text from elsewhere, made fit for rows, logs and terminals."""

from __future__ import annotations


def one_line(text: str, limit: int = 300) -> str:
    """One printable line of at most `limit` characters: control characters become spaces, runs of them one."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 2 * limit]).split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


def printable(text: str) -> str:
    """Text that others wrote (models, workloads, errors) without anything that could steer a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
