"""Completions of raw texts as an unmodified OpenAI client for Python sees them."""

import openai
import pytest

PROMPT = "Once upon a time"


def test_a_plain_answer_continues_the_text(client, model):
    answer = client.completions.create(model=model, prompt=PROMPT, max_tokens=24, temperature=0)
    assert answer.object == "text_completion"
    assert answer.model == model
    [choice] = answer.choices
    assert choice.text.strip()
    assert choice.finish_reason in ("stop", "length")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_streamed_answer_is_the_plain_one_in_pieces(client, model):
    asked = {"model": model, "prompt": PROMPT, "max_tokens": 24, "temperature": 0}
    plain = client.completions.create(**asked).choices[0]
    chunks = list(client.completions.create(**asked, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == plain.text
    assert chunks[-1].choices[0].finish_reason == plain.finish_reason


def test_an_echo_and_log_probabilities(client, model):
    answer = client.completions.create(model=model, prompt=PROMPT, max_tokens=4, echo=True)
    assert answer.choices[0].text.startswith(PROMPT)
    answer = client.completions.create(model=model, prompt=PROMPT, max_tokens=4, temperature=0, logprobs=2)
    [choice] = answer.choices
    assert "".join(choice.logprobs.tokens) == choice.text
    assert all(len(top) <= 2 for top in choice.logprobs.top_logprobs)


def test_token_ids_are_refused(client, model):
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model=model, prompt=[1, 2, 3], max_tokens=4)
    assert caught.value.body["code"] == 20015


def test_a_chat_model_does_not_embed(client, model):
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model=model, input="a")
    assert caught.value.body["code"] == 20012
