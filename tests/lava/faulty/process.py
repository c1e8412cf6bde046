"""Source -> middle -> sink; `Middle` goes wrong in time step 5 in the way that it is told."""

import os
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
from clocks import REACHED
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

BAD_STEP = 5


class Source(AbstractProcess):
    def __init__(self, shape: tuple[int, ...] = (2,)) -> None:
        super().__init__(name="source")
        self.s_out = OutPort(shape=shape)


class Middle(AbstractProcess):
    def __init__(self, fault: str, shape: tuple[int, ...] = (2,)) -> None:
        super().__init__(name="middle", fault=fault)
        self.s_in = InPort(shape=shape)
        self.s_out = OutPort(shape=shape)
        self.seen = Var(shape=(1,), init=0)


class Sink(AbstractProcess):
    def __init__(self, shape: tuple[int, ...] = (2,)) -> None:
        super().__init__(name="sink")
        self.s_in = InPort(shape=shape)


class FloatSink(AbstractProcess):
    def __init__(self) -> None:
        super().__init__(name="float_sink")
        self.s_in = InPort(shape=(2,))


@implements(proc=Source, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PySource(PyLoihiProcessModel):
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)  # pyright: ignore

    def run_spk(self) -> None:
        self.s_out.send(np.full(self.s_out.shape, self.time_step, np.int32))


def _raise(model: Any) -> None:
    raise ValueError("wrong in step 5")


def _torch(model: Any) -> None:
    """No fault where a process that was forked computes with one thread."""
    import torch

    model.s_out.send(np.full(model.s_out.shape, int(torch.ones(1 << 20).exp().log().sum()) >> 20, np.int32))


FAULTS: dict[str, Callable[[Any], None]] = {
    "raise": _raise,
    "kill": lambda model: os.kill(os.getpid(), signal.SIGKILL),
    "exit": lambda model: os._exit(3),
    "shape": lambda model: model.s_out.send(np.zeros(3, np.int32)),
    "fraction": lambda model: model.s_out.send(np.array([1.5, 2])),
    "large": lambda model: model.s_out.send(np.array([2**40, 2])),
    "silent": lambda model: REACHED.set(),
    "torch": _torch,
}


@implements(proc=Middle, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyMiddle(PyLoihiProcessModel):
    s_in: Any = LavaPyType(PyInPort.VEC_DENSE, np.int32)  # pyright: ignore
    s_out: Any = LavaPyType(PyOutPort.VEC_DENSE, np.int32)  # pyright: ignore
    seen: np.ndarray = LavaPyType(np.ndarray, np.int32)  # pyright: ignore

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.fault: str = proc_params["fault"]
        if self.fault == "init":
            raise ValueError("cannot be made")

    def run_spk(self) -> None:
        s = self.s_in.recv()
        self.seen[:] = s.ravel()[0]
        if self.time_step == BAD_STEP and self.fault in FAULTS:
            FAULTS[self.fault](self)
        else:
            self.s_out.send(s)


@implements(proc=Sink, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PySink(PyLoihiProcessModel):
    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)  # pyright: ignore

    def run_spk(self) -> None:
        self.s_in.recv()


@implements(proc=FloatSink, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyFloatSink(PyLoihiProcessModel):
    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)  # pyright: ignore

    def run_spk(self) -> None:
        self.s_in.recv()


def chain(fault: str = "none", shape: tuple[int, ...] = (2,)) -> Middle:
    """A connected chain; its middle."""
    source, middle, sink = Source(shape), Middle(fault, shape), Sink(shape)
    source.s_out.connect(middle.s_in)
    middle.s_out.connect(sink.s_in)
    return middle
