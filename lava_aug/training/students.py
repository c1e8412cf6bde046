"""`Student`: a network whose weights still move, and `trainable`, which makes one."""

import hashlib
import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import nn

from lava_aug.conversion.converter import convert
from lava_aug.conversion.onnx_files import Model
from lava_aug.core.errors import InputError, NetworkError
from lava_aug.core.images import Images, check_range, unlike
from lava_aug.core.inputs import joint_shape
from lava_aug.core.network import INPUT, INPUT_LEVELS, POSSIBLE_STEPS, Network, is_steps
from lava_aug.core.spec import is_a, is_int
from lava_aug.core.texts import brief
from lava_aug.kernels.batches import exact_arithmetic
from lava_aug.training.costs import Objective, check_objective, tariff, totals
from lava_aug.training.layers import Integers, StudentConnection, StudentLayer, student_layer
from lava_aug.training.moving import moves_of, quanta_of, unit_of

Learnable = Literal["weights", "thresholds", "scales"]


class _Last(NamedTuple):
    """The last forward pass: payloads, integers, what was sent in all, and their graph."""

    payloads: torch.Tensor
    integers: dict[str, Integers]
    sent: dict[str, torch.Tensor]


def trainable(
    model: Model | Network,
    calibration: Images | None = None,
    num_steps: int = 1,
    resolution: float | None = None,
    weight_bits: int | None = None,
    *,
    learn: Collection[Learnable] = ("weights", "thresholds", "scales"),
    **options: Any,
) -> "Student":
    """Convert a model to a network that goes on learning, in the arithmetic in which it will run.

    Parameters
    ----------
    model : torch.nn.Module, path or Network
        What `lava_aug.convert` takes, trained or not; or a network that it has made.
    calibration : Images, optional
        As for `lava_aug.convert`; none for a network.
    num_steps : int
        Time steps per image.
    resolution : float, optional
        As for `lava_aug.convert`, default 1/8; none for a network.
    weight_bits : int, optional
        Bit width of the signed weights, 2 .. 16. Default 8, or, of a network, the bits that its weights take; those
        that take more keep them.
    learn : collection of {"weights", "thresholds", "scales"}
        What learns: weights and biases; the thresholds of layers; what a unit of each layer's potential stands for. The
        others are there, but ``requires_grad`` is False.
    **options
        Further options of `lava_aug.convert`; none for a network.

    Returns
    -------
    Student
        ``student.network()`` is the converted network.

    Raises
    ------
    NetworkError
        If what neurons send depends on the order in which their input comes: of the methods only AugMapping can be
        trained, in integers, and not with ``symmetric=True``.
    InputError
        If options or calibration images are missing, or there for a network.
    ConversionError
        As `lava_aug.convert`.

    Examples
    --------
    >>> from torch import nn
    >>> student = trainable(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), torch.eye(4))
    >>> optimizer = torch.optim.Adam(student.parameters(), lr=1e-3)
    >>> loss = student(torch.eye(4)).square().mean() + 1e-3 * student.cost("operations")
    >>> loss.backward()
    >>> student.network().num_steps
    1
    """
    if not is_steps(num_steps):
        raise InputError(f"num_steps: expected {POSSIBLE_STEPS}, found {brief(num_steps)}")
    unknown = sorted(set(learn) - set(get_args(Learnable)))
    if is_a(learn, str) or unknown:
        raise InputError(f"learn: expected some of {', '.join(get_args(Learnable))}, found {learn!r}")
    if weight_bits is not None and not (is_int(weight_bits) and 2 <= weight_bits <= 16):
        raise InputError(f"weight_bits: expected an integer from 2 to 16, found {brief(weight_bits)}")
    if isinstance(model, Network):
        given = {"calibration": calibration, "resolution": resolution, **options}
        names = [name for name, value in given.items() if value is not None]
        if names:
            raise InputError(f"{', '.join(names)}: expected none for a network, which has been converted already")
        return Student(model.replace(num_steps=num_steps), _bits(model) if weight_bits is None else weight_bits, learn)
    if calibration is None:
        raise InputError("calibration: expected images for converting the model, a few hundred, found none")
    bits = 8 if weight_bits is None else weight_bits
    net = convert(
        model, calibration, resolution=1 / 8 if resolution is None else resolution, num_steps=num_steps,
        weight_bits=bits, **options,
    )  # fmt: skip
    return Student(net, bits, learn)


