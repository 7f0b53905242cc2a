"""The far side of `run_in_process`: a process that runs calls, one after another.

Standard library only, so that it starts quickly. A frame is eight bytes of length (big-endian)
and a pickle. Frames come on standard input and go out on what was standard output; what the
functions print goes to standard error instead. When the input ends, so does the process: the
pipe is the lifeline that no worker outlives.
"""

import os
import queue
import struct
import sys
import threading
import traceback
from typing import Any, BinaryIO

from nbhttp._tasks.shipping import dumps, loads

__all__ = ["Answer", "read_frame", "serve", "write_frame"]

_LENGTH = struct.Struct(">Q")

# ("value", pickled result) or ("error", pickled exception or None, message, traceback text);
# plain types around the pickles, so that an answer can be read even if its pickle cannot.
Answer = tuple[Any, ...]


def write_frame(stream: BinaryIO, payload: bytes) -> None:
    """Write one frame, and flush."""
    stream.write(_LENGTH.pack(len(payload)))
    stream.write(payload)
    stream.flush()


def read_frame(stream: BinaryIO) -> bytes | None:
    """Read one frame; None when the stream ends first."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    payload = stream.read(length)
    return payload if len(payload) == length else None


def serve() -> None:
    """Answer calls until the input ends; never returns."""
    calls, answers = _take_over_standard_streams()
    pending: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(calls, pending), daemon=True).start()
    while True:
        answer = _answer(pending.get())
        _flush_prints()
        write_frame(answers, dumps(answer))


def _take_over_standard_streams() -> tuple[BinaryIO, BinaryIO]:
    # The duplicates are not inheritable: a child of the function cannot hold the pipes open.
    calls = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return calls, answers


def _receive(calls: BinaryIO, pending: "queue.SimpleQueue[bytes]") -> None:
    while (call := read_frame(calls)) is not None:
        pending.put(call)
    os._exit(0)  # the one who asked is gone: nobody wants what the main thread computes


def _answer(call: bytes) -> Answer:
    try:
        func, args, kwargs = loads(call)
    except BaseException as error:  # noqa: BLE001 - every failure is an answer
        return _failure(error, "the function could not be loaded in the process: ")
    try:
        result = func(*args, **kwargs)
    except BaseException as error:  # noqa: BLE001 - likewise, also SystemExit
        return _failure(error)
    try:
        return ("value", dumps(result))
    except BaseException as error:  # noqa: BLE001 - likewise
        return _failure(error, f"the result ({type(result).__name__}) cannot be sent back: ")


def _failure(error: BaseException, preface: str = "") -> Answer:
    text = "".join(traceback.format_exception(_without_our_frame(error)))
    kind = type(error).__name__
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - a broken __str__ must not hide the failure
        message = ""
    pickled = None if preface else _pickled(error)
    return ("error", pickled, f"{preface}{kind}: {message}", text)


def _without_our_frame(error: BaseException) -> BaseException:
    if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
        return error.with_traceback(error.__traceback__.tb_next)
    return error


def _pickled(error: BaseException) -> bytes | None:
    """Return the exception as bytes; None when it does not survive the way."""
    if not isinstance(error, Exception):
        return None  # a SystemExit of the process is not one of ours
    try:
        data = dumps(error)
        loads(data)
    except Exception:  # noqa: BLE001 - then the answer goes without it
        return None
    return data


def _flush_prints() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # closed, or replaced by the function
            continue
