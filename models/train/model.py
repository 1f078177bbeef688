"""The Qwen3 architecture, small, in plain PyTorch. Parameter names are those of Hugging Face, so export is a copy."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CONFIG = {
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "attention_bias": False, "attention_dropout": 0.0,
    "bos_token_id": None, "head_dim": 64, "hidden_act": "silu", "hidden_size": 256, "initializer_range": 0.02,
    "intermediate_size": 768, "max_position_embeddings": 2048, "num_attention_heads": 4, "num_hidden_layers": 5,
    "num_key_value_heads": 2, "rms_norm_eps": 1e-6, "rope_scaling": None, "rope_theta": 10000.0, "sliding_window": None,
    "tie_word_embeddings": True, "torch_dtype": "float16", "use_cache": True, "use_sliding_window": False,
}


class Batch:
    """Texts laid end to end without padding; only attention sees them as rectangles, one for each group of like length."""

    def __init__(self, groups: list[list[list[int]]]):
        texts = [text for group in groups for text in group]
        self.tokens = torch.tensor([token for text in texts for token in text])
        self.positions = torch.cat([torch.arange(len(text)) for text in texts])
        self.groups, start = [], 0
        for group in groups:
            lengths = torch.tensor([len(text) for text in group])
            starts = start + lengths.cumsum(0) - lengths
            columns = torch.arange(int(lengths.max()))[None]
            real = columns < lengths[:, None]
            self.groups.append(((starts[:, None] + columns) * real, real.flatten().nonzero()[:, 0]))
            start += int(lengths.sum())
        self.cosine = self.sine = torch.empty(0)


class RMSNorm(nn.Module):
    def __init__(self, size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, hidden: Tensor) -> Tensor:
        return F.rms_norm(hidden, (hidden.shape[-1],), self.weight, CONFIG["rms_norm_eps"])


def rotate(states: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    first, second = states.chunk(2, dim=-1)
    return states * cosine + torch.cat((-second, first), dim=-1) * sine


class Attention(nn.Module):
    def __init__(self, config: dict):
        super().__init__()
        self.heads, self.groups, self.size = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]
        width = config["hidden_size"]
        self.q_proj = nn.Linear(width, self.heads * self.size, bias=False)
        self.k_proj = nn.Linear(width, self.groups * self.size, bias=False)
        self.v_proj = nn.Linear(width, self.groups * self.size, bias=False)
        self.o_proj = nn.Linear(self.heads * self.size, width, bias=False)
        self.q_norm, self.k_norm = RMSNorm(self.size), RMSNorm(self.size)

    def forward(self, hidden: Tensor, batch: "Batch") -> Tensor:
        # float(): under bfloat16 autocast only the products are short; norms and attention are faster in f32 here.
        query = self.q_norm(self.q_proj(hidden).float().view(-1, self.heads, self.size))
        key = self.k_norm(self.k_proj(hidden).float().view(-1, self.groups, self.size))
        value = self.v_proj(hidden).float().view(-1, self.groups, self.size)
        query, key = rotate(query, batch.cosine, batch.sine), rotate(key, batch.cosine, batch.sine)
        mixed = torch.cat([self.attend(query, key, value, rows, kept) for rows, kept in batch.groups])
        return self.o_proj(mixed.flatten(1))

    def attend(self, query: Tensor, key: Tensor, value: Tensor, rows: Tensor, kept: Tensor) -> Tensor:
        """Causal attention within each text of a group: gathered to a rectangle, then back without the padding."""
        repeat = self.heads // self.groups
        query, key, value = (states[rows].transpose(1, 2) for states in (query, key, value))
        key, value = key.repeat_interleave(repeat, dim=1), value.repeat_interleave(repeat, dim=1)
        with torch.autocast("cpu", enabled=False):
            mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return mixed.transpose(1, 2).flatten(0, 1)[kept]


class FeedForward(nn.Module):
    def __init__(self, config: dict):
        super().__init__()
        width, inner = config["hidden_size"], config["intermediate_size"]
        self.gate_proj = nn.Linear(width, inner, bias=False)
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(hidden)) * self.up_proj(hidden))


class Layer(nn.Module):
    def __init__(self, config: dict):
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = RMSNorm(config["hidden_size"]), RMSNorm(config["hidden_size"])
        self.self_attn, self.mlp = Attention(config), FeedForward(config)

    def forward(self, hidden: Tensor, batch: "Batch") -> Tensor:
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), batch)
        return hidden + self.mlp(self.post_attention_layernorm(hidden))


class Body(nn.Module):
    def __init__(self, config: dict):
        super().__init__()
        self.embed_tokens = nn.Embedding(config["vocab_size"], config["hidden_size"])
        self.layers = nn.ModuleList(Layer(config) for _ in range(config["num_hidden_layers"]))
        self.norm = RMSNorm(config["hidden_size"])


class TinyChat(nn.Module):
    """Logits are computed only where asked for, because the loss is on answers only."""

    def __init__(self, config: dict):
        super().__init__()
        self.config = config
        self.model = Body(config)
        size = config["head_dim"]
        frequencies = config["rope_theta"] ** (-torch.arange(0, size, 2).float() / size)
        angles = torch.outer(torch.arange(config["max_position_embeddings"]).float(), frequencies).repeat(1, 2)
        self.register_buffer("cosine", angles.cos(), persistent=False)
        self.register_buffer("sine", angles.sin(), persistent=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                scale = 0.02 / (2 * config["num_hidden_layers"]) ** 0.5 if name.endswith(("o_proj.weight", "down_proj.weight")) else 0.02
                nn.init.normal_(parameter, std=scale)

    def hidden(self, batch: "Batch") -> Tensor:
        batch.cosine, batch.sine = self.cosine[batch.positions][:, None], self.sine[batch.positions][:, None]
        states = self.model.embed_tokens(batch.tokens)
        for layer in self.model.layers:
            states = layer(states, batch)
        return self.model.norm(states)

    def logits(self, states: Tensor) -> Tensor:
        return F.linear(states, self.model.embed_tokens.weight)
