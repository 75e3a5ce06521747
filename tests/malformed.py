"""Checkpoints that are not what they should be, made and read in a process of its own.

``python malformed.py FOLDER`` writes every file, tries it on a small network and prints one JSON object: for
each name the message, or "loaded", by how many megabytes memory grew at its peak, and whether code has run.
"""

import contextlib
import io
import json
import os
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

COUNTED = Path("/proc/self/clear_refs")


class Malicious:
    """What a pickle with code does: it leaves a file where it ran."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return os.system, (f"touch {self.place}",)


def network():
    import torch
    from torch import nn

    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))


def write(folder):
    """Write all files; return their paths by name."""
    import torch
    from safetensors.torch import save

    good = network().state_dict()
    ran = folder / "ran"

    def torch_bytes(content, **how):
        stream = io.BytesIO()
        torch.save(content, stream, **how)
        return stream.getvalue()

    whole = torch_bytes(good)
    flat = save({name: one.contiguous() for name, one in good.items()})
    renamed = {f"encoder.{i}": one for i, one in enumerate(good.values())}
    nan = {name: one.clone() for name, one in good.items()}
    nan["2.weight"][1, 3] = float("nan")
    infinite = {name: one.clone() for name, one in good.items()}
    infinite["0.bias"][:] = float("inf")
    files = {
        "truncated": whole[: len(whole) // 2],
        "truncated-old": torch_bytes(good, _use_new_zipfile_serialization=False)[:-200],
        "truncated-safetensors": flat[: len(flat) // 2],
        "wrong-keys": torch_bytes(renamed),
        "wrong-shapes": torch_bytes({**good, "2.weight": torch.zeros(5, 16)}),
        "missing-key": torch_bytes({name: one for name, one in good.items() if name != "2.bias"}),
        "code": torch_bytes({"state_dict": good, "extra": Malicious(ran)}),
        "code-old": pickle.dumps(Malicious(ran), protocol=2),
        "whole-module": torch_bytes(network()),
        "nan": torch_bytes(nan),
        "infinite": torch_bytes(infinite),
        "text": b"loss 0.31 accuracy 0.9\n" * 40,
        "empty": b"",
        "lfs-pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
        "noise": bytes(range(200, 255)) * 100,
        "other-zip": zipped({"word/document.xml": b"<a/>"}),
        "zip-bomb": zipped({"archive/data.pkl": bytes(50_000_000)}, zipfile.ZIP_DEFLATED),
        "overlapping-zip": overlapping(),
        "huge-pickle": zipped({"archive/data.pkl": b"\x80\x02" + b"]" * (1 << 24), "archive/version": b"3"}),
        "nested-list": zipped({"archive/data.pkl": b"\x80\x02" + b"(" * 100_000, "archive/version": b"3"}),
        "huge-storage": promised(10**13),
        "list": torch_bytes([torch.zeros(3), torch.zeros(2)]),
        "optimizer-only": torch_bytes({"optimizer": {"momentum": torch.zeros(3)}, "epoch": 3}),
        "header-too-long": struct.pack("<Q", 1 << 60) + b"{" + bytes(100),
        "bad-header.safetensors": struct.pack("<Q", 50) + b"{" + b"x" * 60,
    }
    paths = {}
    for name, content in files.items():
        paths[name] = folder / (name if "." in name else f"{name}.pt")
        paths[name].write_bytes(content)
    paths["folder"] = folder / "a-folder"
    paths["folder"].mkdir()
    paths["nowhere"] = folder / "trunkated.pt"
    paths["torchscript"] = folder / "script.pt"
    script(paths["torchscript"])
    return paths


def script(path):
    """Write what torch.jit.save writes, as far as its directory tells."""
    path.write_bytes(
        zipped({"s/data.pkl": b".", "s/constants.pkl": b".", "s/code/__torch__.py": b"def forward(): ..."})
    )


def zipped(members, how=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", how) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def overlapping():
    """Return an archive whose directory names one member of 1 MB a thousand times."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", bytes(1_000_000))
        first = archive.infolist()[0]
        for number in range(1000):
            twin = zipfile.ZipInfo(f"archive/data/{number}")
            twin.file_size = twin.compress_size = first.file_size
            twin.CRC, twin.header_offset = first.CRC, first.header_offset
            archive.filelist.append(twin)
    return stream.getvalue()


def promised(count):
    """Return a file of the older format whose one storage has more numbers than there is memory."""
    import torch

    stream = io.BytesIO()
    torch.save(OrderedDict(w=torch.zeros(7777)), stream, _use_new_zipfile_serialization=False)
    small, large = b"M" + struct.pack("<H", 7777), b"\x8a\x06" + count.to_bytes(6, "little")
    return stream.getvalue().replace(small, large)


def main(folder):
    import torch

    from netprops import checkpoints, fitting
    from netprops.errors import UsageError

    paths = write(folder)
    target = network()
    good = folder / "good.pt"
    torch.save(network().state_dict(), good)
    fitting.fit(target, checkpoints.read(good))  # what the first reading imports is not what reading costs
    report = {}
    for name, path in paths.items():
        reset_peak()
        before = megabytes("VmRSS")
        try:
            fitting.fit(target, checkpoints.read(path))
            message = "loaded"
        except UsageError as error:
            message = str(error)
        report[name] = {
            "message": message,
            "megabytes": megabytes("VmHWM") - before,
            "ran": (folder / "ran").exists(),
        }
    print(json.dumps(report))


def reset_peak():
    """Let the kernel count the peak of resident memory anew."""
    with contextlib.suppress(OSError):
        COUNTED.write_text("5")


def megabytes(name):
    """Return a line of the process' memory in MB; 0 on systems that do not tell."""
    place = Path("/proc/self/status")
    lines = place.read_text().splitlines() if place.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(name)), 0.0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
