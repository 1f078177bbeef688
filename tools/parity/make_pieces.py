"""Writes the fixtures of folders whose tokenizer is a `tokenizer.model` of SentencePiece.

Each is trained by the Python package `sentencepiece` on the few sentences below, with the settings of a family,
and stands in crates/text/tests/pieces/ with the other files of its folder and

    expected.json
        texts     [{text, ids}]     what the reference makes of a text, without what it puts before it
        decoded   [{ids, text}]     what sentencepiece makes of ids of texts without special tokens
        first     [id]              what it puts before a text
        chat      {ids}             of ChatGLM3: the ids of CHAT, by the code that comes with that model

The reference is `SentencePieceBackend` of transformers, the tokenizer in Python around sentencepiece that the
families' own code is derived from: it looks for added tokens first and gives what lies between them to sentencepiece.
For `legacy: false` it is `LlamaTokenizer` of transformers 5, which puts a space before the beginning of a text only,
and only where there is none. Both are compared with sentencepiece itself, given what lies between the tokens. ChatGLM3's is written here after `SPTokenizer` and `build_chat_input` of its
tokenization_chatglm.py.

Run `python make_pieces.py` (versions in requirements.txt) to write all of them, or name some. A second run writes the
same files.
"""

import json
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import sentencepiece as spm
from sentencepiece import sentencepiece_model_pb2
from transformers import AddedToken, LlamaTokenizer
from transformers.tokenization_utils_sentencepiece import SentencePieceBackend

FIXTURES = Path(__file__).resolve().parents[2] / "crates/text/tests/pieces"

CORPUS = [
    "The engine computes one pass over the next token of every generating sequence.",
    "A long prompt delays a running stream's next token by no step at all.",
    "Keys and values lie in blocks of sixteen positions that sequences share.",
    "When blocks run out, the last sequence gives its own back and is computed again.",
    "hello world, hello again; the world is the same and the words are not",
    "numbers such as 12, 345 and 6789 are cut into digits, and 2024 is a year",
    "  indented   lines\tand tabs, as in\n  code: for index in range(10):\n    print(index)",
    "模型把文本切成词元，再从词元算出下一个词元。",
    "今天天气很好，我们一起去公园散步，然后回家吃饭。",
    "分词器先找出特殊词元，然后把其余的文本交给模型。",
    "中文和 English 混合的句子里有空格，也有没有空格的地方。",
    "请问你叫什么名字？我叫小明，很高兴认识你。",
    "Das Wetter ist heute schön, und die Straße ist lang; où est la bibliothèque?",
]

TEXTS = [
    "",
    " ",
    "   ",
    "hello",
    " hello",
    "hello ",
    "  hello world  ",
    "two  spaces   and    more",
    "模型把文本切成词元",
    " 中文和 English 混合 ",
    "今天天气很好，我们一起去公园散步。\n然后回家吃饭。",
    "one\ntwo\n\nthree\n\n\n",
    "\n",
    "\n hello",
    "tab\there\t\t",
    "emoji 😀 and 👩‍👩‍👧‍👦!",
    "Ωmega, naïve, Straße, où",
    "ﬁne ① ＡＢＣ ｶﾞ ㎏ ½",
    "e\u0301 a\u030a\u0323 한국어 ภาษาไทย العربية",
    "12345 and 3.14159",
    "\u2581under\u2581score \u2581",
    "zero\u200bwidth and\u00a0hard\u3000space",
    "for index in range(10):\n    print(index)",
    "<s>hello</s>",
    "a<unk>b <s> c",
    "the world" * 40,
]


@dataclass
class Family:
    """`trainer` goes to the trainer, `config` into tokenizer_config.json, `files` beside it."""

    trainer: dict
    config: dict = field(default_factory=dict)
    files: dict = field(default_factory=dict)
    texts: list = field(default_factory=list)
    # Added tokens that the files name, by id; of `internlm2` filled in after training.
    added: dict = field(default_factory=dict)
    # Whether `added` goes into added_tokens.json and special_tokens_map.json, as it did before 2023.
    older: bool = False


def bpe(**settings):
    shape = {
        "model_type": "bpe",
        "vocab_size": 560,
        "byte_fallback": True,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "split_digits": True,
        "character_coverage": 0.99,
    }
    return {**shape, **settings}


