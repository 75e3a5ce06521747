import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.v2 import AutoAugment, AutoAugmentPolicy, functional

from netprops.errors import UsageError
from netprops.training.augment import augment, draw_boxes, policy_augmented, resized_crop
from netprops.training.recipe import Augmentation, Recipe


def images(B=6, C=2, H=5, W=7):
    return torch.arange(B * C * H * W, dtype=torch.float32).reshape(B, C, H, W) + 1


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def views(image, crop, padding):
    """All crops of one padded image and their mirror images, by numpy's padding."""
    H, W = image.shape[1:]
    kind = {"reflect": {"mode": "reflect"}, "zeros": {"mode": "constant"}}[padding]
    padded = np.pad(image.numpy(), ((0, 0), (crop, crop), (crop, crop)), **kind)
    crops = [padded[:, y : y + H, x : x + W] for y in range(2 * crop + 1) for x in range(2 * crop + 1)]
    return crops, [crop[:, :, ::-1] for crop in crops]


@given(
    crop=st.integers(0, 4),
    flip=st.booleans(),
    padding=st.sampled_from(["reflect", "zeros"]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=40, deadline=None)
def test_every_result_is_a_crop_of_the_padded_image_or_its_mirror_image(crop, flip, padding, seed):
    batch = images()
    result = augment(batch, Augmentation(crop=crop, flip=flip, padding=padding), seeded(seed)).numpy()
    for before, after in zip(batch, result, strict=True):
        straight, mirrored = views(before, crop, padding)
        assert any(np.array_equal(after, view) for view in straight + (mirrored if flip else []))


def test_crops_and_mirror_images_are_equally_likely():
    batch = images(B=1).expand(4500, -1, -1, -1)
    result = augment(batch, Augmentation(crop=1, flip=True), seeded()).numpy()
    straight, mirrored = views(batch[0], 1, "reflect")
    counts = np.array([(result == view).all((1, 2, 3)).sum() for view in straight + mirrored])
    assert counts.sum() == 4500
    # 18 views, 250 expected of each: chi-squared with 17 degrees of freedom, its 0.9999 quantile is 46
    assert ((counts - 250) ** 2 / 250).sum() < 46


def test_equal_generators_give_equal_batches_and_the_batch_is_left_alone():
    batch = images()
    kept = batch.clone()
    both = Augmentation(crop=2, flip=True)
    first, again, other = (augment(batch, both, seeded(s)) for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(batch, kept)


def test_nothing_draws_from_the_global_generator():
    before = torch.get_rng_state()
    augment(images(), Augmentation(crop=2, flip=True), seeded())
    assert torch.equal(before, torch.get_rng_state())


def test_images_of_one_batch_are_shifted_independently():
    batch = images(B=1).expand(50, -1, -1, -1)
    result = augment(batch, Augmentation(crop=2), seeded())
    assert len(np.unique(result.numpy().reshape(50, -1), axis=0)) > 10


def test_without_augmentation_the_batch_comes_back():
    batch = images()
    assert augment(batch, Augmentation(), seeded()) is batch


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bfloat16, torch.float64])
def test_the_type_is_kept(dtype):
    result = augment(torch.ones(2, 1, 4, 4, dtype=dtype), Augmentation(crop=1, padding="zeros"), seeded())
    assert result.dtype == dtype


def test_what_cannot_be_augmented_is_said():
    with pytest.raises(UsageError, match=r"shape \(3, 10\), expected images \(B, C, H, W\)"):
        augment(torch.zeros(3, 10), Augmentation(flip=True), seeded())
    with pytest.raises(UsageError, match="5 pixels cannot be reflected in images of 5×7, expected at most 4"):
        augment(images(), Augmentation(crop=5), seeded())


@given(
    H=st.integers(5, 40),
    W=st.integers(5, 40),
    size=st.integers(1, 50),
    seed=st.integers(0, 1000),
    dtype=st.sampled_from([torch.uint8, torch.float32, torch.float64]),
)
@settings(max_examples=40, deadline=None)
def test_a_resized_crop_is_torchvisions_of_the_same_boxes(H, W, size, seed, dtype):
    batch = torch.randint(0, 256, (4, 2, H, W), generator=seeded(seed)).to(dtype)
    result = resized_crop(batch, size, seeded(seed))
    boxes = torch.stack(draw_boxes(4, H, W, seeded(seed)), dim=1).tolist()
    assert result.dtype == (torch.float32 if dtype == torch.uint8 else dtype)
    for image, (top, left, h, w), after in zip(batch.double(), boxes, result.double(), strict=True):
        expected = functional.resized_crop(image, top, left, h, w, [size, size], antialias=True)
        torch.testing.assert_close(after, expected, atol=2e-3, rtol=1e-4)


