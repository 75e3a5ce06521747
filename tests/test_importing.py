"""Builders by an import path, and an error for each mistake that one can make with them."""

import textwrap

import pytest
import torch
from torch import nn

from netprops import importing
from netprops.errors import UsageError

MODELS = """
    import torch
    from torch import nn

    def wide(width=4, depth=2):
        return nn.Sequential(nn.Linear(3, width), nn.Linear(width, 2))

    def any_of(**kwargs):
        return nn.Linear(**kwargs)

    def broken():
        raise ValueError("no such depth\\nsecond line")

    def text():
        return "a network"

    def compiled():
        return nn.DataParallel(wide())

    ready = nn.Linear(3, 2)
    number = 3

    def prepare(images):
        return images / 2
"""


@pytest.fixture
def base(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "mypkg"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "models.py").write_text(textwrap.dedent(MODELS))
    (folder / "lacking.py").write_text("import a_package_that_is_not_there\n")
    (folder / "script.py").write_text("raise SystemExit('usage: train.py')\n")
    (folder / "odd.py").write_text("1 / 0\n")
    yield tmp_path
    import sys

    for name in [one for one in sys.modules if one.partition(".")[0] == "mypkg"]:
        del sys.modules[name]


@pytest.mark.parametrize("place", ["mypkg.models", "mypkg/models.py"])
def test_a_builder_of_a_module_or_a_file(base, place):
    built = importing.build(f"{place}:wide", {"width": 5}, base)
    assert built.network[0].out_features == 5
    assert torch.equal(built.prepare(torch.ones(2)), torch.full((2,), 0.5))
    assert importing.takes_width(f"{place}:wide", base)
    assert not importing.takes_width(f"{place}:any_of", base)


def test_what_no_checkpoint_replaces_is_drawn_alike(base):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    one, other = (importing.build("mypkg.models:wide", {}, base).network for _ in range(2))
    assert torch.equal(one[0].weight, other[0].weight)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_module_object_is_copied(base):
    network = importing.build("mypkg.models:ready", {}, base).network
    assert network is not importing.build("mypkg.models:ready", {}, base).network


def test_a_wrapper_of_the_builder_is_taken_off_and_said(base):
    built = importing.build("mypkg.models:compiled", {}, base)
    assert isinstance(built.network, nn.Sequential)
    assert built.notes == ("the builder's DataParallel was taken off",)


@pytest.mark.parametrize(
    ("path", "kwargs", "message"),
    [
        (
            "models",
            {},
            r"the model 'models' is no import path: expected pkg.mod:name or path/to/file.py:name",
        ),
        ("mypkg.model:wide", {}, "there is no module 'mypkg.model', neither below .* nor installed"),
        ("nopkg.models:wide", {}, "there is no module 'nopkg'"),
        ("mypkg/modles.py:wide", {}, r"there is no file .*modles.py; did you mean 'models.py'\?"),
        ("mypkg.models:wid", {}, r"mypkg.models has no 'wid'; did you mean 'wide'\?"),
        (
            "mypkg.lacking:net",
            {},
            "mypkg.lacking needs the package 'a_package_that_is_not_there', which is not",
        ),
        ("mypkg.script:net", {}, "mypkg.script ends the process when it is imported"),
        ("mypkg/script.py:net", {}, "script.py ends the process when it is imported"),
        ("mypkg.odd:net", {}, "mypkg.odd cannot be imported: ZeroDivisionError: division by zero"),
        (
            "mypkg.models:wide",
            {"widht": 3},
            r"unexpected keyword argument 'widht'; did you mean 'width'\? it takes",
        ),
        (
            "mypkg.models:any_of",
            {"in_features": 3},
            "cannot be built with .*in_features.*: TypeError: .*out_features",
        ),
        ("mypkg.models:broken", {}, "cannot be built: ValueError: no such depth$"),
        ("mypkg.models:text", {}, "returned a str, expected a torch.nn.Module"),
        ("mypkg.models:number", {}, "is a int, expected a function or nn.Module"),
        ("mypkg.models:ready", {"width": 3}, r"is a network already, and takes no arguments \['width'\]"),
        ("torchvision:resnet81", {}, r"torchvision has no model 'resnet81'; did you mean 'resnet18'\?"),
        (
            "torchvision:resnet18",
            {"weights": "DEFAULT"},
            "would download its weights; allow it with --netprops-dow",
        ),
        ("timm:resnet18", {}, "timm:resnet18 needs timm, which is not installed: pip install timm"),
    ],
)
def test_mistakes(base, monkeypatch, path, kwargs, message):
    import sys

    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UsageError, match=message) as caught:
        importing.build(path, kwargs, base)
    assert "\n" not in str(caught.value)


def test_a_factory_of_torchvision():
    built = importing.build("torchvision:squeezenet1_1", {"num_classes": 4}, importing.Path())
    assert built.prepare is None
    assert sum(one.numel() for one in built.network.parameters()) > 700_000


def test_a_factory_of_timm(monkeypatch):
    import sys
    from types import ModuleType

    timm = ModuleType("timm")
    timm.list_models = lambda: ["resnet18"]
    timm.create_model = lambda name, pretrained, **kwargs: nn.Linear(3, kwargs["num_classes"])
    monkeypatch.setitem(sys.modules, "timm", timm)
    assert importing.build("timm:resnet18", {"num_classes": 5}, importing.Path()).network.out_features == 5


@pytest.mark.parametrize(
    ("text", "found"),
    [("a.b:WideResNet_28", "wideresnet-28"), ("x.py:Ä", "network"), ("timm:vit.in1k", "vit-in1k")],
)
def test_names_are_ascii(text, found):
    assert importing.name_of(text) == found
