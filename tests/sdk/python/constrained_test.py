"""JSON forms and forced calls as unmodified OpenAI and Anthropic clients for Python see them."""

import json
from typing import Literal

import openai
import pytest
from pydantic import BaseModel, Field

HELLO = [{"role": "user", "content": "Hello"}]
SILENT = {"extra_body": {"enable_thinking": False}}


class Place(BaseModel):
    city: str = Field(max_length=20)
    unit: Literal["celsius", "fahrenheit"]
    days: int = Field(ge=1, le=14)


FORECAST = {"type": "function", "function": {"name": "forecast", "parameters": Place.model_json_schema()}}
CLOCK = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}


def test_json_mode_gives_an_object(client, model):
    for seed in range(5):
        answer = client.chat.completions.create(
            model=model, messages=HELLO, response_format={"type": "json_object"}, seed=seed, max_tokens=400, **SILENT
        )
        if answer.choices[0].finish_reason == "stop":
            assert isinstance(json.loads(answer.choices[0].message.content), dict)
        else:
            assert answer.choices[0].finish_reason == "length"


@pytest.mark.parametrize("temperature", [0, 1.5])
def test_parse_gives_an_instance_of_the_class(client, model, temperature):
    answer = client.chat.completions.parse(
        model=model, messages=HELLO, response_format=Place, temperature=temperature, frequency_penalty=0, **SILENT
    )
    assert isinstance(answer.choices[0].message.parsed, Place)


def test_a_streamed_form_is_whole(client, model):
    with client.chat.completions.stream(
        model=model, messages=HELLO, response_format=Place, temperature=0, **SILENT
    ) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    assert isinstance(final.choices[0].message.parsed, Place)


def test_a_form_comes_after_the_reasoning(client, model):
    answer = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "What is 12 + 34?"}],
        temperature=0,
        frequency_penalty=0,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "sum", "schema": {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"], "additionalProperties": False}},
        },
    )
    message = answer.choices[0].message
    assert list(json.loads(message.content)) == ["sum"]


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "forecast"}}])
def test_a_forced_call_is_made(client, model, choice):
    asked = {"model": model, "messages": HELLO, "tools": [FORECAST], "tool_choice": choice, "parallel_tool_calls": False}
    answer = client.chat.completions.create(**asked, temperature=1, frequency_penalty=0, **SILENT)
    [call] = answer.choices[0].message.tool_calls
    assert answer.choices[0].finish_reason == "tool_calls" and call.function.name == "forecast"
    Place.model_validate_json(call.function.arguments)
    chunks = list(client.chat.completions.create(**asked, stream=True, temperature=1, frequency_penalty=0, **SILENT))
    deltas = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    Place.model_validate_json("".join(delta.function.arguments or "" for delta in deltas))


def test_no_call_is_made_when_there_may_be_none(client, model):
    weather = [{"role": "user", "content": "how is the weather today in beijing?"}]
    answer = client.chat.completions.create(model=model, messages=weather, tools=[FORECAST, CLOCK], tool_choice="none")
    assert not answer.choices[0].message.tool_calls


def test_what_cannot_be_kept_is_refused_with_the_reason(client, model):
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "strin"}}}
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model=model, messages=HELLO, response_format=form)
    assert refused.value.body["code"] == 20024
    other = {"type": "function", "function": {"name": "other"}}
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model=model, messages=HELLO, tools=[FORECAST], tool_choice=other)
    assert refused.value.body["code"] == 20015


def test_responses_parse_gives_an_instance_of_the_class(client, model):
    answer = client.responses.parse(
        model=model, input="Hello", text_format=Place, temperature=1, reasoning={"effort": "none"}
    )
    assert isinstance(answer.output_parsed, Place)


def test_responses_force_a_call(client, model):
    tool = {"type": "function", "name": "forecast", "parameters": Place.model_json_schema(), "strict": True}
    answer = client.responses.create(
        model=model, input="Hello", tools=[tool], tool_choice="required", parallel_tool_calls=False,
        reasoning={"effort": "none"},
    )
    [call] = answer.output
    assert call.type == "function_call"
    Place.model_validate_json(call.arguments)


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "forecast"}])
def test_messages_force_a_call(claude, model, choice):
    tool = {"name": "forecast", "input_schema": Place.model_json_schema()}
    answer = claude.messages.create(
        model=model, max_tokens=400, messages=HELLO, tools=[tool],
        tool_choice={**choice, "disable_parallel_tool_use": True}, thinking={"type": "disabled"},
    )
    [block] = answer.content
    assert answer.stop_reason == "tool_use" and block.name == "forecast"
    Place.model_validate(block.input)
    with claude.messages.stream(
        model=model, max_tokens=400, messages=HELLO, tools=[tool],
        tool_choice={**choice, "disable_parallel_tool_use": True}, thinking={"type": "disabled"},
    ) as stream:
        [block] = stream.get_final_message().content
    Place.model_validate(block.input)
