"""Sentence pairs as token states without a pretrained encoder: a random vector for each word.

Words: a *state* is d numbers that stand for one token; a *pair* is a premise and a hypothesis, its tokens in
this order; T positions a pair, those after its last token are *padding*, states of zeros; the *segment* says
which of the two sentences a token is of.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TOKEN = re.compile(r"\w+|[^\w\s]")
_SEGMENTS = ("\0premise", "\0hypothesis")  # no sentence has a token with such a name


def tokens(sentence: str) -> list[str]:
    """Return the words and the single signs of a sentence, in lower case.

    >>> tokens("The dog isn't brown.")
    ['the', 'dog', 'isn', "'", 't', 'brown', '.']
    """
    return _TOKEN.findall(sentence.lower())


def truncated(premise: int, hypothesis: int, length: int) -> tuple[int, int]:
    """Return how many tokens of each sentence are kept: the longer one is shortened first.

    Args:
        premise: Number of its tokens.
        hypothesis: Number of its tokens.
        length: T.

    >>> truncated(60, 10, 64), truncated(90, 10, 64), truncated(90, 90, 64)
    ((54, 10), (54, 10), (32, 32))
    """
    kept = min(premise, max(length - hypothesis, length - length // 2))
    return kept, min(hypothesis, length - kept)


def hashed_states(premises: Sequence[str], hypotheses: Sequence[str], out: NDArray[Any]) -> None:
    """Write the states of sentence pairs: half of each says which word it is, the other half which segment.

    Both halves are standard normal vectors that the SHA-256 of the word, or of the segment's name, seeds: the
    same in every data set, unrelated for related words. A stand-in for a pretrained encoder: what words mean
    and how they stand to each other in the sentence is left to the network.

    Args:
        premises: N sentences.
        hypotheses: N sentences.
        out: (N, T, d) of any float type, d even; every number of it is written.
    """
    half = out.shape[2] // 2
    known: dict[str, NDArray[np.float64]] = {}
    segments = [_vector(name, half) for name in _SEGMENTS]
    for states, sentences in zip(out, zip(premises, hypotheses, strict=True), strict=True):
        words = [tokens(sentence) for sentence in sentences]
        kept = truncated(len(words[0]), len(words[1]), len(states))
        place = 0
        for segment, mine, count in zip(segments, words, kept, strict=True):
            for word in mine[:count]:
                if word not in known:
                    known[word] = _vector(word, half)
                states[place, :half] = known[word]
                states[place, half:] = segment
                place += 1
        states[place:] = 0


def _vector(name: str, size: int) -> NDArray[np.float64]:
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest(), "little")
    return np.random.default_rng(seed).standard_normal(size)
