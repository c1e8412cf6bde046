"""Biases that vary with the position, for formats that have one bias per channel.

Normalisation before a padded convolution makes such biases: padding adds zeros to the *normalised* image, so that at an
edge less of ``-mean / std`` arrives. A convolution of an image that is 1 everywhere differs from place to place in the
same way. So the images get one more channel, which is 1 everywhere, and the layer's bias becomes

    bias[c, y, x] = base[c] + sum over the window of kernel[c, i, j] * 1        (padding adds nothing)

with integer kernels. At most one equation stands for each way in which an edge cuts the window, which are less than the
kernel has elements, and in each direction every equation sums a run of neighbours. Matrices of such runs of ones are
totally unimodular, so where there is a solution there is one in integers, and it is exact.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.core.errors import NetworkError
from lava_aug.core.layers import Conv, Dense, Relay, Scale, Shape, Sparse, SumPool, Synapse
from lava_aug.core.network import INPUT, Connection, Layer, Network


def differs_by_place(value: Any, shape: Shape) -> bool:
    """Whether a number or array is not the same all over a channel."""
    whole = np.broadcast_to(np.asarray(value), shape).reshape(shape[0], -1)
    return bool((whole != whole[:, :1]).any())


def with_constant_channel(net: Network) -> Network:
    """The same network with biases that are the same all over a channel.

    If that takes a constant, the network has one input channel more, the last one, which must be 1 everywhere.

    Raises
    ------
    NetworkError
        If a layer's bias cannot be made up from such a channel, or a layer cannot leave it out; it names the layer.
    """
    affected = [layer.name for layer in net if _has_place_bias(net, layer)]
    if not affected:
        return net
    layers = [_widened(net, layer) for layer in net]
    shape = (net.input_shape[0] + 1, *net.input_shape[1:])
    layers = [_moved(net, layer) if layer.name in affected else layer for layer in layers]
    return net.replace(input_shape=shape, layers=tuple(layers), normalize=None)


def _has_place_bias(net: Network, layer: Layer) -> bool:
    return layer.bias is not None and differs_by_place(layer.bias, net.current_shapes[layer.name])


# One more channel


def _conv(weight: NDArray[Any], **geometry: Any) -> Conv:
    """A convolution without groups, and with zeros for one more channel."""
    return Conv(weight=np.pad(weight, [(0, 0), (0, 1), (0, 0), (0, 0)]), **geometry)


def _geometry(synapse: Any) -> dict[str, Any]:
    return {name: getattr(synapse, name) for name in ("stride", "padding", "dilation")}


def _widened_dense(dense: Dense, wide: Shape) -> Dense | None:
    if dense.weight.shape[1] != math.prod(wide):
        return None  # along the last axis
    return dense.replace(weight=np.pad(dense.weight, [(0, 0), (0, math.prod(wide[1:]))]))


WIDENED: dict[type[Synapse], Callable[[Any, Shape], Synapse | None]] = {
    Conv: lambda synapse, wide: _conv(synapse.ungrouped().weight, **_geometry(synapse)),
    Dense: _widened_dense,
    Sparse: lambda synapse, wide: synapse,
    Relay: lambda synapse, wide: _conv(np.eye(wide[0], dtype=np.int8)[:, :, None, None]),
    Scale: lambda synapse, wide: _conv(synapse.channel_matrix[:, :, None, None]),
    SumPool: lambda synapse, wide: _conv(
        np.eye(wide[0], dtype=np.int8)[:, :, None, None] * np.ones(synapse.window, np.int8), **_geometry(synapse)
    ),
}
"""How a synapse of a type leaves out one more channel, the last one, if it can; ``wide`` is its shape without."""


def _widened(net: Network, layer: Layer) -> Layer:
    if all(connection.source != INPUT for connection in layer.connections):
        return layer
    return layer.replace(connections=tuple(_leaving_out(net, layer, connection) for connection in layer.connections))


def _leaving_out(net: Network, layer: Layer, connection: Connection) -> Connection:
    source, synapse = connection
    if source != INPUT:
        return connection
    form = WIDENED.get(type(synapse))
    widened = None if form is None else form(synapse, net.input_shape)
    if widened is None:
        raise NetworkError(f"layer {layer.name!r}: a {synapse.type_name} layer cannot leave out a constant channel")
    return Connection(source, widened)


# The bias as a convolution of ones


def _moved(net: Network, layer: Layer) -> Layer:
    """A layer whose bias comes from the constant channel."""
    full = np.broadcast_to(np.asarray(layer.bias), net.current_shapes[layer.name])
    for place, (source, synapse) in enumerate(layer.connections):
        if source == INPUT and type(synapse) in SOLVED and full.ndim == len(net.input_shape):
            solution = SOLVED[type(synapse)](synapse, net.input_shape, full)
            if solution is not None:
                base, made = solution[0], Connection(INPUT, solution[1])
                connections = (*layer.connections[:place], made, *layer.connections[place + 1 :])
                return layer.replace(connections=connections, bias=base.reshape(-1, *[1] * (full.ndim - 1)))
    raise NetworkError(
        f"layer {layer.name!r}: its bias varies with the position, and no padded convolution of the images, with at "
        "most half its window beyond an edge, can compensate for that"
    )


def _solved(synapse: Conv, wide: Shape, bias: NDArray[Any]) -> tuple[NDArray[Any], Conv] | None:
    """The base of a bias, and the convolution that makes the rest; None if it is no convolution of ones."""
    size = (1, 1, *wide[1:])[-2:]
    maps = bias.reshape(len(bias), *(1, *bias.shape[1:])[-2:]).astype(np.float64)
    rows, columns = (
        _cut(length, out, *(getattr(synapse, name)[axis] for name in ("window", "stride", "padding", "dilation")))
        for axis, (length, out) in enumerate(zip(size, maps.shape[1:], strict=True))
    )
    base = maps[:, rows.sum(axis=1).argmax(), columns.sum(axis=1).argmax()]  # where the window is cut least
    left, used_left = _inverse(rows)
    right, used_right = _inverse(columns)
    kernel = np.zeros((len(bias), rows.shape[1], columns.shape[1]))
    kernel[:, used_left[:, None], used_right] = left @ (maps - base[:, None, None]) @ right.T
    if bias.dtype.kind != "f":
        kernel, base = np.rint(kernel).astype(np.int64), np.rint(base).astype(np.int64)
    made = base[:, None, None] + rows @ kernel @ columns.T
    fine = (
        np.allclose(made, maps, rtol=1e-5, atol=1e-5 * np.abs(maps).max()) if bias.dtype.kind == "f" else made == maps
    )
    weight = np.concatenate([synapse.weight[:, :-1], kernel[:, None]], axis=1)
    return (base, synapse.replace(weight=weight)) if np.all(fine) else None


SOLVED: dict[type[Synapse], Callable[[Any, Shape, NDArray[Any]], tuple[NDArray[Any], Synapse] | None]] = {Conv: _solved}
"""How a synapse of a type makes up for a bias."""


def _cut(length: int, out: int, window: int, stride: int, padding: int, dilation: int) -> NDArray[Any]:
    """Which elements of the window are on the map, for each place: ``(out, window)`` of 0 and 1."""
    places = np.arange(out)[:, None] * stride - padding + np.arange(window) * dilation
    return ((places >= 0) & (places < length)).astype(np.float64)


def _inverse(cut: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """What gives elements of the window from sums over them at every place, and which elements that are."""
    from scipy import linalg

    factorization: Any = linalg.qr(cut, mode="economic", pivoting=True)
    _, triangle, order = factorization
    rank = int((np.abs(np.diag(triangle)) > 1e-9).sum())
    used = np.sort(order[:rank])
    return np.linalg.pinv(cut[:, used]), used
