"""Whisper's encoder and decoder, with fused projections and static key/value memory.

The architecture is that of Radford et al. 2022 (https://arxiv.org/abs/2212.04356), section 2.2. The modules hold no
state between calls, so that one model may serve several threads.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import packed
from .attention_cache import KeyValueCache
from .compact_memory import compile_kernels
from .int8 import Int8Linear
from .layers import CrossAttention, FeedForward, SelfAttention
from .packed import PackedLinear
from .phases import DECODER_STEP, phase
from .screening import ScreenedVocabulary
from .thinning import thinned
from .weights import Dimensions, Weights

ALIGNMENT: Final = 64
"""Of how many logits a row is a multiple on a GPU: 128 bytes in half precision."""
TIMESTAMP_TOKENS: Final = 1501
"""The last tokens of the vocabulary: 0 to 30 s in steps of 20 ms."""


class Places(NamedTuple):
    """Where in the text a step's tokens stand, and what they look back over."""

    rows: Tensor
    """0, 1, … (rows,)."""
    positions: Tensor
    """Of each row's token, (rows,)."""
    span: int
    """How many positions are looked back over, from the first one on."""
    bias: Tensor | None
    """Added to the scores of attention, (rows, 1, 1, span): −∞ behind a row's position. ``None``: none ends before."""


class EncoderBlock(nn.Module):
    def __init__(self, n_state: int, n_head: int) -> None:
        super().__init__()
        self.attn = SelfAttention(n_state, n_head)
        self.attn_ln = nn.LayerNorm(n_state)
        self.mlp = FeedForward(n_state)
        self.mlp_ln = nn.LayerNorm(n_state)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        x = x + self.attn(self.attn_ln(x), bias)
        hidden: Tensor = x + self.mlp(self.mlp_ln(x))
        return hidden


class DecoderBlock(nn.Module):
    def __init__(self, n_state: int, n_head: int) -> None:
        super().__init__()
        self.attn = SelfAttention(n_state, n_head)
        self.attn_ln = nn.LayerNorm(n_state)
        self.cross_attn = CrossAttention(n_state, n_head)
        self.cross_attn_ln = nn.LayerNorm(n_state)
        self.mlp = FeedForward(n_state)
        self.mlp_ln = nn.LayerNorm(n_state)

    def finish(self, x: Tensor, cache: KeyValueCache, layer: int) -> Tensor:
        """What follows the attention to the text before: the attention to the audio, and the feed-forward layers."""
        query = self.cross_attn_ln(x)
        if cache.width > 1:
            # To the audio, texts of one window are like tokens of one text.
            query = query.view(-1, cache.width, query.shape[-1])
        x = x + self.cross_attn(query, cache.cross[layer]).view_as(x)
        hidden: Tensor = x + self.mlp(self.mlp_ln(x))
        return hidden

    def prefill(self, x: Tensor, cache: KeyValueCache, layer: int) -> Tensor:
        """First tokens of every row, shape (rows, length, state), written to the cache from position 0 on."""
        return self.finish(self.attend_to_text(x, cache, layer), cache, layer)

    def attend_to_text(self, x: Tensor, cache: KeyValueCache, layer: int) -> Tensor:
        """The first third of `prefill`: what comes before the attention to the audio."""
        query, key, value = self.attn.project(self.attn_ln(x))
        cache.self_keys[layer][:, :, : x.shape[1]] = key
        cache.self_values[layer][:, :, : x.shape[1]] = value
        attended = F.scaled_dot_product_attention(query, key, value, is_causal=x.shape[1] > 1)
        return x + self.attn.finish(attended)

    def scores(self, x: Tensor, cache: KeyValueCache, layer: int, heads: Sequence[int]) -> Tensor:
        """What `CrossAttention.scores` makes of the output of `attend_to_text`."""
        return self.cross_attn.scores(self.cross_attn_ln(x), cache.cross[layer], heads)

    def step(self, x: Tensor, cache: KeyValueCache, layer: int, places: Places) -> Tensor:
        """One token a row, shape (rows, 1, state)."""
        query, key, value = self.attn.project(self.attn_ln(x))
        keys, values = cache.self_keys[layer], cache.self_values[layer]
        keys[places.rows, :, places.positions] = key[:, :, 0]
        values[places.rows, :, places.positions] = value[:, :, 0]
        seen = slice(places.span)
        attended = F.scaled_dot_product_attention(query, keys[:, :, seen], values[:, :, seen], attn_mask=places.bias)
        return self.finish(x + self.attn.finish(attended), cache, layer)


