"""The signal toy: orthonormal signals, noise orthogonal to them, labels by sum and product."""

import numpy as np

from netprops.data import load
from netprops.data.signals import NOISE, PATCHES, SIGNALS, signal_vectors


def signs_of(split):
    """Return the signs (N, 5) read off the patches, and how many patches hold a signal."""
    along = split.inputs.numpy() @ signal_vectors().T.astype(np.float32)
    return along.sum(axis=1), (np.abs(along) > 0.5).sum(axis=(1, 2))


def test_every_signal_stands_in_one_patch_of_each_sample():
    data = load("signals", None)
    signs, held = signs_of(data.train)
    assert set(held.tolist()) == {SIGNALS}
    np.testing.assert_allclose(np.abs(signs), 1, atol=1e-4)


def test_labels_are_the_sign_of_two_signs_and_a_product():
    for part in (load("signals", None).train, load("signals", None).test):
        signs, _ = signs_of(part)
        said = np.sign(signs[:, 0] + signs[:, 1] + signs[:, 2] * signs[:, 3] * signs[:, 4])
        assert said.tolist() == part.labels.numpy().tolist()


def test_an_added_sign_answers_three_quarters_and_a_factor_nothing():
    data = load("signals", None)
    signs, _ = signs_of(data.train)
    right = (np.sign(signs) == data.train.labels.numpy()[:, None]).mean(axis=0)
    np.testing.assert_allclose(right, [0.75, 0.75, 0.5, 0.5, 0.5], atol=0.06)


def test_noise_is_orthogonal_to_the_signals_and_slightly_longer():
    inputs = load("signals", None).train.inputs.numpy().reshape(-1, 16)
    noise = inputs[np.abs(inputs @ signal_vectors().T.astype(np.float32)).max(axis=1) < 0.5]
    assert len(noise) == 2000 * (PATCHES - SIGNALS)
    np.testing.assert_allclose((noise**2).sum(axis=1).mean(), NOISE**2, rtol=0.05)


def test_it_is_the_same_at_every_load():
    assert load("signals", None).digest == load("signals", None).digest
