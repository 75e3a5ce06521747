"""Networks that answer at every position of a sequence: losses and errors are means over what is asked."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from netprops.data import Dataset, Split
from netprops.errors import TrainingError, UsageError
from netprops.models.fc5 import FC5
from netprops.training import loop, stacked
from netprops.training.recipe import Recipe

CPU = torch.device("cpu")
RECIPE = Recipe(epochs=2, batch=8, optimizer="sgd", lr=0.5, momentum=0.9, precision="float64")
T, C = 5, 4


class Tokens(nn.Module):
    """Answers with a row of a table for each token: its gradient can be written down."""

    def __init__(self) -> None:
        super().__init__()
        self.readout = nn.Embedding(C, C)
        nn.init.zeros_(self.readout.weight)
        self.sizes: list[int] = []

    def forward(self, x):
        self.sizes.append(len(x))
        return self.readout(x.long())


def sentences(n: int = 30, test: int = 20) -> Dataset:
    """Return sequences that ask for their next token, each at another number of positions."""
    generator = torch.Generator().manual_seed(3)
    tokens = torch.randint(0, C, (n + test, T), generator=generator, dtype=torch.int32)
    labels = (tokens.long() + 1) % C
    asked = torch.rand(n + test, T, generator=generator) < torch.rand(n + test, 1, generator=generator)
    asked[:, 2] = True
    labels = torch.where(asked, labels, -100)
    parts = [Split(tokens[rows], labels[rows]) for rows in (slice(n), slice(n, None))]
    return Dataset(name="sentences", train=parts[0], test=parts[1], task="tokens", classes=tuple("abcd"))


def by_hand(data: Dataset) -> tuple[torch.Tensor, list[float], list[float]]:
    """Return the table, and loss and error of each epoch, from the definition."""
    order = torch.Generator().manual_seed(loop.stream_seed(5, "order"))
    table, velocity = (torch.zeros(C, C, dtype=torch.float64) for _ in range(2))
    losses, errors = [], []
    for _ in range(2):
        loss = error = count = 0.0
        for rows in torch.randperm(30, generator=order).split(8):
            slope, asked = torch.zeros_like(table), 0
            for row in rows.tolist():
                for token, label in zip(
                    data.train.inputs[row].tolist(), data.train.labels[row].tolist(), strict=True
                ):
                    if label >= 0:
                        asked += 1
                        loss -= float(table[token].log_softmax(0)[label])
                        error += float(table[token].argmax() != label)
                        slope[token] += table[token].softmax(0)
                        slope[token, label] -= 1
            count += asked
            velocity = 0.9 * velocity + slope / asked
            table = table - 0.5 * velocity
        losses.append(loss / count)
        errors.append(error / count)
    return table, losses, errors


@pytest.mark.parametrize("accumulate", [1, 4])
def test_it_agrees_with_sums_over_positions_written_out(accumulate):
    """Micro-batches ask for different numbers of positions, and so do batches."""
    data, network = sentences(), Tokens()
    trained = loop.train(network, data, RECIPE.changed(accumulate=accumulate), seed=5, device=CPU)
    table, losses, errors = by_hand(data)
    torch.testing.assert_close(network.readout.weight.detach(), table, rtol=1e-9, atol=1e-9)
    assert [line.loss for line in trained.history] == pytest.approx(losses, rel=1e-6)
    assert [line.train_error for line in trained.history] == pytest.approx(errors)
    answers = table[data.test.inputs.long()].argmax(2)
    asked = data.test.labels >= 0
    assert trained.history[-1].test_error == (answers != data.test.labels)[asked].double().mean()


def test_evaluation_is_no_larger_than_a_step_of_the_training():
    network = Tokens()
    loop.train(network, sentences(), RECIPE.changed(accumulate=2), seed=5, device=CPU)
    assert max(network.sizes) == 4


@pytest.mark.parametrize(
    ("task", "loss", "expected"),
    [
        ("tokens", "squared", "cross-entropy"),
        ("classification", "logistic", "cross-entropy"),
        ("parity", "squared", "squared-hinge or logistic"),
        ("parity", "cross-entropy", "squared-hinge or logistic"),
        ("regression", "squared-hinge", "squared"),
        ("regression", "cross-entropy", "squared"),
    ],
)
def test_a_loss_of_another_task_is_refused(task, loss, expected):
    labels = {
        "tokens": torch.tensor([[0, 1], [1, 0]]),
        "classification": torch.tensor([0, 1]),
        "parity": torch.tensor([-1.0, 1.0]),
        "regression": torch.tensor([0.3, -2.0]),
    }[task]
    part = Split(torch.zeros(2, 2, dtype=torch.int64), labels)
    data = Dataset(
        name="d", train=part, test=part, task=task, classes=() if task == "regression" else ("a", "b")
    )
    words = f"net: loss '{loss}' does not fit d, whose task is {task}; expected {expected}$"
    with pytest.raises(TrainingError, match=words):
        loop.check(data, RECIPE.changed(loss=loss, batch=1), "net")


def test_sequences_and_squared_losses_cannot_be_stacked():
    networks = [FC5(width=4, inputs=(T,), outputs=C) for _ in range(2)]
    with pytest.raises(UsageError, match="cannot train together on the sequences of sentences"):
        stacked.train_together(networks, [sentences()] * 2, RECIPE, seeds=(0, 1), device=CPU)
    with pytest.raises(UsageError, match="cannot train together with the squared loss"):
        stacked.train_together(
            networks, [sentences()] * 2, RECIPE.changed(loss="squared"), seeds=(0, 1), device=CPU
        )
    with pytest.raises(UsageError, match="cannot train together with a stream"):
        stacked.train_together(
            networks, [sentences()] * 2, RECIPE.changed(online=True), seeds=(0, 1), device=CPU
        )
