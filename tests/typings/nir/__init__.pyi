import os
from collections.abc import Sequence
from io import BytesIO
from typing import Any

class NIRNode:
    input_type: dict[str, Any]
    output_type: dict[str, Any]
    metadata: dict[str, Any]
    def __getattr__(self, name: str) -> Any: ...

class NIRGraph(NIRNode):
    nodes: dict[str, Any]
    edges: list[tuple[str, str]]
    def __init__(
        self,
        nodes: dict[str, Any],
        edges: Sequence[tuple[str, str]],
        *,
        metadata: dict[str, Any] = ...,
        type_check: bool = True,
        **options: Any,
    ) -> None: ...
    @staticmethod
    def from_list(*nodes: Any, type_check: bool = True) -> NIRGraph: ...

def dict2NIRNode(data_dict: dict[str, Any]) -> NIRNode: ...
def write(filename: str | os.PathLike[str] | BytesIO, graph: NIRNode) -> None: ...
def read(filename: str | os.PathLike[str] | BytesIO, type_check: bool = True) -> NIRGraph: ...
def __getattr__(name: str) -> Any: ...  # the nodes
