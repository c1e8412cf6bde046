"""A converted network as a stock Sigma-Delta network, in a file that lava-dl's unmodified netx loads.

What such a network computes is in `lava_aug.netx.simulation`, how weights and scales follow in
`lava_aug.netx.requantization`.
Further::

    readout     netx's has no bias. A constant channel, with weights 0 and a bias, is added to the last layer that has
                weights, and the readout's weights from one of its neurons make up its biases:
                round(bias * gain / what that neuron sends) (`lava_aug.netx.preparing`).
    pooling     netx has none. A sum over windows is a convolution with equal weights in as many groups as channels;
                its weights lose nothing, whatever the scale, so it also adapts the scale.
    axes        in the file as in ours: (C, H, W) and (O, I, H, W). netx turns and flips them.
"""

import dataclasses
import math
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.constant_channel import with_constant_channel
from lava_aug.core.errors import InputError, NetworkError
from lava_aug.core.files import check_output
from lava_aug.core.images import check_network, payloads
from lava_aug.core.layers import Conv, Dense
from lava_aug.core.network import INPUT_LEVELS, Layer, Network
from lava_aug.core.spec import is_number
from lava_aug.core.tables import Table, Tabular
from lava_aug.core.texts import counted
from lava_aug.netx.foreign import NetxNetwork
from lava_aug.netx.hdf5 import stored
from lava_aug.netx.layers import NetxConv, NetxDense, NetxFlatten, NetxInput, NetxLayer, NetxWeighted, SigmaDelta
from lava_aug.netx.preparing import HEADROOM, check_exportable, float_layers, windowed, with_constant
from lava_aug.netx.requantization import (
    INPUT_GAIN,
    MAX_MESSAGE,
    MAX_STATE,
    FloatLayer,
    choose_gains,
    fitted,
    is_kept,
    readout_scale,
    relative_error,
)

ATTEMPTS, LESS = 64, 0.95
"""How often a scale that does not fit is made smaller, and by which factor."""


@dataclasses.dataclass(frozen=True)
class RequantizedLayer:
    """The result of requantising one layer.

    Attributes
    ----------
    name : str
        The layer.
    gain : float
        Messages per unit of our spike coefficient (readout: per unit of ``v``).
    largest_weight, previous_weight : int
        Largest magnitude of its integer weights after and before.
    weight_error, bias_error : float
        Root of the squared rounding error of the weights relative to them; largest error of a bias relative to the
        largest activation.
    largest_message : int
        The largest supported activation as a message (readout: the largest sum).
    threshold : int
        ``vThMant``: changes smaller than 64 times this are not sent.
    """

    name: str
    gain: float
    largest_weight: int
    previous_weight: int
    weight_error: float
    bias_error: float
    largest_message: int
    threshold: int


@dataclasses.dataclass(frozen=True, repr=False)
class NetxExport(Tabular):
    """The result of `export`.

    Attributes
    ----------
    network : NetxNetwork
        What was written; `simulate` of it agrees bit for bit with `run`, which is netx on Lava.
    layers : tuple of RequantizedLayer
        The requantised layers.
    notes : tuple of str
        Remarks about the file.
    """

    network: NetxNetwork
    layers: tuple[RequantizedLayer, ...]
    notes: tuple[str, ...]

    def _facts(self) -> str:
        return f"{counted(len(self.layers), 'layer')} as a Sigma-Delta network"

    def tables(self) -> list[Table]:
        """The effect of requantisation, layer by layer."""
        head = ["layer", "weights", "before", "weight error (%)", "bias error (%)", "largest message", "vThMant"]
        return [Table(head, [_row(layer) for layer in self.layers], "requantised for a Sigma-Delta network")]


def _row(layer: RequantizedLayer) -> list[str]:
    return [
        layer.name,
        f"±{layer.largest_weight}",
        f"±{layer.previous_weight}",
        f"{100 * layer.weight_error:.2f}",
        f"{100 * layer.bias_error:.2f}",
        f"{layer.largest_message:,}",
        str(layer.threshold),
    ]


