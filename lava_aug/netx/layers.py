"""The layers and neurons of networks that stock netx (lava-dl 0.6.0) runs, as it understands them.

Declared like our own, so that reading, writing and the tables of docs/file-format.md have no code per type. Whatever
stock netx would drop without a word, or crash on, is not valid here; `lava.lib.dl.netx.hdf5` and
`lava.lib.dl.netx.utils` are the source of every such rule.
"""

import functools
import math
from typing import Any, ClassVar

from numpy.typing import NDArray

from lava_aug.core.errors import SpecError
from lava_aug.core.layers import Conv, Dense, Shape
from lava_aug.core.spec import Spec, array, boolean, integer, number, pair, registered, shape, text
from lava_aug.netx.requantization import BIAS_EXP, STATE_EXP, check_dense

NETX_LAYERS: dict[str, type["NetxLayer"]] = {}
"""Layers by the name of their type in files."""

NETX_NEURONS: dict[str, type["NetxNeuron"]] = {}
"""Neurons by the name of their type in files."""

NOT_RUN = ("average", "concat", "convT", "pool", "unpool")
"""Types of layers that lava-dl exports and stock netx refuses."""

MAX_DELAY = 62
"""Largest synaptic delay; netx/hdf5.py cuts larger ones."""

SHIFTED = (1 << (31 - BIAS_EXP)) - 1
"""Largest bias or threshold of Sigma-Delta neurons that fits into 32 bits once Lava has shifted it."""


# Neurons


class NetxNeuron(Spec):
    """What a neuron's group holds."""

    type_name: ClassVar[str]
    bias_limit: ClassVar[int]
    """Largest bias that Lava's model can hold."""

    vth: int

    def input_limit(self, spike_exp: int) -> int:
        """Largest magnitude that an input layer of such neurons may get: Lava shifts it into its state."""
        raise NotImplementedError

    @property
    def sends_sums(self) -> bool:
        """Whether it sends the sum itself, not changes or spikes."""
        return False

    def describe(self) -> str:
        """One short text for the summary."""
        return self.type_name


@registered(NETX_NEURONS)
class Cuba(NetxNeuron):
    """Leaky integrate-and-fire with a synaptic current, as lava-dl's slayer exports it: Lava's LIF.

    ``u = u * (4096 - iDecay) / 4096 + (a << 6)``, ``v = v * (4096 - vDecay) / 4096 + u + (bias << 6)``, and a spike
    where ``v > vThMant << 6``, after which ``v = 0`` (lava/proc/lif/models.py).
    """

    type_name = "CUBA"
    bias_limit = (1 << 15) - 1

    vth: int = integer(low=0, high=(1 << 18) - 1, stored_as="vThMant", doc="threshold, in units of 64")
    current_decay: int = integer(low=0, high=4096, stored_as="iDecay", doc="share of the current lost in a step, /4096")
    voltage_decay: int = integer(low=0, high=4096, stored_as="vDecay", doc="share of v lost in a step, /4096")
    refractory: int = integer(low=1, high=1, default=1, stored_as="refDelay", doc="netx knows no other than 1")
    graded: bool = boolean(default=False, stored_as="gradedSpike", doc="netx sends binary spikes whatever it says")
    weight_exp: int = integer(low=0, high=0, default=0, stored_as="wgtExp", doc="netx knows no other than 0")
    norm_exp: int = integer(low=0, high=0, default=0, stored_as="weight_exp", doc="netx knows no other than 0")
    rho_scale: float = number(default=0.0, stored_as="scaleRho", doc="only for training")
    rho_tau: float = number(default=0.0, stored_as="tauRho", doc="only for training")
    theta: float = number(default=0.0, stored_as="theta", doc="only for training")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.graded:
            raise SpecError("gradedSpike is True, but stock netx would send binary spikes")

    def input_limit(self, spike_exp: int) -> int:
        return (1 << 17) - 1  # shifted by 6 bits into a 24-bit state (lava/proc/lif/models.py)


@registered(NETX_NEURONS)
class Loihi(Cuba):
    """The same, as older versions export it."""

    type_name = "LOIHI"


