"""A checkpoint file, read into tensors: no code of it runs, and sizes are checked before memory is taken.

Words: a *checkpoint* is a file of torch (a zip archive, or the older stream of pickles) or of safetensors; a
*state dict* maps names to tensors; it may lie inside a *wrapper*, a dictionary with optimizer, epoch and so
on; EMA is a second state dict of averaged weights.
"""

from __future__ import annotations

import os
import re
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netprops.content import did_you_mean
from netprops.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

PLAIN = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params")
"""Names under which wrappers keep the state dict, the first one found first."""

_EMA = re.compile(r"ema|averaged|swa", re.IGNORECASE)
_BUSY = re.compile(r"optim|sched|scaler|loss|hyper", re.IGNORECASE)  # no network's weights, though tensors
_PICKLE_BYTES = 1 << 24  # of a zip's data.pkl: names and shapes of some 100,000 tensors
_WAY_OUT = "save the weights alone: torch.save(model.state_dict(), 'weights.pt')"
_GLOBAL = re.compile(r"(?:GLOBAL|class|function)\s+`?([A-Za-z_][\w.]*\.[\w.]+)")


@dataclass(frozen=True)
class Weights:
    """The tensors of a checkpoint.

    Args:
        path: The file.
        tensors: The state dict as it was saved.
        notes: What of the file was taken and what was not, one sentence each.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    notes: tuple[str, ...] = ()


def read(path: Path, key: str | None = None) -> Weights:
    """Return the state dict of a checkpoint, on the CPU, mapped from the file where its format allows it.

    Args:
        path: The file.
        key: Name of the state dict in the wrapper, such as ``"model_ema"``, with dots for inner ones; None
            finds the plain one.

    Raises:
        UsageError: If there is no such file, it is no checkpoint or a damaged one, it holds code, or the name
            leads to no state dict. One line each; nothing of the file has run.
    """
    kind = _kind(path)
    try:
        content = _safetensors(path) if kind == "safetensors" else _torch(path, mapped=kind == "zip")
    except UsageError:
        raise
    except MemoryError as error:
        raise UsageError(
            f"{path} asks for more memory than there is: it is damaged or made to do so"
        ) from error
    except Exception as error:  # a damaged or hostile file raises anything
        raise UsageError(_refusal(path, error)) from error
    return _chosen(path, content, key)


def _kind(path: Path) -> str:
    """Return the format by the first bytes; refuse what is none, and archives that would unpack."""
    try:
        facts = path.stat()
    except OSError as error:
        near = did_you_mean(path.name, _names_beside(path))
        raise UsageError(f"there is no checkpoint {path} ({error.strerror}){near}") from error
    if stat.S_ISDIR(facts.st_mode):
        raise UsageError(
            f"the checkpoint {path} is a folder; name the file in it, or a pattern such as {path}/*.pt"
        )
    if not stat.S_ISREG(facts.st_mode):
        raise UsageError(f"the checkpoint {path} is not a regular file")
    if not facts.st_size:
        raise UsageError(f"the checkpoint {path} is empty: 0 bytes")
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise UsageError(f"the checkpoint {path} cannot be read: {error.strerror}") from error
    if head.startswith(b"PK"):
        _check_zip(path, facts.st_size)
        return "zip"
    if head.startswith(b"version https://git-lfs"):
        raise UsageError(
            f"{path} is a pointer of Git LFS, not the checkpoint itself; fetch it with `git lfs pull`"
        )
    header = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" or path.suffix == ".safetensors":
        if len(head) < 9 or header > facts.st_size - 8:
            raise UsageError(
                f"{path} is cut off: its header of safetensors promises {header} bytes, the file has "
                f"{facts.st_size}"
            )
        return "safetensors"
    if not head.startswith(b"\x80"):
        what = "text" if all(9 <= byte < 127 for byte in head) else "neither a zip archive nor a pickle"
        raise UsageError(
            f"{path} is no checkpoint of torch or safetensors: it is {what}, and begins with {head[:12]!r}"
        )
    _check_memory(path, facts.st_size)
    return "pickles"


def _names_beside(path: Path) -> list[str]:
    return [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []


def _check_zip(path: Path, size: int) -> None:
    """Refuse, by the archive's directory alone, what is no file of ``torch.save`` or would unpack to more."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as error:
        raise UsageError(f"{path} is a damaged archive, perhaps cut off: {error}") from error
    unpacked = sum(one.file_size for one in members)
    if unpacked > size or any(one.compress_type != zipfile.ZIP_STORED for one in members):
        raise UsageError(
            f"{path} would unpack from {size:,} to {unpacked:,} bytes; torch.save compresses nothing: it is "
            "another archive or a zip bomb, and was not opened"
        )
    names = [one.filename for one in members]
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
        raise UsageError(
            f"{path} is TorchScript, which holds code; save its weights alone: "
            f"torch.save(torch.jit.load({path.name!r}).state_dict(), 'weights.pt')"
        )
    pickles = [one for one in members if one.filename.rpartition("/")[2] == "data.pkl"]
    if not pickles:
        raise UsageError(
            f"{path} is a zip archive but no checkpoint: it holds {', '.join(names[:3]) or 'nothing'}, no "
            "data.pkl"
        )
    if pickles[0].file_size > _PICKLE_BYTES:
        raise UsageError(
            f"{path}: its pickle has {pickles[0].file_size:,} bytes, expected names and shapes only, at most "
            f"{_PICKLE_BYTES:,}; {_WAY_OUT}"
        )