def _bits(net: Network) -> int:
    """Width of the widest weights that are a model's."""
    widths = [c.synapse.mantissa_bits for layer in net for c in layer.connections if c.synapse.learned]
    return max(widths, default=8)


class Student(nn.Module):
    """A network whose weights still move: what it computes is what the network of now settles at, bit for bit.

    Each layer has float parameters in the model's units: weights ``W``, a bias ``b``, the quantum ``theta`` that a
    unit of its spikes stands for, and the ``unit`` that one of its potential stands for. The integers of now are ::

        W_int = clip(round(W * theta_in / unit), -limit, limit)       limit = 2**(weight_bits - 1) - 1
        b_int = round(b / unit)                                       within 24 bits
        vth = max(1, round(theta / unit)),  v0 = floor(vth / 2)
        u = v0 + T * b_int + sum of W_int * n_in                      T = num_steps; of the input, n = T * payload
        n = clip(floor(u / vth), 0, n_max * T)                        signed neurons: without the 0

    ``theta`` and ``unit`` are learned as the logarithm of how they have changed, so weight decay pulls them to what was
    converted. Gradients go straight through ``round`` and ``floor``, so those of ``theta`` and ``unit`` are LSQ's
    (Esser et al., "Learned Step Size Quantization", ICLR 2020, arXiv 1902.08153), with its scale ``1 / sqrt(N * q)``.
    Neurons of other types, with tables or products, send what `Neuron.settled` says, and their gradient is that of
    `Neuron.mean`. Pooling, relays and sums of whole numbers stay as they are; so do thresholds that a ceiling gives, as
    that of ReLU6, and those of layers whose spikes meet others' in sums of whole numbers or in products.

    Batch normalisation has been folded into the weights: the student has none. It is a `torch.nn.Module` like any
    other: ``state_dict``, ``to``, ``train`` and ``eval`` are as usual, of which the last two change nothing. A state is
    for students of the same converted network. Where `lava_aug.settle` refuses, since potentials come close to 24 bits
    or spikes to their payload, the student just computes, and the network may clip.

    Made by `lava_aug.trainable`. ``layers[i].name`` is the name of the layer whose parameters are ``layers.i.…``.

    Parameters
    ----------
    net : Network
        As converted, with the number of steps to train for.
    weight_bits : int
        Width of weights.
    learn : collection of {"weights", "thresholds", "scales"}
        What learns.

    Attributes
    ----------
    num_steps : int
        Time steps per image, which may be changed.
    v : torch.Tensor
        The readout's potential in the last forward pass, int64 ``(B, *shape)``.
    """

    input_quantum: torch.Tensor

    def __init__(
        self, net: Network, weight_bits: int, learn: Collection[Learnable] = ("weights", "thresholds", "scales")
    ) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]: torch's
        _check_totals(net)
        self._net, self.num_steps = net, net.num_steps
        moves, quanta = moves_of(net), quanta_of(net)
        made: list[StudentLayer] = []
        for layer in net:
            unit = unit_of(layer)
            connections = [
                StudentConnection(c, net.shapes[c.source], quanta[c.source], unit if moving else None, weight_bits)
                for c, moving in zip(layer.connections, moves[layer.name].weights, strict=True)
            ]
            places = math.prod(net.shapes[layer.name])
            made.append(student_layer(layer)(layer, connections, moves[layer.name], places, 1 / net.resolution))
        self.layers = nn.ModuleList(made)
        self.register_buffer("input_quantum", torch.tensor(1 / INPUT_LEVELS, dtype=torch.float64), persistent=False)
        kinds = {"weight": "weights", "bias": "weights", "threshold": "thresholds", "scale": "scales"}
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(kinds[name.rpartition(".")[2]] in learn)
        self._last: _Last | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without the last forward pass, whose graph cannot be copied."""
        return {**self.__dict__, "_last": None}

    def get_extra_state(self) -> str:
        """What stays in training, of all layers, as a digest, so that no state gets to a student of another network."""
        return hashlib.sha256(b"".join(layer.kept() for layer in self._own_layers())).hexdigest()

    def set_extra_state(self, state: Any) -> None:
        """InputError if a state is of another network."""
        if state != self.get_extra_state():
            raise InputError(
                "state: expected that of a student of the same converted network, found another; convert the same "
                "model with the same images and options, or make the student of a saved network"
            )

    # Forward

    def forward(self, images: Any) -> Any:
        """Logits in the model's units.

        Parameters
        ----------
        images : torch.Tensor, shape (B, *shape)
            uint8, or floating point in [0, 1], which is rounded to 255 levels; on the student's device. Of networks of
            several inputs, a dictionary of them by name.

        Returns
        -------
        torch.Tensor, float32, shape (B, ...), or dict of str to such
            ``v * quantum / T``, rounded from float64: those of ``settle(student.network(), images)``, bit for bit. A
            dictionary where there are several heads.

        Raises
        ------
        InputError
            If shape, type or range of the images is wrong.
        """
        payloads, self._last = self._payloads(images), None  # which frees its memory first
        with torch.autocast(payloads.device.type, enabled=False), exact_arithmetic(payloads.device):
            integers, quantum = self._integers()
            sent = self._settled(payloads, integers, self.num_steps)
            self._last = _Last(payloads, integers, sent)
            logits = (sent[self._net.readout.name].double() * (quantum / self.num_steps)).float()
        return self._heads(logits) if self._net.heads else logits

    def _payloads(self, images: Any) -> torch.Tensor:
        if not is_a(images, Mapping):
            return self._payload(images, self._net.input_shape)
        shapes = dict(self._net.inputs)
        if set(images) != set(shapes):
            raise InputError(f"images: expected the inputs {list(shapes)}, found {list(images)}")
        rest = joint_shape(self._net.inputs)[1:]
        parts = [self._payload(images[name], shape) for name, shape in shapes.items()]
        return torch.cat([part.reshape(len(part), -1, *rest) for part in parts], 1)

    def _payload(self, images: Any, shape: tuple[int, ...]) -> torch.Tensor:
        if not is_a(images, torch.Tensor):
            raise InputError(f"images: expected a tensor, found {type(images).__name__}")
        x: torch.Tensor = images.detach()
        if tuple(x.shape[1:]) != shape or not x.ndim or not len(x):
            raise InputError(f"images: {unlike(shape, tuple(x.shape))}")
        if x.dtype == torch.uint8:
            return x.float()
        if not x.is_floating_point():
            raise InputError(f"images: expected uint8 or floating point in [0, 1], found {x.dtype}")
        check_range(torch.stack(x.aminmax()).double().cpu().numpy(), "images")
        return (x.double() * INPUT_LEVELS).round().float()

    def _own_layers(self) -> Iterator[StudentLayer]:
        for layer in self.layers:
            assert isinstance(layer, StudentLayer)
            yield layer

    def _integers(self) -> tuple[dict[str, Integers], torch.Tensor]:
        """Those of all layers, and the readout's quantum."""
        quanta = self._quanta()
        integers = {layer.name: layer.integers(quanta) for layer in self._own_layers()}
        return integers, quanta[self._net.readout.name]

    def _quanta(self) -> dict[str, torch.Tensor]:
        quanta, ratios = {INPUT: self.input_quantum}, {INPUT: torch.ones_like(self.input_quantum)}
        for layer in self._own_layers():
            ratios[layer.name] = layer.ratio(ratios)
            quanta[layer.name] = layer.quantum(ratios[layer.name])
        return quanta

    def _settled(self, payloads: torch.Tensor, integers: dict[str, Integers], t: int) -> dict[str, torch.Tensor]:
        """What the input and all layers have sent after ``t`` steps; of the readout, ``v``."""
        sent = {INPUT: payloads * t}
        for layer in self._own_layers():
            own = integers[layer.name]
            sent[layer.name] = layer.sent(layer.total(sent, own, t), own, t)
        return sent

    def _heads(self, logits: torch.Tensor) -> dict[str, torch.Tensor]:
        parts = torch.split(logits, [math.prod(head.shape) for head in self._net.heads], -1)
        return {h.name: part.reshape(-1, *h.shape) for h, part in zip(self._net.heads, parts, strict=True)}

    @property
    def v(self) -> torch.Tensor:
        """The readout's potential in the last forward pass, int64 ``(B, *shape)``; InputError if there was none."""
        return self._last_pass("v").sent[self._net.readout.name].detach().long()

    def _last_pass(self, what: str) -> _Last:
        if self._last is None:
            raise InputError(f"{what}: expected a forward pass before, found none; call the student with images")
        return self._last

    # The network

    def network(self) -> Network:
        """The network of now: integers, for files, simulator and Lava.

        Returns
        -------
        Network
            Weights within ``2**(weight_bits - 1) - 1``, thresholds of at least 1, biases of 24 bits. Of a student that
            has not learned yet, the converted network; of others, ``fidelity`` is None.
        """
        with torch.no_grad():
            quanta = self._quanta()
            layers = tuple(layer.made(layer.integers(quanta), quanta[layer.name]) for layer in self._own_layers())
        fidelity = self._net.fidelity if layers == self._net.layers else None
        return self._net.replace(layers=layers, num_steps=self.num_steps, fidelity=fidelity)

    # What it costs

    def cost(self, objective: Objective = "operations") -> torch.Tensor:
        """What the last forward pass costs, on average per image, over all time steps: differentiable.

        Parameters
        ----------
        objective : {"events", "operations", "energy"}
            Non-zero spikes of all layers; synaptic operations, those of the input's spikes among them; or the estimate
            of energy in nJ, neurons that are silent included.

        Returns
        -------
        torch.Tensor, float64, without axes
            Exactly what `simulate` counts for ``student.network()`` on the same images. Its gradient is a surrogate:
            an event of coefficient ``s`` counts as ``log(1 + |s|)``, times what is to be saved with it
            (`lava_aug.training.gradients.event_slope`). For more than one time step, each of the others takes another
            forward pass.

        Raises
        ------
        InputError
            If there was no forward pass, or the objective is unknown.
        """
        total = sum(self._totals(objective).values(), self.input_quantum.new_zeros(()))
        return total / len(self._last_pass("cost").payloads)

    def costs(self, objective: Objective = "operations") -> dict[str, torch.Tensor]:
        """`cost` by layer: what its spikes cause in all layers that take them, and, of energy, its neurons themselves.

        By name; ``"input"`` is there for operations and energy, the readout for energy.
        """
        found = self._totals(objective)
        return {name: total / len(self._last_pass("cost").payloads) for name, total in found.items()}

    def _totals(self, objective: Objective) -> dict[str, torch.Tensor]:
        check_objective(objective)
        last = self._last_pass("cost")
        with torch.autocast(last.payloads.device.type, enabled=False), exact_arithmetic(last.payloads.device):
            passes = [self._settled(last.payloads, last.integers, t) for t in range(1, self.num_steps)]
        net = self.network() if objective == "energy" else self._net
        connections = [connection for layer in self._own_layers() for connection in layer.own_connections()]
        rates = tariff(objective, net, connections, self.input_quantum.new_ones(()))
        return totals(rates, [*passes, last.sent])


def _check_totals(net: Network) -> None:
    for layer in net:
        if net.is_float or layer.neuron.no_total:
            reason = layer.neuron.no_total or "computes in floating point"
            raise NetworkError(
                f"trainable: layer {layer.name!r} {reason}; only networks of integers can be trained in which what "
                "neurons send follows from the sum of their input: convert with method='augmapping', not symmetric=True"
            )
