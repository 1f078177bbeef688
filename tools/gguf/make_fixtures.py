"""Writes the GGUF fixtures of the embedded text engine.

For each family a folder in `crates/engine-candle/tests/fixtures/gguf/`:

    config.json, model.safetensors   a tiny model with random weights (f16)
    model-f16.gguf (-f32, -q8_0, ..) the same weights, written by the package `gguf`
    tokens.json                      texts, and the ids that the original tokenizer makes of them

`llama-q4_k_m.gguf`, a wider model in the mix of formats that llama.cpp calls Q4_K_M,
`llama-q6_k.gguf`, one with every matrix in Q6_K, and
`tiny-chat-text.gguf`, the metadata of the demo model with the original tokenizer.json in it.

The original tokenizers are trained here on a few sentences. What splits texts is not ours: for
Qwen the class in `transformers`, for Llama 3 the pattern of its converter, for Llama 2
SentencePiece itself.
"""

import io
import json
import shutil
from pathlib import Path

import gguf
import numpy as np
import sentencepiece
from gguf import GGMLQuantizationType as Type
from safetensors.numpy import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Qwen2Tokenizer
from transformers.convert_slow_tokenizer import TikTokenConverter

import convert

FIXTURES = Path(__file__).resolve().parents[2] / "crates/engine-candle/tests/fixtures/gguf"
VOCABULARY = 400
SENTENCES = [
    "The quick brown fox jumps over the lazy dog, and the dog sleeps.",
    "She sells sea shells; they're hers, I'll say, and we've seen them.",
    "def add(a, b):\n    return a + b\n\nprint(add(1, 23))\n",
    "你好，世界！今天天气很好，我们去公园散步吧。",
    "Numbers: 1 12 123 1234 12345, 3.14159 and 2026-11-24.",
    "Il était une fois, à l'école, un garçon naïf.",
]
TEXTS = SENTENCES + [
    "",
    " ",
    "   three spaces before",
    "tabs\tand\r\nline breaks\n\n\nand more   ",
    "e\u0301 is e and an accent; ﬁ is a ligature",
    "WE'LL SEE WHAT'S LEFT, DON'T WE?",
    "emoji 😀👩‍👩‍👧 and bytes \u0000\u0007",
    "1234567890",
    "a▁b is not a b",
    "العربية हिन्दी ไทย",
    '{"name": "f", "arguments": {"x": [1, 2]}}',
]
TEMPLATE = (
    "{%- for message in messages -%}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{%- endfor -%}<|im_start|>assistant\n"
)
ENDS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]

COMMON = {
    "hidden_act": "silu",
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-6,
    "vocab_size": VOCABULARY,
}


def random_weights(config: dict, family: str, seed: int) -> dict:
    random = np.random.default_rng(seed)
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    width = config["head_dim"]
    queries, keys = width * config["num_attention_heads"], width * config["num_key_value_heads"]
    weights = {}

    def add(name: str, *shape: int, around: float = 0.0) -> None:
        # Wide enough that logits differ and greedy decoding is a test.
        values = around + random.normal(0, 0.2, shape)
        weights[name] = values.astype(np.float16)

    add("model.embed_tokens.weight", VOCABULARY, hidden)
    add("model.norm.weight", hidden, around=1.0)
    if not config["tie_word_embeddings"]:
        add("lm_head.weight", VOCABULARY, hidden)
    for layer in range(config["num_hidden_layers"]):
        start = f"model.layers.{layer}."
        add(start + "input_layernorm.weight", hidden, around=1.0)
        add(start + "post_attention_layernorm.weight", hidden, around=1.0)
        for name, rows in [("q", queries), ("k", keys), ("v", keys)]:
            add(f"{start}self_attn.{name}_proj.weight", rows, hidden)
            if family == "qwen2":
                add(f"{start}self_attn.{name}_proj.bias", rows)
            if family == "qwen3" and name != "v":
                add(f"{start}self_attn.{name}_norm.weight", width, around=1.0)
        add(start + "self_attn.o_proj.weight", hidden, queries)
        add(start + "mlp.gate_proj.weight", inner, hidden)
        add(start + "mlp.up_proj.weight", inner, hidden)
        add(start + "mlp.down_proj.weight", hidden, inner)
    return weights