def _check_memory(path: Path, size: int) -> None:
    """Refuse a file that has to be read as a whole and would fill the memory."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return
    if size > memory // 2:
        raise UsageError(
            f"{path} has {size / 1e9:.1f} GB in a format that is read as a whole, and this machine "
            f"{memory / 1e9:.1f} GB of memory; {_WAY_OUT} with a torch that is not older than 1.6"
        )


def _torch(path: Path, *, mapped: bool) -> Any:
    import torch

    return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def _refusal(path: Path, error: Exception) -> str:
    """Return one line about why a file cannot be read."""
    said = " ".join(str(error).split())
    named = _GLOBAL.search(said)
    if named or ("weights_only" in said.lower() and "unsupported" in said.lower()):
        what = f"it names {named[1]}" if named else "it asks for more than tensors"
        return (
            f"{path} holds more than tensors: {what}, which would run code; nothing was run. Where the file "
            f"is yours, {_WAY_OUT}"
        )
    said = re.sub(r"^Weights only load failed.*?(?=WeightsUnpickler error|$)", "", said)
    said = said[:160].rstrip() or type(error).__name__
    why = f"{type(error).__name__}: {said}"
    return f"{path} cannot be read as a checkpoint, it is damaged, cut off or none: {why}"


def _chosen(path: Path, content: Any, key: str | None) -> Weights:
    """Return the state dict that a key names, or the plain one."""
    if key is not None:
        found = content
        for part in key.split("."):
            if not isinstance(found, Mapping) or part not in found:
                known = [str(one) for one in content] if isinstance(content, Mapping) else []
                raise UsageError(f"{path} has no {key!r}{did_you_mean(key, known)}{_held(content)}")
            found = found[part]
        if not _is_state(found):
            raise UsageError(f"{path}: {key!r} is a {type(found).__name__}, not a state dict{_held(content)}")
        return Weights(path, _tensors(found), (f"the weights are those of {key!r}",))
    if not isinstance(content, Mapping):
        raise UsageError(f"{path} holds a {type(content).__name__}, expected a state dict: {_WAY_OUT}")
    inner = {str(name): one for name, one in content.items() if isinstance(one, Mapping) and _is_state(one)}
    inner = {name: one for name, one in inner.items() if not _BUSY.search(name)}
    averaged = [name for name in inner if _EMA.search(name)]
    notes = [f"it also holds {name!r}, which --netprops-checkpoint-key {name} asks for" for name in averaged]
    plain = [name for name in inner if name not in averaged]
    if not plain and _is_state(content):
        return Weights(path, _tensors(content), tuple(notes))
    name = next((one for one in PLAIN if one in plain), plain[0] if len(plain) == 1 else None)
    if name is None:
        raise UsageError(
            f"{path} holds no state dict that is found by itself{_held(content)}; name one with "
            "--netprops-checkpoint-key"
        )
    return Weights(path, _tensors(inner[name]), (f"the weights are those of {name!r}", *notes))


def _is_state(found: object) -> bool:
    """Return whether something maps names to tensors; a few plain numbers beside them do no harm."""
    from torch import Tensor

    if not isinstance(found, Mapping):
        return False
    weights = [one for one in found.values() if isinstance(one, Tensor)]
    return any(one.dim() for one in weights) and all(isinstance(name, str) for name in found)


def _tensors(state: Mapping[str, Any]) -> dict[str, Tensor]:
    from torch import Tensor

    return {name: one for name, one in state.items() if isinstance(one, Tensor)}


def _held(content: Any) -> str:
    """Return what a wrapper holds, shortened."""
    if not isinstance(content, Mapping):
        return f"; it holds a {type(content).__name__}"
    names = [str(name)[:40] for name in content]
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return f"; it holds {', '.join(names[:8]) or 'nothing'}{more}"
