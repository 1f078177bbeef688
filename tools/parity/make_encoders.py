"""Writes the parity fixtures of the models that embed and rank.

Each fixture is a tiny model with random weights and a tokenizer of its own in the layout of a
Hugging Face folder, together with what the reference computes for some texts:

    config.json, model.safetensors, tokenizer.json, ...     the model
    reference.json          the texts: `texts` of an embedding model, `query` and `documents` of a
                            ranking one
    reference.safetensors
        tokens.N, types.N   i32     the token ids and types of text (or pair) N
        vectors             f32     [texts, width], or
        scores              f32     [documents], after the sigmoid

The reference is sentence-transformers (SentenceTransformer and CrossEncoder), and for
Qwen3-Reranker the code of its model card on transformers. Run `python make_encoders.py` to write
all of them, or name some. Weights are drawn from a fixed seed.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from sentence_transformers import CrossEncoder, SentenceTransformer
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
    XLMRobertaModel,
)

FIXTURES = Path(__file__).resolve().parents[2] / "crates/engine-candle/tests/fixtures/encode"
STANDARD_DEVIATION = 0.2
POSITIONS = 128

TEXTS = [
    "The cat sat on the mat.",
    "A small cat sleeps on the warm mat near the door",
    "Rain falls on the hills in April, and the river grows.",
    "yes",
    "猫坐在垫子上。",
    "Prices went up by 3.5% in 2024; nobody knew why, and nobody asked.",
]
QUERY = "Where does the cat sleep?"
CORPUS = TEXTS + [
    QUERY,
    "no no no yes yes yes Judge whether the Document meets the requirements based on the Query",
    "system user assistant think answer only Instruct web search retrieve relevant passages",
]


def word_pieces():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=200, special_tokens=special))
    ids = {token: tokenizer.token_to_id(token) for token in special}
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    tokenizer.decoder = decoders.WordPiece()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        model_max_length=POSITIONS,
    )


def unigrams():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=220, special_tokens=special, unk_token="<unk>")
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    tokenizer.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        cls_token="<s>",
        sep_token="</s>",
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=POSITIONS,
    )


def byte_pairs(ends):
    """`ends` tells whether texts end with <|endoftext|>, as those of Qwen3-Embedding do."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(CORPUS + ["yes", "no"] * 50, trainer)
    if ends:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="$A <|endoftext|>", pair="$A $B <|endoftext|>", special_tokens=[("<|endoftext|>", 0)]
        )
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        model_input_names=["input_ids", "attention_mask"],
        padding_side="left",
        model_max_length=256,
    )


def bert(tokenizer, **settings):
    return BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=POSITIONS,
        pad_token_id=0,
        **settings,
    )


def roberta(tokenizer, **settings):
    return XLMRobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=POSITIONS + 2,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        **settings,
    )


def qwen3(tokenizer, **settings):
    return Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=256,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
        **settings,
    )


def randomise(model, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            values = torch.randn(parameter.shape, generator=generator)
            if "norm" in name.lower() and name.endswith("weight"):
                parameter.copy_(1.0 + 0.2 * values)
            else:
                parameter.copy_(STANDARD_DEVIATION * values)
    return model.eval()


def save(name, model, tokenizer, dtype=torch.float32):
    folder = FIXTURES / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model.to(dtype).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    return folder


def sentence_modules(folder, pooling, normalize, width, prefix=None):
    """The files by which sentence-transformers knows a model, in the spelling of most repositories."""
    types = ["Transformer", "Pooling"] + (["Normalize"] if normalize else [])
    modules = [
        {
            "idx": index,
            "name": str(index),
            "path": "" if index == 0 else f"{index}_{kind}",
            "type": f"sentence_transformers.models.{kind}",
        }
        for index, kind in enumerate(types)
    ]
    (folder / "modules.json").write_text(json.dumps(modules, indent=2) + "\n")
    (folder / "1_Pooling").mkdir()
    settings = {
        "word_embedding_dimension": width,
        "pooling_mode_cls_token": pooling == "cls",
        "pooling_mode_mean_tokens": pooling == "mean",
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
        "pooling_mode_weightedmean_tokens": False,
        "pooling_mode_lasttoken": pooling == "lasttoken",
        "include_prompt": True,
    }
    (folder / "1_Pooling/config.json").write_text(json.dumps(settings, indent=2) + "\n")
    (folder / "sentence_bert_config.json").write_text(
        json.dumps({"max_seq_length": POSITIONS, "do_lower_case": False}, indent=2) + "\n"
    )


def write_reference(folder, texts, tensors, encodings):
    for index, encoding in enumerate(encodings):
        ids = torch.tensor(encoding["input_ids"]).int()
        tensors[f"tokens.{index}"] = ids
        tensors[f"types.{index}"] = torch.tensor(encoding.get("token_type_ids", [0] * len(ids))).int()
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "reference.safetensors")
    (folder / "reference.json").write_text(json.dumps(texts, ensure_ascii=False, indent=2) + "\n")


