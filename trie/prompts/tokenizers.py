"""Tokenizers of real models, through `transformers`: loaded only when a run uses one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from trie.errors import PromptError
from trie.prompts.vocabulary import ANCHOR, Vocabulary, from_vocabulary

HUB_TIMEOUT_S = 10.0
CHOICE = "name a folder that holds its tokenizer.json, a mirror through HF_ENDPOINT, or tokenizer_model=words"
FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model")


class Tokenizer:
    """What prompts need of a tokenizer, fast or slow: ids without anything added, and what it adds."""

    def __init__(self, loaded: Any, name: str) -> None:
        self.name = name
        self._loaded = loaded
        self._fast = getattr(loaded, "backend_tokenizer", None)

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, nothing added around it."""
        if self._fast is not None:
            return [found.ids for found in self._fast.encode_batch(list(texts), add_special_tokens=False)]
        return [list(self._loaded.encode(text, add_special_tokens=False)) for text in texts]

    def count_behind(self, text: str) -> int:
        """Tokens that a text adds behind another one."""
        alone, together = self.encode_all([ANCHOR, ANCHOR + text])
        return len(together) - len(alone)

    def count_request(self, text: str) -> int:
        """Tokens of a request's prompt, BOS and the like included."""
        return len(self._loaded.encode(text))

    def vocabulary(self) -> Vocabulary:
        """The pieces that never merge."""
        return from_vocabulary(self._loaded.get_vocab(), self.encode_all, self.name)

    def every_token(self) -> Vocabulary:
        """Every token but the special ones, whatever it spells: of use to prompts in token ids alone."""
        special = set(self._loaded.all_special_ids)
        found = sorted((index, text) for text, index in self._loaded.get_vocab().items() if index not in special)
        return Vocabulary.of([text for _, text in found], (), self.name, [index for index, _ in found])

    def words(self) -> list[str]:
        """Words of ASCII letters that the vocabulary holds, merging or not."""
        texts = (entry.replace("Ġ", "").replace("▁", "") for entry in sorted(self._loaded.get_vocab()))
        return [text for text in texts if text.isascii() and text.isalpha()]


def is_folder(name: str) -> bool:
    """Whether `name` is a local folder with a tokenizer in it."""
    return any((Path(name).expanduser() / file).is_file() for file in FILES)


def load(name: str, *, trust_remote_code: bool = False) -> Tokenizer:
    """The tokenizer of a hub id or a folder; a folder with nothing but a tokenizer.json will do.

    Args:
        name: hub id or folder.
        trust_remote_code: run Python code that lies beside the tokenizer; without it none is.

    Raises:
        PromptError: when it can't be loaded.
    """
    os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # that there is no PyTorch: none is needed
    import transformers  # a second of start-up, only for runs that need it
    from transformers.utils import logging

    logging.set_verbosity_error()
    try:
        if Path(name).expanduser().is_dir():
            return Tokenizer(_from_folder(transformers, Path(name).expanduser(), trust=trust_remote_code), name)
        return Tokenizer(_from_hub(transformers, name, trust=trust_remote_code), name)
    # The Rust side of tokenizers raises bare Exception for a file it can't read
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise PromptError(f"tokenizer_model={name}: can't load it ({reason[:160]}); {CHOICE}") from error


def _from_folder(transformers: Any, folder: Path, *, trust: bool) -> Any:
    alone = folder / "tokenizer.json"
    if alone.is_file() and not any((folder / file).exists() for file in ("config.json", "tokenizer_config.json")):
        return transformers.PreTrainedTokenizerFast(tokenizer_file=str(alone))
    return transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=trust)


def _from_hub(transformers: Any, name: str, *, trust: bool) -> Any:
    """From the local cache when it is whole there; else from a hub that answers, which is asked once before."""
    try:
        return transformers.AutoTokenizer.from_pretrained(name, local_files_only=True, trust_remote_code=trust)
    except (OSError, ValueError, KeyError):
        _answers(name)
    return transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=trust)


def _answers(name: str) -> None:
    """Ask the hub for one small file without retries: the loader itself would try for minutes.

    Raises:
        OSError: when nothing answers; a hub that answers, whatever it says, is left to the loader.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError

    errors = cast("tuple[type[Exception], ...]", (*HfHubHTTPError.__bases__, ValueError))
    try:
        get_hf_file_metadata(hf_hub_url(name, FILES[1]), timeout=HUB_TIMEOUT_S)
    except HfHubHTTPError as error:
        if error.response is not None and error.response.status_code in (404, 429):
            return
        raise
    except errors as error:
        raise OSError(f"{constants.ENDPOINT} does not answer: {error}") from error
