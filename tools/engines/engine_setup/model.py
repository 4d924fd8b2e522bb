"""A Llama of random weights, small enough to serve thousands of tokens a second on a CPU, with a real one's context."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine_setup import gguf, tokenizer
from engine_setup.places import built

STD = 0.05  # of the weights
NEVER = -20.0  # what a token that may not be said gets added to its logit
RECIPE = "1"  # counts the changes that make older models stale


@dataclass(frozen=True, kw_only=True)
class TinyModel:
    """The sizes of a model; the same sizes give the same weights on the same Python."""

    output: str = "words"  # which tokens it can say: words, any (tokenizer.sayable)
    layers: int = 2
    hidden: int = 128
    heads: int = 4  # hidden / heads is a size that vLLM's CPU attention has: 32, 64, 80, 96, 128
    key_value_heads: int = 1
    intermediate: int = 256
    max_position: int = 131_072
    tokenizer: Path | None = None  # a folder with a tokenizer.json; None: one of its own, of 8,192 tokens
    seed: int = 0

    @property
    def name(self) -> str:
        """Of its folder: what tells it from others."""
        given = {key: value for key, value in asdict(self).items() if value != getattr(TinyModel, key)}
        parts = [f"{key}-{value.name if isinstance(value, Path) else value}" for key, value in given.items()]
        return "_".join(["tiny", *parts])

    @property
    def head_size(self) -> int:
        """Channels of one attention head."""
        return self.hidden // self.heads


def folder(model: TinyModel) -> Path:
    """The model in Hugging Face's layout, with model.gguf beside it where its tokenizer is its own; made once."""
    return built("models", model.name, f"{RECIPE} {model}", lambda where: _write(model, where))


def _write(model: TinyModel, where: Path) -> None:
    its_tokenizer, end = tokenizer.write(where, model.tokenizer, model.max_position)
    size = max(its_tokenizer.get_vocab(with_added_tokens=True).values()) + 1
    rows = math.ceil(size / 64) * 64  # padded as checkpoints are; what is padded is never a valid id
    weights = _weights(model, rows, tokenizer.sayable(its_tokenizer, model.output))
    _write_safetensors(where / "model.safetensors", weights)
    config = _config(model, rows, end)
    (where / "config.json").write_text(json.dumps(config, indent=1))
    ending = {"eos_token_id": end, "pad_token_id": end, "do_sample": False}
    (where / "generation_config.json").write_text(json.dumps(ending, indent=1))
    if model.tokenizer is None:
        gguf.write(where / "model.gguf", config, weights, where)


def _weights(model: TinyModel, rows: int, sayable: list[int]) -> dict[str, np.ndarray]:
    """Random, but channel 0 of the residual stream is 1 throughout: the output layer's bias, which Llama lacks.

    With it, tokens that the model shall not say are out at any temperature.
    """
    random = np.random.default_rng(model.seed)

    def drawn(*shape: int, times: float = 1.0) -> np.ndarray:
        return random.standard_normal(shape, dtype=np.float32) * np.float32(STD * times)

    hidden, key_value = model.hidden, model.key_value_heads * model.head_size
    # Large beside what the layers add, so that the last token decides much of what comes next.
    embedding = drawn(rows, hidden, times=6)
    embedding[:, 0] = 1
    weights = {"model.embed_tokens.weight": embedding}
    for layer in range(model.layers):
        at = f"model.layers.{layer}."
        weights[f"{at}input_layernorm.weight"] = np.ones(hidden, np.float32)
        weights[f"{at}self_attn.q_proj.weight"] = drawn(hidden, hidden)
        weights[f"{at}self_attn.k_proj.weight"] = drawn(key_value, hidden)
        weights[f"{at}self_attn.v_proj.weight"] = drawn(key_value, hidden)
        weights[f"{at}self_attn.o_proj.weight"] = drawn(hidden, hidden)
        weights[f"{at}post_attention_layernorm.weight"] = np.ones(hidden, np.float32)
        weights[f"{at}mlp.gate_proj.weight"] = drawn(model.intermediate, hidden)
        weights[f"{at}mlp.up_proj.weight"] = drawn(model.intermediate, hidden)
        weights[f"{at}mlp.down_proj.weight"] = drawn(hidden, model.intermediate)
        for writes_back in ("self_attn.o_proj", "mlp.down_proj"):
            weights[f"{at}{writes_back}.weight"][0] = 0
    weights["model.norm.weight"] = np.ones(hidden, np.float32)
    head = drawn(rows, hidden, times=4)
    head[:, 0] = NEVER
    head[sayable, 0] = 0
    weights["lm_head.weight"] = head
    return {name: _rounded(values) for name, values in weights.items()}


def _config(model: TinyModel, rows: int, end: int | None) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": rows,
        "hidden_size": model.hidden,
        "intermediate_size": model.intermediate,
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads,
        "num_key_value_heads": model.key_value_heads,
        "head_dim": model.head_size,
        "max_position_embeddings": model.max_position,
        "rope_theta": 500_000.0,
        "rope_parameters": {"rope_type": "default", "rope_theta": 500_000.0},
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": end,
        "pad_token_id": end,
        "torch_dtype": "bfloat16",
        "dtype": "bfloat16",
    }


def _write_safetensors(path: Path, weights: dict[str, np.ndarray]) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, values in weights.items():
        header[name] = {"dtype": "BF16", "shape": list(values.shape), "data_offsets": [at, at + 2 * values.size]}
        at += 2 * values.size
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with path.open("wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for values in weights.values():
            file.write(_bfloat16(values).tobytes())


def _bfloat16(values: np.ndarray) -> np.ndarray:
    """The upper half of each float32, rounded to the nearest, ties to even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2")


def _rounded(values: np.ndarray) -> np.ndarray:
    """What bfloat16 keeps of each value: every engine starts from the same weights, whatever type it computes in."""
    return (_bfloat16(values).astype(np.uint32) << 16).view(np.float32)
