"""all-MiniLM-L6-v2 in numpy: a BERT of 6 layers.

Half of the file is the vocabulary: it is mapped, so that the rows no text ever uses stay on disk. The layers are
read once and cut into narrow blocks of columns: OpenBLAS multiplies small matrices without copying them first, and
a short message is nothing but small matrices (4 ms instead of 9 on AVX-512, the same elsewhere).
Nothing here knows of event loops; `embedded.py` does.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

Floats = NDArray[np.float32]

DIMENSIONS = 384
TOKENS_MAX = 256
HEADS = 12
LAYERS = 6
# A token is rarely longer than this many characters; what is cut off here would be cut off after tokenising.
CHARS_MAX = TOKENS_MAX * 64
# OpenBLAS takes its way for small matrices up to 1e6 multiplications: 20 rows x 1536 inputs x 32 columns.
COLUMNS_A_BLOCK = 32
ROWS_AT_ONCE = 20
# Of the wide layer, so that what lies between its two products stays in the cache.
ROWS_AT_ONCE_WIDE = 2 * ROWS_AT_ONCE
# A weight, cut into [blocks, inputs, 32], and a bias.
Dense = tuple[Floats, Floats]
Norm = tuple[Floats, Floats]


@dataclass(frozen=True, slots=True)
class Layer:
    """Weights of one layer in the order of their use; `look` is query, key and value side by side."""

    look: Dense
    attended: Dense
    norm_attended: Norm
    wide: Dense
    narrow: Dense
    norm_out: Norm


@dataclass(frozen=True, slots=True)
class MiniLM:
    """The model and its tokenizer, ready to use in one thread at a time."""

    tokenizer: Tokenizer
    words: Floats
    positions: Floats
    norm_words: Norm
    layers: tuple[Layer, ...]


def load_minilm(folder: Path) -> MiniLM:
    """Read the model in `folder` (`model.safetensors`, `tokenizer.json`).

    Raises:
        OSError: a file is missing or cannot be read.
    """
    tokenizer = Tokenizer.from_str((folder / "tokenizer.json").read_text("utf-8"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(TOKENS_MAX)  # pyright: ignore[reportUnknownMemberType] its keywords have no types
    weights = Weights(folder / "model.safetensors")
    # Every text is of the one token type 0, so its vector is added to the positions once.
    positions = weights.read("embeddings.position_embeddings.weight")[:TOKENS_MAX]
    positions += weights.read("embeddings.token_type_embeddings.weight")[0]
    return MiniLM(
        tokenizer=tokenizer,
        words=weights.map("embeddings.word_embeddings.weight"),
        positions=positions,
        norm_words=weights.read_norm("embeddings"),
        layers=tuple(_read_layer(weights, f"encoder.layer.{i}.") for i in range(LAYERS)),
    )


class Weights:
    """A safetensors file: 8 bytes that say how long the JSON header is, the header, the numbers."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            header_bytes = int.from_bytes(file.read(8), "little")
            self._header = json.loads(file.read(header_bytes))
        self._begin = 8 + header_bytes

    def read(self, *names: str) -> Floats:
        """A tensor, or several of them one below the other, in memory of its own."""
        parts = [
            np.fromfile(self._path, np.float32, count, offset=offset)
            for count, offset in map(self._place, names)
        ]
        return np.concatenate(parts).reshape(-1, *self._header[names[0]]["shape"][1:])

    def read_norm(self, name: str) -> Norm:
        return self.read(f"{name}.LayerNorm.weight"), self.read(f"{name}.LayerNorm.bias")

    def map(self, name: str) -> Floats:
        """A tensor left in its file: what is never looked at is never read."""
        _, offset = self._place(name)
        return np.memmap(self._path, np.float32, "r", offset, tuple(self._header[name]["shape"]))

    def _place(self, name: str) -> tuple[int, int]:
        begin, end = self._header[name]["data_offsets"]
        return (end - begin) // 4, self._begin + begin


def _read_layer(weights: Weights, at: str) -> Layer:
    def dense(*names: str) -> Dense:
        w = weights.read(*(f"{at}{name}.weight" for name in names))
        blocks = w.reshape(-1, COLUMNS_A_BLOCK, w.shape[1]).swapaxes(1, 2)
        return np.ascontiguousarray(blocks), weights.read(*(f"{at}{name}.bias" for name in names))

    return Layer(
        look=dense("attention.self.query", "attention.self.key", "attention.self.value"),
        attended=dense("attention.output.dense"),
        norm_attended=weights.read_norm(f"{at}attention.output"),
        wide=dense("intermediate.dense"),
        narrow=dense("output.dense"),
        norm_out=weights.read_norm(f"{at}output"),
    )


