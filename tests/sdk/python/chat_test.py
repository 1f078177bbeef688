"""Chat completions as an unmodified OpenAI client for Python sees them."""

import asyncio

import openai
import pytest

STORY = [{"role": "user", "content": "Write a short story."}]
SUM = [{"role": "user", "content": "What is 12 + 34?"}]


def test_a_plain_answer_has_text_usage_and_an_id(client, model):
    answer = client.chat.completions.create(model=model, messages=STORY, temperature=0)
    assert answer.object == "chat.completion"
    assert answer.model == model
    assert len(answer.id) == 32 and int(answer.id, 16)
    [choice] = answer.choices
    assert choice.message.role == "assistant"
    assert choice.message.content.strip()
    assert choice.finish_reason in ("stop", "length")
    usage = answer.usage
    assert usage.prompt_tokens > 0 and usage.completion_tokens > 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_a_streamed_answer_is_the_plain_one_in_pieces(client, model):
    plain = client.chat.completions.create(model=model, messages=STORY, temperature=0)
    chunks = list(client.chat.completions.create(model=model, messages=STORY, temperature=0, stream=True))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert all(len(chunk.choices) == 1 for chunk in chunks), "choices is never empty"
    assert len({chunk.id for chunk in chunks}) == 1
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == plain.choices[0].message.content
    assert len(chunks) > 5, "the answer came in pieces"
    counts = [chunk.usage.completion_tokens for chunk in chunks]
    assert counts == sorted(counts), "usage is cumulative"
    assert chunks[-1].choices[0].finish_reason == plain.choices[0].finish_reason
    assert chunks[-1].usage.total_tokens == plain.usage.total_tokens


def test_max_tokens_ends_the_answer_with_length(client, model):
    answer = client.chat.completions.create(model=model, messages=STORY, max_tokens=5)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 5


def test_n_gives_as_many_choices_plain_and_streamed(client, model):
    answer = client.chat.completions.create(model=model, messages=STORY, n=2, max_tokens=24)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert all(choice.message.content for choice in answer.choices)
    single = client.chat.completions.create(model=model, messages=STORY, max_tokens=24)
    assert answer.usage.prompt_tokens == single.usage.prompt_tokens, "the prompt is counted once"

    chunks = list(client.chat.completions.create(model=model, messages=STORY, n=2, max_tokens=24, stream=True))
    finished = [chunk.choices[0].index for chunk in chunks if chunk.choices[0].finish_reason]
    assert sorted(finished) == [0, 1]


def test_a_stop_text_ends_the_answer_and_is_not_part_of_it(client, model):
    whole = client.chat.completions.create(model=model, messages=STORY, temperature=0).choices[0].message.content
    # Six characters from the middle: they begin and end inside tokens.
    middle = len(whole) // 2
    stop = whole[middle : middle + 6]
    expected = whole[: whole.index(stop)]
    answer = client.chat.completions.create(model=model, messages=STORY, temperature=0, stop=[stop, "never said"])
    assert answer.choices[0].message.content == expected
    assert answer.choices[0].finish_reason == "stop"
    chunks = client.chat.completions.create(model=model, messages=STORY, temperature=0, stop=stop, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == expected


def test_the_same_seed_gives_the_same_answer(client, model):
    def ask(seed):
        answer = client.chat.completions.create(
            model=model, messages=STORY, temperature=2, top_p=1, seed=seed, max_tokens=40, extra_body={"top_k": -1}
        )
        return answer.choices[0].message.content

    assert ask(7) == ask(7)
    assert len({ask(seed) for seed in range(4)}) > 1, "other seeds give other answers"


def test_logprobs_come_with_their_alternatives(client, model):
    answer = client.chat.completions.create(
        model=model, messages=STORY, temperature=0, logprobs=True, top_logprobs=3, max_tokens=10
    )
    entries = answer.choices[0].logprobs.content
    assert "".join(entry.token for entry in entries) == answer.choices[0].message.content
    for entry in entries:
        assert entry.logprob <= 0
        assert len(entry.top_logprobs) == 3
        assert entry.top_logprobs[0].logprob >= entry.logprob


def test_reasoning_stands_beside_the_content(client, model):
    answer = client.chat.completions.create(model=model, messages=SUM, temperature=0, frequency_penalty=0)
    message = answer.choices[0].message
    assert message.reasoning_content.strip(), "the steps of the sum"
    assert "46" in message.content
    assert "<think>" not in message.content and "</think>" not in message.content
    assert answer.usage.completion_tokens_details.reasoning_tokens > 0

    chunks = list(
        client.chat.completions.create(model=model, messages=SUM, temperature=0, frequency_penalty=0, stream=True)
    )
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(delta.reasoning_content or "" for delta in deltas) == message.reasoning_content
    assert "".join(delta.content or "" for delta in deltas) == message.content


def test_sixteen_requests_at_once_are_all_answered(base_url, api_key, model):
    async def ask_all():
        async with openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key=api_key, max_retries=0, timeout=60) as client:
            asked = [
                client.chat.completions.create(
                    model=model, messages=[{"role": "user", "content": f"What is {number} + 20?"}], max_tokens=32
                )
                for number in range(10, 26)
            ]
            return await asyncio.gather(*asked)

    answers = asyncio.run(ask_all())
    assert len({answer.id for answer in answers}) == 16
    assert all(answer.choices[0].finish_reason for answer in answers)


def test_a_long_conversation_with_all_roles_is_accepted(client, model):
    messages = [{"role": "system", "content": "Answer briefly."}]
    for _ in range(8):
        messages += [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello!"}]
    messages += [
        {"role": "user", "content": "What is the weather?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "a", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "a", "content": "sunny"},
    ]
    answer = client.chat.completions.create(model=model, messages=messages, max_tokens=8)
    assert answer.usage.completion_tokens > 0


def test_unknown_fields_and_nulls_are_passed_over(client, model):
    answer = client.chat.completions.create(
        model=model, messages=STORY, max_tokens=4, stop=None, user="someone", extra_body={"never_heard_of": {"a": 1}}
    )
    assert answer.usage.completion_tokens > 0


def test_a_stream_may_be_left_early(client, model):
    stream = client.chat.completions.create(model=model, messages=STORY, stream=True)
    next(iter(stream))
    stream.close()
    assert client.chat.completions.create(model=model, messages=STORY, max_tokens=2).choices


@pytest.mark.parametrize("stream", [False, True])
def test_an_unknown_model_is_a_bad_request(client, stream):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="no/such-model", messages=STORY, stream=stream)
    assert caught.value.body["code"] == 20012
    assert caught.value.body["message"] == "Model does not exist. Please check it carefully."
    assert caught.value.response.headers["x-siliconcloud-trace-id"]


def test_a_wrong_key_is_an_authentication_error(base_url, model):
    client = openai.OpenAI(base_url=f"{base_url}/v1", api_key="sk-wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError) as caught:
        client.chat.completions.create(model=model, messages=STORY)
    assert caught.value.body["code"] == 30014


def test_no_messages_are_a_bad_request(client, model):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=model, messages=[])
    assert isinstance(caught.value.body["code"], int)
