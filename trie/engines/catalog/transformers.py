"""Hugging Face's `transformers serve`: measured. It has no route of its own that answers a GET with 200."""

from __future__ import annotations

from trie.engines.declaration import Engine, Statuses

ENGINE = Engine(
    dialect="transformers",
    name="transformers serve",
    signs=(Statuses({"/load_model": 405, "/props": 404}, "it has the route /load_model"),),
)
