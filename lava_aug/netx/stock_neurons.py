"""The neurons of networks that lava-dl exports, as stock netx (lava-dl 0.6.0) understands them: see `stock_layers`."""

from typing import ClassVar

from lava_aug.core.errors import SpecError
from lava_aug.core.spec import Spec, boolean, integer, number, registered, text

STOCK_NEURONS: dict[str, type["StockNeuron"]] = {}
"""Neurons by the name of their type in files."""

STATE_EXP = 12
"""Sigma-Delta neurons shift biases and thresholds by 6 bits for spikes and 6 for states (netx/hdf5.py)."""

SHIFTED = (1 << (31 - STATE_EXP)) - 1
"""Largest value that still fits into Lava's 32 bits after that."""


class StockNeuron(Spec):
    """What a neuron's group holds."""

    type_name: ClassVar[str]
    message_bits: ClassVar[int]
    """Width of the spikes that netx assumes; 0 for binary ones."""
    bias_limit: ClassVar[int]
    """Largest bias that Lava's model can hold."""
    input_limit: ClassVar[int]
    """Largest magnitude that an input layer of such neurons may get: Lava shifts it into its state."""

    vth: int

    @property
    def sends_sums(self) -> bool:
        """Whether it sends the sum itself, not changes or spikes."""
        return False

    def describe(self) -> str:
        """One short text for the summary."""
        return self.type_name


class _CurrentBased(StockNeuron):
    """Leaky integrate-and-fire with a synaptic current: Lava's LIF.

    ``u = u * (4096 - iDecay) / 4096 + (a << 6)``, ``v = v * (4096 - vDecay) / 4096 + u + (bias << 6)``, and a spike
    where ``v > vThMant << 6``, after which ``v = 0`` (lava/proc/lif/models.py).
    """

    message_bits = 0
    bias_limit = (1 << 15) - 1
    input_limit = (1 << 17) - 1  # shifted by 6 bits into a 24-bit state (lava/proc/lif/models.py)

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


@registered(STOCK_NEURONS)
class Cuba(_CurrentBased):
    """As lava-dl's slayer exports it."""

    type_name = "CUBA"


@registered(STOCK_NEURONS)
class Loihi(_CurrentBased):
    """The same, as older versions export it."""

    type_name = "LOIHI"


@registered(STOCK_NEURONS)
class SigmaDelta(StockNeuron):
    """Sends changes of ``max(0, sum of its input + bias)`` that reach the threshold: Lava's SigmaDelta.

    As the input layer it is Lava's Delta, which has no activation and no bias; with ``sigma_output`` it is Sigma, which
    sends the sum itself (lava/proc/sdn/models.py).
    """

    type_name = "SDNN"
    message_bits = 16
    bias_limit = SHIFTED
    input_limit = SHIFTED

    vth: int = integer(low=0, high=SHIFTED, stored_as="vThMant", doc="smallest change that is sent")
    activation: str = text(default="relu", stored_as="activation", doc="netx computes ReLU whatever it says")
    sums: bool | None = boolean(default=None, optional=True, stored_as="sigma_output", doc="True: sends its sum")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.activation != "relu":
            raise SpecError(f"activation is {self.activation!r}, but stock netx would compute 'relu'")
        if self.sums is False:
            raise SpecError("sigma_output is False, but stock netx takes its being there for True; leave it out")

    @property
    def sends_sums(self) -> bool:
        return bool(self.sums)

    def describe(self) -> str:
        return "SDNN, sends sums" if self.sums else "SDNN"
