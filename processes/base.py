"""What all Processes share: signatures that can be read, and ProcessModels that are made from their ports and Vars.

Lava takes a ProcessModel only if it declares a type for each port and Var of the Process, and for nothing else. Here a
Process names its `Process.behaviour`, and the two classes that Lava wants, for fixed point and for floating point, are
made from what the first object of the class has. They are put into the module of the Process, where Lava looks first.
Then it executes every other file in the folder, for each object: so a Process is alone in the ``__init__.py`` of a
folder, beside which there is nothing to execute.
"""

import inspect
import sys
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from lava_aug.core.errors import SpecError
from lava_aug.core.fixed_point import is_list
from lava_aug.core.spec import is_int


class Format(NamedTuple):
    """A number format: its tag, and the types of payloads (``s_...``, ``v_...``) and of all other ports and Vars.

    Lava adds up what several Synapses send in the type of the port: 64 bits, which cannot wrap.
    """

    tag: str
    payload: type
    number: type


FORMATS = (Format("fixed_pt", np.int32, np.int64), Format("floating_pt", float, float))


class Model(PyLoihiProcessModel):
    """What a Process does in a time step, in either number format."""

    format: ClassVar[Format]


class Process(AbstractProcess):
    """A Lava Process whose constructor may refuse its arguments, and whose ProcessModels are made from its members.

    Attributes
    ----------
    behaviour : type of Model
        What its ProcessModels do.
    types : mapping of str to type
        Ports and Vars that have the same type in both number formats.
    precisions : mapping of str to int
        Widths in bits of Vars, where they are known.
    floats : str or None
        What it holds that only a floating-point model can compute.
    models : mapping of str to type of Model
        Its ProcessModels by their tags, once there is an object.
    """

    behaviour: ClassVar[type[Model]]
    types: ClassVar[Mapping[str, type]] = {}
    models: ClassVar[Mapping[str, type[Model]]]
    precisions: Mapping[str, int] = {}  # replaced by objects that know
    floats: str | None = None
    _runtime: Any = None  # Lava's destructor asks for it, even if the constructor never came to set it
    _selected: Any = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # Lava's metaclass takes (*args, **kwargs), which is all that help() would show.
        signature = inspect.signature(cls.__init__)
        cls.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:], return_annotation=cls)

    def _post_init(self) -> None:
        """Lava calls this behind every constructor."""
        super()._post_init()
        if "models" not in vars(type(self)):
            type(self).models = {form.tag: self._implemented(form) for form in FORMATS}

    @property
    def _model_class(self) -> Any:
        return self._selected

    @_model_class.setter
    def _model_class(self, model: Any) -> None:
        """Lava sets it when it compiles, before it forks. It would cut floats to integers without a word."""
        if self.floats and model is type(self).models["fixed_pt"]:
            raise SpecError(f"{self.name}: {self.floats} is floating-point; run it with select_tag='floating_pt'")
        self._selected = model

    def _implemented(self, form: Format) -> type[Model]:
        """The ProcessModel of one number format, which Lava will find in the module of the Process."""
        kind = type(self)
        name = f"{kind.__name__}{form.tag.partition('_')[0].title()}"
        types = {port.name: self._type(PyInPort.VEC_DENSE, port, form) for port in self.in_ports}
        types |= {port.name: self._type(PyOutPort.VEC_DENSE, port, form) for port in self.out_ports}
        types |= {var.name: self._type(np.ndarray, var, form) for var in self.vars}
        namespace = {"__module__": kind.__module__, "__doc__": kind.behaviour.__doc__, "format": form, **types}
        model: Any = type(name, (kind.behaviour,), namespace)
        for decorate in (implements(proc=kind, protocol=LoihiProtocol), requires(CPU), tag(form.tag)):
            model = decorate(model)
        if kind.__module__ in sys.modules:  # it is not, where Lava executes a file in its search
            vars(sys.modules[kind.__module__])[f"{name}_{id(kind)}"] = model  # others may have the same name
        return model

    def _type(self, holder: type, member: Any, form: Format) -> LavaPyType:
        is_payload = holder is not np.ndarray and member.name.startswith(("s_", "v_"))
        number = self.types.get(member.name, form.payload if is_payload else form.number)
        width: Any = self.precisions.get(member.name)
        return LavaPyType(holder, number, width)


def checked_shape(process: Process, shape: Any) -> tuple[int, ...]:
    """A shape as Lava takes it; SpecError if it is none."""
    sizes: tuple[Any, ...] = tuple(shape) if is_list(shape) else ()
    if not sizes or not all(is_int(size) and size >= 1 for size in sizes):
        raise SpecError(
            f"{type(process).__name__}.shape: expected a tuple of positive integers, such as (3,), found {shape!r}"
        )
    return tuple(map(int, sizes))
