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
            {"type": "tool_use", "id": "a", "name": "weather", "input": {"city": "Paris"}},
        ],
    },
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "sunny"}]},
]
WEATHER = {"name": "weather", "description": "Tells it.", "input_schema": {"type": "object", "properties": {}}}


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
