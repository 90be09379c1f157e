"""Names of models, keys and prices."""

from __future__ import annotations

from decimal import Decimal

import pytest

from a1zap.kit.egress import Egress
from a1zap.kit.errors import Invalid, NotConfigured
from a1zap.llm.catalog import ProviderKeys, default_model, model_from_name
from a1zap.llm.contract import Price
from a1zap.llm.prices import _USD_PER_MTOK, price_of

ALL = ProviderKeys(openai_api_key="o", anthropic_api_key="a", google_api_key="g")


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("openai:gpt-4.1", "https://api.openai.com/v1/chat/completions"),
        ("openai:ft:gpt-4.1:org::id", "https://api.openai.com/v1/chat/completions"),
        ("openai:meta-llama/Llama-3.3-70B", "https://api.openai.com/v1/chat/completions"),
        ("anthropic:claude-sonnet-4-5", "https://api.anthropic.com/v1/messages"),
        (
            "google:gemini-2.5-flash",
            "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        ),
    ],
)
async def test_a_name_becomes_a_model(name, url):
    async with Egress() as egress:
        model = model_from_name(name, keys=ALL, egress=egress)
        assert (model.name, model.endpoint.url) == (name, url)


async def test_a_server_of_ones_own_needs_no_key():
    keys = ProviderKeys(openai_base_url="http://gpu:8000/v1/")
    async with Egress() as egress:
        model = model_from_name("openai:qwen3", keys=keys, egress=egress)
        assert model.endpoint.url == "http://gpu:8000/v1/chat/completions" and model.endpoint.headers == {}
        assert model.endpoint.is_trusted and not model.price.is_known


@pytest.mark.parametrize(
    "name",
    [
        "",
        "gpt-4.1",
        ":x",
        "openai",
        "openai:",
        "mistral:x",
        "openai:a b",
        "google:../x",
        "google:a\n",
        "google:?",
    ],
)
async def test_a_name_that_cannot_be_one_is_refused_with_the_way_out(name):
    async with Egress() as egress:
        with pytest.raises(Invalid) as caught:
            model_from_name(name, keys=ALL, egress=egress)
        assert caught.value.field == "model" and caught.value.value == name


@pytest.mark.parametrize(
    ("name", "setting"),
    [("openai:x", "OPENAI_API_KEY"), ("anthropic:x", "ANTHROPIC_API_KEY"), ("google:x", "GEMINI_API_KEY")],
)
async def test_a_missing_key_is_named(name, setting):
    async with Egress() as egress:
        with pytest.raises(NotConfigured, match=setting):
            model_from_name(name, keys=ProviderKeys(), egress=egress)


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        (ProviderKeys(), None),
        (ProviderKeys(openai_base_url="http://gpu:8000"), None),
        (ALL, "openai:gpt-4.1-mini"),
        (ProviderKeys(anthropic_api_key="a", google_api_key="g"), "anthropic:claude-sonnet-4-5"),
        (ProviderKeys(google_api_key="g"), "google:gemini-2.5-flash"),
    ],
)
def test_the_default_is_of_the_first_provider_with_a_key(keys, name):
    assert default_model(keys) == name
    assert name is None or price_of(name).is_known


def test_keys_are_not_shown():
    assert "a-key" not in repr(
        ProviderKeys(openai_api_key="a-key", anthropic_api_key="a-key", google_api_key="a-key")
    )


@pytest.mark.parametrize(
    "dated",
    [
        "openai:gpt-4.1-mini-2025-04-14", "anthropic:claude-sonnet-4-5-20250929", "google:gemini-2.0-flash-001",
        "google:gemini-2.5-flash-preview-09-2025", "google:gemini-2.5-flash-latest", "google:gemini-3.1-pro-preview",
    ],
)  # fmt: skip
def test_a_dated_version_costs_what_its_model_costs(dated):
    base = max((name for name in _USD_PER_MTOK if dated.startswith(name)), key=len)
    assert price_of(dated) == price_of(base) and price_of(dated).is_known


@pytest.mark.parametrize("name", ["openai:gpt-99", "openai:gpt-4.1-mini-evil", "x:gpt-4.1", "openai:"])
def test_what_is_not_in_the_table_is_unknown_and_costs_nothing(name):
    assert price_of(name) == Price() and not price_of(name).is_known


def test_a_cost_is_exact():
    assert price_of("openai:gpt-4.1-mini").cost_usd(1_000, 500) == Decimal("0.0012")


def test_every_price_is_a_price():
    for name in _USD_PER_MTOK:
        price = price_of(name)
        assert 0 < price.usd_per_mtok_in < price.usd_per_mtok_out < 100
