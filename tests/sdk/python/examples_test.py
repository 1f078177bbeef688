"""The worked examples of the imitated service's documentation, on the demo model.

The functions and what is asked are those of its pages on function calling, prefix continuation and
fill in the middle; the model is ours. It is a few megabytes large: that it calls the right function
with the right values is checked to the letter, what it makes of the result only for the value.
"""

import json

import pytest

GREEDY = {"temperature": 0.01, "top_p": 0.95}


def function(name, description, **parameters):
    schema = {"type": "object", "properties": parameters, "required": list(parameters)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


# The types are those of the page, and none of JSON Schema.
INTEGER = {"type": "int", "description": "A number"}
FLOAT = {"type": "float", "description": "A number"}
ARITHMETIC = [
    function("add", "Compute the sum of two numbers", a=INTEGER, b=INTEGER),
    function("mul", "Calculate the product of two numbers", a=INTEGER, b=INTEGER),
    function(
        "count_letter_in_string",
        "Count letter number in a string",
        a={"type": "str", "description": "source string"},
        b={"type": "str", "description": "letter"},
    ),
    function("compare", "Compare two number, which one is bigger", a=FLOAT, b=FLOAT),
]
CITY = {"type": "string", "description": "The name of the city to query weather for."}
WEATHER = [function("get_weather", "Get the current weather for a given city.", city=CITY)]


def compare(a, b):
    if a == b:
        return f"{a} is equal to {b}"
    return f"{max(a, b)} is greater than {min(a, b)}"


def count_letter_in_string(a, b):
    return f"The letter '{b}' appears {a.lower().count(b.lower())} times in the string."


FUNCTIONS = {
    "add": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "compare": compare,
    "count_letter_in_string": count_letter_in_string,
    "get_weather": lambda city: json.dumps({"temperature": 21.4}),
}


@pytest.fixture(params=["plain", "streamed"])
def ask(request, client, model):
    """Asks, and returns the message of the answer and why it ended."""

    def plain(**asked):
        choice = client.chat.completions.create(model=model, **asked).choices[0]
        return choice.message, choice.finish_reason

    def streamed(**asked):
        with client.chat.completions.stream(model=model, **asked) as stream:
            stream.until_done()
            choice = stream.get_final_completion().choices[0]
        return choice.message, choice.finish_reason

    return plain if request.param == "plain" else streamed


@pytest.mark.parametrize(
    "tools, question, name, arguments, value",
    [
        (
            ARITHMETIC,
            "用中文回答：strawberry中有多少个r?",
            "count_letter_in_string",
            {"a": "strawberry", "b": "r"},
            "3",
        ),
        (ARITHMETIC, "用中文回答：9.11和9.9，哪个小?", "compare", {"a": 9.11, "b": 9.9}, "9.9"),
        (WEATHER, "how is the weather today in beijing?", "get_weather", {"city": "beijing"}, "21.4"),
    ],
    ids=["letters", "numbers", "weather"],
)
def test_a_function_is_called_and_its_result_answered(ask, tools, question, name, arguments, value):
    messages = [{"role": "user", "content": question}]
    message, reason = ask(messages=messages, tools=tools, **GREEDY)
    assert reason == "tool_calls"
    [call] = message.tool_calls
    assert call.function.name == name
    assert json.loads(call.function.arguments) == arguments
    result = FUNCTIONS[name](**json.loads(call.function.arguments))
    messages.append(
        {"role": "assistant", "content": message.content, "tool_calls": [call.to_dict() | {"type": "function"}]}
    )
    messages.append({"role": "tool", "content": f"{result}", "tool_call_id": call.id})
    message, reason = ask(messages=messages, tools=tools, **GREEDY)
    assert reason == "stop" and not message.tool_calls
    assert value in message.content


@pytest.mark.parametrize("nested", [False, True])
def test_an_answer_goes_on_after_its_prefix_and_does_not_repeat_it(ask, nested):
    def continued(question, prefix):
        # The page's sketch has a literal `extra_body` in the body.
        fields = {"prefix": prefix}
        message, _ = ask(
            messages=[{"role": "user", "content": question}],
            temperature=0,
            extra_body={"extra_body": fields} if nested else fields,
        )
        return message.content

    code = continued("Please write quick sort code", "```python\n")
    assert not code.startswith("```") and "def " in code
    assert continued("What is Silica?", "Silica is").startswith(" an open")


@pytest.mark.parametrize("nested", [False, True])
def test_a_gap_is_filled_in_a_chat(ask, nested):
    fields = {"prefix": "def add(a, b):\n    return ", "suffix": "\n"}
    message, reason = ask(
        messages=[{"role": "user", "content": "Please write add code"}],
        temperature=0,
        extra_body={"extra_body": fields} if nested else fields,
    )
    assert (message.content, reason) == ("a + b", "stop")


def test_a_gap_is_filled_in_a_completion(client, model):
    asked = {"model": model, "prompt": "def square(x):\n    return ", "suffix": "\n", "temperature": 0}
    assert client.completions.create(**asked).choices[0].text == "x * x"
    chunks = client.completions.create(**asked, stream=True)
    assert "".join(chunk.choices[0].text for chunk in chunks) == "x * x"


def test_reasoning_comes_before_the_answer_and_beside_it(client, model):
    chunks = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "What is 27 + 48?"}], temperature=0, stream=True
    )
    phases, content, tokens = [], "", []
    for chunk in chunks:
        delta = chunk.choices[0].delta
        tokens.append(chunk.usage.completion_tokens_details.reasoning_tokens)
        if delta.reasoning_content:
            phases.append("reasoning")
            assert delta.content is None
        elif delta.content:
            phases.append("content")
            assert delta.reasoning_content is None
        content += delta.content or ""
    assert phases == sorted(phases, reverse=True) and len(set(phases)) == 2
    assert "75" in content
    assert tokens == sorted(tokens) and tokens[-1] > 0


def test_earlier_reasoning_is_not_put_back_into_the_context(client, model):
    def size(**turn):
        messages = [
            {"role": "user", "content": "What is 27 + 48?"},
            {"role": "assistant", "content": "27 + 48 = 75", **turn},
            {"role": "user", "content": "Hello"},
        ]
        answer = client.chat.completions.create(model=model, messages=messages, max_tokens=1)
        return answer.usage.prompt_tokens

    assert size(reasoning_content="ones 7+8=15 carry 1\n" * 9) == size()


def test_thinking_can_be_switched_off_and_is_bounded(client, model, base_url, api_key):
    question = [{"role": "user", "content": "What is 27 + 48?"}]

    def usage(**fields):
        answer = client.chat.completions.create(model=model, messages=question, temperature=0, extra_body=fields)
        return answer.choices[0].message, answer.usage.completion_tokens_details.reasoning_tokens

    message, reasoned = usage(enable_thinking=False)
    assert reasoned == 0 and not getattr(message, "reasoning_content", None) and message.content
    message, reasoned = usage(enable_thinking=True, thinking_budget=128)
    assert 0 < reasoned <= 128 and message.reasoning_content
