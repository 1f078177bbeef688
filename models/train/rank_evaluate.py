"""Scores silica/tiny-embed and silica/tiny-rerank: how often the right one of twenty texts comes first.

    python rank_evaluate.py --offline ..                 # asks the exported folders; needs torch and transformers
    python rank_evaluate.py --base-url http://127.0.0.1:8080/v1 --api-key sk-...

Asking a server needs the standard library only. Ends with status 1 where a score is below its mark.
"""

from __future__ import annotations

import argparse
import json
import urllib.request
from pathlib import Path

from tiny_rank.held_out import Question, sets

# The least a release must reach; the other sets are shown only.
WANTED = {"English, unseen phrasings": 0.85, "Chinese, unseen phrasings": 0.85}
TIMEOUT_SECONDS = 60
BATCH = 32
SHOWN = [("How do I reset my password?", ["I forgot my login password and want a new one", "The river flooded the village after heavy rain"]),
         ("怎么重置密码？", ["我忘了登录密码，想设一个新的", "大雨过后河水淹没了村庄"]),
         ("My cat is sleeping on the sofa", ["A kitten is taking a nap on the couch", "小猫咪正躺在沙发上打盹", "Interest rates on loans went up"]),
         ("Apple", ["苹果", "香蕉", "水果", "蔬菜"])]


class Server:
    def __init__(self, base_url: str, api_key: str):
        self.base_url, self.api_key = base_url.rstrip("/"), api_key

    def post(self, path: str, body: dict) -> dict:
        request = urllib.request.Request(self.base_url + path, json.dumps(body).encode(), {
            "Authorization": f"Bearer {self.api_key}", "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
            return json.load(response)

    def embed(self, texts: list[str]) -> list[list[float]]:
        vectors = []
        for start in range(0, len(texts), BATCH):
            body = {"model": "silica/tiny-embed", "input": texts[start : start + BATCH], "encoding_format": "float"}
            vectors += [one["embedding"] for one in sorted(self.post("/embeddings", body)["data"], key=lambda one: one["index"])]
        return vectors

    def rerank(self, query: str, documents: list[str]) -> list[float]:
        results = self.post("/rerank", {"model": "silica/tiny-rerank", "query": query, "documents": documents})["results"]
        return [one["relevance_score"] for one in sorted(results, key=lambda one: one["index"])]


def embedding_scores(asked, questions: list[Question]) -> list[list[float]]:
    texts = sorted({text for one in questions for text in [one.query, *one.candidates]}, key=len)
    vectors = dict(zip(texts, asked.embed(texts)))
    return [[sum(a * b for a, b in zip(vectors[one.query], vectors[text])) for text in one.candidates] for one in questions]


def right_first(scores: list[list[float]]) -> float:
    """The share of questions whose first candidate, the right one, beats all others; a tie is a miss."""
    return sum(row[0] > max(row[1:]) for row in scores) / len(scores)


def show_examples(asked) -> None:
    for query, documents in SHOWN:
        print(f"\n{query}")
        cosines = embedding_scores(asked, [Question(query, documents)])[0]
        for document, cosine, score in zip(documents, cosines, asked.rerank(query, documents)):
            print(f"  embed {cosine:6.3f}  rerank {score:6.4f}  {document}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-url", default="http://127.0.0.1:8080/v1")
    parser.add_argument("--api-key", default="")
    parser.add_argument("--offline", type=Path, help="the folder that holds tiny-embed and tiny-rerank")
    parser.add_argument("--count", type=int, default=200, help="generated questions of a set")
    parser.add_argument("--model", choices=["embed", "rerank", "both"], default="both")
    arguments = parser.parse_args()
    if arguments.offline:
        from rank_offline import Folders
        asked = Folders(arguments.offline, arguments.model)
    else:
        asked = Server(arguments.base_url, arguments.api_key)
    print("right text first among twenty" + " " * 26 + "embed  rerank")
    missed = False
    for name, questions in sets(arguments.count).items():
        shares = []
        if arguments.model != "rerank":
            shares.append(right_first(embedding_scores(asked, questions)))
        if arguments.model != "embed":
            shares.append(right_first([asked.rerank(one.query, one.candidates) for one in questions]))
        missed |= min(shares) < WANTED.get(name, 0)
        print(f"{name:52}" + "".join(f"{share:8.1%}" for share in shares), flush=True)
    if arguments.model == "both":
        show_examples(asked)
    raise SystemExit(int(missed))


if __name__ == "__main__":
    main()