class AudioEncoder(nn.Module):
    positional_embedding: Tensor

    def __init__(self, dims: Dimensions) -> None:
        super().__init__()
        state = dims.n_audio_state
        self.conv1 = nn.Conv1d(dims.n_mels, state, kernel_size=3, padding=1)
        self.conv2 = nn.Conv1d(state, state, kernel_size=3, stride=2, padding=1)
        self.register_buffer("positional_embedding", torch.empty(dims.n_audio_ctx, state))
        self.blocks = nn.ModuleList(EncoderBlock(state, dims.n_audio_head) for _ in range(dims.n_audio_layer))
        self.ln_post = nn.LayerNorm(state)
        self.thins_padding = False

    def speed_up(self, *, int8: bool) -> None:
        """Thin the padding, and have linear layers of 8-bit integers: all, or those that gain more than they lose.

        What the first block's lose is worth twice what all the others' do. The small ones that attention ends with are
        hardly faster.
        """
        self.thins_padding = True
        if int8:
            replace_linears(self.blocks, Int8Linear)
        else:
            for block in self.blocks[1:]:
                replace_linears(block, Int8Linear, leave={"attn.out"})

    @phase("encoder")
    def forward(self, mel: Tensor, audio: int | None = None) -> Tensor:
        """Log-mel (windows, n_mels, 3000) → audio features (windows, 1500, state).

        Args:
            audio: how many of the 1500 places of the longest window are not padding.
        """
        x = F.gelu(self.conv1(mel))
        x = F.gelu(self.conv2(x)).transpose(1, 2)
        # All blocks add to this tensor: if its numbers lay as the convolutions leave them, each would copy it.
        x = (x + self.positional_embedding).contiguous()
        thinning = thinned(audio, x.shape[1]) if self.thins_padding and audio is not None else None
        if thinning:
            x = x[:, thinning.places]
        for block in self.blocks:
            x = block(x, thinning.bias if thinning else None)
        features: Tensor = self.ln_post(x)
        return thinning.expand(features) if thinning else features


