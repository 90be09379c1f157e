"""Embeddings of any provider that speaks OpenAI's `POST /embeddings`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from a1zap.kit.egress import Egress, EgressResponse
from a1zap.kit.errors import ModelUnavailable, NotConfigured

TEXTS_A_REQUEST = 128
# Below the 8,191 tokens that providers take, in every script; what counts stands in front anyway.
CHARS_MAX = 4_000


class OpenAIEmbedder:
    """One embedding model behind `base_url` (as in `https://api.openai.com/v1`).

    `dimensions` is what the model gives; it is checked and not asked for, as many compatible servers refuse the
    question. `trusted`: the operator set the URL, so it may lie in a private network.
    """

    def __init__(
        self,
        egress: Egress,
        *,
        base_url: str,
        model: str,
        dimensions: int,
        api_key: str = "",
        trusted: bool = False,
        total_s: float = 30,
    ) -> None:
        self.name = f"openai:{model}@{base_url}"
        self.dimensions = dimensions
        self._egress = egress
        self._url = base_url.rstrip("/") + "/embeddings"
        self._model = model
        self._headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._trusted = trusted
        self._total_s = total_s

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 [n_texts, dimensions], rows of length 1.

        Raises:
            ModelUnavailable: 408, 429, 5xx, or an answer that is not what was asked for.
            NotConfigured: the key, the URL, the model or the number of dimensions is wrong.
            Unavailable: no connection, or no answer in time.
        """
        begins = range(0, len(texts), TEXTS_A_REQUEST)
        parts = [await self._embed_some(texts[at : at + TEXTS_A_REQUEST]) for at in begins]
        return np.concatenate(parts) if parts else np.empty((0, self.dimensions), np.float32)

    async def _embed_some(self, texts: Sequence[str]) -> NDArray[np.float32]:
        # An empty text is refused by some; a blank stands for it.
        asked = {"model": self._model, "input": [text[:CHARS_MAX] or " " for text in texts]}
        response = await self._egress.request(
            "POST", self._url, headers=self._headers, json=asked, total_s=self._total_s, trusted=self._trusted
        )
        self._refuse_status(response)
        vectors = self._parsed(response.body, len(texts))
        if vectors.shape[1] != self.dimensions:
            raise NotConfigured(
                f"embedding model '{self._model}' gives {vectors.shape[1]} dimensions, and {self.dimensions} are"
                " configured: set the number to what the model gives"
            )
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(lengths).all() or not lengths.all():
            raise ModelUnavailable(f"embedding model '{self._model}' gave a vector without a direction")
        return vectors / lengths

    def _refuse_status(self, response: EgressResponse) -> None:
        status = response.status
        if status in (408, 429) or status >= 500:
            raise ModelUnavailable(
                f"embedding model '{self._model}' answered {status}",
                retry_after_s=_seconds(response.headers.get("retry-after", "")),
            )
        if status != 200:
            raise NotConfigured(
                f"embedding model '{self._model}' at {self._url} answered {status}: check the key, the URL and the"
                " model's name"
            )

    def _parsed(self, body: bytes, texts: int) -> NDArray[np.float32]:
        """Vectors in the order of the texts; the answer may list them in another."""
        try:
            data: list[dict[str, Any]] = orjson.loads(body)["data"]
            rows = {int(entry["index"]): entry["embedding"] for entry in data}
            return np.array([rows[index] for index in range(texts)], np.float32).reshape(texts, -1)
        except (ValueError, KeyError, TypeError) as error:
            raise ModelUnavailable(
                f"embedding model '{self._model}' answered with something that is not {texts} vectors"
            ) from error


def _seconds(retry_after: str) -> float | None:
    """The header's seconds; a date, which it may be too, is not worth a clock here."""
    return float(retry_after) if retry_after.isascii() and retry_after.isdigit() else None
