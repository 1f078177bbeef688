"""The operator's side of the tests: models with prices and limits, customers, credits, ledgers."""

import itertools
import time
from decimal import Decimal

import httpx2
import openai

PAID = "sdk-python/paid"
# Free, and takes two calls a minute.
LIMITED = "sdk-python/limited"
REQUESTS_PER_MINUTE = 2

# CNY for a million tokens; no cost has more than the nine digits of an amount, so none is rounded.
PRICE = {"input": "0.35", "output": "0.70"}
BOOKED_WITHIN_S = 2.0
LOOK_AGAIN_S = 0.02


def cost(prompt_tokens: int, completion_tokens: int) -> Decimal:
    """What a call of the paid model costs."""
    tokens = prompt_tokens * Decimal(PRICE["input"]) + completion_tokens * Decimal(PRICE["output"])
    return tokens / 1_000_000


class Shop:
    """Sells a model under further names through the operator's API."""

    def __init__(self, admin_url: str, admin_key: str, base_url: str, model: str):
        self.base_url = base_url
        self.numbers = itertools.count(1)
        self.http = httpx2.Client(
            base_url=f"{admin_url}/admin/v1", headers={"Authorization": f"Bearer {admin_key}"}, timeout=30
        )
        self._open(model)

    def __enter__(self) -> "Shop":
        return self

    def __exit__(self, *_) -> None:
        self.http.close()

    def _open(self, model: str) -> None:
        """Deploys the engine of `model` once more, for the names of these tests."""
        entry = {"type": "text", "sub_type": "chat", "context_length": 2048}
        self.call("PUT", "/models", entry | {"id": PAID, "price": PRICE})
        self.call("PUT", "/models", entry | {"id": LIMITED, "limits": {"RPM": REQUESTS_PER_MINUTE}})
        deployed = self.call("GET", "/deployments")["data"]
        [replicas] = [entry["replicas"] for entry in deployed if model in entry["models"]]
        self.call("PUT", "/deployments", {"name": "sdk-python", "models": [PAID, LIMITED], "replicas": replicas})

    def call(self, method: str, path: str, body: object = None) -> dict:
        """A call of the operator, which must succeed."""
        response = self.http.request(method, path, json=body)
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text}"
        return response.json()

    def customer(self, charge: str | None = None) -> "Customer":
        """A new account with a key and, if an amount is given, a charge balance."""
        number = next(self.numbers)
        person = {"email": f"python-{number}@example.com", "name": f"Python {number}"}
        customer = Customer(self, self.call("POST", "/accounts", person)["id"])
        if charge is not None:
            customer.credit(charge)
        return customer


class Customer:
    """An account, and a client with a key of it."""

    def __init__(self, shop: Shop, account: str):
        self.shop = shop
        self.path = f"/accounts/{account}"
        self.client = self.client_with()

    def client_with(self, **limits: object) -> openai.OpenAI:
        """A client with a new key of the account."""
        key = self.shop.call("POST", f"{self.path}/keys", {"description": "sdk", "limits": limits})["key"]
        # No retries: a refusal must reach the test.
        return openai.OpenAI(base_url=f"{self.shop.base_url}/v1", api_key=key, max_retries=0, timeout=60)

    def credit(self, amount: str) -> None:
        self.shop.call("POST", f"{self.path}/credits", {"bucket": "charge", "amount": amount})

    def balances(self) -> dict[str, Decimal]:
        """The balances as the account itself sees them, fetched with the package under test."""
        info = self.client.get("/user/info", cast_to=object)
        return {name: Decimal(info["data"][name]) for name in ("balance", "chargeBalance", "totalBalance")}

    def ledger(self) -> list[dict]:
        page = self.shop.call("GET", f"{self.path}/ledger?limit=1000")
        assert page["next_cursor"] is None
        return page["data"]

    def booked(self, trace: str) -> dict:
        """Waits for the call with this trace id; it must be in the ledger soon, and once."""
        deadline = time.monotonic() + BOOKED_WITHIN_S
        while True:
            rows = [row for row in self.ledger() if row["trace_id"] == trace]
            if rows:
                [row] = rows
                return row
            assert time.monotonic() < deadline, f"not in the ledger after {BOOKED_WITHIN_S} s"
            time.sleep(LOOK_AGAIN_S)
