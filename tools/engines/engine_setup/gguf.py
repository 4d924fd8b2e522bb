"""A tiny model as llama.cpp reads it: GGUF version 3."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ALIGNMENT = 32
F32, F16 = 0, 1  # of tensors
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9  # of metadata values
MOSTLY_F16 = 1
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # kinds of tokens
LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
WHOLE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def write(path: Path, config: dict[str, Any], weights: dict[str, np.ndarray], tokenizer: Path) -> None:
    """Write a model whose tokenizer splits as Llama 3's does.

    Args:
        path: of the file.
        config: the model's config.json.
        weights: by their names in Hugging Face's layout, float32.
        tokenizer: folder of tokenizer.json and tokenizer_config.json.
    """
    metadata = [*_architecture(config), *_vocabulary(config, tokenizer)]
    tensors = [_tensor(name, values, config) for name, values in weights.items()]
    with path.open("wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)))
        for key, kind, value in metadata:
            file.write(_string(key) + struct.pack("<I", kind) + _value(kind, value))
        at = 0
        for name, values in tensors:
            shape = values.shape[::-1]  # the fastest dimension first
            kind = F16 if values.dtype == np.float16 else F32
            file.write(_string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, at))
            at += _padded(values.nbytes)
        file.write(b"\0" * (_padded(file.tell()) - file.tell()))
        for _, values in tensors:
            file.write(values.tobytes().ljust(_padded(values.nbytes), b"\0"))


def _architecture(config: dict[str, Any]) -> list[tuple[str, int, Any]]:
    numbers = {
        "context_length": "max_position_embeddings",
        "embedding_length": "hidden_size",
        "block_count": "num_hidden_layers",
        "feed_forward_length": "intermediate_size",
        "attention.head_count": "num_attention_heads",
        "attention.head_count_kv": "num_key_value_heads",
        "attention.key_length": "head_dim",
        "attention.value_length": "head_dim",
        "rope.dimension_count": "head_dim",
        "vocab_size": "vocab_size",
    }
    return [
        ("general.architecture", STRING, "llama"),
        ("general.name", STRING, "tiny"),
        ("general.file_type", UINT32, MOSTLY_F16),
        *((f"llama.{key}", UINT32, config[name]) for key, name in numbers.items()),
        ("llama.rope.freq_base", FLOAT32, config["rope_theta"]),
        ("llama.attention.layer_norm_rms_epsilon", FLOAT32, config["rms_norm_eps"]),
    ]


def _vocabulary(config: dict[str, Any], folder: Path) -> list[tuple[str, int, Any]]:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    texts = {number: text for text, number in tokenizer["model"]["vocab"].items()}
    added = {token["id"]: token for token in tokenizer["added_tokens"]}
    texts |= {number: token["content"] for number, token in added.items()}

    def kind(number: int) -> int:
        if number in added:
            return CONTROL if added[number]["special"] else USER_DEFINED
        return NORMAL if number in texts else UNUSED

    ids = range(config["vocab_size"])
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["model"]["merges"]]
    return [
        ("tokenizer.ggml.model", STRING, "gpt2"),
        ("tokenizer.ggml.pre", STRING, "llama-bpe"),
        ("tokenizer.ggml.tokens", ARRAY, (STRING, [texts.get(number, f"[PAD{number}]") for number in ids])),
        ("tokenizer.ggml.token_type", ARRAY, (INT32, [kind(number) for number in ids])),
        ("tokenizer.ggml.merges", ARRAY, (STRING, merges)),
        ("tokenizer.ggml.eos_token_id", UINT32, config["eos_token_id"]),
        ("tokenizer.ggml.padding_token_id", UINT32, config["pad_token_id"]),
        ("tokenizer.ggml.add_bos_token", BOOL, False),
        ("tokenizer.chat_template", STRING, settings["chat_template"]),
    ]


def _tensor(name: str, values: np.ndarray, config: dict[str, Any]) -> tuple[str, np.ndarray]:
    """A tensor by llama.cpp's name, in its order and type: matrices f16, vectors f32."""
    stem = name.removesuffix(".weight")
    if stem in WHOLE:
        new = WHOLE[stem]
    else:
        _, _, layer, part = stem.split(".", 3)
        new = f"blk.{layer}.{LAYER[part]}"
        heads = {"attn_q": "num_attention_heads", "attn_k": "num_key_value_heads"}.get(LAYER[part])
        if heads is not None:
            values = _interleaved(values, config[heads])
    return f"{new}.weight", np.ascontiguousarray(values, np.float16 if values.ndim == 2 else np.float32)


def _interleaved(values: np.ndarray, heads: int) -> np.ndarray:
    """Rotary pairs side by side: Hugging Face keeps their first halves in front of their second ones."""
    rows, columns = values.shape
    return values.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _value(kind: int, value: Any) -> bytes:
    if kind == STRING:
        return _string(value)
    if kind == ARRAY:
        of, items = value
        return _array(of, items)
    return struct.pack({UINT32: "<I", INT32: "<i", FLOAT32: "<f", BOOL: "<?"}[kind], value)


def _array(of: int, items: Sequence[Any]) -> bytes:
    return struct.pack("<IQ", of, len(items)) + b"".join(_value(of, item) for item in items)


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
