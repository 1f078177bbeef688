"""Trains silica/tiny-chat on texts that it makes as it goes. Stops and resumes at any step.

    python tokenizer.py && python train.py && python export.py
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from model import CONFIG, Batch, TinyChat
from tiny_chat.mix import training_texts

HERE = Path(__file__).resolve().parent
# The server subtracts this for every earlier use of a token in the answer. See README, "The penalty".
FREQUENCY_PENALTY = 0.5
PENALISED = 0.6
LONGEST = 1280


def batches(tokenizer: Tokenizer, seed: int, tokens_per_step: int, pieces: int) -> Iterator[list[list[tuple[list[int], int]]]]:
    """Steps; each is a list of pieces of similar length; each of those a list of (tokens, where the answer starts)."""
    step, filled = [], 0
    for prompt, answer in training_texts(seed):
        start = tokenizer.encode(prompt).ids
        tokens = start + tokenizer.encode(answer).ids
        if len(tokens) > LONGEST:
            continue
        step.append((tokens, len(start)))
        filled += len(tokens)
        if filled >= tokens_per_step:
            step.sort(key=lambda item: len(item[0]))
            yield split_evenly(step, filled / pieces)
            step, filled = [], 0


def split_evenly(items: list[tuple[list[int], int]], target: float) -> list[list[tuple[list[int], int]]]:
    groups, group, filled = [], [], 0
    for item in items:
        group.append(item)
        filled += len(item[0])
        if filled >= target:
            groups.append(group)
            group, filled = [], 0
    if group:
        groups.append(group)
    return groups


def penalty(targets: Tensor, lengths: Tensor, vocabulary: int, rng: random.Random) -> Tensor:
    """What the server's frequency penalty would subtract at each answer position; zero for the answers left alone."""
    used = torch.zeros(len(targets), vocabulary)
    used[torch.arange(len(targets)), targets] = 1.0
    before = used.cumsum(0) - used
    starts = lengths.cumsum(0) - lengths
    before -= before[starts].repeat_interleave(lengths, dim=0)
    chosen = torch.tensor([rng.random() < PENALISED for _ in lengths]).repeat_interleave(lengths)
    return before * (FREQUENCY_PENALTY * chosen)[:, None]


def step_loss(model: TinyChat, groups: list[list[tuple[list[int], int]]], rng: random.Random) -> Tensor:
    """Mean loss over the tokens of the answers."""
    items = [item for group in groups for item in group]
    batch = Batch([[tokens[:-1] for tokens, _ in group] for group in groups])
    targets = torch.tensor([token for tokens, start in items for token in tokens[start:]])
    lengths = torch.tensor([len(tokens) - start for tokens, start in items])
    wanted = torch.tensor([place >= start for tokens, start in items for place in range(1, len(tokens))])
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=model.use_bfloat16):
        logits = model.logits(model.hidden(batch)[wanted])
    logits = logits.float() - penalty(targets, lengths, model.config["vocab_size"], rng)
    return F.cross_entropy(logits, targets)


def learning_rate(step: int, steps: int, peak: float, decay_from: float) -> float:
    """Warm-up, a plateau, then a straight line down to 3 %."""
    if step < 60:
        return peak * (step + 1) / 60
    left = (steps - step) / max(1, steps * (1 - decay_from))
    return peak * max(0.03, min(1.0, left))


