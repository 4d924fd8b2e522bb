"""OpenAI and clouds that answer as it does."""

from __future__ import annotations

from trie.engines.declaration import Engine, Header, OwnedBy

ENGINE = Engine(
    dialect="openai",
    name="OpenAI",
    signs=(
        OwnedBy(("openai", "openai-internal", "system")),
        Header("openai-organization"),
        Header("openai-version"),
    ),
)
