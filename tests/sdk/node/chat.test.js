// Chat completions as an unmodified OpenAI client for Node sees them; tests/sdk/run.sh sets the environment.

import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";

const { SILICA_BASE_URL, SILICA_API_KEY, SILICA_MODEL: model } = process.env;
const STORY = [{ role: "user", content: "Write a short story." }];
const SUM = [{ role: "user", content: "What is 12 + 34?" }];

// No retries: an answer that only comes at the second try is a fault.
const connect = (options = {}) =>
  new OpenAI({ baseURL: `${SILICA_BASE_URL}/v1`, apiKey: SILICA_API_KEY, maxRetries: 0, timeout: 60_000, ...options });
const client = connect();

const ask = (options = {}) => client.chat.completions.create({ model, messages: STORY, ...options });

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

const textOf = (chunks) => chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join("");

test("a plain answer has text, usage and an id", async () => {
  const answer = await ask({ temperature: 0 });
  assert.equal(answer.object, "chat.completion");
  assert.equal(answer.model, model);
  assert.match(answer.id, /^[0-9a-f]{32}$/);
  assert.equal(answer.choices.length, 1);
  assert.ok(answer.choices[0].message.content.trim());
  const { prompt_tokens, completion_tokens, total_tokens } = answer.usage;
  assert.ok(prompt_tokens > 0 && completion_tokens > 0);
  assert.equal(total_tokens, prompt_tokens + completion_tokens);
});

test("a streamed answer is the plain one in pieces", async () => {
  const plain = await ask({ temperature: 0 });
  const chunks = await collect(await ask({ temperature: 0, stream: true }));
  assert.equal(chunks[0].choices[0].delta.role, "assistant");
  assert.ok(chunks.length > 5);
  assert.equal(textOf(chunks), plain.choices[0].message.content);
  const last = chunks.at(-1);
  assert.equal(last.choices[0].finish_reason, plain.choices[0].finish_reason);
  assert.equal(last.usage.total_tokens, plain.usage.total_tokens);
});

test("the streaming helper of the package puts the answer together", async () => {
  const stream = client.chat.completions.stream({ model, messages: STORY, max_tokens: 16 });
  const answer = await stream.finalChatCompletion();
  assert.ok(answer.choices[0].message.content);
});

test("n gives as many choices, plain and streamed", async () => {
  const answer = await ask({ n: 2, max_tokens: 24 });
  assert.deepEqual(answer.choices.map((choice) => choice.index), [0, 1]);
  const chunks = await collect(await ask({ n: 2, max_tokens: 24, stream: true }));
  const finished = chunks.filter((chunk) => chunk.choices[0].finish_reason).map((chunk) => chunk.choices[0].index);
  assert.deepEqual(finished.sort(), [0, 1]);
});

test("a stop text ends the answer and is not part of it", async () => {
  const whole = (await ask({ temperature: 0 })).choices[0].message.content;
  // Six characters from the middle: they begin and end inside tokens.
  const middle = Math.floor(whole.length / 2);
  const stop = whole.slice(middle, middle + 6);
  const expected = whole.slice(0, whole.indexOf(stop));
  const answer = await ask({ temperature: 0, stop: [stop, "never said"] });
  assert.equal(answer.choices[0].message.content, expected);
  assert.equal(answer.choices[0].finish_reason, "stop");
  assert.equal(textOf(await collect(await ask({ temperature: 0, stop, stream: true }))), expected);
});

test("the same seed gives the same answer", async () => {
  const draw = async (seed) => {
    const answer = await ask({ temperature: 2, top_p: 1, top_k: -1, seed, max_tokens: 40 });
    return answer.choices[0].message.content;
  };
  assert.equal(await draw(7), await draw(7));
});

test("logprobs come with their alternatives", async () => {
  const answer = await ask({ temperature: 0, logprobs: true, top_logprobs: 2, max_tokens: 10 });
  const entries = answer.choices[0].logprobs.content;
  assert.equal(entries.map((entry) => entry.token).join(""), answer.choices[0].message.content);
  for (const entry of entries) {
    assert.ok(entry.logprob <= 0);
    assert.equal(entry.top_logprobs.length, 2);
  }
});

test("reasoning stands beside the content", async () => {
  const options = { messages: SUM, temperature: 0, frequency_penalty: 0 };
  const { message } = (await ask(options)).choices[0];
  assert.ok(message.reasoning_content.trim());
  assert.match(message.content, /46/);
  const chunks = await collect(await ask({ ...options, stream: true }));
  const reasoning = chunks.map((chunk) => chunk.choices[0].delta.reasoning_content ?? "").join("");
  assert.equal(reasoning, message.reasoning_content);
  assert.equal(textOf(chunks), message.content);
});

test("sixteen requests at once are all answered", async () => {
  const numbers = Array.from({ length: 16 }, (_, index) => index + 10);
  const answers = await Promise.all(
    numbers.map((number) => ask({ messages: [{ role: "user", content: `What is ${number} + 20?` }], max_tokens: 32 })),
  );
  assert.equal(new Set(answers.map((answer) => answer.id)).size, 16);
});

test("a stream may be left early", async () => {
  const stream = await ask({ stream: true });
  for await (const chunk of stream) {
    assert.ok(chunk.id);
    break;
  }
  assert.ok((await ask({ max_tokens: 2 })).choices.length);
});

test("an unknown model is a bad request", async () => {
  await assert.rejects(ask({ model: "no/such-model" }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    // The contract's error bodies have no "error" object, so this package shows the status only.
    assert.equal(error.status, 400);
    assert.ok(error.headers.get("x-siliconcloud-trace-id"));
    return true;
  });
});

test("a wrong key is an authentication error", async () => {
  const stranger = connect({ apiKey: "sk-wrong" });
  await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
});

test("the list has the model", async () => {
  const listed = await client.models.list();
  assert.ok(listed.data.some((entry) => entry.id === model));
});
