from typing import Any

from lava.magma.core.model.model import AbstractProcessModel
from lava.magma.core.process.process import ProcessParameters

class PyLoihiProcessModel(AbstractProcessModel):
    time_step: int
    var_ports: list[Any]
    def __init__(self, proc_params: ProcessParameters | None = None) -> None: ...
    def run_spk(self) -> None: ...
    def on_var_update(self) -> None: ...