class TextDecoder(nn.Module):
    blocks: nn.ModuleList

    def __init__(self, dims: Dimensions) -> None:
        super().__init__()
        state = dims.n_text_state
        # Given weights, it draws none: for random numbers of no use PyTorch would import its compiler, for a second.
        self.token_embedding = nn.Embedding(dims.n_vocab, state, _weight=torch.empty(dims.n_vocab, state))
        self.n_vocab = dims.n_vocab
        self.positional_embedding = nn.Parameter(torch.empty(dims.n_text_ctx, state))
        self.blocks = nn.ModuleList(DecoderBlock(state, dims.n_text_head) for _ in range(dims.n_text_layer))
        self.ln = nn.LayerNorm(state)
        self.screen: ScreenedVocabulary | None = None

    def speed_up(self, *, int8: bool) -> None:
        """Have `packed` weights, or those of 8-bit integers, `screening` and a `compact_memory` of the audio."""
        self.screen = ScreenedVocabulary(
            self.token_embedding.weight, len(self.token_embedding.weight) - TIMESTAMP_TOKENS
        )
        compile_kernels()
        for block in self._layers():
            block.cross_attn.compact = True
            if int8:
                replace_linears(block, Int8Linear)
            elif packed.available():
                replace_linears(block, PackedLinear, leave={"cross_attn.kv"})  # It reads all of the audio: many rows.

    def _layers(self) -> list[DecoderBlock]:
        return list(self.blocks)  # type: ignore[arg-type]  # ModuleList forgets what it holds

    @phase("audio memory")
    def new_cache(self, features: Tensor) -> KeyValueCache:
        """Cache for decoding audio features (rows, 1500, state), with the cross-attention's part computed."""
        layers = self._layers()
        return KeyValueCache([b.cross_attn.memory(features) for b in layers], features, layers[0].attn.n_head)

    def keys_values(self, features: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """What `StaticCache.fill` needs of audio features (rows, 1500, state), computed layer by layer."""
        return (block.cross_attn.keys_values(features) for block in self._layers())

    @phase("prompt")
    def prefill(self, tokens: Tensor, cache: KeyValueCache) -> Tensor:
        """First tokens (rows, length) → hidden states (rows, length, state).

        Shorter rows may be padded at the end: what follows a row's own tokens changes neither its hidden states nor,
        since later steps overwrite it, what it attends to.
        """
        x = self.token_embedding(tokens) + self.positional_embedding[: tokens.shape[1]]
        for layer, block in enumerate(self._layers()):
            x = block.prefill(x, cache, layer)
        hidden: Tensor = self.ln(x)
        return hidden

    def alignment_scores(self, tokens: Tensor, cache: KeyValueCache, heads: Sequence[tuple[int, int]]) -> Tensor:
        """How well each token (rows, length) fits each place of the audio, to some (layer, head) pairs.

        Shorter rows may be padded at the end. The cache must have room for ``length`` tokens.

        Returns:
            float32 before the softmax, shape (rows, heads, length, audio context); heads in the order of the layers.
        """
        x = self.token_embedding(tokens) + self.positional_embedding[: tokens.shape[1]]
        last = max(layer for layer, _ in heads)
        scores = []
        for layer, block in enumerate(self._layers()[: last + 1]):
            x = block.attend_to_text(x, cache, layer)
            if chosen := [head for one, head in heads if one == layer]:
                scores.append(block.scores(x, cache, layer, chosen))
            if layer < last:
                x = block.finish(x, cache, layer)
        return torch.cat(scores, dim=1)

    @phase(DECODER_STEP)
    def step(self, tokens: Tensor, positions: Tensor, span: int, cache: KeyValueCache, *, masked: bool) -> Tensor:
        """One token a row (rows,) at ``positions`` (rows,) → hidden states (rows, state).

        Args:
            span: how many positions the rows look back over.
            masked: whether a row may be shorter than ``span``.
        """
        x = (self.token_embedding(tokens) + self.positional_embedding[positions]).unsqueeze(1)
        bias = None
        if masked:
            behind = torch.arange(span, device=x.device) > positions[:, None]
            bias = torch.zeros_like(behind, dtype=x.dtype).masked_fill_(behind, float("-inf"))[:, None, None]
        places = Places(torch.arange(len(x), device=x.device), positions, span, bias)
        for layer, block in enumerate(self._layers()):
            x = block.step(x, cache, layer, places)
        hidden: Tensor = self.ln(x)[:, 0]
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden states (…, state) → float32 logits (…, vocabulary); the embedding is also the output projection."""
        return F.linear(hidden, self.token_embedding.weight)[..., : self.n_vocab].float()

    def align_vocabulary(self) -> None:
        """Add rows of zeros to the embedding, so that `logits` writes rows whose length a GPU's fastest kernels can."""
        weight = self.token_embedding.weight
        padded = F.pad(weight, (0, 0, 0, -len(weight) % ALIGNMENT))
        self.token_embedding.weight = nn.Parameter(padded, requires_grad=False)

    @phase("logits")
    def step_logits(self, hidden: Tensor) -> Tensor:
        """The same of hidden states (rows, state); with a screen, rough for those that `refine` has not seen."""
        if self.screen is None:
            return self.logits(hidden)
        logits: Tensor = self.screen(hidden)
        return logits

    def refine(self, logits: Tensor, hidden: Tensor) -> None:
        """Make the largest of a step's logits exact, after those of forbidden tokens were set to −∞."""
        if self.screen is not None:
            self.screen.refine(logits, hidden)


class WhisperModel(nn.Module):
    """Encoder and decoder of one Whisper checkpoint."""

    def __init__(self, dims: Dimensions) -> None:
        super().__init__()
        self.dims = dims
        self.encoder = AudioEncoder(dims)
        self.decoder = TextDecoder(dims)

    @classmethod
    def from_weights(cls, weights: Weights, device: torch.device, dtype: torch.dtype) -> WhisperModel:
        """Build the model with each tensor cast once to ``dtype`` on ``device``."""
        with torch.device("meta"):
            model = cls(weights.dimensions)
        state = {name: tensor.to(device, dtype) for name, tensor in fuse_projections(weights.tensors).items()}
        model.load_state_dict(state, assign=True)
        model.requires_grad_(False).eval()
        if device.type == "cuda":
            model.decoder.align_vocabulary()
        return model

    def speed_up(self, *, int8: bool) -> None:
        """Take what is faster on a CPU than plain float32, and nearly as exact.

        Args:
            int8: whether all linear layers are to be 8-bit integers, which takes less memory and is less exact.
        """
        self.encoder.speed_up(int8=int8)
        self.decoder.speed_up(int8=int8)

    @property
    def device(self) -> torch.device:
        return self.decoder.token_embedding.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.decoder.token_embedding.weight.dtype


def replace_linears(
    module: nn.Module, make: Callable[[Tensor, Tensor | None], nn.Module], *, leave: Collection[str] = ()
) -> None:
    """Put what ``make`` makes of weight and bias in the place of all linear layers below, but those so named."""
    for name, child in list(module.named_modules()):
        if isinstance(child, nn.Linear) and name not in leave:
            module.set_submodule(name, make(child.weight, child.bias))


def fuse_projections(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """OpenAI's tensors under this module's names: q, k, v in one matrix, and k, v of the cross-attention in one.

    The key projection has no bias; in the fused one it is zero.
    """
    fused = dict(tensors)
    for name in [name for name in tensors if name.endswith("attn.query.weight")]:
        attention = name.removesuffix("query.weight")
        parts = ("key", "value") if attention.endswith("cross_attn.") else ("query", "key", "value")
        target = attention + ("kv" if len(parts) == 2 else "qkv")
        value_bias = tensors[attention + "value.bias"]
        biases = {"key": torch.zeros_like(value_bias)}
        biases |= {part: tensors[f"{attention}{part}.bias"] for part in parts if part != "key"}
        fused[target + ".weight"] = torch.cat([fused.pop(f"{attention}{part}.weight") for part in parts])
        fused[target + ".bias"] = torch.cat([biases[part] for part in parts])
        for part in parts:
            fused.pop(f"{attention}{part}.bias", None)
    return fused
