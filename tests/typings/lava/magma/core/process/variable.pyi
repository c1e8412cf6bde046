from typing import Any

from lava.magma.core.process.process import AbstractProcess
from numpy.typing import NDArray

class Var:
    name: str
    shape: tuple[int, ...]
    init: Any
    process: AbstractProcess
    def __init__(self, shape: tuple[int, ...], init: Any = 0) -> None: ...
    def get(self) -> NDArray[Any]: ...
    def set(self, value: Any) -> None: ...

class VarServer:
    vars: list[Any]
