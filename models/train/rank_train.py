"""Trains silica/tiny-embed, then silica/tiny-rerank from its weights, on texts that it makes as it goes.

One thread; stops and resumes at any step (embed.pt, rerank.pt).

    python rank_tokenizer.py && python rank_train.py embed && python rank_train.py rerank && python rank_export.py
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification, BertModel

from tiny_rank.mix import pairs, ranked

HERE = Path(__file__).resolve().parent
SHAPE = {"hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 512, "max_position_embeddings": 512,
         "type_vocab_size": 2, "hidden_act": "gelu", "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "pad_token_id": 0}
TEMPERATURE = 0.05
LONGEST = 160
# How much louder than a token's own meaning the mean of all tokens begins.
MEAN_SCALE = 6.0
# The share of batches whose texts stand anywhere in the context, so that every position is trained.
SHIFTED = 0.15


def bert_config(tokenizer: Tokenizer, **extra) -> BertConfig:
    return BertConfig(vocab_size=tokenizer.get_vocab_size(), **SHAPE, **extra)


def initialise(model: nn.Module) -> None:
    """Positions start near nothing: what a text says should not hang on them."""
    embeddings = (getattr(model, "bert", model)).embeddings
    nn.init.normal_(embeddings.word_embeddings.weight, std=0.1)
    nn.init.normal_(embeddings.position_embeddings.weight, std=0.01)
    nn.init.normal_(embeddings.token_type_embeddings.weight, std=0.01)


@torch.no_grad()
def start_as_mean(model: BertModel, weight: Tensor) -> None:
    """Sets the layers so that the first token begins as that weighted mean of the words: training goes on from there."""
    heads, size = SHAPE["num_attention_heads"], SHAPE["hidden_size"] // SHAPE["num_attention_heads"]
    attention = model.encoder.layer[0].attention
    for head in range(heads):
        attention.self.key.weight[head * size] += weight
        attention.self.query.bias[head * size] += size**0.5
    attention.self.value.weight += torch.eye(SHAPE["hidden_size"])
    attention.output.dense.weight += MEAN_SCALE * torch.eye(SHAPE["hidden_size"])


def batches_by_length(tokenizer: Tokenizer, texts: list, rng: random.Random, pieces: int) -> Iterator[tuple[list[int], dict[str, Tensor]]]:
    """Groups of texts of like length, with where each stood in the list."""
    encoded = tokenizer.encode_batch(texts)
    order = sorted(range(len(texts)), key=lambda place: len(encoded[place].ids))
    size = -(-len(texts) // pieces)
    for start in range(0, len(order), size):
        places = order[start : start + size]
        longest = min(LONGEST, max(len(encoded[place].ids) for place in places))
        rows = [encoded[place] for place in places]
        shift = rng.randrange(512 - longest) if rng.random() < SHIFTED else 0
        positions = torch.arange(longest) + shift
        positions[0] = 0
        yield places, {
            "input_ids": torch.tensor([(row.ids + [0] * longest)[:longest] for row in rows]),
            "token_type_ids": torch.tensor([(row.type_ids + [0] * longest)[:longest] for row in rows]),
            "attention_mask": torch.tensor([(row.attention_mask + [0] * longest)[:longest] for row in rows]),
            "position_ids": positions[None].expand(len(rows), -1)}


def run_all(tokenizer: Tokenizer, texts: list, rng: random.Random, pieces: int, forward: Callable[[dict], Tensor]) -> Tensor:
    """The model's results in the order of the texts."""
    places, results = [], []
    for where, inputs in batches_by_length(tokenizer, texts, rng, pieces):
        places += where
        results.append(forward(inputs))
    return torch.cat(results)[torch.tensor(places).argsort()]


def contrastive_loss(first: Tensor, second: Tensor, meanings: list) -> Tensor:
    """InfoNCE both ways; a text of the same meaning elsewhere in the batch is no negative."""
    scores = first @ second.T / TEMPERATURE
    numbers = {meaning: number for number, meaning in enumerate(dict.fromkeys(meanings))}
    own = torch.tensor([numbers[meaning] for meaning in meanings])
    same = (own[:, None] == own[None]) & ~torch.eye(len(own), dtype=torch.bool)
    scores = scores.masked_fill(same, -1e4)
    target = torch.arange(len(own))
    return (F.cross_entropy(scores, target) + F.cross_entropy(scores.T, target)) / 2


def ranking_loss(scores: Tensor, fits: Tensor) -> Tensor:
    """How well each score tells its fit, and how well the scores of a query order its documents."""
    listwise = F.cross_entropy(scores, fits / fits.sum(1, keepdim=True))
    return F.binary_cross_entropy_with_logits(scores, fits) + 0.5 * listwise