def tokenize_texts(model: MiniLM, texts: Sequence[str]) -> list[list[int]]:
    """Token numbers of each text, `TOKENS_MAX` at most, with the model's begin and end marks."""
    # One by one: `encode_batch` would start a thread for every core.
    return [model.tokenizer.encode(_encodable(text[:CHARS_MAX])).ids for text in texts]


def _encodable(text: str) -> str:
    """Half of a surrogate pair, which JSON can carry and UTF-8 cannot, becomes a question mark."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def embed_tokens(model: MiniLM, batch: Sequence[Sequence[int]]) -> Floats:
    """float32 [n_texts, 384], rows of length 1; texts of like length waste the least on padding."""
    longest = max(map(len, batch))
    tokens = np.zeros((len(batch), longest), dtype=np.int64)
    present = np.zeros((len(batch), longest), dtype=np.float32)
    for row, ids in enumerate(batch):
        tokens[row, : len(ids)] = ids
        present[row, : len(ids)] = 1.0
    x = model.words[tokens] + model.positions[:longest]
    x = _normalise(x.reshape(-1, DIMENSIONS), model.norm_words)
    # Padding must not be attended to: its weight in the softmax becomes zero.
    unseen = None if present.all() else (present - 1.0)[:, None, None, :] * np.float32(1e9)
    for layer in model.layers:
        x = _normalise(x + _attend(layer, x, len(batch), unseen), layer.norm_attended)
        x = _normalise(x + _widen(layer, x), layer.norm_out)
    pooled = np.einsum("btd,bt->bd", x.reshape(len(batch), longest, DIMENSIONS), present)
    return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)


def _apply(dense: Dense, x: Floats) -> Floats:
    blocks, bias = dense
    out = np.empty((len(x), len(bias)), np.float32)
    for at in range(0, len(x), ROWS_AT_ONCE):
        product = x[at : at + ROWS_AT_ONCE] @ blocks
        out[at : at + ROWS_AT_ONCE] = product.swapaxes(0, 1).reshape(-1, len(bias))
    out += bias
    return out


def _attend(layer: Layer, x: Floats, texts: int, unseen: Floats | None) -> Floats:
    looks = _apply(layer.look, x).reshape(texts, -1, 3, HEADS, DIMENSIONS // HEADS)
    query, key, value = looks.transpose(2, 0, 3, 1, 4)
    scores = query @ key.swapaxes(-1, -2)
    scores *= np.float32((DIMENSIONS // HEADS) ** -0.5)
    if unseen is not None:
        scores += unseen
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    attended = (scores @ value).swapaxes(1, 2).reshape(-1, DIMENSIONS)
    return _apply(layer.attended, attended)


def _widen(layer: Layer, x: Floats) -> Floats:
    out = np.empty_like(x)
    for at in range(0, len(x), ROWS_AT_ONCE_WIDE):
        rows = slice(at, at + ROWS_AT_ONCE_WIDE)
        out[rows] = _apply(layer.narrow, _gelu(_apply(layer.wide, x[rows])))
    return out


def _gelu(x: Floats) -> Floats:
    """The exact x · Φ(x) within 2.6e-5: Φ is a tanh of a polynomial, for numpy has no erf and its tanh is fast."""
    y = np.clip(x, -5.0, 5.0)
    square = y * y
    p = square * np.float32(-3.51519889e-4)
    p += np.float32(3.70056692e-2)
    p *= square
    p += np.float32(0.797507860)
    p *= y
    np.tanh(p, out=p)
    p += np.float32(1.0)
    p *= x
    p *= np.float32(0.5)
    return p


def _normalise(x: Floats, norm: Norm) -> Floats:
    weight, bias = norm
    x = x - x.mean(axis=-1, keepdims=True)
    variance = np.einsum("td,td->t", x, x)[:, None] / np.float32(DIMENSIONS)
    x /= np.sqrt(variance + np.float32(1e-12))
    x *= weight
    x += bias
    return x


def bound_blas_threads(threads: int) -> bool:
    """Keep numpy's matrix products to `threads` threads in this whole process; False where its BLAS cannot be told.

    A process that answers messages has better things to do with the second core than to save 1 ms.
    """
    for library in Path(np.__file__).parent.parent.glob("numpy.libs/*openblas*"):
        # The library is loaded already: this only finds its handle.
        loaded = ctypes.CDLL(str(library))
        for name in (
            "scipy_openblas_set_num_threads64_",
            "openblas_set_num_threads64_",
            "openblas_set_num_threads",
        ):
            if hasattr(loaded, name):
                getattr(loaded, name)(ctypes.c_int(threads))
                return True
    return False