@registered(NETX_NEURONS)
class SigmaDelta(NetxNeuron):
    """Sends changes of ``max(0, sum of its input + bias)`` that reach the threshold: Lava's SigmaDelta.

    As the input layer it is Lava's Delta, which has no activation and no bias; with ``sigma_output`` it is Sigma, which
    sends the sum itself (lava/proc/sdn/models.py).
    """

    type_name = "SDNN"
    bias_limit = SHIFTED

    vth: int = integer(low=0, high=SHIFTED, stored_as="vThMant", doc="smallest change that is sent")
    activation: str = text(default="relu", stored_as="activation", doc="netx computes ReLU whatever it says")
    sums: bool | None = boolean(default=None, optional=True, stored_as="sigma_output", doc="True: sends its sum")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.activation != "relu":
            raise SpecError(f"activation is {self.activation!r}, but stock netx would compute 'relu'")
        if self.sums is False:
            raise SpecError("sigma_output is False, but stock netx takes its being there for True; leave it out")

    def input_limit(self, spike_exp: int) -> int:
        return (1 << (31 - STATE_EXP - spike_exp)) - 1

    @property
    def sends_sums(self) -> bool:
        return bool(self.sums)

    def describe(self) -> str:
        return "SDNN, sends sums" if self.sums else "SDNN"


# Layers


class NetxLayer(Spec):
    """What a layer's group holds, beside its type and its neuron."""

    type_name: ClassVar[str]
    needs_neuron: ClassVar[bool] = False

    shape: Shape = shape(stored_as="shape", doc="(C, H, W), or (features,), or that with ones")
    neuron: NetxNeuron | None = None

    @functools.cached_property
    def synapse(self) -> Conv | Dense | None:
        """Its weights as a synapse of ours, if it has any."""
        return None

    def output_shape(self, input_shape: Shape) -> Shape:
        """What it sends for spikes of a shape; SpecError if they do not fit."""
        raise NotImplementedError

    def extras(self) -> dict[str, Any]:
        """Datasets that follow from others: they may be left out, but must be right."""
        return {} if self.synapse is None else self.synapse.stored_extras(())

    @property
    def num_weights(self) -> int:
        """Stored weights."""
        return 0 if self.synapse is None else self.synapse.num_weights

    def describe(self) -> str:
        """One short text for the summary."""
        return self.type_name if self.synapse is None else self.synapse.describe()


@registered(NETX_LAYERS)
class NetxInput(NetxLayer):
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


@registered(NETX_LAYERS)
class NetxFlatten(NetxLayer):
    """Makes a row of a map, in the order (C, H, W), for the dense layer that follows."""

    type_name = "flatten"

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) not in (1, 3):
            raise SpecError(f"expected a map (C, H, W), found {input_shape}")
        return (math.prod(input_shape),)


class NetxWeighted(NetxLayer):
    """Base of layers with weights."""

    weight: NDArray[Any] = array(whole=True, stored_as="weight", doc="whole numbers, float32 or integers")
    bias: NDArray[Any] | None = array(
        ndim=1, whole=True, optional=True, default=None, stored_as="bias", doc="one for each output, or channel"
    )

    @functools.cached_property
    def synapse(self) -> Conv | Dense:
        """The sums of its input currents."""
        raise NotImplementedError

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


@registered(NETX_LAYERS)
class NetxDense(NetxWeighted):
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
        check_dense(self.weight)
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

    @functools.cached_property
    def synapse(self) -> Dense:
        return Dense(weight=self.weight)

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 1:
            raise SpecError(f"expected a layer 'flatten' before it, since its input has shape {input_shape}")
        return self.synapse.output_shape(input_shape)

    def describe(self) -> str:
        delays = "" if self.delay is None else f", delays {self.delay.min()} .. {self.delay.max()}"
        return f"{self.synapse.describe()}{delays}"


@registered(NETX_LAYERS)
class NetxConv(NetxWeighted):
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
        if max(*self.synapse.window, *self.stride, *self.padding, *self.dilation) > 127:
            raise SpecError(
                f"expected window, stride, padding and dilation up to 127, found window {self.synapse.window}, "
                f"stride {self.stride}, padding {self.padding}, dilation {self.dilation}"
            )
        if self.weight.dtype.itemsize > 4:  # arrays have the narrowest type that holds them
            raise SpecError("weight: expected numbers of 32 bits")
        if self.delay is not None and self.delay.any():
            raise SpecError("delay: stock netx would ignore it; only dense layers have delays")

    @functools.cached_property
    def synapse(self) -> Conv:
        geometry: dict[str, Any] = {
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "groups": self.groups,
        }
        return Conv(weight=self.weight, **geometry)

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 3:
            raise SpecError(f"expected a map (C, H, W), found {input_shape}")
        return self.synapse.output_shape(input_shape)
