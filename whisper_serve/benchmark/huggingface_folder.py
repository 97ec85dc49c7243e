"""A model as a Hugging Face folder, for systems that read no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from whisper.tokenizer import get_tokenizer

from whisper_serve.engine import WhisperTokenizer
from whisper_serve.engine.weights import Weights
from whisper_serve.engine.weights.huggingface import DIMENSIONS, MODEL_PREFIX, stored_name


def write_folder(weights: Weights, folder: Path) -> None:
    """Write configuration, tensors in float32 and ``vocab.json``: the bytes of each token, and the special ones."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {MODEL_PREFIX + stored_name(name): tensor.float() for name, tensor in weights.tensors.items()}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")
    _write(folder / "config.json", _config(weights))
    _write(folder / "generation_config.json", _generation(weights))
    _write(folder / "vocab.json", _vocabulary(weights))


def _config(weights: Weights) -> dict[str, Any]:
    dims = weights.dimensions.as_dict()
    sizes = {theirs: dims[ours] for ours, theirs in DIMENSIONS.items()}
    sizes |= {f"{side}_ffn_dim": 4 * sizes["d_model"] for side in ("encoder", "decoder")}
    architecture = {"model_type": "whisper", "architectures": ["WhisperForConditionalGeneration"]}
    return {**architecture, **sizes, **_special(WhisperTokenizer(weights.dimensions))}


def _generation(weights: Weights) -> dict[str, Any]:
    tokenizer = WhisperTokenizer(weights.dimensions)
    base = get_tokenizer(tokenizer.multilingual, num_languages=len(tokenizer.languages))
    return {
        **_special(tokenizer),
        "suppress_tokens": list(tokenizer.suppressed()),
        "begin_suppress_tokens": list(tokenizer.blank),
        "is_multilingual": tokenizer.multilingual,
        "lang_to_id": {f"<|{code}|>": token for code, token in tokenizer.language_tokens.items()},
        "task_to_id": {"transcribe": base.transcribe, "translate": base.translate},
        "no_timestamps_token_id": tokenizer.no_timestamps,
        "prev_sot_token_id": base.sot_prev,
        "max_length": weights.dimensions.n_text_ctx,
    }


def _special(tokenizer: WhisperTokenizer) -> dict[str, int]:
    ends = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), tokenizer.eot)
    return {**ends, "decoder_start_token_id": tokenizer.sot}


def _vocabulary(weights: Weights) -> dict[str, Any]:
    tokenizer = WhisperTokenizer(weights.dimensions)
    text = [tokenizer.token_bytes(token).hex() for token in range(tokenizer.eot)]
    special = [tokenizer.decode_with_special([token]) for token in range(tokenizer.eot, tokenizer.timestamp_begin)]
    times = [f"<|{step * 0.02:.2f}|>" for step in range(weights.dimensions.n_vocab - tokenizer.timestamp_begin)]
    return {"text": text, "special": special + times, "n_mels": weights.dimensions.n_mels}


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
