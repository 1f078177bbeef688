"""Responses as an unmodified OpenAI client for Python sees them."""

import json

import openai
import pytest

STORY = "Write a short story."
SUM = "What is 27 + 48?"
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the current weather for a given city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "The name of the city to query weather for."}},
        "required": ["city"],
    },
    "strict": False,
}
ASK_WEATHER = {"role": "user", "content": "how is the weather today in beijing?"}


def check_final(events):
    """Every event has its number, and what the last one says is what the pieces say."""
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    final = events[-1].response
    done = [event.item for event in events if event.type == "response.output_item.done"]
    assert [item.to_dict() for item in done] == [item.to_dict() for item in final.output]
    return final


def test_a_plain_answer_has_text_usage_and_an_id(client, model):
    answer = client.responses.create(model=model, input=STORY, temperature=0, max_output_tokens=64)
    assert answer.object == "response" and answer.model == model
    assert answer.id.startswith("resp_") and len(answer.id) == 37
    [item] = answer.output
    assert item.type == "message" and item.role == "assistant"
    assert answer.output_text == item.content[0].text and answer.output_text.strip()
    assert answer.status in ("completed", "incomplete")
    usage = answer.usage
    assert usage.input_tokens > 0 and usage.output_tokens > 0
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert answer.error is None and answer.tools == [] and answer.tool_choice == "auto"


def test_a_streamed_answer_is_the_plain_one_in_pieces(client, model):
    asked = {"model": model, "input": STORY, "temperature": 0, "max_output_tokens": 64}
    plain = client.responses.create(**asked)
    events = list(client.responses.create(**asked, stream=True))
    final = check_final(events)
    pieces = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert len(pieces) > 5, "the answer came in pieces"
    assert "".join(pieces) == plain.output_text == final.output_text
    assert final.status == plain.status and final.usage.output_tokens == plain.usage.output_tokens


def test_the_stream_helper_ends_with_the_whole_answer(client, model):
    with client.responses.stream(model=model, input=SUM, temperature=0) as stream:
        snapshots = [event.snapshot for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert snapshots[-1] == final.output_text
    assert "75" in final.output_text


def test_reasoning_is_an_item_of_its_own(client, model):
    answer = client.responses.create(model=model, input=SUM, temperature=0)
    thought, said = answer.output
    assert (thought.type, said.type) == ("reasoning", "message")
    assert thought.content[0].text.strip() and "75" in answer.output_text
    assert answer.usage.output_tokens_details.reasoning_tokens > 0
    events = list(client.responses.create(model=model, input=SUM, temperature=0, stream=True))
    check_final(events)
    pieces = [event.delta for event in events if event.type == "response.reasoning_text.delta"]
    assert "".join(pieces) == thought.content[0].text
    silent = client.responses.create(model=model, input=SUM, temperature=0, reasoning={"effort": "none"})
    assert [item.type for item in silent.output] == ["message"]
    assert silent.usage.output_tokens_details.reasoning_tokens == 0


def test_a_limit_makes_the_answer_incomplete(client, model):
    answer = client.responses.create(model=model, input=STORY, max_output_tokens=3)
    assert answer.status == "incomplete" and answer.incomplete_details.reason == "max_output_tokens"
    assert answer.usage.output_tokens == 3
    events = list(client.responses.create(model=model, input=STORY, max_output_tokens=3, stream=True))
    assert events[-1].type == "response.incomplete"


@pytest.mark.parametrize("stream", [False, True])
def test_a_function_is_called_and_its_result_answered(client, model, stream):
    def ask(conversation):
        asked = {"model": model, "input": conversation, "tools": [WEATHER], "temperature": 0}
        if not stream:
            return client.responses.create(**asked)
        with client.responses.stream(**asked) as events:
            return events.get_final_response()

    first = ask([ASK_WEATHER])
    [call] = first.output
    assert (call.type, call.name, call.status) == ("function_call", "get_weather", "completed")
    assert json.loads(call.arguments) == {"city": "beijing"}
    # The answer's items go back as they came; nothing is stored.
    result = {"type": "function_call_output", "call_id": call.call_id, "output": '{"temperature": 21.4}'}
    second = ask([ASK_WEATHER, *first.output, result])
    assert "21.4" in second.output_text


def test_arguments_come_in_pieces(client, model):
    asked = {"model": model, "input": [ASK_WEATHER], "tools": [WEATHER], "temperature": 0, "stream": True}
    events = list(client.responses.create(**asked))
    final = check_final(events)
    pieces = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
    [done] = [event for event in events if event.type == "response.function_call_arguments.done"]
    assert len(pieces) > 1 and "".join(pieces) == done.arguments == final.output[0].arguments


def test_a_conversation_goes_on_with_the_items_of_its_answer(client, model):
    first = client.responses.create(model=model, input=SUM, temperature=0, instructions="Be brief.")
    conversation = [{"role": "user", "content": SUM}, *first.output]
    conversation.append({"role": "user", "content": [{"type": "input_text", "text": "Hello"}]})
    second = client.responses.create(model=model, input=conversation, max_output_tokens=16)
    assert second.usage.input_tokens > first.usage.input_tokens
    assert first.instructions == "Be brief."


def test_log_probabilities_come_when_they_are_included(client, model):
    asked = {"include": ["message.output_text.logprobs"], "top_logprobs": 2, "max_output_tokens": 8}
    answer = client.responses.create(model=model, input=STORY, temperature=0, **asked)
    [part] = answer.output[0].content
    assert "".join(entry.token for entry in part.logprobs) == part.text
    assert all(len(entry.top_logprobs) == 2 for entry in part.logprobs)


def test_what_needs_a_memory_is_refused(client, model):
    answer = client.responses.create(model=model, input=STORY, max_output_tokens=2, store=True, metadata={"a": "b"})
    assert answer.metadata == {"a": "b"} and answer.to_dict()["store"] is False
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model=model, input=STORY, previous_response_id=answer.id)
    assert caught.value.body["code"] == 20015
    assert "send the whole conversation" in caught.value.body["message"]
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(answer.id)


@pytest.mark.parametrize("stream", [False, True])
def test_errors_have_their_class_and_their_code(client, model, stream):
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="absent", input=STORY, stream=stream)
    assert caught.value.body["code"] == 20012
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model=model, input=STORY, tools=[{"type": "web_search"}], stream=stream)
    assert caught.value.body["message"] == "tools.0.type: Input should be 'function'"
