"""Many at once, tested with plain functions: order, bounds, laziness, what is kept."""

import anyio
import pytest

from nbhttp.bulk import BulkResult, Collected, map_bounded

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"]),
]


async def double(number):
    await anyio.lowlevel.checkpoint()
    return number * 2


async def test_results_come_in_input_order():
    """However long each takes, the order is that of the input."""

    async def slower_first(number):
        for _ in range(20 - number):
            await anyio.lowlevel.checkpoint()
        return number or 100

    result = await map_bounded(list(range(20)), slower_first, concurrency=7)
    assert list(result) == [100, *range(1, 20)]


@pytest.mark.parametrize("concurrency", [1, 3, 50])
async def test_no_more_than_concurrency_run_at_once(concurrency):
    """The bound holds, and is used."""
    running = most = 0

    async def count(_):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await anyio.lowlevel.checkpoint()
        running -= 1
        return True

    await map_bounded(list(range(100)), count, concurrency=concurrency)
    assert most == concurrency


async def test_workers_pull_from_a_generator():
    """A generator is not consumed ahead of the work by more than a batch."""
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield taken

    class StopHereError(Exception):
        pass

    async def stop_at_200(number):
        await anyio.lowlevel.checkpoint()
        if number == 200:
            raise StopHereError
        return number

    with pytest.raises(StopHereError):
        await map_bounded(endless(), stop_at_200, concurrency=4)
    assert taken < 200 + 64 + 4


async def test_an_async_iterable_is_pulled_from():
    """Items may come from an async generator."""

    async def numbers():
        for number in range(1, 6):
            await anyio.lowlevel.checkpoint()
            yield number

    assert list(await map_bounded(numbers(), double, concurrency=2)) == [2, 4, 6, 8, 10]


async def test_the_iterable_is_touched_where_pull_says():
    """Only `pull` calls into the iterable."""
    inside = False

    def watched():
        for number in range(100):
            assert inside
            yield number + 1

    async def pull(function):
        nonlocal inside
        inside = True
        try:
            return function()
        finally:
            inside = False

    result = await map_bounded(watched(), double, concurrency=5, pull=pull)
    assert len(result) == 100


async def test_what_a_fetch_raises_ends_everything_and_leaves_the_results():
    """The first exception is raised as it is; the others end; what had come is kept."""
    ended = []

    async def fetch(number):
        if number == 5:
            raise LookupError("five")
        if number > 5:
            try:
                await anyio.sleep_forever()
            finally:
                ended.append(number)
        return number

    collected = Collected()
    with pytest.raises(LookupError, match="five") as caught, collected.kept():
        await map_bounded(list(range(1, 9)), fetch, concurrency=8, collected=collected)
    assert list(caught.value.results) == [1, 2, 3, 4]
    assert sorted(ended) == [6, 7, 8]
    assert "4 results had come" in caught.value.__notes__[0]


async def test_a_failing_iterable_raises_its_own_exception():
    """What the user's generator raises is what the user sees."""

    def broken():
        yield 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await map_bounded(broken(), double, concurrency=2)


async def test_nothing_to_do_is_an_empty_result():
    """An empty list and an empty generator give no results."""
    assert len(await map_bounded([], double, concurrency=4)) == 0
    assert len(await map_bounded(iter(()), double, concurrency=4)) == 0


async def test_cancelling_ends_the_workers():
    """Cancellation passes through."""
    with anyio.move_on_after(0.05) as scope:
        await map_bounded([1, 2, 3], lambda _: anyio.sleep_forever(), concurrency=2)
    assert scope.cancelled_caught


def test_a_bulk_result_is_a_sequence(anyio_backend):
    """Length, index, slice, iteration, equality; ok and failed keep the order."""
    result = BulkResult([3, 0, 1, 0], elapsed=1.5)
    assert (len(result), result[0], list(result[1:3])) == (4, 3, [0, 1])
    assert list(result.ok) == [3, 1]
    assert list(result.failed) == [0, 0]
    assert result.failed.elapsed == 1.5
    assert repr(result) == "<BulkResult 4 results: 2 ok, 2 failed, 1.50 s>"
    assert result == BulkResult([3, 0, 1, 0])


def test_a_bulk_result_is_true_when_it_has_any_and_judged_by_success(anyio_backend):
    """As a sequence is; a batch of failures is not empty."""
    for results, is_true, success in (([], False, True), ([0, 0], True, False), ([1], True, True)):
        result = BulkResult(results)
        assert (bool(result), result.success) == (is_true, success)
        assert bool(result.failed) is not success
