"""What turns sentence pairs into token states: a pretrained encoder in a local folder, or a hash of words.

Words: as in ``tokens.py``; an *encoder* is named after the colon of a data set's name: ``hashed``, or the
path of a folder that Hugging Face transformers' ``save_pretrained`` wrote, tokenizer included, with its
weights as safetensors. Nothing is ever fetched from a hub, and transformers is imported only for such a
folder.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from netprops.data import Request
from netprops.data.decoded import fingerprint
from netprops.data.tokens import hashed_states
from netprops.errors import DamagedDataError

log = logging.getLogger("netprops")

HASHED = "hashed"
HASHED_NUMBERS = 128
"""Numbers of a hashed state, as many as the smallest pretrained encoders have."""
_TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model")
"""Files of which a tokenizer has at least one; transformers makes one that knows no word without any."""
_BATCH = 64  # pairs that pass through an encoder at once
_SAY_EVERY = 2.0  # seconds, for the log


class Encoder(Protocol):
    """Turns sentence pairs into token states.

    Attributes:
        identity: Another text wherever the states may be others.
        numbers: d, the numbers of a state.
    """

    @property
    def identity(self) -> str: ...  # noqa: D102

    @property
    def numbers(self) -> int: ...  # noqa: D102

    def encode(self, premises: Sequence[str], hypotheses: Sequence[str], out: NDArray[np.float16]) -> None:
        """Write (N, T, d) states, the padding's zeros included, of N pairs."""


def missing_encoder(request: Request) -> str | None:
    """Return None if a request's encoder can be loaded, else the sentence that says what is not there."""
    if request.argument == HASHED:
        return None
    folder = _folder(request)
    otherwise = f"or take the encoder {HASHED!r}, which needs neither a file nor a package"
    absent = "" if (folder / "config.json").is_file() else str(folder / "config.json")
    if not absent and not any((folder / name).is_file() for name in _TOKENIZERS):
        absent = f"{', '.join(_TOKENIZERS[:-1])} or {_TOKENIZERS[-1]} in {folder}"
    if absent:
        return (
            f"{request.name} needs a pretrained encoder, which was not found (looked for {absent}); put "
            "there a folder that transformers' save_pretrained wrote, with tokenizer and model.safetensors "
            "(16 MB for an encoder of 128 numbers a state, 440 MB for one of "
            f"768; netprops cannot download it), {otherwise}"
        )
    if find_spec("transformers") is None:
        return (
            f"{request.name} needs the package transformers to read the encoder in {folder}, and this Python "
            f"has none; install it (about 100 MB with what it needs), {otherwise}"
        )
    return None


def encoder_of(request: Request) -> Encoder:
    """Return the encoder that a request names; a pretrained one is read when it is first asked for states."""
    return Hashed() if request.argument == HASHED else Pretrained(_folder(request), request.progress)


def _folder(request: Request) -> Path:
    path = Path(request.argument).expanduser()
    return path if request.root is None else request.root / path


class Hashed:
    """States of :func:`netprops.data.tokens.hashed_states`."""

    identity = HASHED
    numbers = HASHED_NUMBERS

    def encode(self, premises: Sequence[str], hypotheses: Sequence[str], out: NDArray[np.float16]) -> None:
        """Write (N, T, d) states."""
        hashed_states(premises, hypotheses, out)


class Pretrained:
    """The last hidden states of an encoder in a local folder, on a GPU where there is one.

    Both sentences are given to its tokenizer as one pair, the longer one shortened first; what the tokenizer
    adds (separators, segments) is part of it.

    Args:
        folder: What ``save_pretrained`` of its model and its tokenizer wrote.
        progress: Called with (done, all) pairs, or None.
    """

    def __init__(self, folder: Path, progress: Callable[[int, int], None] | None = None) -> None:
        self._folder, self._progress = folder, progress
        self._read: tuple[Any, Any] | None = None

    @property
    def identity(self) -> str:
        """The digest of the folder's path, files, sizes and times."""
        return fingerprint(self._folder)

    @property
    def numbers(self) -> int:
        """The hidden size that its configuration says."""
        return int(self._parts()[1].config.hidden_size)

    def encode(self, premises: Sequence[str], hypotheses: Sequence[str], out: NDArray[np.float16]) -> None:
        """Write (N, T, d) states.

        Raises:
            DamagedDataError: If the folder cannot be read or a state is not finite in float16.
        """
        import torch

        tokenizer, model = self._parts()
        said = time.monotonic()
        for start in range(0, len(premises), _BATCH):
            rows = slice(start, start + _BATCH)
            batch = tokenizer(
                list(premises[rows]),
                list(hypotheses[rows]),
                truncation="longest_first",
                max_length=out.shape[1],
                padding="max_length",
                return_tensors="pt",
            ).to(model.device)
            with torch.inference_mode():
                states = model(**batch).last_hidden_state
                states = states.masked_fill(batch["attention_mask"][..., None] == 0, 0)
            out[rows] = states.half().cpu().numpy()
            if not np.isfinite(out[rows]).all():
                raise DamagedDataError(
                    f"the encoder in {self._folder} gives states that are not finite in float16 for the "
                    f"pairs {start} to {start + len(states) - 1}; it is damaged, or another one is needed"
                )
            done = min(start + _BATCH, len(premises))
            if self._progress is not None:
                self._progress(done, len(premises))
            if time.monotonic() - said > _SAY_EVERY:
                said = time.monotonic()
                log.info("%s: %d of %d sentence pairs encoded", self._folder.name, done, len(premises))

    def _parts(self) -> tuple[Any, Any]:
        if self._read is None:
            import torch

            transformers: Any = import_module("transformers")
            device = "cuda" if torch.cuda.is_available() else "cpu"
            # what the weights do not fill (a pooler, which no state needs) is drawn at random
            with torch.random.fork_rng(devices=[]), self._named_in_errors():
                tokenizer = transformers.AutoTokenizer.from_pretrained(self._folder, local_files_only=True)
                model, loaded = transformers.AutoModel.from_pretrained(
                    self._folder, local_files_only=True, use_safetensors=True, output_loading_info=True
                )
                lacking = sorted(name for name in loaded["missing_keys"] if "pooler" not in name)
                if lacking:
                    raise ValueError(f"its weights lack {', '.join(lacking[:3])}")
            tokenizer.padding_side = "right"
            if tokenizer.pad_token is None:
                tokenizer.pad_token = tokenizer.eos_token
            self._read = tokenizer, model.eval().to(device)
        return self._read

    @contextmanager
    def _named_in_errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            cause = str(error).partition("\n")[0].rstrip(".")
            raise DamagedDataError(
                f"the encoder in {self._folder} cannot be read ({cause}); save it there again, with its "
                "tokenizer and its weights as safetensors"
            ) from error
