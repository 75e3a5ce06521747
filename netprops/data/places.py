"""The sentences about data that is not there, and the one way to fetch it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from netprops.data import Request
from netprops.errors import MissingDataError


def looked_for(request: Request, *, what: str, file: str, reader: str, size: str, hint: str = "") -> str:
    """Return the one sentence about missing data.

    Args:
        request: Whose root was looked into.
        what: The data set's own name.
        file: Path below the root that is not there.
        reader: What reads such a root.
        size: How large it is to fetch and to keep.
        hint: A further way, if there is one; starts with "or ".
    """
    where = "no data root is set" if request.root is None else f"looked for {request.root / file}"
    return (
        f"{request.name} needs {what}, which was not found ({where}); point --netprops-data-root or "
        "NETPROPS_DATA at a "
        f"folder that {reader} reads, or add --netprops-download ({size})" + (f", {hint}" if hint else "")
    )


def fetch(request: Request, what: str, download: Callable[[Path], object]) -> None:
    """Download into the request's root.

    Raises:
        MissingDataError: If it fails, with the cause.
    """
    assert request.root is not None  # load() asks for a download only with a root
    try:
        request.root.mkdir(parents=True, exist_ok=True)
        download(request.root)
    except (OSError, RuntimeError) as error:
        raise MissingDataError(f"{what} could not be downloaded into {request.root}: {error}") from error