ROLES = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
TURNS = ["<|im_start|>user\nhello<|im_end|>\n", "<|im_end|> hello", "x <|im_start|> <|im_end|>  y"]
CHAT = [
    ("user", "hello"),
    ("assistant", "今天天气很好"),
    ("user", "  two  spaces\nand sophistication, sops"),
]

FAMILIES = {
    # As Llama 2, Mistral and Mixtral.
    "llama": Family(bpe(), {**ROLES, "add_bos_token": True, "tokenizer_class": "LlamaTokenizer"}),
    "llama-not-legacy": Family(bpe(), {**ROLES, "legacy": False, "tokenizer_class": "LlamaTokenizer"}),
    # As InternLM2: tokens in the place of fillers. Symbols stand in texts and begin no text of their own.
    "internlm2": Family(
        bpe(user_defined_symbols=["[UNUSED_TOKEN_1]", "[UNUSED_TOKEN_2]", "\u2581\u2581", "\u2581\u2581\u2581\u2581", "<br>", "\n\n", "℃"]),
        {**ROLES, "tokenizer_class": "InternLM2Tokenizer"},
        texts=["12℃ and<br>more<br> <br>", "<br>", "a\n\n\nb\n\n", *TURNS],
        added={"[UNUSED_TOKEN_1]": "<|im_start|>", "[UNUSED_TOKEN_2]": "<|im_end|>"},
    ),
    # As TeleChat and others from before `added_tokens_decoder`: no space before a text, tokens behind the pieces.
    "older": Family(
        bpe(add_dummy_prefix=False, user_defined_symbols=["\u2581\u2581", "<br>"], control_symbols=["<_start>"]),
        {"add_bos_token": False},
        texts=["x<br> <br>  y", "<_start>hello<_start>", *TURNS],
        added={None: ["<|im_start|>", "<|im_end|>"]},
        older=True,
    ),
    # The trainer's own defaults: rewritten letters, no spaces at the ends, no bytes.
    "unigram-nfkc": Family(
        {"model_type": "unigram", "vocab_size": 330, "hard_vocab_limit": False, "character_coverage": 0.99},
        {**ROLES, "add_bos_token": False},
    ),
    "unigram-bytes": Family(
        {**bpe(vocab_size=590, user_defined_symbols=["<br>"]), "model_type": "unigram", "hard_vocab_limit": False},
        {**ROLES, "add_bos_token": False},
        texts=["12<br>more<br> <br>"],
    ),
    "chatglm3": Family(
        bpe(),
        {"tokenizer_class": "ChatGLMTokenizer"},
        files={
            "config.json": {"model_type": "chatglm"},
            "chat_template.jinja": "{% for message in messages %}{% if loop.first %}[gMASK]sop{% endif %}"
            "<|{{ message['role'] }}|>\n {{ message['content'] }}{% endfor %}"
            "{% if add_generation_prompt %}<|assistant|>{% endif %}\n",
        },
    ),
}

