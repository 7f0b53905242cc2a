"""The gate: slots are granted in order, never lost, never doubled, across loops and threads."""

import asyncio
import threading

import anyio
import anyio.lowlevel
import pytest
import trio

from nbhttp._core.limits import Gate

BACKENDS = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


async def until(condition) -> None:
    with anyio.fail_after(30):
        while not condition():
            await anyio.lowlevel.checkpoint()


@BACKENDS
@pytest.mark.anyio
async def test_first_come_first_served() -> None:
    """A slot goes to who waits longest; a newcomer cannot overtake."""
    gate = Gate(1)
    order: list[int] = []

    async def hold(number: int) -> None:
        await gate.acquire()
        order.append(number)
        await anyio.lowlevel.checkpoint()
        gate.release()

    await gate.acquire()
    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(hold, number)
            await until(lambda number=number: gate.queued == number + 1)
        assert not gate.try_acquire()
        gate.release()
    assert order == list(range(20))
    assert (gate.held, gate.queued) == (0, 0)


@BACKENDS
@pytest.mark.anyio
async def test_a_wait_may_be_bounded_or_cancelled() -> None:
    """Who leaves the queue loses no slot."""
    gate = Gate(1)
    await gate.acquire()
    with pytest.raises(TimeoutError):
        await gate.acquire(0.01)
    with anyio.move_on_after(0.01):
        await gate.acquire()
    assert gate.queued == 0
    gate.release()
    assert gate.held == 0
    assert gate.try_acquire()


@BACKENDS
@pytest.mark.anyio
async def test_a_slot_granted_to_a_cancelled_waiter_goes_on() -> None:
    """Grant and cancellation in the same moment."""
    for _ in range(50):
        gate = Gate(1)
        await gate.acquire()
        got: list[int] = []

        async def wait(number: int, gate: Gate = gate, got: list[int] = got) -> None:
            await gate.acquire()
            got.append(number)
            gate.release()

        async with anyio.create_task_group() as outer, anyio.create_task_group() as inner:
            inner.start_soon(wait, 1)
            await until(lambda gate=gate: gate.queued == 1)
            outer.start_soon(wait, 2)
            await until(lambda gate=gate: gate.queued == 2)
            gate.release()
            inner.cancel_scope.cancel()
        assert 2 in got
        assert (gate.held, gate.queued) == (0, 0)


def test_it_bounds_threads_and_loops_together() -> None:
    """Asyncio and trio loops in several threads share one gate."""
    gate = Gate(3)
    lock = threading.Lock()
    now = most = 0

    async def work() -> None:
        nonlocal now, most
        for _ in range(30):
            await gate.acquire()
            with lock:
                now += 1
                most = max(most, now)
            await anyio.lowlevel.checkpoint()
            with lock:
                now -= 1
            gate.release()

    async def many() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(work)

    threads = [threading.Thread(target=asyncio.run, args=(many(),)) for _ in range(2)]
    threads += [threading.Thread(target=trio.run, args=(many,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert most <= 3
    assert (gate.held, gate.queued) == (0, 0)


def test_a_waiter_whose_loop_has_ended_is_passed_over() -> None:
    """Its slot goes to the next one, or is free."""
    gate = Gate(1)
    assert gate.try_acquire()
    loop = asyncio.new_event_loop()
    task = loop.create_task(gate.acquire())
    loop.run_until_complete(asyncio.sleep(0))
    assert gate.queued == 1
    task._log_destroy_pending = False
    loop.close()
    gate.release()
    assert gate.held == 0


@pytest.mark.anyio
async def test_slots_are_granted_up_to_the_capacity() -> None:
    """As many slots as the capacity are granted at once, no more."""
    gate = Gate(2)
    assert [gate.try_acquire() for _ in range(3)] == [True, True, False]
    assert gate.held == 2
    gate.release()
    assert gate.held == 1


@pytest.mark.anyio
async def test_threads_wait_in_one_line() -> None:
    """Loops in several threads get the slots in the order in which they asked."""
    gate = Gate(1)
    gate.try_acquire()
    order: list[int] = []

    async def take(number: int) -> None:
        await gate.acquire()
        order.append(number)
        gate.release()

    threads = []
    for number in range(6):
        thread = threading.Thread(target=lambda n=number: asyncio.run(take(n)))
        thread.start()
        threads.append(thread)
        await until(lambda number=number: gate.queued == number + 1)
    gate.release()
    for thread in threads:
        thread.join(timeout=20)
    assert order == list(range(6))
    assert gate.held == 0


def test_a_release_after_a_fork_adds_no_slot() -> None:
    """What was taken before `reset` and is released after it does not widen the gate."""
    gate = Gate(2)
    gate.try_acquire()
    gate.reset()
    gate.release()
    assert gate.held == 0
    assert [gate.try_acquire() for _ in range(3)] == [True, True, False]


@pytest.mark.anyio
async def test_ten_thousand_who_give_up_leave_nothing() -> None:
    """10,000 that wait and are cancelled are gone from the queue."""
    gate = Gate(1)
    gate.try_acquire()
    tasks = [asyncio.create_task(gate.acquire()) for _ in range(10_000)]
    await until(lambda: gate.queued == 10_000)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert gate.queued == 0