def embed_reference(folder, tokenizer):
    model = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": torch.float32})
    # One by one: what the reference computes in a batch depends a little on the padding.
    vectors = torch.stack([model.encode(text, convert_to_tensor=True) for text in TEXTS]).float()
    write_reference(folder, {"texts": TEXTS}, {"vectors": vectors}, [tokenizer(text) for text in TEXTS])
    print(f"{folder.name}: vectors {tuple(vectors.shape)}, first norm {vectors[0].norm():.4f}")


def rank_reference(folder, tokenizer):
    model = CrossEncoder(str(folder), device="cpu", model_kwargs={"dtype": torch.float32})
    scores = torch.tensor([float(model.predict([(QUERY, text)])[0]) for text in TEXTS])
    write_reference(
        folder,
        {"query": QUERY, "documents": TEXTS},
        {"scores": scores},
        [tokenizer(QUERY, text) for text in TEXTS],
    )
    print(f"{folder.name}: scores {[round(score, 4) for score in scores.tolist()]}")


def judge_reference(folder):
    """As on the model card of Qwen3-Reranker."""
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    yes, no = tokenizer.convert_tokens_to_ids("yes"), tokenizer.convert_tokens_to_ids("no")
    assert yes is not None and no is not None and yes != no
    prefix = (
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the "
        'Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
    )
    suffix = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    instruction = "Given a web search query, retrieve relevant passages that answer the query"
    scores, encodings = [], []
    ids = lambda text: tokenizer.encode(text, add_special_tokens=False)
    for text in TEXTS:
        pair = f"<Instruct>: {instruction}\n<Query>: {QUERY}\n<Document>: {text}"
        tokens = ids(prefix) + ids(pair) + ids(suffix)
        with torch.no_grad():
            logits = model(torch.tensor([tokens])).logits[0, -1]
        both = torch.nn.functional.log_softmax(torch.stack([logits[no], logits[yes]]), dim=0)
        scores.append(both[1].exp().item())
        encodings.append({"input_ids": tokens})
    write_reference(folder, {"query": QUERY, "documents": TEXTS}, {"scores": torch.tensor(scores)}, encodings)
    print(f"{folder.name}: scores {[round(score, 4) for score in scores]}, lengths {[len(e['input_ids']) for e in encodings]}")


def bert_cls():
    tokenizer = word_pieces()
    folder = save("bert-cls", randomise(BertModel(bert(tokenizer)), 1), tokenizer)
    sentence_modules(folder, "cls", True, 48)
    embed_reference(folder, tokenizer)


def bert_mean():
    tokenizer = word_pieces()
    model = randomise(BertModel(bert(tokenizer, hidden_act="gelu_new"), add_pooling_layer=False), 2)
    folder = save("bert-mean", model, tokenizer, torch.float16)
    sentence_modules(folder, "mean", False, 48)
    embed_reference(folder, tokenizer)


def xlmr_cls():
    tokenizer = unigrams()
    folder = save("xlmr-cls", randomise(XLMRobertaModel(roberta(tokenizer)), 3), tokenizer)
    sentence_modules(folder, "cls", True, 48)
    embed_reference(folder, tokenizer)


def xlmr_rerank():
    tokenizer = unigrams()
    model = XLMRobertaForSequenceClassification(roberta(tokenizer, num_labels=1))
    folder = save("xlmr-rerank", randomise(model, 4), tokenizer)
    rank_reference(folder, tokenizer)


def bert_rerank():
    tokenizer = word_pieces()
    model = BertForSequenceClassification(bert(tokenizer, num_labels=1))
    folder = save("bert-rerank", randomise(model, 5), tokenizer, torch.bfloat16)
    rank_reference(folder, tokenizer)


def qwen3_embed():
    tokenizer = byte_pairs(ends=True)
    causal = randomise(Qwen3ForCausalLM(qwen3(tokenizer)), 6)
    # As the published one: the weights without the head, the configuration with its architecture.
    folder = save("qwen3-embed", causal.model, tokenizer)
    config = json.loads((folder / "config.json").read_text())
    config["architectures"] = ["Qwen3ForCausalLM"]
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    sentence_modules(folder, "lasttoken", True, 128)
    (folder / "sentence_bert_config.json").unlink()
    embed_reference(folder, tokenizer)


def qwen3_rerank():
    tokenizer = byte_pairs(ends=False)
    folder = save("qwen3-rerank", randomise(Qwen3ForCausalLM(qwen3(tokenizer)), 7), tokenizer)
    judge_reference(folder)


FIXTURE_SET = {
    "bert-cls": bert_cls,
    "bert-mean": bert_mean,
    "xlmr-cls": xlmr_cls,
    "xlmr-rerank": xlmr_rerank,
    "bert-rerank": bert_rerank,
    "qwen3-embed": qwen3_embed,
    "qwen3-rerank": qwen3_rerank,
}


def main():
    for name in sys.argv[1:] or FIXTURE_SET:
        FIXTURE_SET[name]()


if __name__ == "__main__":
    main()
