from typing import Any, ClassVar

from lava.magma.core.process.process import ProcessParameters

class AbstractProcessModel:
    tags: ClassVar[list[str]]
    implements_process: ClassVar[Any]
    proc_params: ProcessParameters
