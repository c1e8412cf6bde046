"""The layers of networks that lava-dl exports, as stock netx (lava-dl 0.6.0) understands them.

Declared like our own, so that reading, writing and the tables of docs/file-format.md have no code per type. Whatever
stock netx would drop without a word, or crash on, is not a valid layer here; `lava.lib.dl.netx.hdf5` and
`lava.lib.dl.netx.utils` are the source of every such rule.
"""

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.errors import SpecError
from lava_aug.core.fixed_point import BLOCK
from lava_aug.core.spec import Spec, array, integer, pair, registered, shape
from lava_aug.netx.stock_neurons import Cuba, StockNeuron

Shape = tuple[int, ...]

STOCK_LAYERS: dict[str, type["StockLayer"]] = {}
"""Layers by the name of their type in files."""

NOT_RUN = ("average", "concat", "convT", "pool", "unpool")
"""Types of layers that lava-dl exports and stock netx refuses."""

MAX_DELAY = 62
"""Largest synaptic delay; netx/hdf5.py cuts larger ones."""


class StockLayer(Spec):
    """What a layer's group holds, beside its type and its neuron."""

    type_name: ClassVar[str]
    needs_neuron: ClassVar[bool] = False

    shape: Shape = shape(stored_as="shape", doc="(C, H, W), or (features,), or that with ones")
    neuron: StockNeuron | None = None

    def output_shape(self, input_shape: Shape) -> Shape:
        """What it sends for spikes of a shape; SpecError if they do not fit."""
        raise NotImplementedError

    def extras(self) -> dict[str, Any]:
        """Datasets that follow from others: they may be left out, but must be right."""
        return {}

    @property
    def num_weights(self) -> int:
        """Stored weights."""
        return 0

    def describe(self) -> str:
        """One short text for the summary."""
        return self.type_name


@registered(STOCK_LAYERS)
class StockInput(StockLayer):
    """With a neuron, values go to it and its spikes to the next layer; without one, spikes go to the next layer.

    ``weight`` and ``bias`` are for preparing the input, ``weight * x + bias``: netx does not apply them.
    """

    type_name = "input"

    weight: NDArray[Any] | None = array(
        whole=True, optional=True, default=None, stored_as="weight", doc="one number; netx takes 64 if it is not there"
    )
    bias: NDArray[Any] | None = array(
        whole=True, optional=True, default=None, stored_as="bias", doc="one number; netx takes 0 if it is not there"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("weight", "bias"):
            value = getattr(self, name)
            if value is not None and value.size != 1:
                raise SpecError(f"{name}: expected one number, found shape {value.shape}")
        if self.neuron is not None and self.neuron.sends_sums:
            raise SpecError("sigma_output is of no use in an input layer, and ignored by stock netx; leave it out")

    def output_shape(self, input_shape: Shape) -> Shape:
        return self.shape


@registered(STOCK_LAYERS)
class StockFlatten(StockLayer):
    """Makes a row of a map, in the order (C, H, W), for the dense layer that follows."""

    type_name = "flatten"

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) not in (1, 3):
            raise SpecError(f"expected a map (C, H, W), found {input_shape}")
        return (math.prod(input_shape),)


