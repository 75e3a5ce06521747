r"""The Python standard library's own source text, byte by byte: a text that lies on every machine.

Words: a *token* is a byte of ASCII that can be seen, a blank, the end of a line (``\r\n`` counts as ``\n``),
or ``<other>``, which stands for all others: 97 in all, whatever the version of Python. The text itself is
another in other versions, and so are digest and cache key.
"""

from __future__ import annotations

import sysconfig
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netprops.data import Dataset, Request, register
from netprops.data.windows import settings_of, tokens_of
from netprops.errors import DamagedDataError

_MODULES = """
_pydecimal _pyio argparse ast asyncio/base_events asyncio/selector_events asyncio/unix_events bdb codecs
collections/__init__ concurrent/futures/process configparser contextlib dataclasses difflib doctest
email/_header_value_parser email/message enum fractions ftplib functools heapq http/client http/cookiejar
imaplib importlib/_bootstrap importlib/_bootstrap_external inspect ipaddress locale logging/__init__
logging/config logging/handlers mailbox multiprocessing/connection multiprocessing/managers
multiprocessing/pool ntpath optparse os pdb pickle pickletools platform plistlib pydoc random re/_compiler
re/_parser socket ssl subprocess tarfile tempfile threading trace traceback typing unittest/case
unittest/mock urllib/parse urllib/request uuid xml/etree/ElementTree xmlrpc/client
"""
TRAIN = tuple(_MODULES.split())
"""Large modules that every supported Python has, 4.1 MB in all: those of the training text, in its order."""
TEST = ("http/server", "shutil", "smtplib", "statistics", "xml/dom/minidom")
"""Those of the test text, 0.3 MB."""
_FIRST, _LAST = 32, 126  # the bytes of ASCII that can be seen, and the blank
VOCABULARY = ("\n", *map(chr, range(_FIRST, _LAST + 1)), "<other>")


def _folder() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def _missing(request: Request) -> str | None:
    settings_of(request, words=False)
    for module in (*TRAIN, *TEST):
        if not (_folder() / f"{module}.py").is_file():
            return (
                f"{request.name} needs the source of Python's standard library, of which {module}.py was not "
                f"found (looked for {_folder() / f'{module}.py'}); install a Python that brings it, as most "
                "do (4.4 MB; netprops cannot download it)"
            )
    return None


@register("source-bytes", missing=_missing, takes_argument="optional")
def load_source_bytes(request: Request) -> Dataset:
    """Return the stream of the windows of 66 modules' text, and windows of five other modules for test.

    ``source-bytes`` asks for the next byte after each of a window's 64; ``source-bytes:128`` has windows of
    128, ``source-bytes:masked`` asks for 15% of the bytes, which are masked.

    Raises:
        UsageError: If something else stands after the colon.
    """
    settings = settings_of(request, words=False)
    return tokens_of(request, _text(TRAIN), _text(TEST), settings, VOCABULARY)


def _text(modules: tuple[str, ...]) -> NDArray[np.uint8]:
    pieces = []
    for module in modules:
        try:
            pieces.append((_folder() / f"{module}.py").read_bytes())
        except OSError as error:
            raise DamagedDataError(f"the standard library's {module}.py cannot be read: {error}") from error
    table = np.full(256, len(VOCABULARY) - 1, dtype=np.uint8)
    table[ord("\n")] = 0
    table[_FIRST : _LAST + 1] = np.arange(1, _LAST - _FIRST + 2)
    return table[np.frombuffer(b"".join(pieces).replace(b"\r\n", b"\n"), dtype=np.uint8)]
