// The worked examples of the imitated service's documentation, on the demo model; see the Python ones.

import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";

const { SILICA_BASE_URL, SILICA_API_KEY, SILICA_MODEL: model } = process.env;
const client = new OpenAI({
  baseURL: `${SILICA_BASE_URL}/v1`,
  apiKey: SILICA_API_KEY,
  maxRetries: 0,
  timeout: 60_000,
});

const tool = (name, description, properties) => ({
  type: "function",
  function: { name, description, parameters: { type: "object", properties, required: Object.keys(properties) } },
});

// The types are those of the page, and none of JSON Schema.
const integer = { type: "int", description: "A number" };
const float = { type: "float", description: "A number" };
const ARITHMETIC = [
  tool("add", "Compute the sum of two numbers", { a: integer, b: integer }),
  tool("mul", "Calculate the product of two numbers", { a: integer, b: integer }),
  tool("count_letter_in_string", "Count letter number in a string", {
    a: { type: "str", description: "source string" },
    b: { type: "str", description: "letter" },
  }),
  tool("compare", "Compare two number, which one is bigger", { a: float, b: float }),
];
const WEATHER = [
  tool("get_weather", "Get the current weather for a given city.", {
    city: { type: "string", description: "The name of the city to query weather for." },
  }),
];

const CASES = [
  {
    tools: ARITHMETIC,
    question: "用中文回答：strawberry中有多少个r?",
    name: "count_letter_in_string",
    expected: { a: "strawberry", b: "r" },
    result: "The letter 'r' appears 3 times in the string.",
    value: /3/,
  },
  {
    tools: ARITHMETIC,
    question: "用中文回答：9.11和9.9，哪个小?",
    name: "compare",
    expected: { a: 9.11, b: 9.9 },
    result: "9.9 is greater than 9.11",
    value: /9\.9/,
  },
  {
    tools: WEATHER,
    question: "how is the weather today in beijing?",
    name: "get_weather",
    expected: { city: "beijing" },
    result: '{"temperature": 21.4}',
    value: /21\.4/,
  },
];

const ways = {
  plain: (options) => client.chat.completions.create({ model, ...options }),
  streamed: (options) => client.chat.completions.stream({ model, ...options }).finalChatCompletion(),
};

for (const [way, ask] of Object.entries(ways)) {
  for (const { tools, question, name, expected, result, value } of CASES) {
    test(`${name} is called and its result answered, ${way}`, async () => {
      const options = { tools, temperature: 0.01, top_p: 0.95 };
      const messages = [{ role: "user", content: question }];
      const [first] = (await ask({ ...options, messages })).choices;
      assert.equal(first.finish_reason, "tool_calls");
      assert.equal(first.message.tool_calls.length, 1);
      const [{ id, function: called }] = first.message.tool_calls;
      assert.equal(called.name, name);
      assert.deepEqual(JSON.parse(called.arguments), expected);
      messages.push({
        role: "assistant",
        content: null,
        tool_calls: [{ id, type: "function", function: { name, arguments: called.arguments } }],
      });
      messages.push({ role: "tool", tool_call_id: id, content: result });
      const [second] = (await ask({ ...options, messages })).choices;
      assert.equal(second.finish_reason, "stop");
      assert.match(second.message.content, value);
    });
  }

  test(`an answer goes on after its prefix and does not repeat it, ${way}`, async () => {
    const messages = [{ role: "user", content: "What is Silica?" }];
    const [choice] = (await ask({ messages, temperature: 0, prefix: "Silica is" })).choices;
    assert.match(choice.message.content, /^ an open/);
  });

  test(`a gap is filled, ${way}`, async () => {
    const messages = [{ role: "user", content: "Please write add code" }];
    const gap = { prefix: "def add(a, b):\n    return ", suffix: "\n" };
    const [choice] = (await ask({ messages, temperature: 0, ...gap })).choices;
    assert.equal(choice.message.content, "a + b");
  });
}

test("a gap is filled in a completion, plain and streamed", async () => {
  const options = { model, prompt: "def square(x):\n    return ", suffix: "\n", temperature: 0 };
  assert.equal((await client.completions.create(options)).choices[0].text, "x * x");
  let text = "";
  for await (const chunk of await client.completions.create({ ...options, stream: true })) {
    text += chunk.choices[0].text;
  }
  assert.equal(text, "x * x");
});

test("reasoning is counted and can be switched off", async () => {
  const messages = [{ role: "user", content: "What is 27 + 48?" }];
  const options = { model, messages, temperature: 0 };
  const thought = await client.chat.completions.create(options);
  assert.ok(thought.choices[0].message.reasoning_content);
  assert.ok(thought.usage.completion_tokens_details.reasoning_tokens > 0);
  const silent = await client.chat.completions.create({ ...options, enable_thinking: false });
  assert.equal(silent.choices[0].message.reasoning_content, undefined);
  assert.equal(silent.usage.completion_tokens_details.reasoning_tokens, 0);
});
