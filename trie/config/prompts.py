"""What the synthetic prompts are made of."""

from __future__ import annotations

from dataclasses import dataclass

from trie.config.setting import check, setting

MAX_ZIPF = 10.0  # above it all words are the first
MAX_POOL_TOKENS = 1 << 26  # about 400 MB of text


@dataclass
class PromptConfig:
    """What the synthetic prompts are made of."""

    zipf: float = setting(
        1.0, "exponent of the word frequencies; 0: all words are equally frequent", minimum=0, maximum=MAX_ZIPF
    )
    pool_tokens: int = setting(
        1 << 18,
        "size of the pool that prompts are cut from; a session with more tokens repeats itself",
        minimum=1024,
        maximum=MAX_POOL_TOKENS,
    )
    calibrate: bool = setting(True, "verify prompt lengths against the server with two small requests before the run")
    trust_remote_code: bool = setting(
        False, "run the Python code that a tokenizer's repository brings: it can do all that you can"
    )

    def __post_init__(self) -> None:
        check(self, "prompts.")
