"""Networks without weights: their shapes, and that torch's compiler is not loaded for them."""

import subprocess
import sys

import torch
from torch import nn

from netprops import models
from netprops.models.skeleton import skeletons


def test_shapes_are_those_of_a_network_and_nothing_has_memory():
    with skeletons():
        bare = models.build("mlp", width=32, inputs=(5,), outputs=2, base=16)
    whole = models.build("mlp", width=32, inputs=(5,), outputs=2, base=16)
    assert all(parameter.is_meta for parameter in bare.parameters())
    assert {n: p.shape for n, p in bare.named_parameters()} == {
        n: p.shape for n, p in whole.named_parameters()
    }


def test_after_the_block_weights_are_drawn_again():
    with skeletons():
        nn.Linear(2, 2)
    torch.manual_seed(0)
    assert nn.Linear(2, 2).weight.abs().min() > 0


def test_the_compiler_is_not_loaded():
    code = (
        "import sys; from netprops import models; from netprops.models.skeleton import skeletons\n"
        "with skeletons():\n    models.build('mlp', width=32, inputs=(5,), outputs=2, base=16)\n"
        "    models.build('fc5', width=8, inputs=(5,), outputs=1)\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
