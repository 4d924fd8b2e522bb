"""Other load-generating clients and how each is driven."""

from __future__ import annotations

from load import Client


def peers() -> tuple[list[Client], list[str]]:
    return [], []
