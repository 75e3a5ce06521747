import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from netprops.measures.threads import over_threads, serial_if_small


def blas_threads(_=None):
    return max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")


def test_results_come_in_order_from_tasks_that_are_serial_within():
    with threadpool_limits(2, user_api="blas"):
        assert over_threads(lambda n: n * n, range(50)) == [n * n for n in range(50)]
        assert set(over_threads(blas_threads, range(4))) == {1}
        assert blas_threads() == 2


def test_an_error_of_a_task_is_raised_and_the_setting_comes_back():
    before = blas_threads()
    with pytest.raises(ZeroDivisionError):
        over_threads(lambda n: 1 / n, [1, 0])
    assert blas_threads() == before


@pytest.mark.parametrize(("multiplications", "threads"), [(897 * 64 * 64, 1), (50_000 * 512 * 512, 2)])
def test_small_products_alone_are_serial(multiplications, threads):
    with threadpool_limits(2, user_api="blas"):
        with serial_if_small(multiplications):
            assert blas_threads() == threads
        assert blas_threads() == 2