@pytest.mark.parametrize(("H", "W"), [(48, 64), (32, 32), (10, 90), (90, 10)])
def test_boxes_are_distributed_as_torchvisions(H, W):
    """Means of place and size, and of their products, over 4,000 boxes: within five standard errors."""
    ours = torch.stack(draw_boxes(4000, H, W, seeded()), dim=1).double()
    image = torch.empty(1, H, W)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        params = (RandomResizedCrop.get_params(image, (0.08, 1.0), (3 / 4, 4 / 3)) for _ in range(4000))
        theirs = torch.tensor(list(params)).double()
    for boxes in (ours, theirs):
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, 2:] >= 1).all()
        assert (boxes[:, 0] + boxes[:, 2] <= H).all()
        assert (boxes[:, 1] + boxes[:, 3] <= W).all()
    moments = [torch.cat([b, b[:, :, None].mul(b[:, None]).flatten(1)], dim=1) for b in (ours, theirs)]
    error = sum(m.var(0) / 4000 for m in moments).sqrt()
    assert ((moments[0].mean(0) - moments[1].mean(0)).abs() <= 5 * error + 1e-9).all()


def test_a_resized_crop_leaves_a_constant_image_constant_and_shifts_with_its_values():
    assert torch.allclose(resized_crop(torch.full((3, 1, 9, 7), 5.0), 12, seeded()), torch.tensor(5.0))
    batch = images()
    moved = resized_crop(2 * batch + 3, 4, seeded())
    torch.testing.assert_close(moved, 2 * resized_crop(batch, 4, seeded()) + 3)


def test_resized_crops_are_reproducible_differ_between_images_and_draw_from_no_other_generator():
    batch = images(B=1).expand(20, -1, -1, -1)
    kept, state = batch.clone(), torch.get_rng_state()
    first, again, other = (resized_crop(batch, 4, seeded(s)) for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len(first.flatten(1).unique(dim=0)) > 10
    assert torch.equal(batch, kept)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_resized_crop_needs_images_and_stands_alone():
    with pytest.raises(UsageError, match=r"a batch to crop has shape \(3, 10\), expected images"):
        resized_crop(torch.zeros(3, 10), 4, seeded())
    with pytest.raises(ValidationError, match="crop and resized_crop are two ways to cut"):
        Augmentation(crop=4, resized_crop=24)


def photographs(B=24, C=3, H=16, W=20):
    return torch.randint(0, 256, (B, C, H, W), generator=seeded(7), dtype=torch.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_policy_is_torchvisions_autoaugment_of_one_image_after_another(channels):
    batch = photographs(C=channels)
    result = policy_augmented(batch, seeded(3))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (), generator=seeded(3))))
        transform = AutoAugment(AutoAugmentPolicy.IMAGENET)
        expected = torch.stack([transform(image) for image in batch])
    assert result.dtype == torch.uint8
    assert torch.equal(result, expected)
    assert not torch.equal(result, batch)


def test_a_policy_changes_each_image_by_itself_and_most_of_them():
    batch = photographs(B=1).expand(60, -1, -1, -1)
    result = policy_augmented(batch, seeded())
    assert len(result.flatten(1).unique(dim=0)) > 20
    assert (result == batch).all(dim=(1, 2, 3)).double().mean() < 0.3


def test_a_policy_is_reproducible_and_leaves_batch_and_other_generators_alone():
    batch = photographs()
    kept, state, generator = batch.clone(), torch.get_rng_state(), seeded()
    first = policy_augmented(batch, generator)
    second = policy_augmented(batch, generator)
    assert not torch.equal(first, second)
    assert torch.equal(policy_augmented(batch, seeded()), first)
    resumed = seeded(99)
    policy_augmented(batch, generator := seeded())
    resumed.set_state(generator.get_state())
    assert torch.equal(policy_augmented(batch, resumed), second)
    assert torch.equal(batch, kept)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_policy_rounds_what_a_resized_crop_left_between_levels():
    batch = resized_crop(photographs(), 12, seeded())
    rounded = batch.round().clamp(0, 255).to(torch.uint8)
    assert torch.equal(policy_augmented(batch, seeded(1)), policy_augmented(rounded, seeded(1)))


def test_a_policy_needs_images_of_one_or_three_channels():
    for shape in ((3, 10), (2, 2, 8, 8)):
        with pytest.raises(
            UsageError, match=r"augment by a policy has shape .*expected images \(B, C, H, W\)"
        ):
            policy_augmented(torch.zeros(shape, dtype=torch.uint8), seeded())


def test_a_recipe_with_a_policy_trains_alone_and_one_without_keeps_its_name():
    plain = {"epochs": 1, "batch": 2, "optimizer": "sgd", "lr": 0.1}
    with_policy = Recipe(**plain, augmentation={"policy": "imagenet"})
    assert with_policy.alone == "augmentation"
    assert Recipe(**plain).alone is None
    assert Recipe(**plain).model_dump(exclude_defaults=True) == plain
    with pytest.raises(ValidationError, match="policy"):
        Augmentation(policy="cifar")
