"""The private loop: coroutines for threads that wait, and the user's code in those threads."""

import asyncio
import contextvars
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from nbhttp._core import loopthread
from nbhttp._core.loopthread import LoopThread, outlet


async def thread_id(_):
    return threading.get_ident()


def test_coroutines_run_on_one_other_thread():
    """Every call runs on the same daemon thread, which is not the caller's."""
    first, second = outlet().call(thread_id), outlet().call(thread_id)
    assert first == second != threading.get_ident()
    assert LoopThread.get()._thread.daemon


def test_a_call_returns_the_value_and_raises_the_error():
    """What the coroutine returns is returned, what it raises is raised, as the same object."""
    error = LookupError("no such thing")

    async def fail(_):
        raise error

    async def give(_):
        return 42

    assert outlet().call(give) == 42
    with pytest.raises(LookupError) as caught:
        outlet().call(fail)
    assert caught.value is error


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_an_exit_ends_the_call_alone(kind):
    """SystemExit and its kin in a coroutine reach the caller; the loop goes on for the others."""

    async def leave(_):
        raise kind

    with pytest.raises(kind):
        outlet().call(leave)
    assert outlet().call(thread_id)


def test_a_call_on_the_loop_itself_is_refused():
    """Waiting for the loop on the loop would never end: it is an error that says what to do."""

    async def call_again(_):
        outlet().call(thread_id)

    with pytest.raises(RuntimeError, match=r"use the async client there: await client\.get"):
        outlet().call(call_again)


def test_the_users_code_runs_in_the_calling_thread():
    """The caller's `run` and `iterate` run a function and a generator in the waiting thread."""
    seen = []

    def note(value):
        seen.append((value, threading.get_ident()))
        return value

    def pieces():
        for piece in (b"a", b"b"):
            note(piece)
            yield piece

    async def work(caller):
        assert await caller.run(note, 1) == 1
        return [piece async for piece in caller.iterate(pieces())]

    assert outlet().call(work) == [b"a", b"b"]
    assert seen == [(value, threading.get_ident()) for value in (1, b"a", b"b")]


def test_the_users_code_may_call_again():
    """Code that runs in the waiting thread may itself make a call; nesting works."""

    async def inner(_):
        return "inner"

    async def outer(caller):
        return await caller.run(lambda: outlet().call(inner))

    assert outlet().call(outer) == "inner"


class Odd(BaseException):
    """No Exception."""


@pytest.mark.parametrize("kind", [LookupError, KeyboardInterrupt, SystemExit, Odd, GeneratorExit])
def test_what_the_users_code_raises_reaches_the_caller(kind):
    """An exception of a hook leaves the call as the same object, whatever it derives from."""
    error = kind("mine")

    def fail():
        raise error

    async def work(caller):
        await caller.run(fail)

    with pytest.raises(kind) as caught:
        outlet().call(work)
    assert caught.value is error


def test_stop_iteration_of_the_users_code_is_an_error():
    """A StopIteration in a hook cannot pass a coroutine; it is a RuntimeError, not a hang."""

    async def work(caller):
        await caller.run(lambda: next(iter(())))

    with pytest.raises(RuntimeError, match="StopIteration"):
        outlet().call(work)


def test_posts_from_several_tasks_all_run():
    """Jobs that tasks of one call post at the same time all run, each once."""
    seen = []

    async def work(caller):
        await asyncio.gather(*(caller.run(seen.append, number) for number in range(200)))

    outlet().call(work)
    assert sorted(seen) == list(range(200))


def test_the_callers_context_is_seen_and_kept():
    """The coroutine sees the caller's context variables; what it sets stays with it."""
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("caller")

    async def work(_):
        before = variable.get()
        variable.set("loop")
        return before

    assert outlet().call(work) == "caller"
    assert variable.get() == "caller"