def export(net: Network, path: str | os.PathLike[str], *, images: Any = None, threshold: float = 0.0) -> NetxExport:
    """Write a network as a stock Sigma-Delta file, which the unmodified ``lava.lib.dl.netx.hdf5.Network`` runs.

    Each layer of spiking neurons is replaced by the ReLU that it represents, and sends only changes. So the conversion
    method and the number of steps do not matter.

    Parameters
    ----------
    net : Network
        A sequential fixed-point network: convolutions, average pooling and dense layers.
    path : path
        The file to write, atomically.
    images : array or tensor, shape (B, *net.input_shape), optional
        Typical images, on which the ranges are measured. Without them, the ranges follow from the balanced thresholds
        of the conversion (`HEADROOM` times those), or from the worst case if the network was not converted.
    threshold : float, optional
        Changes smaller than this fraction of a layer's largest activation are not sent (until they add up to it); from
        0, all changes, to below 1. The input sends all changes.

    Returns
    -------
    NetxExport
        The network that was written, and the effect of requantisation on each layer.

    Raises
    ------
    NetworkError
        If stock netx cannot express the network; the message names the layer.
    InputError
        If images or threshold are invalid.
    FileError
        If the file cannot be written.
    """
    check_network(net)
    if not is_number(threshold) or not 0 <= threshold < 1:
        raise InputError(f"threshold: expected a number from 0 to below 1, found {threshold!r}")
    check_output(path)
    made = requantized(net, images, threshold)
    made.network.write(path)
    return made


def requantized(net: Network, images: Any = None, threshold: float = 0.0) -> NetxExport:
    """What `export` would write."""
    x = None if images is None else payloads(net, images)
    check_exportable(net)
    plain, net = net, with_constant_channel(net)
    layers = float_layers(net, x, constant=net is not plain)
    gains = choose_gains(layers)
    made: list[NetxWeighted] = []
    reports: list[RequantizedLayer] = []
    gain = INPUT_GAIN
    for layer, float_layer, wanted in zip(plain.layers[:-1], layers, gains, strict=False):
        stock, report = _hidden(net, layer, float_layer, wanted, gain, threshold)
        made, reports, gain = [*made, stock], [*reports, report], report.gain
    made, report = _readout(net, layers[-1], made, gain)
    first = NetxInput(shape=net.input_shape, neuron=SigmaDelta(vth=0))
    network = NetxNetwork(layers=_flattened([first, *made]), exported=True, constant=net is not plain)
    return NetxExport(network, (*reports, report), tuple(_notes(network, net, images is not None)))


# Layers of the stock network

AS_NETX: dict[type, type[NetxWeighted]] = {Conv: NetxConv, Dense: NetxDense}
"""Layers of stock networks by our synapses, whose parameters have the same names."""


def _flattened(layers: list[NetxLayer]) -> tuple[NetxLayer, ...]:
    """Layers with a layer of type flatten before each dense one behind a map."""
    made: list[NetxLayer] = []
    for layer in layers:
        if isinstance(layer, NetxDense) and len(made[-1].shape) > 1:
            made.append(NetxFlatten(shape=(math.prod(made[-1].shape), 1, 1)))
        made.append(layer)
    return tuple(made)


def _hidden(
    net: Network, layer: Layer, float_layer: FloatLayer, wanted: float, before: float, threshold: float
) -> tuple[NetxWeighted, RequantizedLayer]:
    weight, gain = _rounded(layer, float_layer, wanted, before)
    beta, bias_error = None, 0.0
    if float_layer.constant is not None:
        exact = float_layer.constant * gain / INPUT_GAIN
        beta = np.rint(exact).astype(np.int64)
        bias_error = float(np.abs(beta - exact).max()) * INPUT_GAIN / (gain * float_layer.reach)
    v_th = round(threshold * gain * float_layer.reach / INPUT_GAIN)
    synapse = windowed(net[layer.name].connections[0].synapse, net.shapes[layer.connections[0].source])
    parameters = dict(stored(synapse.replace(weight=weight)))
    shape, neuron = net.shapes[layer.name], SigmaDelta(vth=v_th)
    stock = AS_NETX[type(synapse)](**parameters, shape=shape, bias=beta, neuron=neuron)
    error = relative_error(float_layer.matrix, weight, INPUT_GAIN * gain / before)
    return stock, _report(layer, weight, error, gain, bias_error, gain * float_layer.reach, v_th)


