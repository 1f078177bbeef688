// Balances, bills and limits as an unmodified OpenAI client for Node sees them.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { before, test } from "node:test";

import OpenAI from "openai";

import { Customer, LIMITED, PAID, REQUESTS_PER_MINUTE, cost, nano, openShop } from "./shop.js";

const STORY = [{ role: "user", content: "Write a short story." }];
const CREDIT = nano("10.00");
const GENERATION = new URL("../../../models/tiny-chat/generation_config.json", import.meta.url);

before(openShop);

const ask = (client, options, trace) =>
  client.chat.completions.create({ messages: STORY, ...options }, trace && { headers: { "X-Trace-Id": trace } });

/** A call that no end token ends, only `max_tokens`. */
async function endless() {
  const ends = JSON.parse(await readFile(GENERATION, "utf8")).eos_token_id;
  return { max_tokens: 1900, logit_bias: Object.fromEntries(ends.map((token) => [token, -100])) };
}

function seconds(reset) {
  assert.match(reset, /^\d+s$/);
  return Number.parseInt(reset, 10);
}

test("without money a priced model is refused, plain and streamed", async () => {
  const customer = await Customer.create();
  for (const stream of [false, true]) {
    await assert.rejects(ask(customer.client, { model: PAID, stream }), (error) => {
      assert.ok(error instanceof OpenAI.PermissionDeniedError);
      assert.equal(error.status, 403);
      return true;
    });
    const expected = { code: 30001, message: "Sorry, your account balance is insufficient", data: null };
    assert.deepEqual(customer.client.lastBody, expected);
  }
  assert.deepEqual(await customer.ledger(), [], "a refused call is on no bill");
});

test("a credit opens the model, and its calls are booked once", async () => {
  const customer = await Customer.create();
  const options = { model: PAID, max_tokens: 16 };
  await assert.rejects(ask(customer.client, options, "node-refused"), OpenAI.PermissionDeniedError);
  await customer.credit("10.00");

  const { usage } = await ask(customer.client, options, "node-plain");
  const plainCost = cost(usage.prompt_tokens, usage.completion_tokens);
  const row = await customer.booked("node-plain");
  assert.equal(nano(row.amount), -plainCost);
  assert.deepEqual([row.kind, row.status, row.model, row.bucket], ["call", "complete", PAID, "charge"]);
  const left = CREDIT - plainCost;
  assert.deepEqual(await customer.balances(), { balance: 0n, chargeBalance: left, totalBalance: left });

  let last;
  for await (const chunk of await ask(customer.client, { ...options, stream: true }, "node-stream")) last = chunk;
  const streamedCost = cost(last.usage.prompt_tokens, last.usage.completion_tokens);
  assert.equal(nano((await customer.booked("node-stream")).amount), -streamedCost);
  assert.equal((await customer.balances()).totalBalance, left - streamedCost);

  // The later call was booked after the earlier one, which has not come again since.
  const traces = (await customer.ledger()).map((entry) => entry.trace_id);
  assert.deepEqual(traces, [null, "node-plain", "node-stream"]);
});

test("a stream left early is billed for what was made", async () => {
  const customer = await Customer.create("10.00");
  const call = await endless();
  const stream = await ask(customer.client, { ...call, model: PAID, stream: true }, "node-left");
  let pieces = 0;
  let seen;
  // Leaving the loop closes the connection.
  for await (const chunk of stream) {
    seen = chunk.usage;
    pieces += 1;
    if (pieces === 4) break;
  }

  const row = await customer.booked("node-left");
  const made = row.units.completion_tokens;
  assert.ok(0 < seen.completion_tokens && seen.completion_tokens <= made && made < call.max_tokens, `${made} tokens`);
  const billed = -nano(row.amount);
  assert.equal(billed, cost(seen.prompt_tokens, made));
  assert.ok(0n < billed && billed < cost(seen.prompt_tokens, call.max_tokens));
  assert.equal(row.status, "cancelled");
  // What was held for the rest of the answer is free again.
  assert.equal((await customer.balances()).totalBalance, CREDIT - billed);
});

test("answers and refusals tell the limit", async () => {
  const { client } = await Customer.create();
  const options = { model: LIMITED, max_tokens: 2 };
  for (let number = 1; number <= REQUESTS_PER_MINUTE; number += 1) {
    const { data, response } = await ask(client, options).withResponse();
    assert.ok(data.choices.length);
    assert.equal(response.headers.get("x-ratelimit-limit-requests"), String(REQUESTS_PER_MINUTE));
    assert.equal(response.headers.get("x-ratelimit-remaining-requests"), String(REQUESTS_PER_MINUTE - number));
    const reset = seconds(response.headers.get("x-ratelimit-reset-requests"));
    assert.ok(0 < reset && reset <= 61, `${reset}`);
  }
  await assert.rejects(ask(client, options), (error) => {
    assert.ok(error instanceof OpenAI.RateLimitError);
    assert.equal(error.status, 429);
    const wait = Number(error.headers.get("retry-after"));
    assert.ok(1 <= wait && wait <= 61, `${wait}`);
    assert.equal(error.headers.get("x-ratelimit-limit-requests"), String(REQUESTS_PER_MINUTE));
    assert.equal(error.headers.get("x-ratelimit-remaining-requests"), "0");
    assert.ok(seconds(error.headers.get("x-ratelimit-reset-requests")) >= 1);
    return true;
  });
  assert.equal(client.lastBody.code, 50601);
  const text = "Request was rejected due to rate limiting. Details: RPM limit reached.";
  assert.equal(client.lastBody.message, text);
});

test("a key bound to another model is refused", async () => {
  const customer = await Customer.create("10.00");
  const bound = await customer.clientWith({ models: [LIMITED] });
  await assert.rejects(ask(bound, { model: PAID, max_tokens: 2 }), (error) => {
    assert.ok(error instanceof OpenAI.PermissionDeniedError);
    assert.equal(error.status, 403);
    return true;
  });
  assert.equal(bound.lastBody.code, 30004);
  assert.ok((await ask(bound, { model: LIMITED, max_tokens: 2 })).choices.length);
  assert.ok((await ask(customer.client, { model: PAID, max_tokens: 2 })).choices.length);
});
