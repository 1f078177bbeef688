"""Writes the parity fixtures of the families with experts and with latent attention.

The layout is that of `make_fixtures.py`. A router that is about to choose another expert would make
any comparison a matter of the last bit, so a seed is taken whose closest choice, over all positions,
layers and groups, is decided by at least `MARGIN`.

Run `python make_experts.py` to write all of them, or name some.
"""

import shutil
import sys

import torch
from safetensors.torch import save_file
from transformers import (
    DeepseekV2Config,
    DeepseekV2ForCausalLM,
    DeepseekV3Config,
    DeepseekV3ForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    Qwen2MoeConfig,
    Qwen2MoeForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)
from transformers.utils import logging

from make_fixtures import FIXTURES, LENGTH, PROMPT, VOCABULARY, Fixture, greedy, randomise, rewrite_config, rope

# Between logits of experts or groups, or between their scores where biases are added to them; what
# other orders of summation change is about 1e-6.
MARGIN = 5e-4
# So that logits differ, and the scores of experts are neither alike nor all 0 and 1.
ROUTER_DEVIATION = 0.5
BIAS_DEVIATION = 0.2

CLASSES = {
    "mixtral": (MixtralConfig, MixtralForCausalLM),
    "qwen2_moe": (Qwen2MoeConfig, Qwen2MoeForCausalLM),
    "qwen3_moe": (Qwen3MoeConfig, Qwen3MoeForCausalLM),
    "deepseek_v2": (DeepseekV2Config, DeepseekV2ForCausalLM),
    "deepseek_v3": (DeepseekV3Config, DeepseekV3ForCausalLM),
}


def small(**settings):
    shape = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "rope_parameters": rope("default"),
    }
    return {**shape, **settings}


def latent(**settings):
    """Widths that all differ, so that none can be taken for another."""
    shape = {
        "num_key_value_heads": 4,
        "kv_lora_rank": 24,
        "q_lora_rank": 20,
        "qk_nope_head_dim": 12,
        "qk_rope_head_dim": 8,
        "v_head_dim": 10,
        "moe_intermediate_size": 16,
        "first_k_dense_replace": 1,
        "num_hidden_layers": 3,
        "n_routed_experts": 8,
        "num_experts_per_tok": 3,
    }
    return small(**{**shape, **settings})


def yarn(mscale):
    """The border is at 32 of 96 positions."""
    return {
        "max_position_embeddings": 128,
        "rope_parameters": rope(
            "yarn", factor=4.0, original_max_position_embeddings=32, mscale=mscale, mscale_all_dim=mscale
        ),
    }


FIXTURE_SET = {
    "mixtral": Fixture(
        "mixtral", small(num_local_experts=4, num_experts_per_tok=2, sliding_window=None), torch.float16, seed=100
    ),
    "qwen2-moe": Fixture(
        "qwen2_moe",
        small(
            num_experts=6,
            num_experts_per_tok=2,
            moe_intermediate_size=16,
            shared_expert_intermediate_size=24,
            norm_topk_prob=False,
        ),
        torch.float16,
        seed=200,
    ),
    # The first and the third layer are dense, for one reason each.
    "qwen3-moe": Fixture(
        "qwen3_moe",
        small(
            head_dim=16,
            num_hidden_layers=4,
            num_experts=6,
            num_experts_per_tok=3,
            moe_intermediate_size=16,
            norm_topk_prob=True,
            decoder_sparse_step=1,
            mlp_only_layers=[0, 2],
            tie_word_embeddings=True,
        ),
        torch.float16,
        seed=300,
    ),
    "qwen3-moe-step": Fixture(
        "qwen3_moe",
        small(
            head_dim=16,
            num_hidden_layers=3,
            num_experts=5,
            num_experts_per_tok=2,
            moe_intermediate_size=8,
            norm_topk_prob=False,
            decoder_sparse_step=2,
        ),
        torch.float16,
        seed=350,
    ),
    # As DeepSeek-V2-Lite: queries without a rank of their own, experts chosen among all.
    "deepseek-v2-lite": Fixture(
        "deepseek_v2",
        latent(
            q_lora_rank=None, n_shared_experts=2, topk_method="greedy", n_group=1, topk_group=1, **yarn(0.707)
        ),
        torch.float16,
        # Spelled as in the published files.
        rewrite={
            "rope_parameters": None,
            "rope_theta": 10000.0,
            "rope_scaling": {
                "type": "yarn",
                "factor": 4,
                "original_max_position_embeddings": 32,
                "beta_fast": 32,
                "beta_slow": 1,
                "mscale": 0.707,
                "mscale_all_dim": 0.707,
            },
            "head_dim": None,
            "moe_layer_freq": 1,
            "scoring_func": "softmax",
        },
        seed=400,
    ),
    # As DeepSeek-V2: the experts of the best groups.
    "deepseek-v2": Fixture(
        "deepseek_v2",
        latent(
            n_shared_experts=1,
            topk_method="group_limited_greedy",
            n_group=4,
            topk_group=2,
            routed_scaling_factor=4.0,
        ),
        torch.float16,
        seed=500,
    ),
    # As DeepSeek-V3 and R1.
    "deepseek-v3": Fixture(
        "deepseek_v3",
        latent(
            n_shared_experts=1,
            n_routed_experts=12,
            n_group=4,
            topk_group=2,
            routed_scaling_factor=2.5,
            norm_topk_prob=True,
            **yarn(1.0),
        ),
        torch.float16,
        rewrite={"topk_method": "noaux_tc", "scoring_func": "sigmoid", "moe_layer_freq": 1},
        seed=600,
    ),
    # Rotated by halves, without scaling, and weights of experts as they come.
    "deepseek-v3-halves": Fixture(
        "deepseek_v3",
        latent(
            q_lora_rank=None,
            n_shared_experts=1,
            n_group=1,
            topk_group=1,
            routed_scaling_factor=1.5,
            norm_topk_prob=False,
            rope_interleave=False,
        ),
        torch.float16,
        seed=700,
    ),
}