CHAT_GLM = ["[MASK]", "[gMASK]", "[sMASK]", "sop", "eop", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"]


def train(folder, settings):
    with tempfile.TemporaryDirectory() as place:
        spm.SentencePieceTrainer.train(
            sentence_iterator=iter(line for text in CORPUS for line in text.split("\n")),
            model_prefix=f"{place}/tokenizer",
            num_threads=1,
            minloglevel=2,
            **settings,
        )
        shutil.copy(f"{place}/tokenizer.model", folder)


def write_json(path, content):
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def name_added(folder, family, processor):
    """Writes the files that name added tokens, and returns those by id."""
    config = dict(family.config)
    added = {}
    for place, spelling in family.added.items():
        if place is None:
            added.update({processor.get_piece_size() + index: text for index, text in enumerate(spelling)})
        else:
            added[processor.piece_to_id(place)] = spelling
    if family.older:
        write_json(folder / "added_tokens.json", {text: token for token, text in added.items()})
        write_json(folder / "special_tokens_map.json", {**ROLES, "additional_special_tokens": list(added.values())})
    elif added:
        config["added_tokens_decoder"] = {
            str(token): {
                "content": text, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
                "special": True,
            }
            for token, text in added.items()
        }
    write_json(folder / "tokenizer_config.json", config)
    for name, content in family.files.items():
        if isinstance(content, str):
            (folder / name).write_text(content, encoding="utf-8")
        else:
            write_json(folder / name, content)
    return added


def controls(processor):
    ids = range(processor.get_piece_size())
    return {token: processor.id_to_piece(token) for token in ids if processor.is_control(token) or processor.is_unknown(token)}


def split(text, tokens):
    """Cuts a text at the spellings of tokens, the leftmost and longest first."""
    parts, start, at = [], 0, 0
    by_length = sorted(tokens.items(), key=lambda item: -len(item[1]))
    while at < len(text):
        found = next(((token, spelling) for token, spelling in by_length if text.startswith(spelling, at)), None)
        if found is None:
            at += 1
            continue
        parts += [text[start:at], found[0]]
        at += len(found[1])
        start = at
    return [part for part in [*parts, text[start:]] if part != ""]


def without_prefix(processor):
    proto = sentencepiece_model_pb2.ModelProto.FromString(processor.serialized_model_proto())
    proto.normalizer_spec.add_dummy_prefix = False
    return spm.SentencePieceProcessor(model_proto=proto.SerializeToString())


def reference_ids(text, family, processor, tokens):
    first = True
    ids = []
    bare = without_prefix(processor)
    for part in split(text, tokens):
        if isinstance(part, int):
            ids.append(part)
        elif family.config.get("legacy", True) or (first and not part.startswith((" ", "\u2581"))):
            ids += processor.encode(part)
        else:
            ids += bare.encode(part)
        first = False
    return ids


def library_ids(folder, family, processor, tokens):
    """The same by the library; none where it has no such tokenizer."""
    if "config.json" in family.files:
        return None
    if family.config.get("legacy") is False:
        tokenizer = LlamaTokenizer.from_pretrained(folder)
        return lambda text: tokenizer.encode(text, add_special_tokens=False)
    decoder = {token: AddedToken(text, special=True, normalized=False) for token, text in tokens.items()}
    tokenizer = SentencePieceBackend(vocab_file=str(folder / "tokenizer.model"), added_tokens_decoder=decoder, **ROLES)
    return lambda text: tokenizer.encode(text, add_special_tokens=False)


def chat_glm_ids(processor):
    """`build_chat_input`: each text by itself, tokens by their ids."""
    command = {text: processor.get_piece_size() + index for index, text in enumerate(CHAT_GLM)}
    ids = [command["[gMASK]"], command["sop"]]
    for role, content in CHAT:
        ids += [command[f"<|{role}|>"], *processor.encode("\n"), *processor.encode(content)]
    return [*ids, command["<|assistant|>"]]


def write(name, family):
    folder = FIXTURES / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    train(folder, family.trainer)
    processor = spm.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    tokens = {**controls(processor), **name_added(folder, family, processor)}
    if "config.json" in family.files:
        roles = CHAT_GLM[5:]
        tokens.update({processor.get_piece_size() + 5 + index: text for index, text in enumerate(roles)})
    texts = [*TEXTS, *family.texts]
    library = library_ids(folder, family, processor, tokens)
    expected = {"texts": [], "decoded": [], "first": []}
    for text in texts:
        ids = reference_ids(text, family, processor, tokens)
        if library is not None and library(text) != ids:
            raise ValueError(f"{name}: of {text!r} the library makes {library(text)}, not {ids}")
        expected["texts"].append({"text": text, "ids": ids})
        if not any(spelling in text for spelling in tokens.values()):
            expected["decoded"].append({"ids": ids, "text": processor.decode(ids)})
    if "config.json" in family.files:
        gmask = processor.get_piece_size() + 1
        expected["first"] = [gmask, gmask + 2]
        expected["chat"] = {"messages": CHAT, "ids": chat_glm_ids(processor)}
    elif family.config.get("add_bos_token", True):
        expected["first"] = [processor.bos_id()]
    write_json(folder / "expected.json", expected)
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{name}: {processor.get_piece_size()} pieces, {size} bytes")


def main():
    for name in sys.argv[1:] or FAMILIES:
        write(name, FAMILIES[name])


if __name__ == "__main__":
    main()
