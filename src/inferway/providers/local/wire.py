"""The framed protocol between a pool and its engine processes, and between workers and the pool's owner.

A frame is a length (4 bytes, big endian) and that many bytes of MessagePack: one tagged value.
"""

import asyncio
import socket
import struct
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from inferway.providers.local.engine import Delta, Fault, Limits, Output, Task

FRAME_MAX = 256 * 1024 * 1024
_LENGTH = struct.Struct(">I")
T = TypeVar("T")


class Load(Struct, frozen=True, kw_only=True, tag="load"):
    """Start an engine; the first frame a child gets."""

    engine: str
    folder: str
    threads: int
    context_length: int
    options: dict[str, Any]


class Item(Struct, frozen=True):
    """A task under the number that its answers carry."""

    number: int
    task: Task


class Run(Struct, frozen=True, tag="run"):
    """Run these tasks as one batch."""

    items: tuple[Item, ...]


class Drop(Struct, frozen=True, tag="drop"):
    """Nobody waits for this task any more."""

    number: int


class Ready(Struct, frozen=True, kw_only=True, tag="ready"):
    """The engine is loaded."""

    limits: Limits


class Unusable(Struct, frozen=True, kw_only=True, tag="unusable"):
    """The engine cannot be loaded."""

    fault: Fault
    permanent: bool = False


class Said(Struct, frozen=True, tag="said"):
    """A piece of an answer or its end."""

    number: int
    event: Delta | Output | Fault


ToChild = Load | Run | Drop
FromChild = Ready | Unusable | Said


class FrameTooLarge(ValueError):
    """A frame above the bound, in either direction."""


def encode_frame(value: Struct) -> bytes:
    """One value as a frame; raises `FrameTooLarge`."""
    body = msgspec.msgpack.encode(value)
    if len(body) > FRAME_MAX:
        raise FrameTooLarge(f"{len(body)} bytes in one frame")
    return _LENGTH.pack(len(body)) + body


async def read_frame(reader: asyncio.StreamReader, decoder: msgspec.msgpack.Decoder[T]) -> T:
    """The next value; raises `asyncio.IncompleteReadError` at the end of the stream."""
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    _check(length)
    return decoder.decode(await reader.readexactly(length))


def receive_frame(connection: socket.socket, decoder: msgspec.msgpack.Decoder[T]) -> T | None:
    """The next value from a blocking socket; None at the end of the stream."""
    head = _receive(connection, _LENGTH.size)
    if head is None:
        return None
    (length,) = _LENGTH.unpack(head)
    _check(length)
    body = _receive(connection, length)
    return None if body is None else decoder.decode(body)


def _receive(connection: socket.socket, count: int) -> bytearray | None:
    buffer = bytearray(count)
    view, got = memoryview(buffer), 0
    while got < count:
        received = connection.recv_into(view[got:])
        if not received:
            return None
        got += received
    return buffer


def _check(length: int) -> None:
    if length > FRAME_MAX:
        raise FrameTooLarge(f"{length} bytes announced in one frame")
