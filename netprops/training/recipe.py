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
        policy: ``"imagenet"`` for AutoAugment with the policy that was found for ImageNet: two operations
            an image, after the resized crop and before everything else; it takes images of one or three
            channels, one by one, and so is slow.
    """

    crop: int = Field(default=0, ge=0)
    flip: bool = False
    padding: Literal["reflect", "zeros"] = "reflect"
    resized_crop: int = Field(default=0, ge=0)
    policy: Literal["none", "imagenet"] = "none"

    @model_validator(mode="after")
    def _consistent(self) -> Augmentation:
        if self.crop and self.resized_crop:
            raise ValueError("crop and resized_crop are two ways to cut; an augmentation has one of them")
        return self


class Recipe(Frozen):
    """How a network is trained.

    Args:
        epochs: Passes over the training set; chunks of its stream where the recipe is ``online``.
        batch: Samples a step; the last, smaller batch of an epoch is dropped where ``drop_last`` is set.
        optimizer: ``"sgd"`` (with momentum) or ``"adam"`` (decay enters the gradient in both) or
            ``"adamw"`` (decoupled decay), ``"rmsprop"`` (decay in the gradient, the lr outside of the
            momentum, ``eps`` outside of the root), or ``"normalized-sgd"``: the gradient of loss and decay,
            over all weights together, is scaled to length 1 before each step.
        lr: Peak learning rate.
        momentum: Momentum of SGD and RMSProp; beta1 of Adam is torch's default.
        alpha: Share of its mean square that RMSProp keeps in a step.
        eps: What RMSProp adds to the root of the mean square.
        nesterov: Nesterov momentum for SGD.
        weight_decay: Strength of the L2 penalty.
        schedule: ``"constant"``, ``"cosine"`` to 0 over all steps, ``"step"`` by ``gamma`` at
            ``milestones``, or ``"exponential"`` by ``gamma`` after every epoch.
        milestones: Epochs of the drops of ``"step"``.
        gamma: Factor of each drop.
        warmup: Epochs of linear warm-up from 0.
        loss: ``"cross-entropy"`` over classes; for labels -1 and 1 ``"squared-hinge"``,
            1/2 max(0, 1 - y f)^2, or ``"logistic"``, log(1 + exp(-y f)), which is binary cross-entropy; for
            real targets ``"squared"``, 1/2 (y - f)^2.
        label_smoothing: Share of the target spread over all classes; cross-entropy only.
        augmentation: Random transformations of the training images.
        precision: ``"float32"``, ``"float64"``, or ``"bf16"`` (autocast on CUDA; float32 on a CPU).
        snapshots: Epochs after which the weights are kept; the last epoch is always kept.
        drop_last: Whether to drop the last incomplete batch of an epoch.
        accumulate: Micro-batches a step: so many parts of the batch pass through the network one after
            another, for a GPU that cannot hold all of it. The gradient is the mean over the whole batch.
            Batch norm sees each micro-batch by itself, and its running statistics move with each. It must
            divide the batch.
        validation: Share of the training samples that is held out: nothing is learnt from them, and their
            error is known after every epoch. Which ones they are follows from the data set, not from the
            seed.
        patience: Early stopping: the training ends where the error on the held-out samples has not fallen
            for so many epochs, or at the last epoch; the first epoch with the smallest one gives the final
            weights, and the history ends with it. 0 to train all epochs and keep the last.
        online: Whether every epoch is the next chunk of the data set's stream, in the stream's own order, so
            that no sample is seen twice; else the training set, which of a stream is the first chunk, is
            shuffled and repeated.
        order: ``"seed"``: order and augmentation follow from the network's seed; ``"shared"``: they are the
            same for all seeds, which then differ in initialisation (and dropout) alone. Networks of all
            widths see the same either way.
    """

    epochs: int = Field(ge=1)
    batch: int = Field(ge=1)
    optimizer: Literal["sgd", "adam", "adamw", "rmsprop", "normalized-sgd"]
    lr: float = Field(gt=0)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    nesterov: bool = False
    alpha: float = Field(default=0.99, ge=0, lt=1)
    eps: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    schedule: Literal["constant", "cosine", "step", "exponential"] = "constant"
    milestones: tuple[int, ...] = ()
    gamma: float = Field(default=0.1, gt=0)
    warmup: int = Field(default=0, ge=0)
    loss: Literal["cross-entropy", "squared-hinge", "logistic", "squared"] = "cross-entropy"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    augmentation: Augmentation = Augmentation()
    precision: Literal["float32", "float64", "bf16"] = "float32"
    snapshots: tuple[int, ...] = ()
    drop_last: bool = False
    accumulate: int = Field(default=1, ge=1)
    validation: float = Field(default=0.0, ge=0, lt=1)
    patience: int = Field(default=0, ge=0)
    online: bool = False
    order: Literal["seed", "shared"] = "seed"

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
        if self.optimizer != "rmsprop" and (self.alpha, self.eps) != (0.99, 1e-8):
            raise ValueError(f"alpha and eps belong to rmsprop; the optimizer here is {self.optimizer}")
        if self.patience and not self.validation:
            raise ValueError("patience needs samples that are held out: set validation, too")
        if self.online and self.validation:
            raise ValueError("an online recipe holds no samples out: its test error says how it generalises")
        if self.batch % self.accumulate:
            raise ValueError(f"a batch of {self.batch} has no {self.accumulate} equal micro-batches")
        return self

    @property
    def alone(self) -> str | None:
        """What of it a network needs a training of its own for, or None if several can train as one stack."""
        augmentation = self.augmentation
        changes = augmentation.crop, augmentation.flip, augmentation.resized_crop
        if any(changes) or augmentation.policy != "none":
            return "augmentation"
        if self.accumulate > 1:
            return "accumulation"
        if self.validation:
            return "samples that are held out"
        if self.online:
            return "a stream"
        if self.loss == "squared":
            return "the squared loss"
        if self.optimizer == "normalized-sgd":
            return "steps of a fixed length"
        return "bf16" if self.precision == "bf16" else None

    @property
    def same_data(self) -> bool:
        """Whether networks of all seeds see the same samples in the same order, augmented in the same way.

        The loss of each of their steps is kept, for it can be compared.
        """
        return self.online or self.order == "shared"

    def changed(self, **changes: Any) -> Recipe:
        """Return the recipe with some fields replaced, validated anew."""
        return Recipe.model_validate({**self.model_dump(), **changes})
