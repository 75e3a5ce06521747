"""Workers compute with their share of the cores."""

import os

import pytest
import torch
from threadpoolctl import threadpool_info

from netprops.plugin.cores import keep_to_share


@pytest.fixture
def four_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(4)), raising=False)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)


def threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.mark.parametrize(("workers", "share"), [(4, 1), (8, 1), (2, 2)])
def test_each_has_its_share_until_the_limit_is_lifted(four_cores, workers, share):
    before = torch.get_num_threads(), threads()
    lift = keep_to_share(workers)
    try:
        assert os.environ["OMP_NUM_THREADS"] == str(share)
        assert torch.get_num_threads() == share
        assert max(threads()) <= share
    finally:
        lift()
    assert "OMP_NUM_THREADS" not in os.environ
    assert (torch.get_num_threads(), threads()) == before


def test_what_the_user_has_set_stays(four_cores, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    before = torch.get_num_threads(), threads()
    keep_to_share(4)()
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert (torch.get_num_threads(), threads()) == before
