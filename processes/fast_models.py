"""Fast ProcessModels of Lava's own Conv and Dense; `lava_aug.FastSimCfg` chooses them.

They compute what the stock models compute, in every case where those are right: one step of delay, spikes taken as 0
or 1 where ``num_message_bits`` is 0, weights clipped and truncated as stock Dense does, Conv's wrap at 24 bits.
Integer sums are exact. Floating-point sums are the same up to the order of additions.
"""

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.proc.conv.models import AbstractPyConvModel
from lava.proc.conv.process import Conv
from lava.proc.dense.models import AbstractPyDenseModelBitAcc, AbstractPyDenseModelFloat, PyDelayDenseModelBitAcc
from lava.proc.dense.process import DelayDense, Dense
from lava.utils.weightutils import clip_weights, determine_sign_mode, truncate_weights
from numpy.typing import NDArray

from lava_aug.core import layers
from lava_aug.kernels import winograd
from lava_aug.kernels.compiled_synapses import convolve_events_last, gather_rows
from lava_aug.kernels.samples import ExactKernel, SampleKernel, break_even

Kernel = Callable[[NDArray[Any]], NDArray[Any]]


class CachedKernel:
    """A kernel made from Vars when it is first needed, and anew when a Var changes; mixed in before a stock model."""

    kernel: Kernel | None = None
    var_ports: Any
    num_message_bits: NDArray[Any]
    s_in: Any

    def on_var_update(self) -> None:
        """Lava calls this when a Var was set."""
        self.kernel = None

    def received(self) -> NDArray[Any]:
        """Spikes; 0 or 1 where they carry no payload."""
        s = self.s_in.recv()
        return s if self.num_message_bits.item() > 0 else s.astype(bool)

    def accumulated(self, s: NDArray[Any]) -> NDArray[Any]:
        """Their weighted sum."""
        if self.kernel is None or self.var_ports:  # others may write to the weights through a RefPort in any step
            self.kernel = self.made()
        return self.kernel(s)

    def made(self) -> Kernel:
        """A kernel for the present values of the Vars."""
        raise NotImplementedError


class ChannelsLast(ExactKernel):
    """Convolution in Lava's own axes: ``(W, H, C)`` in, ``(W, H, out)`` out, so that nothing has to be turned.

    Lava's convolution flips the kernel, which is done once, here.

    Parameters
    ----------
    weight : numpy.ndarray, shape (out, W, H, in / groups)
        Lava's weights.
    shape : tuple of int
        Shape of the result.
    groups : int
        Groups of channels that do not mix.
    stride, padding, dilation : pairs of int
        Along Lava's first two axes.
    """

    def __init__(self, weight: NDArray[Any], shape: tuple[int, ...], groups: int, **geometry: tuple[int, int]) -> None:
        flipped = weight[:, ::-1, ::-1]
        super().__init__(layers.Dense(weight=np.asarray(flipped).reshape(len(weight), -1)))
        self.flipped, self.shape, self.groups, self.geometry = flipped, shape, groups, geometry
        self.tiled_weight = flipped.transpose(0, 3, 1, 2)
        self.forms: dict[str, Kernel] = {}

    def __call__(self, s: NDArray[Any]) -> NDArray[Any]:
        """The sums for spikes: floats, exact on integers."""
        if self.is_float or s.dtype.kind == "f":
            return self._form("f8")(s)
        largest = max(int(s.max()), -int(s.min()))
        if self.bits(largest) == 64:
            return self._form("f8")(s)
        dense, gain = ("tiles", winograd.GAIN) if largest <= self.largest_tiled else ("f4", 1)
        few = np.count_nonzero(s) < break_even(self.shape[2]) / gain * s.size
        return self._form("events" if few and self.groups == 1 else dense)(s)

    @cached_property
    def largest_tiled(self) -> int:
        """Largest payload up to which `winograd.tiled_convolution` is exact; -1 if this is no case for it."""
        if winograd.suits(self.tiled_weight, self.geometry["stride"], self.geometry["dilation"], self.groups):
            return winograd.largest_payload(self.tiled_weight)
        return -1

    def _form(self, name: str) -> Kernel:
        if name not in self.forms:
            self.forms[name] = {"events": self._events, "tiles": self._tiles}.get(name, self._dense)(name)
        return self.forms[name]

    def _dense(self, dtype: str) -> Kernel:
        outputs, *window, per_group = self.flipped.shape
        rows = np.empty((*self.shape[:2], *window, per_group), dtype)
        products = rows.reshape(-1, math.prod(rows.shape[2:]))
        weights = [
            np.ascontiguousarray(part.reshape(len(part), -1).T, dtype) for part in np.split(self.flipped, self.groups)
        ]

        def convolve(s: NDArray[Any]) -> NDArray[Any]:
            results: list[NDArray[Any]] = []
            for group, weight in enumerate(weights):
                part = np.ascontiguousarray(s[..., group * per_group : (group + 1) * per_group], dtype)
                gather_rows(part, rows, (window[0], window[1]), **self.geometry)
                results.append(products @ weight)
            whole = results[0] if self.groups == 1 else np.concatenate(results, axis=1)
            return whole.reshape(*self.shape[:2], outputs)

        return convolve

    def _tiles(self, name: str) -> Kernel:
        padding = self.geometry["padding"]
        size = [outputs - 2 * pad + 2 for outputs, pad in zip(self.shape[:2], padding, strict=True)]
        return winograd.tiled_convolution(self.tiled_weight, (*size, self.tiled_weight.shape[1]), padding, (0, 1))

    def _events(self, name: str) -> Kernel:
        weight = np.ascontiguousarray(self.flipped.transpose(3, 1, 2, 0), np.float32)
        total = np.empty(self.shape, np.float32)

        def convolve(s: NDArray[Any]) -> NDArray[Any]:
            convolve_events_last(np.ascontiguousarray(s, np.float32), weight, total, **self.geometry)
            return total

        return convolve