class _Weighted(StockLayer):
    weight: NDArray[Any] = array(whole=True, stored_as="weight", doc="whole numbers, float32 or integers")
    bias: NDArray[Any] | None = array(
        ndim=1, whole=True, optional=True, default=None, stored_as="bias", doc="one for each output, or channel"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bias is None:
            return
        outputs = self.shape[0] if self.type_name == "conv" else math.prod(self.shape)
        if self.bias.shape != (outputs,):
            raise SpecError(f"bias: expected shape ({outputs},), found {self.bias.shape}")
        if self.neuron is not None and self.neuron.sends_sums:
            raise SpecError("bias: neurons with sigma_output take none")
        limit = Cuba.bias_limit if self.neuron is None else self.neuron.bias_limit
        if self.bias.min() < -limit or self.bias.max() > limit:
            raise SpecError(f"bias: expected {-limit} to {limit}, found {self.bias.min()} to {self.bias.max()}")

    @property
    def num_weights(self) -> int:
        return self.weight.size


@registered(STOCK_LAYERS)
class StockDense(_Weighted):
    """Every neuron to every other.

    Without a neuron of its own it gets one that integrates and does not leak, with the threshold 131,072 (which is what
    netx's ``1 << 18 - 1`` amounts to).
    """

    type_name = "dense"

    delay: NDArray[Any] | None = array(
        whole=True, optional=True, default=None, stored_as="delay", doc="steps: one, or by output, input, or synapse"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weight.ndim == 1 and self.weight.size % math.prod(self.shape) == 0:
            object.__setattr__(self, "weight", self.weight.reshape(math.prod(self.shape), -1))
        if self.weight.ndim != 2 or len(self.weight) != math.prod(self.shape):
            raise SpecError(f"weight: expected shape ({math.prod(self.shape)}, in), found {self.weight.shape}")
        _check_dense_weights(self.weight)
        self._check_delay()

    def _check_delay(self) -> None:
        if self.delay is None:
            return
        outputs, inputs = self.weight.shape
        known = ((), (outputs,), (inputs,), (outputs, inputs))
        if self.delay.shape not in known:
            raise SpecError(f"delay: expected one of the shapes {known}, found {self.delay.shape}")
        if self.delay.min() < 0 or self.delay.max() > MAX_DELAY:
            raise SpecError(f"delay: expected 0 to {MAX_DELAY}, found {self.delay.min()} to {self.delay.max()}")

    def output_shape(self, input_shape: Shape) -> Shape:
        outputs, inputs = self.weight.shape
        if len(input_shape) != 1:
            raise SpecError(f"expected a layer 'flatten' before it, since its input has shape {input_shape}")
        if input_shape != (inputs,):
            raise SpecError(f"weight: expected {input_shape[0]} inputs, found {inputs}")
        return (outputs,)

    def extras(self) -> dict[str, Any]:
        return {"inFeatures": self.weight.shape[1], "outFeatures": self.weight.shape[0]}

    def describe(self) -> str:
        delays = "" if self.delay is None else f", delays {self.delay.min()} .. {self.delay.max()}"
        return f"dense {self.weight.shape[1]} -> {self.weight.shape[0]}{delays}"


@registered(STOCK_LAYERS)
class StockConv(_Weighted):
    """Two-dimensional convolution, as PyTorch's; weights are (out, in / groups, height, width), pairs (height, width).

    Windows, strides, paddings and dilations go up to 127, since Lava's Conv keeps them in 8 bits.
    """

    type_name = "conv"
    needs_neuron = True

    stride: tuple[int, int] = pair(low=1, stored_as="stride", doc="steps of the window")
    padding: tuple[int, int] = pair(low=0, stored_as="padding", doc="zeros on each side")
    dilation: tuple[int, int] = pair(low=1, stored_as="dilation", doc="distance of window elements")
    groups: int = integer(low=1, stored_as="groups", doc="groups of channels that do not mix")
    delay: NDArray[Any] | None = array(
        whole=True, optional=True, default=None, stored_as="delay", doc="netx ignores delays of conv: only zeros"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weight.ndim == 5 and self.weight.shape[4] == 1:  # older exports keep the axis of time
            object.__setattr__(self, "weight", self.weight[..., 0])
        if self.weight.ndim != 4:
            raise SpecError(f"weight: expected (out, in / groups, height, width), found shape {self.weight.shape}")
        if len(self.weight) % self.groups:
            raise SpecError(f"weight: expected a multiple of {self.groups} groups, found {len(self.weight)} outputs")
        if max(*self.weight.shape[2:], *self.stride, *self.padding, *self.dilation) > 127:
            raise SpecError(
                f"expected window, stride, padding and dilation up to 127, found window {self.weight.shape[2:]}, "
                f"stride {self.stride}, padding {self.padding}, dilation {self.dilation}"
            )
        if self.weight.dtype.itemsize > 4:  # arrays have the narrowest type that holds them
            raise SpecError("weight: expected numbers of 32 bits")
        if self.delay is not None and self.delay.any():
            raise SpecError("delay: stock netx would ignore it; only dense layers have delays")

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 3:
            raise SpecError(f"expected a map (C, H, W), found {input_shape}")
        channels = self.weight.shape[1] * self.groups
        if input_shape[0] != channels:
            raise SpecError(f"weight: expected {input_shape[0]} input channels, found {channels}")
        spans = [d * (k - 1) + 1 for d, k in zip(self.dilation, self.weight.shape[2:], strict=True)]
        height, width = (
            (size + 2 * pad - span) // step + 1
            for size, pad, span, step in zip(input_shape[1:], self.padding, spans, self.stride, strict=True)
        )
        if min(height, width) < 1:
            raise SpecError(f"a window of {spans} does not fit into {input_shape}")
        return (len(self.weight), height, width)

    def extras(self) -> dict[str, Any]:
        return {
            "inChannels": self.weight.shape[1] * self.groups,
            "outChannels": len(self.weight),
            "kernelSize": self.weight.shape[2:],
        }

    def describe(self) -> str:
        height, width = self.weight.shape[2:]
        parts = [f"conv {height}x{width}"]
        parts += [f"/{self.stride[0]}" if len(set(self.stride)) == 1 else f"/{self.stride}"] * (self.stride != (1, 1))
        parts += [f"groups {self.groups}"] * (self.groups > 1)
        return " ".join(parts)


def _check_dense_weights(weight: NDArray[Any]) -> None:
    """Stock netx must compute with the weights that the file holds."""
    low, high = int(weight.min()), int(weight.max())
    if low < -256 or high > 255:
        raise SpecError(f"weight: expected 9 bits, -256 to 255, found {low} to {high}; stock netx clips others")
    if low == high == 0:
        raise SpecError("weight: all are zero, on which stock netx crashes (OverflowError)")
    values = present(weight)
    used = stock_weights(values)
    if not np.array_equal(used, values):
        index = int(np.argmin(used == values))
        raise SpecError(
            f"weight: stock netx, scaling weights from {low} to {high} to 8 bits, would compute with {used[index]} in "
            f"place of {values[index]}"
        )


def present(weight: NDArray[Any]) -> NDArray[Any]:
    """The values from -256 to 255 that an array holds, in order; a block at a time, since arrays can be large."""
    found, flat = np.zeros(512, bool), weight.reshape(-1)
    for start in range(0, flat.size, BLOCK):
        found[flat[start : start + BLOCK].astype(np.int64) + 256] = True
    return np.flatnonzero(found) - 256


def stock_weights(values: NDArray[Any]) -> NDArray[Any]:
    """The weights that stock netx and Lava's Dense compute with, for a layer that holds these and no others.

    netx shifts weights up as far as 8 bits allow, and says how many bits they need
    (``lava/lib/dl/netx/utils.py``, ``optimize_weight_bits``); Lava's Dense clips, cuts bits off
    (``lava/utils/weightutils.py``), and shifts its sums back.

    Examples
    --------
    >>> stock_weights(np.array([-3, 5]))
    array([-3,  5])
    >>> stock_weights(np.array([-128, -1]))  # shifted up, -256 is clipped to -255, of which a bit is cut off
    array([-127,   -1])
    """
    if values.min() < 0:
        values = np.minimum(values, 254)
    low, high = int(values.min()), int(values.max())
    limits = [127 / high if high > 0 else math.inf, -128 / low if low < 0 else math.inf]
    scale = -256 / low if high < 0 else 255 / high if low >= 0 else min(limits)
    mixed = high >= 0 > low
    shift = math.floor(math.log2(scale)) + mixed
    trailing = next((bits for bits in range(8, 0, -1) if not (values % (1 << bits)).any()), 0) - mixed
    width = 8 - shift - trailing
    shifted = values << shift
    sign = -1 if high <= 0 else 1
    both = int(low < 0 < high)  # Lava takes weights up to 0 for negative ones, netx for mixed ones
    clipped = np.clip(sign * shifted, -256 * both, 255)
    cut = 8 - width + both
    return (sign * ((clipped >> cut) << cut)) >> shift if cut >= 0 else np.zeros_like(values)
