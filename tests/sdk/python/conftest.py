"""The server under test and clients for it; tests/sdk/run.sh sets the environment."""

import os

import anthropic
import openai
import pytest

from shop import Shop


@pytest.fixture(scope="session")
def model() -> str:
    return os.environ["SILICA_MODEL"]


@pytest.fixture(scope="session")
def base_url() -> str:
    return os.environ["SILICA_BASE_URL"]


@pytest.fixture(scope="session")
def api_key() -> str:
    return os.environ["SILICA_API_KEY"]


@pytest.fixture(scope="session")
def client(base_url: str, api_key: str) -> openai.OpenAI:
    # No retries: an answer that only comes at the second try is a fault.
    return openai.OpenAI(base_url=f"{base_url}/v1", api_key=api_key, max_retries=0, timeout=60)


@pytest.fixture(scope="session")
def claude(base_url: str, api_key: str) -> anthropic.Anthropic:
    # This client adds /v1 itself, and sends the key as x-api-key.
    return anthropic.Anthropic(base_url=base_url, api_key=api_key, max_retries=0, timeout=60)


@pytest.fixture(scope="session")
def shop(base_url: str, model: str):
    with Shop(os.environ["SILICA_ADMIN_URL"], os.environ["SILICA_ADMIN_KEY"], base_url, model) as shop:
        yield shop
