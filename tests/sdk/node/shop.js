// The operator's side of the tests: models with prices and limits, customers, credits, ledgers.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

import OpenAI from "openai";

const { SILICA_BASE_URL, SILICA_ADMIN_URL, SILICA_ADMIN_KEY, SILICA_MODEL } = process.env;

export const PAID = "sdk-node/paid";
// Free, and takes two calls a minute.
export const LIMITED = "sdk-node/limited";
export const REQUESTS_PER_MINUTE = 2;

// In nano-CNY a token: 0.35 and 0.70 CNY for a million tokens.
const PROMPT_NANO = 350n;
const COMPLETION_NANO = 700n;
const BOOKED_WITHIN_MS = 2_000;
const LOOK_AGAIN_MS = 20;

/** What a call of the paid model costs, in nano-CNY. */
export const cost = (promptTokens, completionTokens) =>
  BigInt(promptTokens) * PROMPT_NANO + BigInt(completionTokens) * COMPLETION_NANO;

/** Reads an amount exactly, in nano-CNY. */
export function nano(amount) {
  const parts = /^(-?)(\d+)\.(\d{2,9})$/.exec(amount);
  assert.ok(parts, `not an amount: ${amount}`);
  const [, sign, whole, part] = parts;
  const value = BigInt(whole + part.padEnd(9, "0"));
  return sign ? -value : value;
}

async function admin(method, path, body) {
  const response = await fetch(`${SILICA_ADMIN_URL}/admin/v1${path}`, {
    method,
    headers: { Authorization: `Bearer ${SILICA_ADMIN_KEY}`, "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
  });
  const text = await response.text();
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
  return JSON.parse(text);
}

/** Deploys the engine of the shipped model once more, for the names of these tests. */
export async function openShop() {
  const entry = { type: "text", sub_type: "chat", context_length: 2048 };
  await admin("PUT", "/models", { ...entry, id: PAID, price: { input: "0.35", output: "0.70" } });
  await admin("PUT", "/models", { ...entry, id: LIMITED, limits: { RPM: REQUESTS_PER_MINUTE } });
  const deployed = (await admin("GET", "/deployments")).data;
  const { replicas } = deployed.find(({ models }) => models.includes(SILICA_MODEL));
  await admin("PUT", "/deployments", { name: "sdk-node", models: [PAID, LIMITED], replicas });
}

let customers = 0;

/** An account, and a client with a key of it. */
export class Customer {
  /** Makes the account and, if an amount is given, fills its charge balance. */
  static async create(charge) {
    customers += 1;
    const person = { email: `node-${customers}@example.com`, name: `Node ${customers}` };
    const customer = new Customer();
    customer.path = `/accounts/${(await admin("POST", "/accounts", person)).id}`;
    customer.client = await customer.clientWith();
    if (charge) await customer.credit(charge);
    return customer;
  }

  /** A client with a new key of the account. It keeps the last body in `lastBody`, because the
   * package shows no error body without an "error" object. */
  async clientWith(limits = {}) {
    const { key } = await admin("POST", `${this.path}/keys`, { description: "sdk", limits });
    const options = { baseURL: `${SILICA_BASE_URL}/v1`, apiKey: key, maxRetries: 0, timeout: 60_000 };
    const client = new OpenAI({
      ...options,
      fetch: async (...request) => {
        const response = await fetch(...request);
        if (!response.ok) client.lastBody = await response.clone().json();
        return response;
      },
    });
    return client;
  }

  async credit(amount) {
    await admin("POST", `${this.path}/credits`, { bucket: "charge", amount });
  }

  /** The balances as the account itself sees them, fetched with the package under test. */
  async balances() {
    const { balance, chargeBalance, totalBalance } = (await this.client.get("/user/info")).data;
    return { balance: nano(balance), chargeBalance: nano(chargeBalance), totalBalance: nano(totalBalance) };
  }

  async ledger() {
    const page = await admin("GET", `${this.path}/ledger?limit=1000`);
    assert.equal(page.next_cursor, null);
    return page.data;
  }

  /** Waits for the call with this trace id; it must be in the ledger soon, and once. */
  async booked(trace) {
    const deadline = performance.now() + BOOKED_WITHIN_MS;
    for (;;) {
      const rows = (await this.ledger()).filter((row) => row.trace_id === trace);
      if (rows.length) {
        assert.equal(rows.length, 1, "booked once");
        return rows[0];
      }
      assert.ok(performance.now() < deadline, `not in the ledger after ${BOOKED_WITHIN_MS} ms`);
      await sleep(LOOK_AGAIN_MS);
    }
  }
}
