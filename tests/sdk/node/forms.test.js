// JSON forms, forced calls, vectors and ranking through OpenAI's package for Node, on the demo models.

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

const HELLO = [{ role: "user", content: "Hello" }];
// Bounded, so that no choice of tokens runs into the limit.
const PLACE = {
  type: "object",
  properties: {
    city: { type: "string", maxLength: 20 },
    unit: { enum: ["celsius", "fahrenheit"] },
    days: { type: "integer", minimum: 1, maximum: 14 },
  },
  required: ["city", "unit", "days"],
  additionalProperties: false,
};
const FORECAST = { type: "function", function: { name: "forecast", parameters: PLACE } };
const LIVELY = { temperature: 1, frequency_penalty: 0, enable_thinking: false };

function assertPlace(text) {
  const place = JSON.parse(text);
  assert.deepEqual(Object.keys(place).sort(), ["city", "days", "unit"]);
  assert.equal(typeof place.city, "string");
  assert.ok(PLACE.properties.unit.enum.includes(place.unit));
  assert.ok(Number.isInteger(place.days) && place.days >= 1 && place.days <= 14);
}

const form = { type: "json_schema", json_schema: { name: "place", strict: true, schema: PLACE } };

test("an answer follows its schema, plain and streamed", async () => {
  const asked = { model, messages: HELLO, response_format: form, ...LIVELY };
  const answer = await client.chat.completions.create(asked);
  assert.equal(answer.choices[0].finish_reason, "stop");
  assertPlace(answer.choices[0].message.content);
  let text = "";
  for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
    text += chunk.choices[0].delta.content ?? "";
  }
  assertPlace(text);
});

test("JSON mode gives an object", async () => {
  const asked = { model, messages: HELLO, response_format: { type: "json_object" }, max_tokens: 400, ...LIVELY };
  const [choice] = (await client.chat.completions.create(asked)).choices;
  if (choice.finish_reason === "length") return;
  assert.equal(JSON.parse(choice.message.content)?.constructor, Object);
});

for (const choice of ["required", { type: "function", function: { name: "forecast" } }]) {
  test(`a call is forced by ${JSON.stringify(choice)}, plain and streamed`, async () => {
    const asked = {
      model, messages: HELLO, tools: [FORECAST], tool_choice: choice, parallel_tool_calls: false, ...LIVELY,
    };
    const answer = await client.chat.completions.create(asked);
    assert.equal(answer.choices[0].finish_reason, "tool_calls");
    const [call] = answer.choices[0].message.tool_calls;
    assert.equal(call.function.name, "forecast");
    assertPlace(call.function.arguments);
    let written = "";
    for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
      written += chunk.choices[0].delta.tool_calls?.[0]?.function?.arguments ?? "";
    }
    assertPlace(written);
  });
}

test("a response follows its schema, plain and streamed", async () => {
  const format = { type: "json_schema", name: "place", strict: true, schema: PLACE };
  const asked = { model, input: "Hello", text: { format }, temperature: 1, reasoning: { effort: "none" } };
  assertPlace((await client.responses.create(asked)).output_text);
  let text = "";
  for await (const event of await client.responses.create({ ...asked, stream: true })) {
    if (event.type === "response.output_text.delta") text += event.delta;
  }
  assertPlace(text);
});

test("a schema that cannot be kept is a bad request", async () => {
  const schema = { type: "strin" };
  const bad = { type: "json_schema", json_schema: { name: "a", schema } };
  // The reason is in the body, of which this package shows nothing: it has no "error" object.
  const refused = client.chat.completions.create({ model, messages: HELLO, response_format: bad });
  await assert.rejects(refused, OpenAI.BadRequestError);
});

test("vectors are close where texts mean the same", async () => {
  const input = ["How do I make a new API key?", "How can I create another API key?", "The weather is nice today."];
  const answer = await client.embeddings.create({ model: "silica/tiny-embed", input });
  assert.deepEqual(answer.data.map((item) => item.index), [0, 1, 2]);
  const [asked, paraphrase, unrelated] = answer.data.map((item) => item.embedding);
  const cosine = (left, right) => left.reduce((sum, value, index) => sum + value * right[index], 0);
  assert.ok(cosine(asked, paraphrase) > cosine(asked, unrelated));
});

test("documents are ranked", async () => {
  const body = { model: "silica/tiny-rerank", query: "Apple", documents: ["香蕉", "苹果", "蔬菜"], top_n: 2 };
  const answer = await client.post("/rerank", { body });
  assert.equal(answer.results.length, 2);
  assert.equal(answer.results[0].index, 1);
});
