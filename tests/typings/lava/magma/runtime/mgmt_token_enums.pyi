from typing import Any

class MGMT_RESPONSE:
    DONE: Any
    REQ_PAUSE: Any
    REQ_STOP: Any

def enum_equal(a: Any, b: Any) -> bool: ...
