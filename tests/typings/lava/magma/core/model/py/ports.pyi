from typing import Any, ClassVar

from numpy.typing import NDArray

class PyInPort:
    VEC_DENSE: ClassVar[type[PyInPort]]
    shape: tuple[int, ...]
    def recv(self) -> NDArray[Any]: ...

class PyOutPort:
    VEC_DENSE: ClassVar[type[PyOutPort]]
    shape: tuple[int, ...]
    def send(self, data: NDArray[Any]) -> None: ...
