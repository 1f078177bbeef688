"""Balances, bills and limits as an unmodified OpenAI client for Python sees them."""

import json
from decimal import Decimal
from pathlib import Path

import openai
import pytest

from shop import LIMITED, PAID, REQUESTS_PER_MINUTE, cost

STORY = [{"role": "user", "content": "Write a short story."}]
TINY_CHAT = Path(__file__).parents[3] / "models" / "tiny-chat"


def endless() -> dict:
    """A call that no end token ends, only `max_tokens`."""
    ends = json.loads((TINY_CHAT / "generation_config.json").read_text())["eos_token_id"]
    return {"messages": STORY, "max_tokens": 1900, "logit_bias": {str(token): -100 for token in ends}}


def traced(trace: str) -> dict:
    return {"extra_headers": {"X-Trace-Id": trace}}


@pytest.mark.parametrize("stream", [False, True])
def test_without_money_a_priced_model_is_refused(shop, stream):
    customer = shop.customer()
    with pytest.raises(openai.PermissionDeniedError) as caught:
        customer.client.chat.completions.create(model=PAID, messages=STORY, stream=stream)
    assert caught.value.status_code == 403
    expected = {"code": 30001, "message": "Sorry, your account balance is insufficient", "data": None}
    assert caught.value.body == expected
    assert customer.ledger() == [], "a refused call is on no bill"


def test_a_credit_opens_the_model_and_its_calls_are_booked_once(shop):
    customer = shop.customer()
    completions = customer.client.chat.completions
    with pytest.raises(openai.PermissionDeniedError):
        completions.create(model=PAID, messages=STORY, max_tokens=16, **traced("python-refused"))
    customer.credit("10.00")

    plain = completions.create(model=PAID, messages=STORY, max_tokens=16, **traced("python-plain"))
    plain_cost = cost(plain.usage.prompt_tokens, plain.usage.completion_tokens)
    row = customer.booked("python-plain")
    assert Decimal(row["amount"]) == -plain_cost
    assert (row["kind"], row["status"], row["model"], row["bucket"]) == ("call", "complete", PAID, "charge")
    left = Decimal("10.00") - plain_cost
    assert customer.balances() == {"balance": 0, "chargeBalance": left, "totalBalance": left}

    chunks = list(completions.create(model=PAID, messages=STORY, max_tokens=16, stream=True, **traced("python-stream")))
    streamed_cost = cost(chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens)
    assert Decimal(customer.booked("python-stream")["amount"]) == -streamed_cost
    assert customer.balances()["totalBalance"] == left - streamed_cost

    # The later call was booked after the earlier one, which has not come again since.
    assert [row["trace_id"] for row in customer.ledger()] == [None, "python-plain", "python-stream"]


def test_a_stream_left_early_is_billed_for_what_was_made(shop):
    customer = shop.customer(charge="10.00")
    call = endless()
    stream = customer.client.chat.completions.create(model=PAID, stream=True, **call, **traced("python-left"))
    pieces = iter(stream)
    seen = [next(pieces) for _ in range(4)][-1].usage
    stream.close()

    row = customer.booked("python-left")
    made = row["units"]["completion_tokens"]
    assert 0 < seen.completion_tokens <= made < call["max_tokens"]
    billed = -Decimal(row["amount"])
    assert billed == cost(seen.prompt_tokens, made)
    assert 0 < billed < cost(seen.prompt_tokens, call["max_tokens"])
    assert row["status"] == "cancelled"
    # What was held for the rest of the answer is free again.
    assert customer.balances()["totalBalance"] == Decimal("10.00") - billed


def test_answers_streams_and_refusals_tell_the_limit(shop):
    completions = shop.customer().client.chat.completions
    for number in range(1, REQUESTS_PER_MINUTE + 1):
        stream = number > 1
        answer = completions.with_raw_response.create(model=LIMITED, messages=STORY, max_tokens=2, stream=stream)
        parsed = answer.parse()
        assert list(parsed) if stream else parsed.choices
        assert answer.headers["x-ratelimit-limit-requests"] == str(REQUESTS_PER_MINUTE)
        assert answer.headers["x-ratelimit-remaining-requests"] == str(REQUESTS_PER_MINUTE - number)
        assert 0 < seconds(answer.headers["x-ratelimit-reset-requests"]) <= 61

    with pytest.raises(openai.RateLimitError) as caught:
        completions.create(model=LIMITED, messages=STORY, max_tokens=2)
    assert caught.value.status_code == 429
    assert caught.value.body["code"] == 50601
    text = "Request was rejected due to rate limiting. Details: RPM limit reached."
    assert caught.value.body["message"] == text
    headers = caught.value.response.headers
    assert 1 <= int(headers["retry-after"]) <= 61
    assert headers["x-ratelimit-limit-requests"] == str(REQUESTS_PER_MINUTE)
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert seconds(headers["x-ratelimit-reset-requests"]) >= 1


def test_a_limit_is_of_one_account(shop):
    for _ in range(2):
        completions = shop.customer().client.chat.completions
        for _ in range(REQUESTS_PER_MINUTE):
            assert completions.create(model=LIMITED, messages=STORY, max_tokens=2).choices


def test_a_key_bound_to_another_model_is_refused(shop):
    customer = shop.customer(charge="10.00")
    bound = customer.client_with(models=[LIMITED]).chat.completions
    with pytest.raises(openai.PermissionDeniedError) as caught:
        bound.create(model=PAID, messages=STORY, max_tokens=2)
    assert caught.value.status_code == 403
    assert caught.value.body["code"] == 30004
    assert bound.create(model=LIMITED, messages=STORY, max_tokens=2).choices
    assert customer.client.chat.completions.create(model=PAID, messages=STORY, max_tokens=2).choices


def seconds(reset: str) -> int:
    assert reset.endswith("s"), reset
    return int(reset[:-1])