class FastConv(CachedKernel, AbstractPyConvModel):
    """Stock Conv with another kernel."""

    a_out: Any = None
    weight: Any = None

    def run_spk(self) -> None:
        """Send what was added up in the last step, then add up."""
        self.a_out.send(self.a_buf)
        self.a_buf = self.clamp_precision(self.accumulated(self.received()))

    def made(self) -> Kernel:
        """A kernel for the present weights."""
        parameters: Any = self.proc_params
        geometry: dict[str, Any] = {
            name: tuple(map(int, getattr(self, name))) for name in ("stride", "padding", "dilation")
        }
        # The Var of the groups is an int8, so that stock Conv is wrong from 128 groups on; the parameter is not.
        return ChannelsLast(self.weight, self.a_out.shape, int(parameters["groups"]), **geometry)


@implements(proc=Conv, protocol=LoihiProtocol)
@requires(CPU)
class PyFastConvFixed(FastConv):
    """Integers, wrapped at 24 bits as stock Conv does."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    a_buf: NDArray[Any] = LavaPyType(np.ndarray, np.int32, precision=24)
    weight: NDArray[Any] = LavaPyType(np.ndarray, np.int32, precision=8)

    def clamp_precision(self, x: Any) -> Any:
        """Wrap at 24 bits: ``(x + 2**23) mod 2**24 - 2**23``."""
        wide = x.astype(np.int32 if x.dtype == np.float32 else np.int64)  # float32 sums are below 2**24
        return (((wide + (1 << 23)) & ((1 << 24) - 1)) - (1 << 23)).astype(np.int32, copy=False)


@implements(proc=Conv, protocol=LoihiProtocol)
@requires(CPU)
class PyFastConvFloat(FastConv):
    """Floats, in double precision."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float, precision=24)
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    a_buf: NDArray[Any] = LavaPyType(np.ndarray, float)
    weight: NDArray[Any] = LavaPyType(np.ndarray, float)


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

        def accumulate(s: NDArray[Any]) -> NDArray[Any]:
            active = np.flatnonzero(s)
            if len(active) * 4 < math.prod(s.shape):
                return s[active].astype(np.float64) @ columns[active]
            return weights @ s.astype(np.float64)

        return accumulate


@implements(proc=DelayDense, protocol=LoihiProtocol)
@requires(CPU)
class PyFastDelayDenseFixed(PyDelayDenseModelBitAcc):
    """Stock DelayDense, adding up only the columns of inputs that are active.

    The stock model multiplies a matrix of ``(max_delay + 1) * out`` rows in every step.
    """

    weight_rows: NDArray[Any] | None = None
    """Weights, (in, out), and for each the place in `a_buff` that it goes to; None before the first step."""
    places: NDArray[Any]

    def on_var_update(self) -> None:
        """Lava calls this when a Var was set."""
        self.weight_rows = None

    def calc_act(self: Any, s_in: Any) -> NDArray[Any]:
        """What arrives after each delay, ``(out, max_delay + 1)``; exact, as sums stay below ``2**53``."""
        delays = self.a_buff.shape[-1]
        if self.weight_rows is None or self.var_ports:
            self.weight_rows = np.ascontiguousarray(self.weights.T)
            self.places = np.ascontiguousarray((self.delays + np.arange(len(self.delays))[:, None] * delays).T)
        active = np.flatnonzero(s_in)
        products = self.weight_rows[active] * np.asarray(s_in, np.int64)[active, None]
        sums = np.bincount(self.places[active].ravel(), products.ravel(), minlength=self.a_buff.size)
        return sums.astype(np.int64).reshape(self.a_buff.shape)
