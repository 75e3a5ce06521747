"""The weights of a checkpoint put into a network: prefixes of wrappers are taken off, then all must fit.

Words: the network *wants* the names of its own state dict, the file *has* others; a *prefix* is what all
names of one side have before those of the other, such as ``module.`` of DDP or ``model.`` of Lightning.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from netprops.checkpoints import Weights
from netprops.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

_COUNTERS = "num_batches_tracked"  # older files lack them, and they decide nothing in eval mode
_BOOKKEEPING = ("n_averaged",)  # of torch.optim.swa_utils.AveragedModel
_INSIDE = ("_orig_mod.", "module.")
_SHOWN = 3


def fit(network: nn.Module, weights: Weights) -> tuple[str, ...]:
    """Load weights into a network.

    Args:
        network: The network; its weights are replaced.
        weights: Those of a file.

    Returns:
        What was stripped, converted or left out, one sentence each.

    Raises:
        UsageError: If a name is missing or too many, a shape differs, or a weight is not a finite number.
    """
    wanted = network.state_dict()
    has, notes = _named_alike(weights, wanted)
    missing = [name for name in wanted if name not in has]
    counters = [name for name in missing if name.endswith(_COUNTERS)]
    missing = [name for name in missing if name not in counters]
    extra = [name for name in has if name not in wanted and not name.endswith((_COUNTERS, *_BOOKKEEPING))]
    if missing or extra:
        raise UsageError(_difference(weights.path, missing, extra))
    odd = [name for name in wanted if name in has and has[name].shape != wanted[name].shape]
    if odd:
        raise UsageError(
            f"{weights.path}: {odd[0]!r} has shape {tuple(has[odd[0]].shape)} in the file and "
            f"{tuple(wanted[odd[0]].shape)} in the network ({len(odd)} such); build the network as it was "
            "trained, with --netprops-model-kwargs"
        )
    used = {name: has[name] for name in wanted if name in has}
    _refuse_infinite(weights.path, used)
    try:
        network.load_state_dict({**{name: wanted[name] for name in counters}, **used})
    except Exception as error:  # a sparse or quantized tensor, or a network with its own way of loading
        said = " ".join(str(error).split())[:160]
        raise UsageError(f"{weights.path}: its weights cannot be put into the network: {said}") from error
    if counters:
        notes.append(f"it has no {_COUNTERS}, which eval mode does not need")
    kinds = {
        str(one.dtype).removeprefix("torch.") for name, one in used.items() if one.dtype != wanted[name].dtype
    }
    if kinds:
        notes.append(f"weights of type {', '.join(sorted(kinds))} were converted to the network's")
    return tuple(notes)


def _named_alike(weights: Weights, wanted: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Return the file's tensors by the network's names as far as prefixes tell, and what was stripped."""
    best: tuple[int, dict[str, Tensor], list[str]] = (-1, {}, [])
    cleaned, stripped = dict(weights.tensors), [""]
    for inside in ("", *_INSIDE):
        if inside:
            stripped = [*stripped, inside]
            cleaned = {name.replace(inside, ""): one for name, one in cleaned.items()}
        prefix, own = _prefixes(cleaned, wanted)
        named = {
            own + name.removeprefix(prefix): one for name, one in cleaned.items() if name.startswith(prefix)
        }
        hits = sum(name in wanted for name in named)
        if hits > best[0]:
            notes = []
            taken = [one for one in (*stripped, prefix) if one]
            if taken:
                notes.append(f"stripped {', '.join(map(repr, dict.fromkeys(taken)))} from its names")
            if own:
                notes.append(f"put {own!r} before its names")
            left = [name for name in cleaned if not name.startswith(prefix)]
            if left:
                notes.append(f"left out {_shown(left)}")
            best = (hits, named, notes)
    return best[1], best[2]


def _prefixes(has: Iterable[str], wanted: Mapping[str, Tensor]) -> tuple[str, str]:
    """Return the prefix of the file's names and that of the network's with which most names agree."""
    ours: Counter[tuple[str, str]] = Counter()
    tails = {tail: name[: len(name) - len(tail)] for name in wanted for tail in _tails(name)[1:]}
    for name in has:
        for tail in _tails(name):
            if tail in wanted:
                ours[name[: len(name) - len(tail)], ""] += 1
        if name in tails:
            ours["", tails[name]] += 1
    if not ours:
        return "", ""
    most = max(ours.values())
    return min(
        (pair for pair, count in ours.items() if count == most), key=lambda pair: len(pair[0] + pair[1])
    )


def _tails(name: str) -> list[str]:
    """Return a dotted name and what is left of it when parts are taken off its front, up to four."""
    parts = name.split(".")
    return [".".join(parts[i:]) for i in range(min(len(parts), 5))]


def _difference(path: Path, missing: list[str], extra: list[str]) -> str:
    """Return one line about names that differ, each missing one with the nearest of the file."""
    parts = []
    if missing:
        shown = []
        for name in missing[:_SHOWN]:
            near = get_close_matches(name, extra, n=1, cutoff=0.5)
            shown.append(repr(name) + (f" (the file has {near[0]!r})" if near else ""))
        parts.append(f"{len(missing)} of the network's are missing: {', '.join(shown)}{_more(missing)}")
    if extra:
        parts.append(f"{len(extra)} are not in the network: {_shown(extra)}")
    return f"{path}: its weights do not fit the network; {'; '.join(parts)}"


def _shown(names: list[str]) -> str:
    return ", ".join(map(repr, names[:_SHOWN])) + _more(names)


def _more(names: list[str]) -> str:
    return f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""


def _refuse_infinite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    import torch

    for name, one in tensors.items():
        plain = one.is_floating_point() and one.layout is torch.strided
        if plain and not one.isfinite().all():
            count = int((~one.isfinite()).sum())
            raise UsageError(
                f"{path}: {count} of the {one.numel()} numbers of {name!r} are NaN or infinite; the training "
                "diverged, take an earlier checkpoint"
            )
