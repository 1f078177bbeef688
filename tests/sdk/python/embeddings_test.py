"""Vectors by the `openai` package, and rerank, which it does not know, by its raw requests."""

import base64
import math
import struct
from pathlib import Path

import openai
import pytest

EMBEDDER = "silica/tiny-embed"
RANKER = "sdk-python/ranker"
# A model of random weights; its scores mean nothing, and are compared with the reference's elsewhere.
FIXTURE = Path(__file__).resolve().parents[3] / "crates/engine-candle/tests/fixtures/encode/bert-rerank"
TEXTS = ["How do I make a new API key?", "How can I create another API key?", "The weather is nice today."]


def cosine(left, right):
    return sum(a * b for a, b in zip(left, right)) / math.hypot(*left) / math.hypot(*right)


def test_vectors_come_in_order_by_the_default_of_the_package_which_is_base64(client):
    answer = client.embeddings.create(model=EMBEDDER, input=TEXTS)
    assert [item.index for item in answer.data] == [0, 1, 2]
    assert answer.model == EMBEDDER
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > len(TEXTS)
    asked, paraphrase, unrelated = [item.embedding for item in answer.data]
    assert math.hypot(*asked) == pytest.approx(1, abs=1e-4)
    assert cosine(asked, paraphrase) > cosine(asked, unrelated)


def test_both_forms_are_the_same_numbers(client):
    floats = client.embeddings.create(model=EMBEDDER, input=TEXTS[0], encoding_format="float").data[0].embedding
    coded = client.embeddings.create(model=EMBEDDER, input=TEXTS[0], encoding_format="base64").data[0].embedding
    raw = base64.b64decode(coded) if isinstance(coded, str) else struct.pack(f"<{len(coded)}f", *coded)
    assert struct.pack(f"<{len(floats)}f", *floats) == raw


def test_limits_have_the_codes_of_the_contract(client):
    with pytest.raises(openai.APIStatusError) as too_many:
        client.embeddings.create(model=EMBEDDER, input=["a"] * 33)
    assert (too_many.value.status_code, too_many.value.body["code"]) == (413, 20042)
    assert too_many.value.body["message"] == "input batch size 33 > maximum allowed batch size 32"
    with pytest.raises(openai.APIStatusError) as too_long:
        client.embeddings.create(model=EMBEDDER, input="word " * 2000)
    assert (too_long.value.status_code, too_long.value.body["code"]) == (413, 20042)
    assert too_long.value.body["message"].startswith("input must have less than ")
    with pytest.raises(openai.BadRequestError) as dimensions:
        client.embeddings.create(model=EMBEDDER, input="a", dimensions=64)
    assert dimensions.value.body["code"] == 20015
    assert dimensions.value.body["message"] == "The parameter is invalid. Please check again."


@pytest.fixture(scope="module")
def ranker(shop):
    """Deploys a model that ranks, by the operator's API."""
    shop.call("PUT", "/models", {"id": RANKER, "type": "text", "sub_type": "reranker"})
    replicas = [{"engine": "candle", "path": str(FIXTURE)}]
    shop.call("PUT", "/deployments", {"name": RANKER, "models": [RANKER], "replicas": replicas})
    return RANKER


def rerank(client, model, **fields):
    body = {"model": model, "query": "the cat", "documents": ["the mat", "a warm mat near the door", "yes"], **fields}
    return client.post("/rerank", body=body, cast_to=object)


def test_documents_are_ranked(client, ranker):
    answer = rerank(client, ranker, top_n=None, return_documents=True)
    scores = [result["relevance_score"] for result in answer["results"]]
    assert scores == sorted(scores, reverse=True) and 1 >= scores[0] > scores[2] >= 0
    assert {result["index"] for result in answer["results"]} == {0, 1, 2}
    texts = {0: "the mat", 1: "a warm mat near the door", 2: "yes"}
    assert all(result["document"] == {"text": texts[result["index"]]} for result in answer["results"])
    assert answer["tokens"] == answer["meta"]["tokens"]
    assert answer["meta"]["billed_units"]["input_tokens"] == answer["tokens"]["input_tokens"] > 0
    [best] = rerank(client, ranker, top_n=1)["results"]
    assert best == {"index": answer["results"][0]["index"], "relevance_score": scores[0]}


def test_a_long_document_is_read_in_pieces_and_an_empty_list_is_refused(client, ranker):
    answer = rerank(client, ranker, documents=["the cat sat " * 300, "yes"], max_chunks_per_doc=64, overlap_tokens=20)
    assert answer["tokens"]["input_tokens"] > 900
    assert {result["index"] for result in answer["results"]} == {0, 1}
    with pytest.raises(openai.APIStatusError) as pieces:
        rerank(client, ranker, documents=["the cat sat " * 300], max_chunks_per_doc=2)
    assert (pieces.value.status_code, pieces.value.body["code"]) == (413, 20042)
    with pytest.raises(openai.BadRequestError) as empty:
        rerank(client, ranker, documents=[])
    assert empty.value.body["code"] == 20015
    assert empty.value.body["message"] == "List should have at least 1 item after validation"
