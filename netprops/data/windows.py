"""A text as a stream of windows: next-token prediction, or tokens that are masked and asked for.

Words: a *text* is one long line of tokens, numbers 0 … C-1; a *window* is T tokens of it that follow each
other; windows never overlap, so that a text of L tokens has about L / T of them, and the stream runs dry
after that; a position is *asked* where its label is a token, and not asked where it is -100. After the colon
of a data set's name stand *settings*: ``64`` for T, ``masked``, ``top1000`` for a vocabulary.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netprops.data import Dataset, Request, Split
from netprops.data.chunks import generator, refuse_absent
from netprops.data.dataset import NOT_ASKED
from netprops.durable import canonical, digest_of
from netprops.errors import DamagedDataError, UsageError

SIZE = 512
"""Windows of a chunk."""
TEST_WINDOWS = 1000
"""Windows of the test part, at most."""
LENGTH = 64
"""T, unless the name says another."""
ASKED = 0.15
"""Share of the positions that masked language modelling asks for, that of BERT (Devlin et al. 2019)."""

Tokens = NDArray[np.integer]


@dataclass(frozen=True)
class Settings:
    """What stands after the colon of a text's name.

    Args:
        length: T, tokens of a window.
        masked: Whether masked tokens are asked for, instead of the next one.
        top: How many tokens the vocabulary has at most; None for the data set's own number.
    """

    length: int = LENGTH
    masked: bool = False
    top: int | None = None


def settings_of(request: Request, *, words: bool) -> Settings:
    """Return the settings of a request's name, in any order: ``wikitext2:masked:64:top1000``.

    Args:
        request: Whose name.
        words: Whether the text is one of words, so that its vocabulary can be cut.

    Raises:
        UsageError: If one is not known or stands there twice.
    """
    found: dict[str, int] = {}
    for setting in request.argument.split(":") if request.argument else []:
        if setting == "masked":
            key, value = "masked", 1
        elif setting.isdecimal() and int(setting) >= 2:
            key, value = "length", int(setting)
        elif words and re.fullmatch(r"top\d+", setting) and int(setting[3:]) >= 2:
            key, value = "top", int(setting[3:])
        else:
            key, value = "", 0
        if not key or key in found:
            raise UsageError(
                f"data set {request.name!r}: {setting!r} cannot stand there; expected, each at most once, "
                "the tokens of a window (64; at least 2), masked"
                + (", the size of the vocabulary (top1000)" if words else "")
            )
        found[key] = value
    return Settings(found.get("length", LENGTH), "masked" in found, found.get("top"))


class Windows:
    """Chunks of 512 windows of a text, in a fixed random order.

    Args:
        name: Of the data set, for errors.
        text: (L,) tokens; mapped from a file or in memory.
        length: T.
        mask: The token that hides those that are asked for, or None to ask for the next token everywhere.

    Raises:
        UsageError: If the text has not enough windows for one chunk.
    """

    def __init__(self, name: str, text: Tokens, length: int, mask: int | None) -> None:
        self.size = SIZE
        self._name, self._text, self._length, self._mask = name, text, length, mask
        count = count_windows(text, length, mask)
        self.chunks = count // SIZE
        if not self.chunks:
            raise UsageError(
                f"{name} has {count} windows of {length} tokens, expected at least one chunk of {SIZE}; ask "
                "for shorter windows"
            )
        self._order = generator("windows", 0).permutation(count)
        digest = hashlib.sha256(np.ascontiguousarray(text).data).hexdigest()
        self.digest = digest_of(canonical(["windows", SIZE, length, mask, text.dtype.str, digest]))

    def chunk(self, index: int) -> Split:
        """Return 512 windows, always the same for an index; inputs (512, T) int32, labels (512, T) int64.

        Raises:
            UsageError: If the stream has no such chunk: it runs dry.
        """
        refuse_absent(self._name, index, self.chunks)
        numbers = self._order[index * SIZE : (index + 1) * SIZE]
        return cut(self._text, numbers, self._length, self._mask, generator("masked tokens", index))


def count_windows(text: Tokens, length: int, mask: int | None) -> int:
    """Return how many windows of T tokens a text has; without a mask, the last needs a token after it."""
    return max(0, len(text) - (mask is None)) // length


def cut(
    text: Tokens, numbers: NDArray[np.int64], length: int, mask: int | None, rng: np.random.Generator
) -> Split:
    """Return windows of a text with their labels.

    Without a mask the label of each position is the token after it. With one, 15% of the positions of each
    window (at least one) are asked: their label is their token, and the mask stands in its place. The last
    position of a window is always one of them, for that is where a network's features are looked at; the
    others are drawn.

    Args:
        text: (L,) tokens.
        numbers: (N,) which windows, counted along the text from 0.
        length: T.
        mask: The token that hides others, or None.
        rng: Draws the positions that are asked.

    Returns:
        Inputs (N, T) int32; labels (N, T) int64, -100 where nothing is asked.
    """
    places = numbers[:, None] * length + np.arange(length)
    inputs = text[places].astype(np.int32)
    if mask is None:
        return Split.of_arrays(inputs, text[places + 1].astype(np.int64))
    score = rng.random(inputs.shape)
    score[:, -1] = -1.0
    asked = score.argsort(axis=1).argsort(axis=1) < max(1, round(ASKED * length))
    labels = np.where(asked, inputs, NOT_ASKED).astype(np.int64)
    return Split.of_arrays(np.where(asked, np.int32(mask), inputs), labels)


def tokens_of(
    request: Request, train: Tokens, test: Tokens, settings: Settings, vocabulary: tuple[str, ...]
) -> Dataset:
    """Return two texts as a data set of the task ``"tokens"`` with the stream of the first one's windows.

    Args:
        request: For its name.
        train: (L,) tokens of the training text.
        test: Those of the test text: up to 1,000 of its windows, in a fixed random order, are the test part.
        settings: Window and kind of the task.
        vocabulary: Names of the tokens. Where tokens are masked, the mask is one more class, the last, which
            is never a label.

    Raises:
        UsageError: If the training text has not enough windows for a chunk.
        DamagedDataError: If the test text has no window.
    """
    mask = len(vocabulary) if settings.masked else None
    stream = Windows(request.name, train, settings.length, mask)
    count = count_windows(test, settings.length, mask)
    if not count:
        raise DamagedDataError(
            f"{request.name}: the test text has {len(test)} tokens, expected more than a window of "
            f"{settings.length}"
        )
    numbers = generator("windows", 0).permutation(count)[:TEST_WINDOWS]
    return Dataset(
        name=request.name,
        train=stream.chunk(0),
        test=cut(test, numbers, settings.length, mask, generator("masked test tokens", 0)),
        task="tokens",
        classes=(*vocabulary, "<mask>") if settings.masked else vocabulary,
        stream=stream,
    )