def trained_byte_level(pre_tokenizer) -> dict:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 20,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES * 4, trainer)
    return json.loads(tokenizer.to_str())


def qwen_tokenizer() -> Tokenizer:
    splitting = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model = trained_byte_level(splitting)["model"]
    merges = [tuple(pair) for pair in model["merges"]]
    tokenizer = Qwen2Tokenizer(vocab=model["vocab"], merges=merges)
    tokenizer.add_special_tokens({"additional_special_tokens": ENDS})
    tokenizer.add_tokens([AddedToken("<think>", normalized=False, special=False)])
    return tokenizer.backend_tokenizer


def llama3_tokenizer() -> Tokenizer:
    pattern = TikTokenConverter(vocab_file=None).pattern
    splitting = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    content = trained_byte_level(splitting)
    content["model"]["ignore_merges"] = True
    tokenizer = Tokenizer.from_str(json.dumps(content))
    tokenizer.add_special_tokens(["<|begin_of_text|>", *ENDS])
    return tokenizer


def tekken_tokenizer() -> Tokenizer:
    """Splits as Mistral Nemo's does: `config.pattern` of `tekken_240718.json` in the package
    `mistral-common`, which its tokenizer.json has too."""
    words = "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"
    capitals = "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*"
    rest = "\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
    splitting = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(f"{words}|{capitals}|{rest}"), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    content = trained_byte_level(splitting)
    content["model"]["ignore_merges"] = True
    tokenizer = Tokenizer.from_str(json.dumps(content))
    tokenizer.add_special_tokens(["<s>", *ENDS])
    return tokenizer


def byte_level_adder(tokenizer: Tokenizer, pre: str, bos: str | None):
    content = json.loads(tokenizer.to_str())

    def add(writer: gguf.GGUFWriter) -> None:
        convert.add_byte_level_tokenizer(writer, content, pre, VOCABULARY)
        if bos:
            writer.add_bos_token_id(tokenizer.token_to_id(bos))
        writer.add_eos_token_id(tokenizer.token_to_id("<|im_end|>"))
        writer.add_chat_template(TEMPLATE)

    return add


def piece_model() -> sentencepiece.SentencePieceProcessor:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 4),
        model_writer=model,
        vocab_size=VOCABULARY - 4,
        model_type="bpe",
        byte_fallback=True,
        split_digits=True,
        allow_whitespace_only_pieces=True,
        remove_extra_whitespaces=False,
        normalization_rule_name="identity",
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def piece_adder(pieces: sentencepiece.SentencePieceProcessor):
    def kind(id: int) -> gguf.TokenType:
        if pieces.IsUnknown(id):
            return gguf.TokenType.UNKNOWN
        if pieces.IsControl(id):
            return gguf.TokenType.CONTROL
        return gguf.TokenType.BYTE if pieces.IsByte(id) else gguf.TokenType.NORMAL

    def add(writer: gguf.GGUFWriter) -> None:
        ids = range(pieces.GetPieceSize())
        spare = range(len(ids), VOCABULARY)
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        writer.add_token_list([pieces.IdToPiece(id) for id in ids] + [f"[PAD{id}]" for id in spare])
        writer.add_token_scores([pieces.GetScore(id) for id in ids] + [-1000.0 for _ in spare])
        writer.add_token_types([kind(id) for id in ids] + [gguf.TokenType.UNUSED for _ in spare])
        writer.add_bos_token_id(pieces.bos_id())
        writer.add_eos_token_id(pieces.eos_id())
        writer.add_unk_token_id(pieces.unk_id())

    return add


