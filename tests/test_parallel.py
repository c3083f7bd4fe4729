import threading

import pytest

from mistcore import Unreachable
from mistcore.deadline import Deadline, current_deadline, deadline, remaining
from mistcore.parallel import in_parallel


def test_results_come_in_order_and_side_by_side() -> None:
    barrier = threading.Barrier(3, timeout=60)
    ended = [threading.Event() for _ in range(3)]  # the last first

    def work(number: int) -> int:
        barrier.wait()
        if number < 2:
            ended[number + 1].wait(60)
        ended[number].set()
        return number * 10

    assert list(in_parallel(work, range(3))) == [0, 10, 20]
    assert list(in_parallel(lambda n: n, [7])) == [7]
    assert list(in_parallel(lambda n: n, [])) == []


def test_the_first_error_is_raised_where_its_result_would_be_and_the_rest_never_starts() -> None:
    started = []
    raised = threading.Event()

    def work(number: int) -> int:
        started.append(number)
        if number == 1:
            raise ValueError("one")
        if number > 1:
            raised.wait(60)
        return number

    results = in_parallel(work, range(1000), workers=2)
    assert next(results) == 0
    with pytest.raises(ValueError, match="one"):
        list(results)
    raised.set()
    for thread in threading.enumerate():
        if thread.name == "mistcore-parallel":
            thread.join(60)
    assert len(started) <= 3


def test_the_deadline_goes_along() -> None:
    with deadline(100):
        assert all(left < 101 for left in in_parallel(lambda _: remaining(1000), range(4)))
    with deadline(-1), pytest.raises(Unreachable):
        list(in_parallel(lambda _: remaining(10), range(4)))


def test_remaining_is_the_nearer_of_limit_and_deadline() -> None:
    assert remaining(5) == 5
    with deadline(100) as outer:
        assert remaining(5) == 5
        assert remaining(1000) <= 100
        with deadline(1000):
            assert current_deadline() is outer
        with deadline(50):
            assert remaining(1000) <= 50
        assert remaining(1000) > 50
    assert current_deadline() is None


def test_a_deadline_can_be_cancelled_from_elsewhere() -> None:
    with deadline(Deadline(100)) as mine:
        elsewhere = threading.Thread(target=mine.cancel)
        elsewhere.start()
        elsewhere.join()
        with pytest.raises(Unreachable, match="within the time allowed") as caught:
            remaining(5)
    assert caught.value.reason == "timeout"
