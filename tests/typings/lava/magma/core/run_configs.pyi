from typing import Any

from lava.magma.core.model.model import AbstractProcessModel
from lava.magma.core.process.process import AbstractProcess

class RunConfig:
    def __init__(self, **options: Any) -> None: ...
    def select(
        self, process: AbstractProcess, proc_models: list[type[AbstractProcessModel]]
    ) -> type[AbstractProcessModel]: ...

class Loihi2SimCfg(RunConfig):
    exception_proc_model_map: dict[Any, Any]
    def __init__(
        self,
        *,
        select_tag: str | None = None,
        select_sub_proc_model: bool = False,
        exception_proc_model_map: dict[Any, Any] | None = None,
        **options: Any,
    ) -> None: ...
