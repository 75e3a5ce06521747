"""ResNet20 to ResNet110 for CIFAR-10 (He et al. 2016, section 4.2): a model file as a user writes one.

Layers are called as in the checkpoints of github.com/akamaster/pytorch_resnet_cifar10.
"""

import torch
from torch import nn
from torch.nn import functional

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Block(nn.Module):
    """Two convolutions with a shortcut without weights: where channels double, zeros are added."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride, self.added = stride, (outputs - inputs) // 2

    def forward(self, x):
        out = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        short = x[:, :, :: self.stride, :: self.stride]
        return functional.relu(out + functional.pad(short, (0, 0, 0, 0, self.added, self.added)))


class ResNet(nn.Module):
    """Three groups of blocks, a mean over pixels and a linear readout."""

    def __init__(self, blocks):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        for group, (inputs, outputs) in enumerate([(16, 16), (16, 32), (32, 64)], 1):
            first = Block(inputs, outputs, stride=1 if group == 1 else 2)
            others = [Block(outputs, outputs, stride=1) for _ in range(blocks - 1)]
            self.add_module(f"layer{group}", nn.Sequential(first, *others))
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = functional.relu(self.bn1(self.conv1(x)))
        return self.linear(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


def resnet(depth=20):
    """What --netprops-model names; its arguments are --netprops-model-kwargs."""
    return ResNet((depth - 2) // 6)


def prepare(images):
    """Raw images, 0 to 255, as the network was trained on them."""
    return (images / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