class Trainer:
    """One of `workers` processes with equal weights; each takes its own texts and the gradients are averaged."""

    def __init__(self, arguments: argparse.Namespace, rank: int):
        self.arguments, self.rank = arguments, rank
        self.tokenizer = Tokenizer.from_file(str(arguments.model / "tokenizer.json"))
        torch.manual_seed(arguments.seed)
        self.model = TinyChat(CONFIG | {"vocab_size": self.tokenizer.get_vocab_size()})
        self.model.use_bfloat16 = arguments.bfloat16
        matrices = [p for n, p in self.model.named_parameters() if p.dim() == 2 and "embed" not in n]
        others = [p for n, p in self.model.named_parameters() if p.dim() != 2 or "embed" in n]
        self.optimizers = [
            torch.optim.Muon(matrices, lr=arguments.peak, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, lr=arguments.peak, betas=(0.9, 0.97), weight_decay=0.0),
        ]
        self.average = {name: value.detach().clone() for name, value in self.model.named_parameters()}
        self.step = 0
        if arguments.checkpoint.exists():
            self.load()

    def load(self) -> None:
        state = torch.load(self.arguments.checkpoint, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"]):
            optimizer.load_state_dict(saved)
        self.average, self.step = state["average"], state["step"]
        print(f"resumed at step {self.step}", flush=True)

    def save(self) -> None:
        state = {"model": self.model.state_dict(), "average": self.average, "step": self.step,
                 "optimizers": [optimizer.state_dict() for optimizer in self.optimizers]}
        temporary = self.arguments.checkpoint.with_suffix(".tmp")
        torch.save(state, temporary)
        temporary.replace(self.arguments.checkpoint)

    def average_gradients(self) -> None:
        if self.arguments.workers == 1:
            return
        gradients = [parameter.grad for parameter in self.model.parameters()]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.arguments.workers
        for gradient, piece in zip(gradients, flat.split([gradient.numel() for gradient in gradients])):
            gradient.copy_(piece.view_as(gradient))

    def train_step(self, groups: list[list[tuple[list[int], int]]], rng: random.Random) -> float:
        loss = step_loss(self.model, groups, rng)
        loss.backward()
        self.average_gradients()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        rate = learning_rate(self.step, self.arguments.steps, self.arguments.peak, self.arguments.decay_from)
        for optimizer in self.optimizers:
            for parameters in optimizer.param_groups:
                parameters["lr"] = rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        keep = min(0.995, self.step / (self.step + 20))
        with torch.no_grad():
            for name, value in self.model.named_parameters():
                self.average[name].lerp_(value, 1 - keep)
        self.step += 1
        return loss.item()

    def run(self) -> None:
        arguments = self.arguments
        # A resumed run draws fresh text: the seed includes the step.
        seed = arguments.seed * 1_000_003 + self.step * 64 + self.rank * 2
        source = batches(self.tokenizer, seed, arguments.tokens // arguments.workers, arguments.pieces)
        rng = random.Random(seed)
        smooth, seen, started = None, 0, time.time()
        for groups in source:
            loss = self.train_step(groups, rng)
            seen += arguments.workers * sum(len(tokens) for group in groups for tokens, _ in group)
            smooth = loss if smooth is None else 0.95 * smooth + 0.05 * loss
            if self.step % 20 == 0 and self.rank == 0:
                print(f"step {self.step} loss {smooth:.4f} tokens/s {seen / (time.time() - started):.0f}", flush=True)
            if self.step % arguments.save_every == 0 and self.rank == 0:
                self.save()
            if self.step >= arguments.steps:
                break
        if self.rank == 0:
            self.save()


def work(rank: int, arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    if arguments.workers > 1:
        dist.init_process_group("gloo", init_method=f"file://{arguments.meeting}", rank=rank, world_size=arguments.workers)
    Trainer(arguments, rank).run()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=HERE.parent / "tiny-chat", help="folder with tokenizer.json")
    parser.add_argument("--checkpoint", type=Path, default=HERE / "checkpoint.pt")
    parser.add_argument("--steps", type=int, default=2900)
    parser.add_argument("--tokens", type=int, default=4096, help="tokens in a step")
    parser.add_argument("--pieces", type=int, default=8, help="rectangles that attention works on in a step")
    parser.add_argument("--peak", type=float, default=3e-3, help="highest learning rate")
    parser.add_argument("--decay-from", type=float, default=0.6, help="share of the steps before the rate falls")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="processes; on a busy machine better than threads")
    parser.add_argument("--threads", type=int, default=1, help="threads of each process")
    parser.add_argument("--save-every", type=int, default=100)
    parser.add_argument("--bfloat16", action="store_true", help="use bfloat16 products; fast only where the CPU has them")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        arguments.meeting = f"{folder}/meeting"
        multiprocessing.spawn(work, (arguments,), nprocs=arguments.workers)


if __name__ == "__main__":
    main()
