from typing import Any

class SpaceID: ...

ALL: SpaceID

def __getattr__(name: str) -> Any: ...