class Embedder:
    def __init__(self, arguments: argparse.Namespace, tokenizer: Tokenizer):
        self.tokenizer, self.size = tokenizer, arguments.batch or 144
        self.model = BertModel(bert_config(tokenizer))
        initialise(self.model)
        if not arguments.checkpoint.exists():
            self.warm_up(arguments)

    def warm_up(self, arguments: argparse.Namespace) -> None:
        """Learns what the words mean before the layers do, as a weighted mean of the words of a text: a tenth of the cost."""
        weight = nn.Parameter(torch.zeros(SHAPE["hidden_size"]))
        optimizer = torch.optim.AdamW([*self.model.embeddings.parameters(), weight], lr=arguments.peak, betas=(0.9, 0.98), weight_decay=0.0)

        def mean(inputs: dict) -> Tensor:
            words = self.model.embeddings(input_ids=inputs["input_ids"], token_type_ids=inputs["token_type_ids"])
            shares = (words @ weight).masked_fill(inputs["attention_mask"] == 0, -1e4).softmax(1)
            return F.normalize((shares[..., None] * words).sum(1), dim=-1)

        for step in range(arguments.warm_up):
            optimizer.param_groups[0]["lr"] = learning_rate(step, arguments.warm_up, arguments.peak)
            loss = self.loss_of(mean, arguments.seed * 1_000_003 - 1 - step)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if (step + 1) % 25 == 0:
                print(f"words, step {step + 1} loss {loss.item():.4f} processor seconds {time.process_time():.0f}", flush=True)
        start_as_mean(self.model, weight.detach())

    def forward(self, inputs: dict) -> Tensor:
        return F.normalize(self.model(**inputs).last_hidden_state[:, 0], dim=-1)

    def loss(self, seed: int) -> Tensor:
        return self.loss_of(self.forward, seed)

    def loss_of(self, forward: Callable[[dict], Tensor], seed: int) -> Tensor:
        rng = random.Random(seed)
        meanings, first, second = zip(*islice(pairs(seed), self.size))
        vectors = run_all(self.tokenizer, list(first + second), rng, 5, forward)
        return contrastive_loss(*vectors.split(self.size), list(meanings))


class Reranker:
    def __init__(self, arguments: argparse.Namespace, tokenizer: Tokenizer):
        self.tokenizer, self.size = tokenizer, arguments.batch or 28
        self.model = BertForSequenceClassification(bert_config(tokenizer, num_labels=1))
        initialise(self.model)
        self.model.bert.load_state_dict(torch.load(arguments.embedder, weights_only=True)["average"], strict=False)

    def forward(self, inputs: dict) -> Tensor:
        return self.model(**inputs).logits[:, 0]

    def loss(self, seed: int) -> Tensor:
        rng = random.Random(seed)
        lists = list(islice(ranked(seed), self.size))
        texts = [(one.query, document) for one in lists for document in one.documents]
        scores = run_all(self.tokenizer, texts, rng, 4, self.forward)
        return ranking_loss(scores.view(self.size, -1), torch.tensor([one.fits for one in lists]))


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Warm-up, a plateau, then a straight line down to 3 % over the second half."""
    return peak * min(1.0, (step + 1) / 60, max(0.03, (steps - step) / (steps * 0.5)))


class Training:
    """A model with its optimizers. Each step has texts of its own seed, so a run that stops and resumes equals one that does not."""

    def __init__(self, task: Embedder | Reranker, arguments: argparse.Namespace):
        self.task, self.arguments, self.step = task, arguments, 0
        self.named = list(task.model.named_parameters())
        matrices = [p for n, p in self.named if p.dim() == 2 and "encoder" in n]
        others = [p for n, p in self.named if p.dim() != 2 or "encoder" not in n]
        self.optimizers = [torch.optim.Muon(matrices, lr=arguments.peak, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
                           torch.optim.AdamW(others, lr=arguments.peak, betas=(0.9, 0.98), weight_decay=0.0)]
        self.average = {name: value.detach().clone() for name, value in self.named}
        if arguments.checkpoint.exists():
            state = torch.load(arguments.checkpoint, weights_only=True)
            task.model.load_state_dict(state["model"])
            for optimizer, saved in zip(self.optimizers, state["optimizers"]):
                optimizer.load_state_dict(saved)
            self.average, self.step = state["average"], state["step"]
        elif arguments.task == "embed":
            self.save()

    def save(self) -> None:
        state = {"model": self.task.model.state_dict(), "average": self.average, "step": self.step,
                 "optimizers": [optimizer.state_dict() for optimizer in self.optimizers]}
        temporary = self.arguments.checkpoint.with_suffix(".tmp")
        torch.save(state, temporary)
        temporary.replace(self.arguments.checkpoint)

    def train_step(self) -> float:
        loss = self.task.loss(self.arguments.seed * 1_000_003 + self.step)
        loss.backward()
        nn.utils.clip_grad_norm_(self.task.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            for parameters in optimizer.param_groups:
                parameters["lr"] = learning_rate(self.step, self.arguments.steps, self.arguments.peak)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            for name, value in self.named:
                self.average[name].lerp_(value, max(0.02, 1 - self.step / (self.step + 10)))
        self.step += 1
        return loss.item()

    def run(self) -> None:
        smooth, started = None, time.process_time()
        while self.step < (self.arguments.until or self.arguments.steps):
            loss = self.train_step()
            smooth = loss if smooth is None else 0.95 * smooth + 0.05 * loss
            if self.step % 25 == 0:
                print(f"step {self.step} loss {smooth:.4f} processor seconds {time.process_time() - started:.0f}", flush=True)
            if self.step % 50 == 0:
                self.save()
        self.save()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["embed", "rerank"])
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--until", type=int, default=0, help="stop at this step; the learning rate follows --steps all the same")
    parser.add_argument("--batch", type=int, default=0, help="pairs, or queries, of a step")
    parser.add_argument("--peak", type=float, default=0.0, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--warm-up", type=int, default=300, help="steps that learn words only")
    parser.add_argument("--embedder", type=Path, default=HERE / "embed.pt", help="the weights that the reranker starts from")
    parser.add_argument("--checkpoint", type=Path)
    arguments = parser.parse_args()
    arguments.steps = arguments.steps or {"embed": 500, "rerank": 400}[arguments.task]
    arguments.peak = arguments.peak or {"embed": 3e-3, "rerank": 1.5e-3}[arguments.task]
    arguments.checkpoint = arguments.checkpoint or HERE / f"{arguments.task}.pt"
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    tokenizer = Tokenizer.from_file(str(HERE.parent / "tiny-embed" / "tokenizer.json"))
    task = (Embedder if arguments.task == "embed" else Reranker)(arguments, tokenizer)
    Training(task, arguments).run()


if __name__ == "__main__":
    main()
