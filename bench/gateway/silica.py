"""Silica as a target, with everything on, and its variants for the split of the cost."""

import decimal
import json
import os
import time
import urllib.error
import urllib.request

from load import Kind, Wrong, look
from targets import Endpoint, Process, free_port

# In CNY for a million tokens.
PRICE = {"input": "1", "output": "2"}
MILLION = 1_000_000
# High enough that nothing is refused; the work of counting is the same.
LIMITS = {name: 1_000_000_000 for name in ("RPM", "RPH", "RPD", "TPM", "TPD")}
KEY_LIMITS = {"models": ["mock", "limited"], "monthly_spend": "1000000", "ips": ["127.0.0.0/8"]} | {
    name: 1_000_000_000 for name in ("RPM", "TPM")
}
NO_LIMITS = {"RPM": -1, "TPM": -1}


def cost_of(stream):
    """What an answered call costs in CNY: the mock counts 21 tokens, and 32 or 50 (a stream) more."""
    return price_of_prompt(21) + decimal.Decimal(PRICE["output"]) * (50 if stream else 32) / MILLION


def price_of_prompt(tokens):
    """What a prompt costs in CNY."""
    return decimal.Decimal(PRICE["input"]) * tokens / MILLION


class Silica:
    """The published binary with a key, limits, price, wallet, journal, metrics and log, on SQLite."""

    name = "Silica"
    slug = "silica"

    def __init__(self, binary):
        self.binary = binary

    def version(self):
        return ""

    def environment(self):
        """Settings beside the addresses."""
        return {}

    def start(self, folder, upstream_port):
        (folder / "models").mkdir(parents=True, exist_ok=True)
        port, self.admin_port = free_port(), free_port()
        environment = {"SILICA__ADMIN__LISTEN": f"127.0.0.1:{self.admin_port}", "SILICA__MODELS__DIR": "models"}
        self.process = Process(
            folder,
            [self.binary, "serve", "--data", "data", "--listen", f"127.0.0.1:{port}"],
            environment | self.environment(),
        )
        self.process.wait_until(lambda: "Silica is ready on" in self.process.log.read_text(errors="replace"))
        self.admin_key = (folder / "data" / "admin.key").read_text().strip()
        self._deploy(upstream_port)
        self._open_account()
        endpoint = Endpoint(self.process.pid, port, key=self.key)
        self._wait_until_in_force(endpoint)
        return endpoint

    def stop(self):
        self.process.stop()

    def balance(self):
        """What the account has left, once it has stopped changing."""
        before = None
        while True:
            now = decimal.Decimal(self.admin("GET", f"/accounts/{self.account}")["total_balance"])
            if now == before:
                return now
            before = now
            time.sleep(0.5)

    def _deploy(self, upstream_port):
        chat = {"type": "text", "sub_type": "chat"}
        self.admin("PUT", "/models", chat | {"id": "mock", "price": PRICE, "limits": LIMITS})
        self.admin("PUT", "/models", chat | {"id": "limited", "limits": LIMITS})
        self.admin("PUT", "/models", chat | {"id": "free", "limits": NO_LIMITS})
        replica = {
            "engine": "openai",
            "url": f"http://127.0.0.1:{upstream_port}/v1",
            "upstream_model": "mock",
            "allow_private": True,
        }
        deployment = {"name": "mock", "models": ["mock", "limited", "free"], "replicas": [replica]}
        self.admin("PUT", "/deployments", deployment)

    def _open_account(self):
        person = {"email": "bench@example.com", "name": "bench"}
        self.account = self.admin("POST", "/accounts", person)["id"]
        self.admin("PATCH", f"/accounts/{self.account}", {"verified": True})
        keys = f"/accounts/{self.account}/keys"
        self.key = self.admin("POST", keys, {"description": "limited", "limits": KEY_LIMITS})["key"]
        self.free_key = self.admin("POST", keys, {"description": "free"})["key"]
        for bucket in ("gift", "charge"):
            credit = {"bucket": bucket, "amount": "100000"}
            self.admin("POST", f"/accounts/{self.account}/credits", credit)

    def _wait_until_in_force(self, endpoint):
        end = time.monotonic() + 5
        while True:
            try:
                look(endpoint, Kind("plain"))
                return
            except Wrong as error:
                if time.monotonic() > end:
                    self.stop()
                    raise RuntimeError(f"silica: {error}") from error
            time.sleep(0.1)

    def admin(self, method, path, body=None):
        """Calls the operator's API. Raises RuntimeError with what it said when it refuses."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.admin_port}/admin/v1{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self.admin_key}",
                "Content-Type": "application/json",
                "Idempotency-Key": os.urandom(8).hex(),
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.code} {error.read().decode()}") from error
        return json.loads(text) if text else None
