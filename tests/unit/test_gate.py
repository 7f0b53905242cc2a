"""The gate: slots for all loops and threads of a client, first come first served."""

import asyncio
import threading

import pytest

from nbhttp._core.limits import Gate

pytestmark = pytest.mark.anyio


async def waiting(gate: Gate, number: int) -> None:
    """Return when `number` calls wait."""
    while gate.queued < number:
        await asyncio.sleep(0)


async def test_slots_are_granted_up_to_the_capacity() -> None:
    """As many slots as the capacity are granted at once, no more."""
    gate = Gate(2)
    assert gate.try_acquire()
    assert gate.try_acquire()
    assert not gate.try_acquire()
    assert gate.held == 2
    gate.release()
    assert gate.held == 1
    assert gate.try_acquire()


async def test_the_queue_is_first_come_first_served() -> None:
    """Slots go to those who wait in the order in which they came; nobody overtakes."""
    gate = Gate(1)
    gate.try_acquire()
    order: list[int] = []

    async def take(number: int) -> None:
        await gate.acquire()
        order.append(number)
        assert not gate.try_acquire()  # a newcomer does not overtake
        gate.release()

    tasks = []
    for number in range(50):
        tasks.append(asyncio.create_task(take(number)))
        await waiting(gate, number + 1)
    gate.release()
    await asyncio.gather(*tasks)
    assert order == list(range(50))
    assert gate.held == gate.queued == 0


async def test_a_wait_may_be_bounded() -> None:
    """With a time limit, a wait ends with the built-in TimeoutError and leaves no trace."""
    gate = Gate(1)
    gate.try_acquire()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await gate.acquire(timeout=0.01)
    assert gate.queued == 0
    gate.release()
    assert gate.held == 0


async def test_a_cancelled_wait_leaves_the_queue() -> None:
    """One who is cancelled while waiting is skipped, and does not stay in memory."""
    gate = Gate(1)
    gate.try_acquire()
    first, second = (asyncio.create_task(gate.acquire()) for _ in range(2))
    await waiting(gate, 2)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert gate.queued == 1
    gate.release()
    await second
    assert gate.held == 1


async def test_a_slot_granted_to_one_who_is_cancelled_goes_on() -> None:
    """Cancelled between grant and wake-up, a waiter hands its slot to the next."""
    gate = Gate(1)
    gate.try_acquire()
    first, second = (asyncio.create_task(gate.acquire()) for _ in range(2))
    await waiting(gate, 2)
    gate.release()  # granted to the first, which has not run yet
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await second
    gate.release()
    assert gate.held == 0


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
        await waiting(gate, number + 1)
    gate.release()
    for thread in threads:
        thread.join(timeout=20)
    assert order == list(range(6))
    assert gate.held == 0


async def test_a_closed_loop_costs_no_slot() -> None:
    """A waiter whose loop was closed under it does not swallow a slot."""
    gate = Gate(1)
    gate.try_acquire()
    dead: list[asyncio.Task[None]] = []

    def wait_and_die() -> None:
        loop = asyncio.new_event_loop()
        dead.append(loop.create_task(gate.acquire()))
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    thread = threading.Thread(target=wait_and_die)
    thread.start()
    thread.join(timeout=20)
    assert gate.queued == 1
    living = asyncio.create_task(gate.acquire())
    await waiting(gate, 2)
    gate.release()
    await living
    assert gate.held == 1
    dead[0]._log_destroy_pending = False  # asyncio would report the task that never ended


async def test_many_threads_and_loops_never_exceed_the_capacity() -> None:
    """Under contention from threads with loops, never more than `capacity` hold a slot."""
    gate = Gate(3)
    lock = threading.Lock()
    now = most = 0

    async def work() -> None:
        nonlocal now, most
        for _ in range(200):
            if not gate.try_acquire():
                await gate.acquire()
            with lock:
                now += 1
                most = max(most, now)
            await asyncio.sleep(0)
            with lock:
                now -= 1
            gate.release()

    async def four() -> None:
        await asyncio.gather(*(work() for _ in range(4)))

    threads = [threading.Thread(target=lambda: asyncio.run(four())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert most <= 3
    assert gate.held == gate.queued == 0


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_trio_waits_too(anyio_backend: str) -> None:
    """On trio a slot is waited for, bounded and cancelled like on asyncio."""
    import trio
    import trio.testing

    gate = Gate(1)
    gate.try_acquire()
    with pytest.raises(TimeoutError):
        await gate.acquire(timeout=0.01)
    with trio.move_on_after(0.01) as scope:
        await gate.acquire()
    assert scope.cancelled_caught
    assert gate.queued == 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(gate.acquire)
        await trio.testing.wait_all_tasks_blocked()
        gate.release()
    assert gate.held == 1


async def test_a_release_after_a_fork_adds_no_slot() -> None:
    """What was taken before `reset` and is released after it does not widen the gate."""
    gate = Gate(2)
    gate.try_acquire()
    gate.reset()
    gate.release()
    assert gate.held == 0
    assert [gate.try_acquire() for _ in range(3)] == [True, True, False]


async def test_ten_thousand_who_give_up_leave_nothing() -> None:
    """10,000 that wait and are cancelled are gone from the queue."""
    gate = Gate(1)
    gate.try_acquire()
    tasks = [asyncio.create_task(gate.acquire()) for _ in range(10_000)]
    await waiting(gate, 10_000)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert gate.queued == 0
