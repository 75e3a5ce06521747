"""ResNet20 and ResNet56 that somebody else trained, through ablation, compressibility and similarity."""

import importlib.util
import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from netprops.ablating import ablate, activation_layers, layer_samples
from netprops.checkpoints import read
from netprops.fitting import fit
from netprops.measures.ablation import area
from netprops.measures.redundancy import compressibility, similarity

EACH = 10  # test images of every class
DATA = Path(os.environ.get("NETPROPS_DATA", "nowhere"))
CHECKPOINTS = {20: "resnet20-12fca82f.th", 56: "resnet56-4bfd9763.th"}

pytestmark = pytest.mark.skipif(
    not (DATA / "checkpoints" / "akamaster").is_dir() or not (DATA / "cifar10-jpeg.tar").is_file(),
    reason="the checkpoints and images of CIFAR10 are looked for below NETPROPS_DATA",
)


@pytest.fixture(scope="module")
def user():
    """The user's model file."""
    path = Path(__file__).parent.parent / "examples" / "resnet_cifar.py"
    spec = importlib.util.spec_from_file_location("resnet_cifar", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def images():
    """The first test images of every class, (100, 3, 32, 32) uint8, and their labels."""
    found, labels = [], []
    with tarfile.open(DATA / "cifar10-jpeg.tar") as archive:
        names = sorted(
            one for one in archive.getnames() if one.split("/")[-3:-2] == ["test"] and one.endswith(".jpg")
        )
        classes = sorted({one.split("/")[-2] for one in names})
        for label, name in enumerate(classes):
            for one in [n for n in names if n.split("/")[-2] == name][:EACH]:
                picture = Image.open(io.BytesIO(archive.extractfile(one).read()))
                found.append(np.asarray(picture).transpose(2, 0, 1))
                labels.append(label)
    return torch.from_numpy(np.stack(found)), np.array(labels)


@pytest.mark.parametrize("depth", [20, 56])
def test_it_is_accurate_robust_and_redundant(user, images, depth):
    inputs, labels = images
    network = user.resnet(depth).eval()
    fit(network, read(DATA / "checkpoints" / "akamaster" / CHECKPOINTS[depth]))
    with torch.no_grad():
        answers = network(user.prepare(inputs.float())).argmax(1).numpy()
    assert (answers == labels).mean() > 0.7

    def prepare(samples):
        return user.prepare(samples.float())

    layers = activation_layers(network, inputs, prepare=prepare)
    assert len(layers) == (depth - 2) // 2  # one a block: ReLUs are functions here
    rng = np.random.default_rng(0)
    last = ablate(network, inputs, layers[-1], prepare=prepare, rng=rng)
    assert last.y[0] == 1.0
    assert 0.3 < area(last).value < 0.95
    rows = layer_samples(network, inputs, layers[-1], prepare=prepare, rng=rng)
    needed, similar = compressibility(rows), similarity(rows)
    assert 0.05 < needed.value < 0.9
    assert 0 <= similar.value < 64
