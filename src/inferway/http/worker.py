"""One of several worker processes: `python -m inferway.http.worker SOCKET CONTROL`, started by the supervisor."""

import asyncio
import os
import pickle
import signal
import socket
import sys
from collections.abc import Callable

import uvloop
from msgspec import Struct

from inferway.errors import OperatorError
from inferway.http.server import Application, serve
from inferway.settings import ServerSettings

READY = b"r"


class Orders(Struct, frozen=True, kw_only=True):
    """What a worker is told: how to make its application (a function that can be pickled), and how to serve it."""

    make: Callable[[], Application]
    server: ServerSettings


def main() -> None:
    """Entry: the numbers of the inherited listening socket and of the control socket are the arguments."""
    # Until the server has its own handlers a stop is simply the end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    listening, control = (int(number) for number in sys.argv[1:])
    orders: Orders = pickle.load(sys.stdin.buffer)  # noqa: S301 - written by the process that started this one
    with socket.socket(fileno=listening) as bound, socket.socket(fileno=control) as line:
        try:
            uvloop.run(_work(orders, bound, line))
        except OperatorError as error:
            sys.exit(str(error))


async def _work(orders: Orders, bound: socket.socket, line: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    # The line ends when the supervisor is gone: a worker without one would be an orphan that holds the port.
    loop.add_reader(line, _leave, loop, line)
    await serve(orders.make(), bound, orders.server, lambda: line.send(READY))


def _leave(loop: asyncio.AbstractEventLoop, line: socket.socket) -> None:
    loop.remove_reader(line)
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    main()
