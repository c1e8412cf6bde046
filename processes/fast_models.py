"""Fast ProcessModels of Lava's own Conv and Dense; `lava_aug.FastSimCfg` chooses them.

They compute what the stock models compute, in every case where those are right: one step of delay, spikes taken as 0
or 1 where ``num_message_bits`` is 0, weights clipped and truncated as stock Dense does, Conv's wrap at 24 bits.
Integer sums are exact. Floating-point sums are the same up to the order of additions.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.conv.models import AbstractPyConvModel
from lava.proc.conv.process import Conv
from lava.proc.conv.utils import signed_clamp
from lava.proc.dense.models import AbstractPyDenseModelBitAcc, AbstractPyDenseModelFloat
from lava.proc.dense.process import Dense
from lava.utils.weightutils import clip_weights, determine_sign_mode, truncate_weights

from lava_aug import layers
from lava_aug.compiled_synapses import column_convolution
from lava_aug.kernels import SampleKernel

Kernel = Callable[[np.ndarray], np.ndarray]


class CachedKernel:
    """A kernel made from Vars when it is first needed, and anew when a Var changes; mixed in before a stock model."""

    kernel: Kernel | None = None
    var_ports: Any
    num_message_bits: np.ndarray
    s_in: Any

    def on_var_update(self) -> None:
        """Lava calls this when a Var was set."""
        self.kernel = None

    def received(self) -> np.ndarray:
        """Spikes; 0 or 1 where they carry no payload."""
        s = self.s_in.recv()
        return s if self.num_message_bits.item() > 0 else s.astype(bool)

    def accumulated(self, s: np.ndarray) -> np.ndarray:
        """Their weighted sum."""
        if self.kernel is None or self.var_ports:  # others may write to the weights through a RefPort in any step
            self.kernel = self.made()
        return self.kernel(s)

    def made(self) -> Kernel:
        """A kernel for the present values of the Vars."""
        raise NotImplementedError


class FastConv(CachedKernel, AbstractPyConvModel):
    """Lava's (W, H, C) axes and true convolution, on kernels for (C, H, W) and correlation."""

    a_out: Any = None
    weight: Any = None

    def run_spk(self) -> None:
        """Send what was added up in the last step, then add up."""
        self.a_out.send(self.a_buf)
        a = self.accumulated(np.ascontiguousarray(self.received().transpose(2, 0, 1)))
        self.a_buf = self.clamp_precision(a.transpose(1, 2, 0))

    def geometry(self) -> dict[str, Any]:
        """Stride, padding and dilation, along Lava's first two axes."""
        return {name: tuple(map(int, getattr(self, name))) for name in ("stride", "padding", "dilation")}

    @property
    def num_groups(self) -> int:
        """From the parameters: the Var is an int8, so that stock Conv is wrong from 128 groups on."""
        parameters: Any = self.proc_params
        return int(parameters["groups"])

    def correlation_weight(self) -> np.ndarray:
        """``(out, W, H, in / groups)``, flipped, as ``(out, in / groups, W, H)``."""
        return np.ascontiguousarray(self.weight[:, ::-1, ::-1].transpose(0, 3, 1, 2))


@implements(proc=Conv, protocol=LoihiProtocol)
@requires(CPU)
class PyFastConvFixed(FastConv):
    """Integers, wrapped at 24 bits as stock Conv does."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)  # pyright: ignore
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)  # pyright: ignore
    a_buf: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)  # pyright: ignore
    weight: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=8)  # pyright: ignore

    def made(self) -> Kernel:
        """Exact integer kernel."""
        synapse = layers.Conv(weight=self.correlation_weight(), groups=self.num_groups, **self.geometry())
        width, height, channels = self.s_in.shape
        return SampleKernel(synapse, (channels, width, height))

    def clamp_precision(self, x: Any) -> Any:
        """Wrap at 24 bits."""
        wrapped: Any = signed_clamp(x.astype(np.int64), bits=24)
        return wrapped.astype(np.int32)


@implements(proc=Conv, protocol=LoihiProtocol)
@requires(CPU)
class PyFastConvFloat(FastConv):
    """Floats."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float, precision=24)  # pyright: ignore
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)  # pyright: ignore
    a_buf: np.ndarray = LavaPyType(np.ndarray, float)  # pyright: ignore
    weight: np.ndarray = LavaPyType(np.ndarray, float)  # pyright: ignore

    def made(self) -> Kernel:
        """BLAS in double precision."""
        width, height, channels = self.a_out.shape
        weight, shape = self.correlation_weight(), (channels, width, height)
        kernel = column_convolution(weight, shape, self.num_groups, **self.geometry())
        return lambda s: kernel(s.astype(np.float64))


@implements(proc=Dense, protocol=LoihiProtocol)
@requires(CPU)
class PyFastDenseFixed(CachedKernel, AbstractPyDenseModelBitAcc):
    """Integers, weights clipped and truncated as stock Dense does."""

    def run_spk(self) -> None:
        """Send what was added up in the last step, then add up."""
        if not self.weights_set:
            self._set_weights()
        self.a_out.send(self.a_buff)
        a: Any = self.accumulated(self.received())
        a = a.astype(np.int64).astype(np.int32)
        exponent = self.proc_params.get("weight_exp", 0)
        self.a_buff = np.left_shift(a, exponent) if exponent > 0 else np.right_shift(a, -exponent)

    def _set_weights(self) -> None:
        sign_mode = self.proc_params.get("sign_mode") or determine_sign_mode(self.weights)
        weights = clip_weights(self.weights, sign_mode, num_bits=8)
        weights = truncate_weights(weights, sign_mode, self.proc_params.get("num_weight_bits", 8))
        self.weights: Any = np.asarray(weights)
        self.weights_set = True
        self.kernel = None

    def made(self) -> Kernel:
        """Exact integer kernel."""
        return SampleKernel(layers.Dense(weight=self.weights), (self.weights.shape[1],))


@implements(proc=Dense, protocol=LoihiProtocol)
@requires(CPU)
class PyFastDenseFloat(CachedKernel, AbstractPyDenseModelFloat):
    """Floats, in double precision."""

    def run_spk(self) -> None:
        """Send what was added up in the last step, then add up."""
        self.a_out.send(self.a_buff)
        self.a_buff = self.accumulated(self.received())

    def made(self) -> Kernel:
        """One BLAS product; adding up only the active columns where they are few."""
        weights, columns = np.asarray(self.weights), np.ascontiguousarray(self.weights.T)

        def accumulate(s: np.ndarray) -> np.ndarray:
            active = np.flatnonzero(s)
            if len(active) * 4 < math.prod(s.shape):
                return s[active].astype(np.float64) @ columns[active]
            return weights @ s.astype(np.float64)

        return accumulate
