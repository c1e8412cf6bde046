from typing import Any

from numpy.typing import DTypeLike

class LavaPyType:
    cls: type
    d_type: DTypeLike
    precision: int | None
    # It stands in the class where an object has what it declares.
    def __new__(cls, holder: type, /, d_type: DTypeLike, precision: int | None = None) -> Any: ...
