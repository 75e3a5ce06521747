"""The command ``netprops layers``: what of a user's network can be named as its last layer and its readout.

Words: as in ``tracing.py``.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from netprops.errors import UsageError


def add(commands: Any) -> None:
    """Add the command to a parser's subparsers."""
    layers = commands.add_parser(
        "layers",
        help="the layers of a network of your own",
        allow_abbrev=False,
        description="Run a few samples through a network and list every module that ran: its path, type and "
        "the shape of its output; and what is found to be its last hidden layer and its readout.",
    )
    layers.add_argument(
        "model", metavar="BUILDER", help="pkg.mod:builder, file.py:builder, torchvision:NAME ..."
    )
    layers.add_argument("--kwargs", metavar="JSON", help="arguments of the builder")
    layers.add_argument(
        "--data", metavar="DATA", help="as --netprops-data takes it; its first samples are run"
    )
    layers.add_argument(
        "--shape", metavar="C,H,W", default="3,32,32", help="of random inputs (default: 3,32,32)"
    )
    layers.add_argument("--data-root", type=Path, metavar="DIR", help="folder of the data (or NETPROPS_DATA)")
    layers.set_defaults(command=_layers)


def _layers(arguments: argparse.Namespace) -> int:
    import torch

    from netprops import importing, tracing, userdata
    from netprops.modeltables import from_options

    table = from_options(arguments.model, kwargs=arguments.kwargs, data=arguments.data)
    built = importing.build(table.build, table.kwargs if isinstance(table.kwargs, dict) else {}, Path.cwd())
    if table.data is None:
        inputs, prepare = torch.randn(2, *_shape(arguments.shape)), None
    else:
        named = arguments.data_root or os.environ.get("NETPROPS_DATA")
        data = userdata.load(table.data, Path.cwd(), root=Path(named).expanduser() if named else None)
        data = data.prepared_by(built.prepare)
        inputs, prepare = data.test.inputs, data.prepare
    ran = tracing.steps(built.network, inputs, prepare=prepare)
    rows = [("layer", "module", "output", "can be named as"), *tracing.listing(ran)]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    try:
        found = tracing.ending(built.network, ran, None, None)
    except UsageError as error:
        print(f"not found by itself: {error}")
        return 0
    print(
        f"found by itself: {found.width} features, which {found.readout_layer!r} turns into {found.outputs} "
        "outputs"
    )
    return 0


def _shape(text: str) -> tuple[int, ...]:
    try:
        shape = tuple(int(one) for one in text.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise UsageError(f"--shape is {text!r}, expected positive numbers such as 3,224,224")
    return shape
