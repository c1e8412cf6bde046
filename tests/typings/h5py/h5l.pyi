TYPE_HARD: int

class LinkInfo:
    type: int
    u: int

class LinkProxy:
    def get_info(self, name: bytes) -> LinkInfo: ...
