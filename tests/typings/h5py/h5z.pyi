from typing import Any

FILTER_DEFLATE: int
FILTER_FLETCHER32: int
FILTER_SHUFFLE: int

def __getattr__(name: str) -> Any: ...
