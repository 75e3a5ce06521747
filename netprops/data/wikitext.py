"""WikiText-2 and WikiText-103: articles of Wikipedia as words, from their own files of tokens.

Words: as in ``vocabulary.py`` and ``windows.py``; rare words are ``<unk>`` in the files already.

Source: Merity et al. 2016, "Pointer Sentinel Mixture Models".
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from netprops.data import Dataset, Request, register
from netprops.data.arrays import Arrays, kept_arrays
from netprops.data.vocabulary import looked_up, numbered
from netprops.data.windows import settings_of, tokens_of
from netprops.errors import DamagedDataError

FOLDERS = {"wikitext2": "wikitext-2", "wikitext103": "wikitext-103"}
TRAIN, VALID, TEST = "wiki.train.tokens", "wiki.valid.tokens", "wiki.test.tokens"
VOCABULARY = 32_768
"""Words of the vocabulary at most, unless the name says another number: a readout for all 267,735 of
WikiText-103 would be many times as large as the network."""
_VERSION = 1  # raised when the code that reads words gives other numbers
_SIZES = {"wikitext2": "13 MB", "wikitext103": "540 MB"}


def _base(request: Request) -> str:
    return request.name.partition(":")[0]


def _files(request: Request) -> tuple[Path, Path] | None:
    """Return the files of training and test text, or None where no root is set."""
    if request.root is None:
        return None
    folder = request.root / FOLDERS[_base(request)]
    small = _base(request) == "wikitext2" and not (folder / TRAIN).is_file() and (folder / VALID).is_file()
    return folder / (VALID if small else TRAIN), folder / TEST


def missing(request: Request) -> str | None:
    """Say which file is not there, or return None."""
    settings_of(request, words=True)
    base, files = _base(request), _files(request)
    for file in files or (None,):
        if file is None or not file.is_file():
            where = "no data root is set" if file is None else f"looked for {file}"
            other = f" or {VALID}" if base == "wikitext2" else ""
            return (
                f"{request.name} needs {FOLDERS[base].replace('wikitext', 'WikiText')}, which was not found "
                f"({where}); put {TRAIN}{other} and {TEST} into a folder {FOLDERS[base]} and point "
                "--netprops-data-root or NETPROPS_DATA at the folder that holds it "
                f"({_SIZES[base]}; netprops cannot download it)"
            )
    return None


@register("wikitext2", missing=missing, takes_argument="optional")
@register("wikitext103", missing=missing, takes_argument="optional")
def load_wikitext(request: Request) -> Dataset:
    """Return the stream of the training text's windows, and up to 1,000 windows of the test text.

    ``wikitext103`` asks for the next word after each of a window's 64; ``wikitext103:128`` has windows of
    128, ``wikitext103:masked`` asks for 15% of the words, which are masked, and ``wikitext103:top1000`` keeps
    the 1,000 most frequent words instead of 32,768 (``<unk>`` is one of them). WikiText-2 trains on its
    validation text where its training text does not lie there.

    Raises:
        UsageError: If something else stands after the colon, or the text is too short for such windows.
        DamagedDataError: If a file cannot be read as words in UTF-8.
    """
    settings = settings_of(request, words=True)
    files = _files(request)
    assert files is not None  # missing() was asked before
    train, test = files

    def read() -> Arrays:
        words, numbers = numbered(train)
        return {"words": np.frombuffer(b"\n".join(words), dtype=np.uint8), "numbers": numbers}

    kept = kept_arrays(train, request, read, "words", _VERSION)
    words = kept["words"].tobytes().split(b"\n")[: settings.top or VOCABULARY]
    numbers = np.asarray(kept["numbers"])
    text = np.where(numbers < len(words), numbers, np.int32(0))
    try:
        vocabulary = tuple(word.decode() for word in words)
    except UnicodeDecodeError as error:
        raise DamagedDataError(f"{train} cannot be read as a text ({error}); fetch it again") from error
    tested = looked_up(test, {word: number for number, word in enumerate(words)})
    return tokens_of(request, text, tested, settings, vocabulary)