def test_many_threads_call_at_once():
    """Calls from several threads run side by side, each to its own answer."""
    results = {}
    together = threading.Barrier(8)

    async def double(number):
        await asyncio.sleep(0)
        return 2 * number

    def work(number):
        together.wait()
        results[number] = [outlet().call(lambda _: double(number)) for _ in range(100)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert results == {number: [2 * number] * 100 for number in range(8)}


def test_a_call_works_inside_a_running_loop():
    """A thread whose own loop is running may make a call: it blocks that loop, and ends."""

    async def main():
        return outlet().call(thread_id)

    assert asyncio.run(main()) != threading.get_ident()


def interrupt_main_thread():
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs pthread_kill")
def test_an_interrupt_cancels_the_coroutine():
    """SIGINT during a call cancels it, lets it clean up, and raises KeyboardInterrupt."""
    ended = []

    async def stall(_):
        asyncio.get_running_loop().call_soon(interrupt_main_thread)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(True)

    with pytest.raises(KeyboardInterrupt):
        outlet().call(stall)
    assert ended == [True]
    assert outlet().call(thread_id)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs pthread_kill")
def test_an_interrupt_closes_the_users_generators():
    """After SIGINT the coroutine may still have the thread close what is the user's."""
    closed = []

    async def stall(caller):
        asyncio.get_running_loop().call_soon(interrupt_main_thread)
        try:
            await asyncio.Event().wait()
        finally:
            await caller.run(lambda: closed.append(threading.get_ident()))

    with pytest.raises(KeyboardInterrupt):
        outlet().call(stall)
    assert closed == [threading.get_ident()]


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs pthread_kill")
def test_a_coroutine_that_does_not_end_is_left():
    """One that ignores its cancellation does not hold KeyboardInterrupt back."""
    release = asyncio.Event()
    left = threading.Event()

    async def stubborn(caller):
        asyncio.get_running_loop().call_soon(interrupt_main_thread)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await release.wait()
            try:
                await caller.run(lambda: None)  # nobody is there to run it
            except asyncio.CancelledError:
                left.set()

    with pytest.raises(KeyboardInterrupt):
        outlet().call(stubborn)
    LoopThread.get().loop.call_soon_threadsafe(release.set)
    assert left.wait(timeout=20)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_has_its_own_loop():
    """After a fork the child starts a loop thread of its own, and the parent's goes on."""
    script = """
import os, sys
from nbhttp._core.loopthread import outlet
async def pid(_):
    return os.getpid()
assert outlet().call(pid) == os.getpid()
child = os.fork()
assert outlet().call(pid) == os.getpid()
if child:
    assert os.waitpid(child, 0)[1] == 0
    assert outlet().call(pid) == os.getpid()
"""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_without_a_thread_calls_still_run(monkeypatch):
    """When no thread can start (Python 3.12 at exit), a call runs in its own thread."""

    def refuse(cls):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(LoopThread, "get", classmethod(refuse))
    here = loopthread.outlet()
    assert here.call(thread_id) == threading.get_ident()

    async def work(caller):
        return await caller.run(threading.get_ident)

    assert here.call(work) == threading.get_ident()


def test_post_does_not_wait():
    """`post` runs a coroutine on the loop, from any thread, without waiting for it."""
    done = threading.Event()

    async def work():
        await asyncio.sleep(0)
        done.set()

    outlet().post(work)
    assert done.wait(timeout=20)


def test_the_call_leaves_no_cycle():
    """A failed call leaves no reference cycle that keeps the exception's frames alive."""
    import gc
    import weakref

    class Big:
        pass

    def attempt():
        big = Big()
        reference = weakref.ref(big)

        async def fail(_):
            held = big
            raise ValueError(str(held))

        with pytest.raises(ValueError):
            outlet().call(fail)
        return reference

    gc.collect()
    gc.disable()
    try:
        reference = attempt()
        give_up_at = time.monotonic() + 20
        while reference() is not None and time.monotonic() < give_up_at:
            outlet().call(thread_id)  # lets the loop drop its last handle
        assert reference() is None
    finally:
        gc.enable()
