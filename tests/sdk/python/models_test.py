"""The list of models, and the base URL without its version."""

import openai


def test_the_list_has_the_model_and_its_filters_work(client, model):
    listed = client.models.list()
    assert model in [entry.id for entry in listed.data]
    assert all(entry.object == "model" for entry in listed.data)
    chat = client.models.list(extra_query={"sub_type": "chat"})
    assert model in [entry.id for entry in chat.data]
    assert client.models.list(extra_query={"type": "image"}).data == []


def test_the_base_url_may_lack_its_version(base_url, api_key, model):
    client = openai.OpenAI(base_url=base_url, api_key=api_key, max_retries=0)
    answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hello"}], max_tokens=4)
    assert answer.choices
    assert client.models.list().data
