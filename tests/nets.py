"""Networks to test on: a small one, and random ones."""

from typing import Any

import numpy as np
from examples import gather, random_sparse, weights
from hypothesis import strategies as st

from lava_aug.core.layers import Conv, ConvTranspose, Dense, Relay, Scale, Shape, SumPool, Synapse
from lava_aug.core.network import INPUT, INPUT_LEVELS, Connection, Layer, Network
from lava_aug.core.neurons import (
    AugmentedNeuron,
    DoubleThresholdNeuron,
    MaxPoolNeuron,
    Neuron,
    RateNeuron,
    ReadoutNeuron,
)

METHODS = ("rate", "ter", "aug")


def layer(name: str, source: str, synapse: Synapse, neuron: Neuron | None = None, **options: Any) -> Layer:
    """A layer with one connection, a readout unless a neuron is given."""
    chosen = {"connections": ((source, synapse),), "neuron": neuron or ReadoutNeuron(), "quantum": 1.0, **options}
    return Layer(name=name, **chosen)


def small_net(**options: Any) -> Network:
    """Six inputs, four neurons, three outputs."""
    return Network(
        input_shape=(6,),
        layers=(
            layer("hidden", INPUT, Dense(weight=weights(4, 6)), AugmentedNeuron(vth=300)),
            layer("out", "hidden", Dense(weight=weights(3, 4)), bias=[1, -2, 3]),
        ),
        **options,
    )


def three_methods(synapse: Synapse, shape: Shape) -> Network:
    """The synapse into a layer of each method's neurons, side by side; the readout takes the spikes of all three.

    Floating-point weights and thresholds are multiples of powers of two, so that float32 computes with them exactly.
    """
    is_float = bool(synapse.is_float)
    a = np.abs(synapse.accumulate(np.full((1, *shape), 128))[0])
    scale = int(np.median(a)) // 4 + 3
    vth = 2.0 ** int(np.log2(scale)) if is_float else scale
    low: dict[str, Any] = {"vth_lo": -vth} if is_float else {}
    hidden = {
        "rate": RateNeuron(vth=vth),
        "ter": DoubleThresholdNeuron(vth=vth, **low),
        "aug": AugmentedNeuron(vth=vth, **low),
    }
    unit = 0.125 if is_float else 1
    behind = [
        Connection(name, Dense(weight=weights(3, a.size, largest=9, seed=k) * unit)) for k, name in enumerate(hidden)
    ]
    readout = Layer(
        name="out",
        connections=tuple(behind),
        neuron=ReadoutNeuron(floating=is_float),
        quantum=1.0,
        bias=np.array([1, -2, 3]),
    )
    return Network(
        input_shape=shape, layers=(*(layer(name, INPUT, synapse, neuron) for name, neuron in hidden.items()), readout)
    )


def skip_net(skips: dict[str, tuple[str, ...]], method: str = "aug") -> Network:
    """Convolutions ``a`` to ``d`` in a row and the readout ``out``, which also take the spikes of those they skip to.

    >>> skip_net({"c": ("input",), "out": ("a",)}).delays("out")
    (0, 3)
    """
    source, layers = INPUT, []
    for seed, name in enumerate("abcd"):
        layers.append(_skip_layer(name, (source, *skips.get(name, ())), seed, method))
        source = name
    behind = [(name, Dense(weight=weights(3, 24, seed=k))) for k, name in enumerate((source, *skips.get("out", ())))]
    return Network(input_shape=(2, 4, 3), layers=(*layers, layer("out", *behind[0], connections=tuple(behind))))


def _skip_layer(name: str, sources: tuple[str, ...], seed: int, method: str) -> Layer:
    """A convolution of the first source, and the others scaled or upside down, in turn."""
    conv = Conv(weight=weights(2, 2, 3, 3, largest=20, seed=seed), padding=(1, 1))
    direct = [Scale(weight=np.array([9, -5])), gather(np.arange(24).reshape(2, 4, 3)[:, ::-1])]
    skips = [(source, direct[(seed + k) % 2]) for k, source in enumerate(sources[1:])]
    kinds: dict[str, type[Any]] = {"rate": RateNeuron, "ter": DoubleThresholdNeuron, "aug": AugmentedNeuron}
    neuron = kinds[method](vth=1500 if INPUT in sources else 12)
    options: dict[str, Any] = {
        "connections": ((sources[0], conv), *skips),
        "bias": weights(2, 1, 1, largest=9, seed=seed),
    }
    return layer(name, sources[0], conv, neuron, **options)


