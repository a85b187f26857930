"""Skip-gram pairs of Tiny Shakespeare, as TensorFlow's word2vec tutorial makes them."""

from __future__ import annotations

import collections
import string
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hesscore import datasets

from .settings import Settings

VOCABULARY, TOKENS, WINDOW, NEGATIVE = 4096, 10, 2, 4
PAD, UNKNOWN = 0, 1
SAMPLING = 1e-5  # the factor of the sub-sampling of frequent words
TRAINING_PART = 0.85


@dataclass(frozen=True)
class Pairs:
    """Targets (N,) and candidates (N, 5), the true context first; int64."""

    word: NDArray[np.int64]
    context: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.word)

    def x(self, put: Any) -> dict[str, Any]:
        """Return the network's inputs on a device."""
        return {"word": put(self.word), "context": put(self.context)}

    def head(self, count: int) -> Pairs:
        return Pairs(self.word[:count], self.context[:count])


def pairs(settings: Settings, seed: int) -> tuple[Pairs, Pairs]:
    """Make training and validation pairs; what is drawn depends on the seed."""
    text = datasets.tinyshakespeare(settings.data, settings.download)
    lines = text.decode(np.concatenate([text.train, text.test])).split("\n")
    rng = np.random.default_rng(seed)
    word, true = _positive(_sequences([line for line in lines if line]), rng)
    context = np.column_stack([true, negatives(len(word), NEGATIVE, VOCABULARY, rng)])
    order = rng.permutation(len(word))
    split = int(len(word) * TRAINING_PART)
    train, held = order[:split], order[split:]
    return Pairs(word[train], context[train]), Pairs(word[held], context[held])


def sampling_table() -> NDArray[np.float64]:
    """Return the probability of keeping the target of each rank, by Zipf's law (Keras)."""
    rank = np.arange(VOCABULARY, dtype=np.float64)
    rank[0] = 1
    inverse = rank * (np.log(rank) + 0.577) + 0.5 - 1 / (12 * rank)
    return np.minimum(1, np.sqrt(SAMPLING * inverse))


def negatives(rows: int, count: int, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw rows of different classes, P(k) = log((k+2)/(k+1)) / log(size+1)."""
    drawn = np.full((rows, count), -1, np.int64)
    have = np.zeros(rows, np.int64)
    while (open_rows := np.flatnonzero(have < count)).size:
        u = rng.random(open_rows.size)
        k = np.minimum(np.exp(u * np.log(size + 1)).astype(np.int64) - 1, size - 1)
        new = (drawn[open_rows] != k[:, None]).all(axis=1)
        drawn[open_rows[new], have[open_rows[new]]] = k[new]
        have[open_rows[new]] += 1
    return drawn


def _sequences(lines: list[str]) -> NDArray[np.int64]:
    """Number the words by frequency and cut or pad each line to ten."""
    bare = str.maketrans("", "", string.punctuation)
    words = [line.lower().translate(bare).split() for line in lines]
    counts = collections.Counter(word for line in words for word in line)
    ranked = sorted(counts, key=lambda word: (-counts[word], word))[: VOCABULARY - 2]
    number = {word: k + 2 for k, word in enumerate(ranked)}
    table = np.full((len(words), TOKENS), PAD, np.int64)
    for row, line in zip(table, words, strict=True):
        found = [number.get(word, UNKNOWN) for word in line[:TOKENS]]
        row[: len(found)] = found
    return table


def _positive(
    table: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pair each target that is kept with the words around it."""
    kept = (table != PAD) & (rng.random(table.shape) <= sampling_table()[table])
    word, context = [], []
    for offset in (*range(-WINDOW, 0), *range(1, WINDOW + 1)):
        here = slice(max(0, -offset), TOKENS - max(0, offset))
        there = slice(max(0, offset), TOKENS + min(0, offset))
        use = kept[:, here] & (table[:, there] != PAD)
        word.append(table[:, here][use])
        context.append(table[:, there][use])
    return np.concatenate(word), np.concatenate(context)
