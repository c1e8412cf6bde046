from typing import Any

from lava.magma.core.model.model import AbstractProcessModel
from lava.magma.core.process.process import AbstractProcess

class ProcGroupDiGraphs:
    @staticmethod
    def _find_proc_models(proc: AbstractProcess) -> list[type[AbstractProcessModel]]: ...

def __getattr__(name: str) -> Any: ...
