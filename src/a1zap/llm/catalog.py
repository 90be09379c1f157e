"""From a name in the settings, as `openai:gpt-4.1`, to a model that can be asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from a1zap.kit.egress import Egress
from a1zap.kit.errors import Invalid, NotConfigured
from a1zap.llm import anthropic, google, openai
from a1zap.llm.contract import Model
from a1zap.llm.prices import price_of
from a1zap.llm.wire import Endpoint, Limits

# The name becomes part of a URL and of log lines.
_MODEL_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")


@dataclass(frozen=True, slots=True)
class ProviderKeys:
    """Keys and addresses of the providers, from one hand: the operator's environment, or one owner's settings.

    Never mix the two: an owner's address with the operator's key would hand the key over. With `are_operators` the
    addresses are trusted (plain http, private ranges); an owner's are not.
    """

    openai_api_key: str | None = field(default=None, repr=False)
    openai_base_url: str | None = None
    anthropic_api_key: str | None = field(default=None, repr=False)
    anthropic_base_url: str | None = None
    google_api_key: str | None = field(default=None, repr=False)
    google_base_url: str | None = None
    are_operators: bool = True


_DEFAULTS: Final[Mapping[str, str]] = {
    "openai": "openai:gpt-4.1-mini",
    "anthropic": "anthropic:claude-sonnet-4-5",
    "google": "google:gemini-2.5-flash",
}


def default_model(keys: ProviderKeys) -> str | None:
    """The model of agents that name none: a middling one of the first provider with a key; None without any key."""
    given = {
        "openai": keys.openai_api_key,
        "anthropic": keys.anthropic_api_key,
        "google": keys.google_api_key,
    }
    return next((_DEFAULTS[provider] for provider, key in given.items() if key), None)


def model_from_name(name: str, *, keys: ProviderKeys, egress: Egress, limits: Limits | None = None) -> Model:
    """The model called `name` (`provider:model`), ready to be asked; nothing is sent yet.

    Raises:
        Invalid: no such provider, or a model name that cannot be one.
        NotConfigured: the provider's key is missing.
    """
    provider, colon, model = name.partition(":")
    make = _MAKERS.get(provider)
    if make is None or not colon:
        raise Invalid(
            f"no model provider in '{name}': write one of {', '.join(_MAKERS)} and the model, as 'openai:gpt-4.1'",
            field="model",
            value=name,
        )
    if not _MODEL_NAME.fullmatch(model) or ".." in model:
        raise Invalid(f"'{name}' holds characters that no model's name has", field="model", value=name)
    return make(model, keys, egress, limits or Limits())


def _openai(model: str, keys: ProviderKeys, egress: Egress, limits: Limits) -> Model:
    if not keys.openai_api_key and not keys.openai_base_url:
        raise _no_key("openai", "OPENAI_API_KEY")
    # A server of one's own often wants no key.
    headers = {"authorization": f"Bearer {keys.openai_api_key}"} if keys.openai_api_key else {}
    url = _base(keys.openai_base_url, openai.BASE_URL) + "/chat/completions"
    endpoint = Endpoint(f"openai:{model}", url, headers, egress, keys.are_operators, limits)
    return openai.OpenAIModel(endpoint, model, price_of(endpoint.name))


def _anthropic(model: str, keys: ProviderKeys, egress: Egress, limits: Limits) -> Model:
    if not keys.anthropic_api_key:
        raise _no_key("anthropic", "ANTHROPIC_API_KEY")
    headers = {"x-api-key": keys.anthropic_api_key, "anthropic-version": anthropic.VERSION}
    url = _base(keys.anthropic_base_url, anthropic.BASE_URL) + "/v1/messages"
    endpoint = Endpoint(f"anthropic:{model}", url, headers, egress, keys.are_operators, limits)
    return anthropic.AnthropicModel(endpoint, model, price_of(endpoint.name))


def _google(model: str, keys: ProviderKeys, egress: Egress, limits: Limits) -> Model:
    if not keys.google_api_key:
        raise _no_key("google", "GOOGLE_API_KEY or GEMINI_API_KEY")
    base = _base(keys.google_base_url, google.BASE_URL)
    url = f"{base}/v1beta/models/{quote(model, safe='')}:streamGenerateContent?alt=sse"
    headers = {"x-goog-api-key": keys.google_api_key}
    endpoint = Endpoint(f"google:{model}", url, headers, egress, keys.are_operators, limits)
    return google.GoogleModel(endpoint, model, price_of(endpoint.name))


_MAKERS: Final[Mapping[str, Callable[[str, ProviderKeys, Egress, Limits], Model]]] = {
    "openai": _openai,
    "anthropic": _anthropic,
    "google": _google,
}


def _base(given: str | None, default: str) -> str:
    return (given or default).rstrip("/")


def _no_key(provider: str, setting: str) -> NotConfigured:
    return NotConfigured(f"no key for the model provider '{provider}': set {setting}")