def _report(
    layer: Layer, weight: NDArray[Any], error: float, gain: float, bias_error: float, message: float, v_th: int = 0
) -> RequantizedLayer:
    """What the weights of a layer have become, from their squared error."""
    largest, previous = int(np.abs(weight).max()), int(layer.connections[0].synapse.largest_weight)
    return RequantizedLayer(layer.name, gain, largest, previous, math.sqrt(error), bias_error, round(message), v_th)


def _rounded(layer: Layer, float_layer: FloatLayer, wanted: float, before: float) -> tuple[NDArray[Any], float]:
    """Integer weights near the wanted gain, and the gain that they have."""
    for _ in range(ATTEMPTS):
        weight, r = fitted(float_layer.matrix, INPUT_GAIN * wanted / before)
        gain = r * before / INPUT_GAIN
        if (
            is_kept(weight)
            and gain * float_layer.reach <= MAX_MESSAGE
            and INPUT_GAIN * gain * float_layer.swing <= MAX_STATE
        ):
            return weight, gain
        wanted *= LESS
    raise _no_weights(layer)


def _readout(
    net: Network, float_layer: FloatLayer, made: list[NetxWeighted], gain: float
) -> tuple[list[NetxWeighted], RequantizedLayer]:
    """All layers of the stock network: those made, which get a constant if there is a bias, and the readout."""
    wanted = readout_scale(float_layer, gain)
    for _ in range(ATTEMPTS):
        weight, scale = fitted(float_layer.matrix, wanted)
        layers, whole, bias_error = _biased(net, float_layer, made, weight, scale * gain)
        if weight.any() and is_kept(whole):
            break
        wanted *= LESS
    else:
        raise _no_weights(net.readout)
    error, gain = relative_error(float_layer.matrix, weight, scale), scale * gain
    report = _report(net.readout, weight, error, gain, bias_error, gain * float_layer.swing)
    neuron = SigmaDelta(vth=0, sums=True)
    return [*layers, NetxDense(weight=whole, shape=net.shapes[net.readout.name], neuron=neuron)], report


def _biased(
    net: Network, float_layer: FloatLayer, made: list[NetxWeighted], weight: NDArray[Any], gain: float
) -> tuple[list[NetxWeighted], NDArray[Any], float]:
    """Layers and the readout's weights with a constant, if it has a bias, and the bias's relative error."""
    if float_layer.constant is None or not float_layer.constant.any():
        return made, weight, 0.0
    layers, weight, error = with_constant(net, made, weight, float_layer.constant * gain)
    return layers, weight, error / (gain * float_layer.swing)


def _no_weights(layer: Layer) -> NetworkError:
    return NetworkError(
        f"layer {layer.name!r}: no 8-bit weights keep its messages within 16 bits and its sums within 24; "
        "give typical images, from which the ranges are taken"
    )


def _notes(network: NetxNetwork, net: Network, measured: bool) -> list[str]:
    """What to know about a file."""
    source = "ranges measured on images" if measured else f"ranges taken from {_origin(net)}; images make them exact"
    late = counted(network.depth, "time step")
    return [
        f"an image's answer is there {late} after it; images can follow each other every step",
        *([f"images have an additional last channel, which is {INPUT_LEVELS} everywhere"] * network.constant),
        f"pixels 0 .. {INPUT_LEVELS} go into net.in_layer.neuron.a_in, in Lava's order (width, height, channels)",
        source,
    ]


def _origin(net: Network) -> str:
    return "the worst case" if net.method == "custom" else f"{HEADROOM:g} times the balanced thresholds"
