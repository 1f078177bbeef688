// Responses as an unmodified OpenAI client for Node sees them; tests/sdk/run.sh sets the environment.

import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";

const { SILICA_BASE_URL, SILICA_API_KEY, SILICA_MODEL: model } = process.env;
const STORY = "Write a short story.";
const SUM = "What is 27 + 48?";
const WEATHER = {
  type: "function",
  name: "get_weather",
  description: "Get the current weather for a given city.",
  parameters: {
    type: "object",
    properties: { city: { type: "string", description: "The name of the city to query weather for." } },
    required: ["city"],
  },
  strict: false,
};
const QUESTION = { role: "user", content: "how is the weather today in beijing?" };

// No retries: an answer that only comes at the second try is a fault.
const client = new OpenAI({
  baseURL: `${SILICA_BASE_URL}/v1`,
  apiKey: SILICA_API_KEY,
  maxRetries: 0,
  timeout: 60_000,
});

const ask = (options) => client.responses.create({ model, temperature: 0, ...options });

async function collect(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  assert.deepEqual(events.map((event) => event.sequence_number), [...events.keys()]);
  return events;
}

test("a plain answer has text, usage and an id", async () => {
  const answer = await ask({ input: STORY, max_output_tokens: 64 });
  assert.equal(answer.object, "response");
  assert.equal(answer.model, model);
  assert.match(answer.id, /^resp_[0-9a-f]{32}$/);
  assert.ok(answer.output_text.trim());
  const { input_tokens, output_tokens, total_tokens } = answer.usage;
  assert.ok(input_tokens > 0 && output_tokens > 0);
  assert.equal(total_tokens, input_tokens + output_tokens);
});

test("a streamed answer is the plain one in pieces", async () => {
  const plain = await ask({ input: SUM });
  const events = await collect(await ask({ input: SUM, stream: true }));
  const pieces = (type) => events.filter((event) => event.type === type).map((event) => event.delta);
  assert.equal(pieces("response.output_text.delta").join(""), plain.output_text);
  assert.equal(pieces("response.reasoning_text.delta").join(""), plain.output[0].content[0].text);
  assert.equal(events.at(-1).type, "response.completed");
  assert.deepEqual(events.at(-1).response.usage.output_tokens, plain.usage.output_tokens);
});

test("the streaming helper of the package puts the answer together", async () => {
  const stream = client.responses.stream({ model, input: SUM, temperature: 0 });
  const types = new Set();
  for await (const event of stream) types.add(event.type);
  const answer = await stream.finalResponse();
  assert.match(answer.output_text, /75/);
  assert.deepEqual(answer.output.map((item) => item.type), ["reasoning", "message"]);
  assert.ok(types.has("response.content_part.added") && types.has("response.output_item.done"));
});

for (const streams of [false, true]) {
  test(`a function is called and its result answered, ${streams ? "streamed" : "plain"}`, async () => {
    const asked = { tools: [WEATHER] };
    const answer = async (input) =>
      streams
        ? client.responses.stream({ model, temperature: 0, ...asked, input }).finalResponse()
        : ask({ ...asked, input });
    const first = await answer([QUESTION]);
    assert.equal(first.output.length, 1);
    const [call] = first.output;
    assert.equal(call.type, "function_call");
    assert.equal(call.name, "get_weather");
    assert.deepEqual(JSON.parse(call.arguments), { city: "beijing" });
    const result = { type: "function_call_output", call_id: call.call_id, output: '{"temperature": 21.4}' };
    const { parsed_arguments: _, ...sent } = call;
    const second = await answer([QUESTION, sent, result]);
    assert.match(second.output_text, /21\.4/);
  });
}

test("a limit makes the answer incomplete", async () => {
  const answer = await ask({ input: STORY, max_output_tokens: 3 });
  assert.equal(answer.status, "incomplete");
  assert.equal(answer.incomplete_details.reason, "max_output_tokens");
});

test("an earlier response cannot be continued", async () => {
  await assert.rejects(ask({ input: STORY, previous_response_id: "resp_1" }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    return true;
  });
});
