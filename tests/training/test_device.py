from __future__ import annotations

import pytest
import torch

from netprops.errors import UsageError
from netprops.training import device


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.fixture
def no_accelerator(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.usefixtures("no_accelerator")
def test_without_an_accelerator_auto_is_the_cpu_and_others_are_refused():
    assert device.resolve("auto") == device.resolve("cpu") == torch.device("cpu")
    for name in ("cuda", "cuda:0", "mps"):
        with pytest.raises(UsageError, match=f"device '{name}' is not on this machine; it has cpu"):
            device.resolve(name)


@pytest.mark.usefixtures("two_gpus")
def test_names_of_gpus():
    assert device.resolve("auto") == device.resolve("cuda") == torch.device("cuda", 0)
    assert device.resolve("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(
        UsageError, match="device 'cuda:2' is not on this machine; it has cpu, cuda:0, cuda:1"
    ):
        device.resolve("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:-1", "cuda:x", "", "cpu:0"])
def test_unknown_names_are_refused(name):
    with pytest.raises(UsageError, match="is not known; expected auto, cpu, cuda, cuda:N or mps"):
        device.resolve(name)


@pytest.mark.usefixtures("two_gpus")
def test_workers_are_spread_over_the_gpus_unless_one_is_named():
    assert [device.worker_device("auto", i).index for i in range(5)] == [0, 1, 0, 1, 0]
    assert [device.worker_device("cuda", i).index for i in range(3)] == [0, 1, 0]
    assert {device.worker_device("cuda:1", i).index for i in range(3)} == {1}
    assert device.worker_device("cpu", 3) == torch.device("cpu")


def test_what_was_set_comes_back_after_an_error():
    before = torch.get_num_threads()

    def fail():
        with device.reproducible(torch.device("cpu")), device.threads(before + 1):
            assert torch.are_deterministic_algorithms_enabled()
            assert torch.get_num_threads() == before + 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.get_num_threads() == before


def test_reproducible_flushes_numbers_below_the_normal_range_and_puts_it_back():
    tiny = torch.full((4,), 1e-40)
    before = bool((tiny * 1.0 == 0).all())
    with device.reproducible(torch.device("cpu")):
        assert (tiny * 1.0 == 0).all()
    assert bool((tiny * 1.0 == 0).all()) == before
