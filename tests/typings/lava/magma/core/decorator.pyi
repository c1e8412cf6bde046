from collections.abc import Callable
from typing import TypeVar

from lava.magma.core.model.model import AbstractProcessModel
from lava.magma.core.process.process import AbstractProcess

_Model = TypeVar("_Model", bound=type[AbstractProcessModel])

def implements(
    proc: type[AbstractProcess] | None = None, protocol: type | None = None
) -> Callable[[_Model], _Model]: ...
def requires(*args: type) -> Callable[[_Model], _Model]: ...
def tag(*args: str) -> Callable[[_Model], _Model]: ...
