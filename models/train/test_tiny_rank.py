"""Checks of the texts, the tokenizer and the exported folders of tiny-embed and tiny-rerank: `python -m unittest`."""

from __future__ import annotations

import argparse
import itertools
import json
import random
import re
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from tiny_chat.values import is_held_out
from tiny_rank.held_out import CANDIDATES, generated, sets
from tiny_rank.intents import INTENTS
from tiny_rank.meanings import FRAMES, HAN, Meaning, draw_framed, is_trained, near_framed
from tiny_rank.mix import SCORED, bare, draw, pairs, ranked
from tiny_rank.verbs import gerund, past

MODELS = Path(__file__).resolve().parent.parent
RERANKER = (MODELS / "tiny-rerank" / "model.safetensors").is_file()
TRIPLES = [("My cat is sleeping on the sofa", "A kitten is taking a nap on the couch", "Interest rates on loans went up"),
           ("我想订一张去东京的机票", "请帮我预订飞往东京的航班", "大雨过后河水淹没了村庄")]
needs_reranker = unittest.skipUnless(RERANKER, "tiny-rerank is not exported")


class Texts(unittest.TestCase):
    def test_every_phrasing_list_has_trained_and_held_out_ones_apart(self):
        lists = [both for table in FRAMES.values() for languages in table.values() for both in languages]
        lists += [both for intent in INTENTS for both in intent.phrasings]
        for trained, held_out in lists:
            self.assertGreaterEqual(len(trained), 2, trained)
            self.assertGreaterEqual(len(held_out), 2, trained)
            self.assertFalse(set(trained) & set(held_out), held_out)

    def test_both_languages_of_a_phrasing_have_the_same_slots(self):
        for table in FRAMES.values():
            for english, chinese in table.values():
                slots = {frozenset("v" if slot in ("ing", "ed") else slot for slot in re.findall(r"\{(\w+)\}", frame))
                         for frames in (*english, *chinese) for frame in frames}
                self.assertEqual(len(slots), 1, english[0][0])
        for intent in INTENTS:
            slots = {frozenset(re.findall(r"\{(\w+)\}", phrasing)) for both in intent.phrasings for part in both for phrasing in part}
            self.assertEqual(len(slots), 1, intent.phrasings[0][0])

    def test_texts_differ_with_the_seed_only(self):
        first, second, again = ([pair[1:] for pair in itertools.islice(pairs(seed), 50)] for seed in (1, 2, 1))
        self.assertEqual(first, again)
        self.assertNotEqual(first, second)

    def test_training_never_sees_a_sentence_of_the_scores(self):
        texts = {bare(text) for _, *both in itertools.islice(pairs(5), 30_000) for text in both}
        self.assertFalse(texts & SCORED)
        asked = {bare(text) for one in generated(False, False, True, 100) + generated(True, True, True, 100) for text in (one.query, one.candidates[0])}
        self.assertFalse(texts & asked)

    def test_actions_with_held_out_objects_are_never_trained(self):
        rng = random.Random(2)
        for held_out in (False, True):
            for _ in range(300):
                parts = dict(draw_framed(rng, "action", held_out).parts)
                self.assertEqual(is_held_out(parts["v"].english[0] + parts["o"].english[0]), held_out)
        self.assertTrue(all(is_trained(meaning) for meaning, *_ in itertools.islice(pairs(9), 5000)))

    def test_a_neighbour_differs_in_one_part_or_in_what_is_meant(self):
        rng = random.Random(4)
        for _ in range(500):
            meaning = draw_framed(rng, rng.choice(["action", "thing", "quality", "pair", "scene"]), False)
            close = near_framed(meaning, rng)
            changed = sum(a != b for a, b in zip(meaning.parts, close.parts)) + (meaning.kind != close.kind)
            self.assertLessEqual(changed, 1)
            self.assertEqual(len(close.parts), len(meaning.parts))

    def test_every_list_to_rank_has_one_best_document_at_least(self):
        for one in itertools.islice(ranked(3), 500):
            self.assertEqual(len(one.documents), 6)
            self.assertEqual(max(one.fits), 1.0)
            self.assertLess(min(one.fits), 0.5)

    def test_verb_forms(self):
        self.assertEqual([past("look for"), past("buy"), past("bake"), gerund("run into"), gerund("make"), gerund("see")],
                         ["looked for", "bought", "baked", "running into", "making", "seeing"])

    def test_meanings_of_every_table_speak_both_languages(self):
        rng = random.Random(6)
        for _ in range(2000):
            meaning: Meaning = draw(rng)
            for chinese in (False, True):
                self.assertNotIn("{", meaning.say(rng, chinese))

    def test_the_common_characters(self):
        self.assertEqual((len(HAN), HAN[0], HAN[-1]), (3755, "啊", "座"))


class Questions(unittest.TestCase):
    def test_sets_have_the_right_text_once(self):
        for name, questions in sets(20).items():
            for one in questions:
                self.assertEqual(len(one.candidates), CANDIDATES, name)
                self.assertNotIn(one.candidates[0], one.candidates[1:], name)


