"""What turns text into vectors looks like from inside the house."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Embedder(Protocol):
    """Texts to vectors of length 1; the same text gives the same vector for the same `name`."""

    @property
    def name(self) -> str:
        """Provider, model and version: stored beside vectors, because vectors of two embedders do not compare."""
        ...

    @property
    def dimensions(self) -> int: ...

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 [n_texts, dimensions], rows of length 1; never blocks the event loop for long."""
        ...
