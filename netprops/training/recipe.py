"""Recipes: everything that decides how a network is trained, and nothing else.

A recipe is frozen and has a canonical JSON form, which enters the cache key: two trainings with equal
recipes, seeds, data and code give the same weights. What does not decide the weights (device names, how
often a checkpoint is written, progress) is not part of it.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Frozen(BaseModel):
    """A pydantic model that cannot be changed and refuses unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Augmentation(Frozen):
    """Random transformations of image batches, drawn anew for every image at every epoch.

    Args:
        crop: Pixels of padding on every side before a random crop of the original size; 0 for none.
        flip: Whether to mirror left and right with probability 1/2.
        padding: How the border is filled.
        resized_crop: Side in pixels of a random resized crop: a box of 8% to 100% of the area and of aspect
            3/4 to 4/3 at a random place, resized to a square of this side before anything else; 0 for none.
            Test images are whole, or their centre, as the data set has it (``Dataset.view``).
    """

    crop: int = Field(default=0, ge=0)
    flip: bool = False
    padding: Literal["reflect", "zeros"] = "reflect"
    resized_crop: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> Augmentation:
        if self.crop and self.resized_crop:
            raise ValueError("crop and resized_crop are two ways to cut; an augmentation has one of them")
        return self


class Recipe(Frozen):
    """How a network is trained.

    Args:
        epochs: Passes over the training set.
        batch: Samples a step; the last, smaller batch of an epoch is dropped where ``drop_last`` is set.
        optimizer: ``"sgd"`` (with momentum) or ``"adam"`` (decay enters the gradient in both) or
            ``"adamw"`` (decoupled decay), or ``"normalized-sgd"``: the gradient of loss and decay, over all
            weights together, is scaled to length 1 before each step.
        lr: Peak learning rate.
        momentum: Momentum of SGD; beta1 of Adam is torch's default.
        nesterov: Nesterov momentum for SGD.
        weight_decay: Strength of the L2 penalty.
        schedule: ``"constant"``, ``"cosine"`` to 0 over all steps, or ``"step"`` by ``gamma`` at
            ``milestones``.
        milestones: Epochs of the drops of ``"step"``.
        gamma: Factor of each drop.
        warmup: Epochs of linear warm-up from 0.
        loss: ``"cross-entropy"`` over classes; for labels -1 and 1 ``"squared-hinge"``,
            1/2 max(0, 1 - y f)^2, or ``"logistic"``, log(1 + exp(-y f)), which is binary cross-entropy.
        label_smoothing: Share of the target spread over all classes; cross-entropy only.
        augmentation: Random transformations of the training images.
        precision: ``"float32"``, ``"float64"``, or ``"bf16"`` (autocast on CUDA; float32 on a CPU).
        snapshots: Epochs after which the weights are kept; the last epoch is always kept.
        drop_last: Whether to drop the last incomplete batch of an epoch.
        accumulate: Micro-batches a step: so many parts of the batch pass through the network one after
            another, for a GPU that cannot hold all of it. The gradient is the mean over the whole batch.
            Batch norm sees each micro-batch by itself, and its running statistics move with each. It must
            divide the batch.
    """

    epochs: int = Field(ge=1)
    batch: int = Field(ge=1)
    optimizer: Literal["sgd", "adam", "adamw", "normalized-sgd"]
    lr: float = Field(gt=0)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(default=0.0, ge=0)
    schedule: Literal["constant", "cosine", "step"] = "constant"
    milestones: tuple[int, ...] = ()
    gamma: float = Field(default=0.1, gt=0)
    warmup: int = Field(default=0, ge=0)
    loss: Literal["cross-entropy", "squared-hinge", "logistic"] = "cross-entropy"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    augmentation: Augmentation = Augmentation()
    precision: Literal["float32", "float64", "bf16"] = "float32"
    snapshots: tuple[int, ...] = ()
    drop_last: bool = False
    accumulate: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if self.loss != "cross-entropy" and self.label_smoothing:
            raise ValueError(f"label_smoothing belongs to cross-entropy; the loss here is {self.loss}")
        if self.optimizer == "normalized-sgd" and self.momentum:
            raise ValueError("normalized-sgd has no momentum")
        late = [epoch for epoch in self.snapshots if not 0 <= epoch <= self.epochs]
        if late:
            raise ValueError(f"snapshots at epochs {late} lie outside 0..{self.epochs}")
        if self.schedule == "step" and not self.milestones:
            raise ValueError("schedule 'step' needs milestones")
        if self.batch % self.accumulate:
            raise ValueError(f"a batch of {self.batch} has no {self.accumulate} equal micro-batches")
        return self

    @property
    def alone(self) -> str | None:
        """What of it a network needs a training of its own for, or None if several can train as one stack."""
        augmentation = self.augmentation
        if augmentation.crop or augmentation.flip or augmentation.resized_crop:
            return "augmentation"
        if self.accumulate > 1:
            return "accumulation"
        if self.optimizer == "normalized-sgd":
            return "steps of a fixed length"
        return "bf16" if self.precision == "bf16" else None

    def changed(self, **changes: Any) -> Recipe:
        """Return the recipe with some fields replaced, validated anew."""
        return Recipe.model_validate({**self.model_dump(), **changes})