SKIPS: dict[str, dict[str, tuple[str, ...]]] = {
    "one step shorter": {"c": ("a",)},
    "two steps shorter": {"d": ("a",)},
    "three steps shorter": {"out": ("a",)},
    "from the images": {"b": (INPUT,)},
    "from the images to the readout": {"out": (INPUT,)},
    "nested": {"c": ("a",), "d": ("a",), "out": ("b", "a")},
    "all": {"b": (INPUT,), "c": ("a", INPUT), "d": ("b", "a", INPUT), "out": ("c", "b", "a", INPUT)},
}
"""Who takes which earlier spikes in a `skip_net`, by name."""


def images_for(net: Network, batch: int = 5) -> np.ndarray:
    """Random images."""
    return np.random.default_rng(3).integers(0, 256, (batch, *net.input_shape)).astype(np.uint8)


class _Builder:
    """Adds random layers to a network, with thresholds that suit what arrives."""

    def __init__(self, draw: st.DrawFn, method: str, within_theorem: bool) -> None:
        self.draw, self.method, self.within_theorem = draw, method, within_theorem
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.largest = 4 if within_theorem else draw(st.sampled_from([127, 2**15, 4]))
        self.input_shape = draw(st.tuples(st.integers(1, 2), st.integers(3, 6), st.integers(3, 6)))
        self.source, self.layers = INPUT, []
        self.shapes: dict[str, Shape] = {INPUT: self.input_shape}
        self.bounds = {INPUT: INPUT_LEVELS}  # largest coefficients in one step

    def weight(self, *shape: int) -> np.ndarray:
        return self.rng.integers(-self.largest, self.largest + 1, shape)

    def neuron(self, bound: int, shape: Shape) -> Neuron:
        """A neuron for input currents up to ``bound``; some differ from channel to channel."""
        draw, vth = self.draw, min(max(1, bound // self.draw(st.integers(2, 400))), 2**23 - 1)
        options: dict[str, Any] = {
            "vth": vth,
            "v0": draw(st.none() | st.integers(-vth, vth)),
            "n_max": draw(st.none() | st.integers(1, 40)),
        }
        if draw(st.integers(0, 2)) == 0:
            options["vth"] = vth = self.each_channel(shape, max(1, vth // 3), vth)
            options["n_max"] = None if options["n_max"] is None else self.each_channel(shape, 1, 40)
        if self.method == "rate":
            return RateNeuron(**options)
        options["signed"] = draw(st.booleans())
        options["vth_lo"] = -1 if self.within_theorem else clip24(draw(st.sampled_from([-1, -vth, -3 * vth])))
        if self.method == "ter":
            return DoubleThresholdNeuron(**options)
        bits = 16 if self.within_theorem else draw(st.sampled_from([16, 4]))
        return AugmentedNeuron(**options, message_bits=bits)

    def each_channel(self, shape: Shape, low: int, high: int) -> np.ndarray:
        """A random number for each channel."""
        return self.rng.integers(low, high + 1, (shape[0], *[1] * (len(shape) - 1)))

    def add(self, *connections: tuple[str, Synapse], relay: bool = False) -> str:
        """A layer with these connections; a relay passes on what arrives."""
        bound = int(sum(synapse.weight_sum * self.bounds[source] for source, synapse in connections))
        relays = relay and self.method == "aug"
        shape = connections[0][1].output_shape(self.shapes[connections[0][0]])
        neuron = AugmentedNeuron(vth=1, signed=True) if relays else self.neuron(bound, shape)
        name = f"layer{len(self.layers)}"
        self.shapes[name] = shape
        self.bounds[name] = min(bound // int(np.min(getattr(neuron, "vth", 1))) + 1, neuron.coefficient_limit)
        self.layers.append(self.layer(name, connections, neuron, bound))
        self.source = name
        return name

    def layer(self, name: str, connections: Any, neuron: Neuron, bound: int) -> Layer:
        shape = self.shapes[name]
        largest = min(bound // 8 + 1, 2**22)
        biases = st.none() | st.just(self.rng.integers(-largest, largest, (shape[0], *[1] * (len(shape) - 1))))
        return Layer(name=name, connections=connections, neuron=neuron, quantum=1.0, bias=self.draw(biases))

    def conv(self) -> None:
        channels, height, width = self.shapes[self.source]
        window = [self.draw(st.integers(1, min(3, size))) for size in (height, width)]
        options: dict[str, Any] = {"stride": self.draw(st.integers(1, 2)), "padding": self.draw(st.integers(0, 1))}
        self.add((self.source, Conv(weight=self.weight(self.draw(st.integers(1, 3)), channels, *window), **options)))

    def pool(self) -> None:
        _, height, width = self.shapes[self.source]
        size = (min(2, height), min(2, width))
        self.add((self.source, SumPool(kernel_size=size, stride=size)), relay=True)

    def residual(self, deepest: int = 2) -> None:
        """A convolution or several, other residual sums among them, and around them a relay or nothing."""
        start, channels = self.source, self.shapes[self.source][0]
        for _ in range(self.draw(st.integers(1, 3))):
            if deepest > 1 and self.draw(st.booleans()):
                self.residual(deepest - 1)
            else:
                self.add((self.source, Conv(weight=self.weight(channels, channels, 1, 1))))
        inner = self.source
        around = self.add((start, Relay()), relay=True) if self.draw(st.booleans()) else start
        scale = Scale(weight=self.rng.integers(1, 4, channels))
        self.add((inner, Conv(weight=self.weight(channels, channels, 1, 1))), (around, scale))

    def concatenation(self) -> None:
        """The channels of a layer and of a convolution of it, side by side."""
        start, channels = self.source, self.shapes[self.source][0]
        inner = self.add((start, Conv(weight=self.weight(2, channels, 1, 1))))
        ones = np.ones(channels, np.int8), np.ones(2, np.int8)
        first = Scale(weight=ones[0], channels=channels + 2)
        self.add((start, first), (inner, Scale(weight=ones[1], offset=channels)), relay=True)

    def transposed(self) -> None:
        channels = self.shapes[self.source][0]
        options: dict[str, Any] = {"stride": self.draw(st.integers(1, 2)), "dilation": self.draw(st.integers(1, 2))}
        self.add((self.source, ConvTranspose(weight=self.weight(channels, 2, 2, 1), **options)))

    def rearranged(self) -> None:
        """A map of another shape, of which every element is a sum of a few."""
        inputs, shape = int(np.prod(self.shapes[self.source])), (2, 3, self.draw(st.integers(2, 4)))
        self.add((self.source, random_sparse(shape, inputs, 0.2, seed=self.draw(st.integers(0, 99)))))

    def last_axis(self) -> None:
        """A dense layer along the last axis of a map."""
        channels, height, width = self.shapes[self.source]
        if channels * height > 1:
            self.add((self.source, Dense(weight=self.weight(self.draw(st.integers(2, 4)), width))))

    def max_pool(self) -> None:
        """Windows of every stride that leaves no element out, so that none sees padding alone."""
        shape = self.shapes[self.source]
        height, width = min(2, shape[1]), min(3, shape[2])
        neuron = MaxPoolNeuron(
            kernel_size=(height, width),
            stride=self.draw(st.tuples(st.integers(1, height), st.integers(1, width))),
            padding=self.draw(st.tuples(st.integers(0, height // 2), st.integers(0, width // 2))),
            ceil_mode=self.draw(st.booleans()),
            message_bits=self.draw(st.sampled_from([16, 4])),
        )
        name = f"layer{len(self.layers)}"
        self.shapes[name], self.bounds[name] = neuron.output_shape(shape), neuron.coefficient_limit
        self.layers.append(layer(name, self.source, Relay(), neuron))
        self.source = name

    def dense(self, neuron: Neuron | None = None) -> None:
        inputs = int(np.prod(self.shapes[self.source]))
        connection = (self.source, Dense(weight=self.weight(self.draw(st.integers(1, 5)), inputs)))
        if neuron is None:
            self.add(connection)
            return
        self.shapes["readout"] = connection[1].output_shape(self.shapes[self.source])
        self.layers.append(self.layer("readout", [connection], neuron, self.largest * inputs))

    def network(self, every_type: bool) -> Network:
        blocks = [self.conv, self.pool, self.residual, self.concatenation]
        if every_type:
            blocks += [self.transposed, self.rearranged, self.last_axis, self.max_pool]
        for block in self.draw(st.lists(st.sampled_from(blocks), min_size=1, max_size=3)):
            block()
        if self.draw(st.booleans()):
            self.dense()
        self.dense(ReadoutNeuron())
        return Network(input_shape=self.input_shape, layers=tuple(self.layers), method=self.method)


def clip24(value: Any) -> Any:
    """Into the signed 24-bit range."""
    return np.maximum(value, -(2**23))


@st.composite
def networks(draw: st.DrawFn, method: str, within_theorem: bool = False, every_type: bool = False) -> Network:
    """Random networks of convolutions, pooling, residual sums, concatenations and dense layers.

    ``within_theorem`` keeps to the theorem's conditions: ``vth_lo = -1``, and no saturation or cap in 5 steps.
    ``every_type`` adds transposed convolutions, sparse matrices, max pooling, and dense layers along the last axis,
    which not every format that networks are exported to has.
    """
    return _Builder(draw, method, within_theorem).network(every_type)


@st.composite
def payloads_for(draw: st.DrawFn, net: Network) -> np.ndarray:
    """One to three random images."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    largest = draw(st.sampled_from([255, 16, 1]))
    return rng.integers(0, largest + 1, (draw(st.integers(1, 3)), *net.input_shape)).astype(np.uint8)