class Loops(unittest.TestCase):
    """Needs torch, transformers and the tokenizer."""

    @classmethod
    def setUpClass(cls):
        try:
            import torch
            from tokenizers import Tokenizer

            import rank_train
        except ImportError as error:
            raise unittest.SkipTest("torch or transformers is not installed") from error
        cls.torch, cls.rank_train = torch, rank_train
        torch.set_num_threads(1)
        cls.tokenizer = Tokenizer.from_file(str(MODELS / "tiny-embed" / "tokenizer.json"))

    def start(self, task: str, folder: Path):
        arguments = argparse.Namespace(task=task, batch=6, seed=1, steps=20, peak=3e-3, warm_up=2, checkpoint=folder / f"{task}.pt",
                                       embedder=folder / "embed.pt")
        self.torch.manual_seed(1)
        kind = self.rank_train.Embedder if task == "embed" else self.rank_train.Reranker
        return self.rank_train.Training(kind(arguments, self.tokenizer), arguments)

    def test_a_run_that_stops_and_resumes_equals_one_that_does_not(self):
        with tempfile.TemporaryDirectory() as folder:
            for task in ("embed", "rerank"):
                whole = self.start(task, Path(folder))
                for _ in range(2):
                    whole.train_step()
                whole.save()
                expected = whole.train_step()
                resumed = self.start(task, Path(folder))
                self.assertEqual(resumed.step, 2)
                self.assertAlmostEqual(resumed.train_step(), expected, places=5)

    def test_the_same_meaning_elsewhere_in_the_batch_is_no_negative(self):
        vectors = self.torch.eye(4)[[0, 0, 1]]
        loss = self.rank_train.contrastive_loss(vectors, vectors, ["a", "a", "b"])
        self.assertLess(loss.item(), 1e-4)
        self.assertGreater(self.rank_train.contrastive_loss(vectors, vectors, ["a", "c", "b"]).item(), 0.4)

    def test_the_layers_begin_as_the_weighted_mean(self):
        model = self.rank_train.BertModel(self.rank_train.bert_config(self.tokenizer)).eval()
        self.rank_train.initialise(model)
        weight = self.torch.randn(128) * 0.2
        self.rank_train.start_as_mean(model, weight)
        _, inputs = next(self.rank_train.batches_by_length(self.tokenizer, ["how do i buy a car"], random.Random(0), 1))
        with self.torch.inference_mode():
            words = model.embeddings(input_ids=inputs["input_ids"])[0]
            mean = ((words @ weight).softmax(0)[:, None] * words).sum(0)
            first = model(**inputs).last_hidden_state[0, 0]
        self.assertGreater(self.torch.nn.functional.cosine_similarity(first, mean, dim=0).item(), 0.8)


class Folders(unittest.TestCase):
    """Needs torch, transformers and the exported folders."""

    @classmethod
    def setUpClass(cls):
        try:
            from rank_offline import Folders
        except ImportError as error:
            raise unittest.SkipTest("transformers is not installed") from error
        cls.asked = Folders(MODELS, "both" if RERANKER else "embed")

    def test_inflected_words_share_the_token_of_their_base(self):
        tokens = self.asked.embed_tokenizer.tokenize("buying books 怎么")
        self.assertEqual(tokens, ["buy", "##ing", "book", "##s", "怎", "么"])

    @needs_reranker
    def test_pairs_get_two_segments(self):
        inputs = self.asked.rerank_tokenizer("apple", "苹果")
        self.assertEqual(self.asked.rerank_tokenizer.convert_ids_to_tokens(inputs["input_ids"]), ["[CLS]", "apple", "[SEP]", "苹", "果", "[SEP]"])
        self.assertEqual(inputs["token_type_ids"], [0, 0, 0, 1, 1, 1])

    @needs_reranker
    def test_both_folders_have_one_tokenizer(self):
        first, second = ((MODELS / name / "tokenizer.json").read_bytes() for name in ("tiny-embed", "tiny-rerank"))
        self.assertEqual(first, second)

    def test_padding_does_not_change_a_vector(self):
        text = "how do i buy a car"
        alone, padded = self.asked.embed([text])[0], self.asked.embed([text, text + " in the big city of shanghai tomorrow morning"])[0]
        self.assertLess(max(abs(a - b) for a, b in zip(alone, padded)), 1e-5)
        self.assertAlmostEqual(sum(value * value for value in alone), 1.0, places=5)

    def test_a_paraphrase_beats_another_sentence(self):
        for query, right, wrong in TRIPLES:
            vectors = self.asked.embed([query, right, wrong])
            close, far = (sum(a * b for a, b in zip(vectors[0], vector)) for vector in vectors[1:])
            self.assertGreater(close, far + 0.2)

    @needs_reranker
    def test_a_paraphrase_ranks_above_another_sentence(self):
        for query, right, wrong in TRIPLES:
            scores = self.asked.rerank(query, [right, wrong])
            self.assertGreater(scores[0], scores[1] + 0.2)

    @needs_reranker
    def test_the_same_word_in_the_other_language_ranks_first(self):
        scores = self.asked.rerank("Apple", ["苹果", "香蕉", "水果", "蔬菜"])
        self.assertEqual(max(scores), scores[0])

    def test_the_longest_text_is_read(self):
        vector = self.asked.embed(["how do i buy a car " * 200])[0]
        self.assertTrue(all(value == value for value in vector))

    def test_configs_name_the_architectures(self):
        for name, architecture in (("tiny-embed", "BertModel"), ("tiny-rerank", "BertForSequenceClassification"))[: 1 + RERANKER]:
            config = json.loads((MODELS / name / "config.json").read_text())
            self.assertEqual(config["architectures"], [architecture])


if __name__ == "__main__":
    unittest.main()