def randomise_routers(model, generator):
    with torch.no_grad():
        for name, tensor in sorted(model.state_dict().items()):
            values = torch.randn(tensor.shape, generator=generator)
            if name.endswith("mlp.gate.weight"):
                tensor.copy_(ROUTER_DEVIATION * values)
            elif name.endswith("e_score_correction_bias"):
                tensor.copy_(BIAS_DEVIATION * values)


def gap(scores, count):
    """How far the last of the best `count` is from the first of the others."""
    if count >= scores.shape[-1]:
        return float("inf")
    sorted_scores = scores.sort(dim=-1, descending=True).values
    return (sorted_scores[:, count - 1] - sorted_scores[:, count]).min().item()


def closest_choice(model, tokens):
    """The smallest margin of all choices that routers make for `tokens`."""
    margins = []

    def look(router, _, output):
        logits = output[0]
        config = model.config
        bias = getattr(router, "e_score_correction_bias", None)
        if bias is None:
            choice, best = logits, 1
        else:
            choice, best = logits.sigmoid() + bias, 2
        groups = getattr(config, "n_group", None) or 1
        if groups > 1:
            grouped = choice.view(len(choice), groups, -1)
            scores = grouped.topk(best, dim=-1).values.sum(-1)
            kept = config.topk_group
            margins.append(gap(scores, kept))
            mask = torch.zeros_like(scores).scatter_(1, scores.topk(kept, dim=-1).indices, 1).bool()
            choice = grouped.masked_fill(~mask[..., None], float("-inf")).flatten(1)
        margins.append(gap(choice, config.num_experts_per_tok))

    hooks = [
        module.register_forward_hook(look)
        for name, module in model.named_modules()
        if name.endswith("mlp.gate")
    ]
    with torch.no_grad():
        model(torch.tensor([tokens]))
    for hook in hooks:
        hook.remove()
    return min(margins)


def attempt(folder, fixture, seed):
    """Writes a fixture; returns what its closest choice was decided by."""
    config_class, model_class = CLASSES[fixture.family]
    config = config_class(**fixture.settings, bos_token_id=None, eos_token_id=None, pad_token_id=None)
    config._attn_implementation = "eager"
    model = model_class(config).eval()
    generator = torch.Generator().manual_seed(seed)
    randomise(model, generator, 1.0)
    randomise_routers(model, generator)
    shutil.rmtree(folder, ignore_errors=True)
    model.to(fixture.dtype).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)

    # The reference computes in f32 with the weights as they were rounded for the file.
    model = model_class.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    tokens = torch.randint(VOCABULARY, (LENGTH,), generator=generator)
    with torch.no_grad():
        logits = model(tokens[None]).logits[0].float()
        continuation = greedy(model, tokens[:PROMPT].tolist())
    reference = {
        "tokens": tokens.int(),
        "logits": logits.contiguous(),
        "prompt": tokens[:PROMPT].int().clone(),
        "greedy": continuation.int().contiguous(),
    }
    save_file(reference, folder / "reference.safetensors")
    margin = min(
        closest_choice(model, tokens.tolist()),
        closest_choice(model, tokens[:PROMPT].tolist() + continuation.tolist()),
    )
    rewrite_config(folder / "config.json", fixture.rewrite)
    return margin, logits.abs().max()


def write(name, fixture):
    folder = FIXTURES / name
    for seed in range(fixture.seed, fixture.seed + 50):
        margin, largest = attempt(folder, fixture, seed)
        if margin >= MARGIN:
            break
    else:
        raise ValueError(f"{name}: no seed has a margin of {MARGIN}")
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{name}: seed {seed}, {size} bytes, closest choice by {margin:.1e}, largest logit {largest:.2f}")


def main():
    logging.disable_progress_bar()
    for name in sys.argv[1:] or FIXTURE_SET:
        write(name, FIXTURE_SET[name])


if __name__ == "__main__":
    main()
