"""Text from elsewhere, made fit for rows, logs and terminals."""

from __future__ import annotations


def one_line(text: str, limit: int = 300) -> str:
    """One printable line of at most `limit` characters: control characters become spaces, runs of them one."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 2 * limit]).split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


def printable(text: str) -> str:
    """Text that others wrote (models, workloads, errors) without anything that could steer a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def lasting(seconds: float) -> str:
    """A time as people say it: `45 s`, `20 min`, `2 h`, `36 h 30 min`."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    hours, minutes = divmod(minutes, 60)
    return " ".join(f"{number} {unit}" for number, unit in ((hours, "h"), (minutes, "min")) if number)
