from numpy.typing import DTypeLike

class LavaPyType:
    cls: type
    d_type: DTypeLike
    precision: int | None
    def __init__(self, cls: type, d_type: DTypeLike, precision: int | None = None) -> None: ...
