"""Messages as an unmodified Anthropic client for Python sees them."""

import anthropic
import pytest

STORY = [{"role": "user", "content": "Write a short story."}]
# This client has no argument for it.
GREEDY = {"temperature": 0}
CALL = [
    {"role": "user", "content": "Weather in Paris?"},
    {
        "role": "assistant",
        "content": [
            {"type": "text", "text": "Let me see."},
            {"type": "tool_use", "id": "a", "name": "get_weather", "input": {"city": "Paris"}},
        ],
    },
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "sunny"}]},
]
SUM = [{"role": "user", "content": "What is 27 + 48?"}]
WEATHER = {
    "name": "get_weather",
    "description": "Get the current weather for a given city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "The name of the city to query weather for."}},
        "required": ["city"],
    },
}


def test_a_plain_answer_has_text_usage_and_an_id(claude, model):
    answer = claude.messages.create(model=model, messages=STORY, max_tokens=64, extra_body=GREEDY)
    assert answer.type == "message" and answer.role == "assistant"
    assert answer.model == model
    assert answer.id.startswith("msg_") and len(answer.id) == 28
    [block] = answer.content
    assert block.type == "text" and block.text.strip()
    assert answer.stop_reason in ("end_turn", "max_tokens")
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0


def test_a_streamed_answer_is_the_plain_one_in_pieces(claude, model):
    asked = {"model": model, "messages": STORY, "max_tokens": 64, "extra_body": GREEDY}
    plain = claude.messages.create(**asked)
    with claude.messages.stream(**asked) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert len(pieces) > 5, "the answer came in pieces"
    assert "".join(pieces) == plain.content[0].text == final.content[0].text
    assert (final.stop_reason, final.usage.output_tokens) == (plain.stop_reason, plain.usage.output_tokens)
    events = [event.type for event in claude.messages.create(**asked, stream=True)]
    assert events[:2] == ["message_start", "content_block_start"]
    assert events[-3:] == ["content_block_stop", "message_delta", "message_stop"]


def test_the_system_prompt_counts(claude, model):
    def ask(**more):
        return claude.messages.create(model=model, messages=STORY, max_tokens=1, **more).usage.input_tokens

    assert ask(system=[{"type": "text", "text": "Be brief and kind."}]) > ask()


def test_a_turn_with_a_call_and_its_result_is_read(claude, model):
    answer = claude.messages.create(model=model, messages=CALL, tools=[WEATHER], max_tokens=16)
    assert answer.stop_reason in ("end_turn", "max_tokens", "tool_use")


def test_a_budget_ends_the_thinking_hard(claude, model):
    asked = {"model": model, "messages": SUM, "max_tokens": 200, "extra_body": GREEDY}
    whole = claude.messages.create(**asked)
    thought, said = whole.content
    assert (thought.type, said.type) == ("thinking", "text") and "75" in said.text
    cut = claude.messages.create(**asked, thinking={"type": "enabled", "budget_tokens": 5}).content
    assert cut[0].type == "thinking" and thought.thinking.startswith(cut[0].thinking)
    assert len(cut[0].thinking) < len(thought.thinking) and cut[1].text
    silent = claude.messages.create(**asked, thinking={"type": "disabled"}).content
    assert [block.type for block in silent] == ["text"]
    with claude.messages.stream(**asked) as stream:
        pieces = [event.thinking for event in stream if event.type == "thinking"]
        assert "".join(pieces) == thought.thinking
        final = stream.get_final_message().content
    assert [block.type for block in final] == ["thinking", "text"] and final[0].signature


@pytest.mark.parametrize(
    "thinking, code",
    [
        ({"type": "enabled"}, 20084),
        ({"type": "sometimes"}, 20085),
        ({"type": "enabled", "budget_tokens": -1}, 20086),
    ],
)
def test_a_thinking_setting_that_makes_no_sense_is_refused(claude, model, thinking, code):
    with pytest.raises(anthropic.BadRequestError) as caught:
        claude.messages.create(model=model, messages=SUM, max_tokens=8, extra_body={"thinking": thinking})
    assert caught.value.body["code"] == code


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("listed", [False, True])
def test_a_tool_is_used_and_its_result_answered(claude, model, stream, listed):
    def ask(messages):
        asked = {"model": model, "messages": messages, "tools": [WEATHER], "max_tokens": 64, "extra_body": GREEDY}
        if not stream:
            return claude.messages.create(**asked)
        with claude.messages.stream(**asked) as events:
            return events.get_final_message()

    question = {"role": "user", "content": "how is the weather today in beijing?"}
    first = ask([question])
    [use] = first.content
    assert (use.type, use.name, use.input) == ("tool_use", "get_weather", {"city": "beijing"})
    assert first.stop_reason == "tool_use"
    text = '{"temperature": 21.4}'
    content = [{"type": "text", "text": text}] if listed else text
    result = {"type": "tool_result", "tool_use_id": use.id, "content": content}
    second = ask([question, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}])
    assert "21.4" in second.content[0].text and second.stop_reason == "end_turn"
    failed = {**result, "content": "no such city", "is_error": True}
    third = ask([question, {"role": "assistant", "content": first.content}, {"role": "user", "content": [failed]}])
    assert third.content[0].text.strip()


def test_a_stop_sequence_is_told(claude, model):
    asked = {"model": model, "messages": STORY, "max_tokens": 64, "extra_body": GREEDY}
    whole = claude.messages.create(**asked).content[0].text
    middle = len(whole) // 2
    stop = whole[middle : middle + 6]
    answer = claude.messages.create(**asked, stop_sequences=["never said", stop])
    assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", stop)
    assert answer.content[0].text == whole[: whole.index(stop)]


def test_tokens_are_counted_as_they_are_billed(claude, model):
    asked = {"model": model, "messages": CALL, "system": "Be kind.", "tools": [WEATHER]}
    counted = claude.messages.count_tokens(**asked).input_tokens
    usage = claude.messages.create(**asked, max_tokens=1).usage
    assert counted == usage.input_tokens + usage.cache_read_input_tokens


def test_an_image_is_refused_by_a_model_that_does_not_see(claude, model):
    source = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    content = [{"type": "text", "text": "What is this?"}, {"type": "image", "source": source}]
    with pytest.raises(anthropic.BadRequestError) as caught:
        claude.messages.create(model=model, messages=[{"role": "user", "content": content}], max_tokens=8)
    assert caught.value.body["code"] == 20041


@pytest.mark.parametrize("stream", [False, True])
def test_errors_have_their_class_and_their_kind(claude, model, base_url, stream):
    with pytest.raises(anthropic.BadRequestError) as caught:
        claude.messages.create(model="absent", messages=STORY, max_tokens=5, stream=stream)
    assert caught.value.body["error"]["type"] == "invalid_request_error"
    assert caught.value.body["code"] == 20012
    stranger = anthropic.Anthropic(base_url=base_url, api_key="sk-wrong", max_retries=0)
    with pytest.raises(anthropic.AuthenticationError):
        stranger.messages.create(model=model, messages=STORY, max_tokens=5, stream=stream)


def test_a_bearer_token_is_a_key_as_well(base_url, api_key, model):
    client = anthropic.Anthropic(base_url=base_url, auth_token=api_key, max_retries=0)
    assert client.messages.create(model=model, messages=STORY, max_tokens=5).content
