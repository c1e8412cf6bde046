import threading
from collections.abc import Callable
from queue import Queue
from typing import Any

from numpy.typing import DTypeLike, NDArray

class _Semaphore:
    def get_value(self) -> int: ...
    def release(self) -> None: ...

class _Port:
    name: str
    thread: threading.Thread | None
    _name: str
    _array: list[NDArray[Any]]
    _done: bool
    _dtype: DTypeLike
    _shape: tuple[int, ...]
    def join(self) -> None: ...

class CspSendPort(_Port):
    _ack: _Semaphore
    send: Callable[[CspSendPort, Any], None]

class CspRecvPort(_Port):
    _req: _Semaphore
    _queue: Queue[Any]
    def recv(self) -> NDArray[Any]: ...