def write_fixture(
    name: str, family: str, settings: dict, add_tokenizer, encode, seed: int, types: list[Type]
) -> None:
    folder = FIXTURES / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    classes = {"qwen2": "Qwen2", "qwen3": "Qwen3", "llama": "Llama", "mistral": "Mistral"}
    config = {"architectures": [f"{classes[family]}ForCausalLM"], "model_type": family}
    config |= COMMON | {"head_dim": 16, "rope_theta": 10000.0, "tie_word_embeddings": True} | settings
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(random_weights(config, family, seed), folder / "model.safetensors")
    for type in types:
        output = folder / f"model-{type.name.lower()}.gguf"
        convert.write(folder, output, type, add_tokenizer)
    expected = [{"text": text, "ids": encode(text)} for text in TEXTS]
    content = json.dumps(expected, indent=1, ensure_ascii=False)
    (folder / "tokens.json").write_text(content + "\n")


def write_mix(add_tokenizer) -> None:
    """A file of type Q4_K_M, whose tensors have formats of all kinds, and one in Q6_K throughout."""
    config = COMMON | {
        "architectures": ["LlamaForCausalLM"],
        "head_dim": 32,
        "hidden_size": 256,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
    }
    weights = random_weights(config, "llama", 5)
    output = FIXTURES / "llama-q4_k_m.gguf"
    convert.write_model("llama-q4_k_m", config, weights, output, Type.Q4_K, add_tokenizer)
    # Every row a multiple of 256 values, so that nothing falls back to another format.
    config |= {"intermediate_size": 256, "num_attention_heads": 8, "num_hidden_layers": 1}
    weights = random_weights(config, "llama", 6)
    output = FIXTURES / "llama-q6_k.gguf"
    convert.write_model("llama-q6_k", config, weights, output, Type.Q6_K, add_tokenizer)


def write_demo() -> None:
    """The text side of the demo model; its weights would be too large, so one column stands in."""
    folder = FIXTURES.parents[4] / "models/tiny-chat"
    config = json.loads((folder / "config.json").read_text())
    writer = gguf.GGUFWriter(FIXTURES / "tiny-chat-text.gguf", "qwen3")
    convert.add_settings(writer, config, config["head_dim"])
    convert.folder_tokenizer(folder, None)(writer)
    writer.add_tensor("token_embd.weight", np.zeros((config["vocab_size"], 1), np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    qwen, llama3, pieces = qwen_tokenizer(), llama3_tokenizer(), piece_model()
    ids = lambda tokenizer: lambda text: tokenizer.encode(text, add_special_tokens=False).ids
    scaling = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    f16, quantised = [Type.F16], [Type.F16, Type.Q8_0, Type.Q4_0]
    add = byte_level_adder(qwen, "qwen2", None)
    write_fixture("qwen2", "qwen2", {}, add, ids(qwen), 1, [*f16, Type.Q5_0])
    write_fixture("qwen3", "qwen3", {"head_dim": 32}, add, ids(qwen), 2, quantised)
    add = byte_level_adder(llama3, "llama-bpe", "<|begin_of_text|>")
    write_fixture("llama3", "llama", {"rope_scaling": scaling}, add, ids(llama3), 3, quantised)
    encode = lambda text: pieces.EncodeAsIds(text)
    untied = {"tie_word_embeddings": False}
    write_fixture("llama2", "llama", untied, piece_adder(pieces), encode, 4, [*f16, Type.BF16, Type.Q4_0])
    nemo = tekken_tokenizer()
    add = byte_level_adder(nemo, "tekken", "<s>")
    own = {"head_dim": 32, "sliding_window": None, "num_hidden_layers": 1, **untied}
    write_fixture("nemo", "mistral", own, add, ids(nemo), 7, f16)
    write_mix(byte_level_adder(llama3, "llama-bpe", "<|begin_of_text|>"))
    write_demo()


if __name__ == "__main__":
    main()
