"""NIR graphs written by other tools, as floating-point networks of rate neurons.

Source: the nodes, their parameters and equations are those of nir 1.0.8, https://github.com/neuromorphs/NIR.
"""

import graphlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from lava_aug.conversion.composition import compact, per_channel
from lava_aug.core.errors import FileError, LavaAugError
from lava_aug.core.layers import Conv, Dense, Scale, Shape, Sparse, SumPool
from lava_aug.core.network import INPUT, Network
from lava_aug.core.neurons import RateNeuron, ReadoutNeuron
from lava_aug.core.texts import brief
from lava_aug.nir.nodes import Graph
from lava_aug.nir.signals import MAX_ELEMENTS, Signal, Signals

MAX_SIZE = 1 << 12
"""Largest window, stride, padding and dilation."""

MAX_DIMENSIONS = 8
"""Most dimensions of a shape."""


def network_of(graph: Graph, input_unit: float, dt: float) -> tuple[Network, list[str]]:
    """The network that a graph stands for, a time step being ``dt`` of its time, and what was assumed of it.

    Raises
    ------
    FileError
        If a node has no counterpart here; the message names it.
    """
    signals = Signals(graph, input_unit, dt)
    for name in _in_order(graph):
        try:
            _add(signals, name)
        except (LavaAugError, ArithmeticError, IndexError, KeyError, TypeError, ValueError) as error:
            text = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise FileError(f"node {name!r} ({graph.nodes[name].kind}): {text}") from error
    return signals.network(), _assumptions(graph, input_unit, dt)


def _add(signals: Signals, name: str) -> None:
    """Find what a node sends."""
    node = signals.graph.nodes[name]
    if node.kind == "Input":
        found = signals.sent(INPUT, _shape(node.fields["shape"]))
    elif node.kind in LINEAR:
        found = LINEAR[node.kind](signals, node.fields, signals.incoming(name))
    elif node.kind in NEURONS:
        found = NEURONS[node.kind](signals, name, node.fields, signals.incoming(name))
    else:
        raise FileError(f"unknown here; known are {sorted({'Input', *LINEAR, *NEURONS})}")
    signals.of[name] = found


def _in_order(graph: Graph) -> list[str]:
    """Names of the nodes, sources first."""
    for kind in ("Input", "Output"):
        count = sum(node.kind == kind for node in graph.nodes.values())
        if count != 1:
            raise FileError(f"expected one node of type {kind!r}, found {count}")
    before: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for source, target in graph.edges:
        before[target].append(source)
    try:
        return list(graphlib.TopologicalSorter(before).static_order())
    except graphlib.CycleError as error:
        raise FileError(f"expected a graph without cycles, found one through {sorted(set(error.args[1]))}") from None


def _assumptions(graph: Graph, input_unit: float, dt: float) -> list[str]:
    found = [f"one unit of input payload represents {input_unit:g} at the graph's input", *_gains(graph, dt)]
    if any(node.kind == "IF" for node in graph.nodes.values()):
        found.append("IF neurons fire at v >= v_threshold, which is then subtracted from v")
    if any(node.kind == "Flatten" for node in graph.nodes.values()):
        found.append("Flatten flattens all dimensions of a sample")
    return found


def _gains(graph: Graph, dt: float) -> list[str]:
    """What is said of r: some tools write 1 / dt, and leave it to the reader to know their dt."""
    values = [np.ravel(node.fields["r"]) for node in graph.nodes.values() if node.kind in ("I", "IF")]
    r = np.unique(np.concatenate(values)) if values else np.ones(0)
    if not (r * dt != 1).any():
        return []
    each = f"{r[0]:g}" if len(r) == 1 else f"{r[0]:g} to {r[-1]:g}"
    advice = f"; if the tool that wrote it has steps of 1 / r, give dt={1 / r[0]:g}" if len(r) == 1 else ""
    return [f"in each time step r * dt of the input current is added to v, with r = {each} and dt = {dt:g}{advice}"]


# Linear nodes

Fields = dict[str, Any]


def _shape(found: Any) -> Shape:
    values = np.ravel(np.asarray(found))
    # Its length first: a file may claim a shape of millions of dimensions.
    if not 1 <= values.size <= MAX_DIMENSIONS or values.dtype.kind not in "iu" or values.min() < 1:
        raise FileError(f"expected a shape of at most {MAX_DIMENSIONS} dimensions, found {brief(values)}")
    shape = tuple(values.tolist())
    if math.prod(shape) > MAX_ELEMENTS:
        raise FileError(f"expected a shape of at most {MAX_ELEMENTS:,} elements, found {shape}")
    return shape


def _numbers(found: Any, name: str, shape: Shape | None = None) -> NDArray[Any]:
    """A parameter as float64, of a shape if that is known."""
    values = np.asarray(found)
    if values.dtype.kind not in "iuf" or not values.size or not np.isfinite(values).all():
        raise FileError(f"{name}: expected finite numbers, found {values.dtype} of shape {values.shape}")
    if shape is not None and values.shape != shape:
        values = values.reshape(()) if values.size == 1 else values
        if values.shape:
            raise FileError(f"{name}: expected shape {shape}, found {values.shape}")
    return values.astype(np.float64)


def _pair(found: Any, name: str) -> tuple[int, int]:
    values = np.ravel(np.asarray(found))
    if values.dtype.kind not in "iu" or values.size not in (1, 2) or values.max() > MAX_SIZE:
        raise FileError(f"{name}: expected one or two integers of at most {MAX_SIZE:,}, found {brief(values)}")
    return int(values[0]), int(values[-1])


def _matrix(signals: Signals, fields: Fields, signal: Signal) -> Signal:
    weight = _numbers(fields["weight"], "weight")
    if weight.ndim != 2 or len(signal.shape) != 1:
        raise FileError(f"expected a matrix on one axis, found weights {weight.shape} on {signal.shape}; use Flatten")
    bias = _numbers(fields["bias"], "bias", weight.shape[:1]) if "bias" in fields else None
    return signals.through(signal, Dense(weight=weight), None if bias is None else _full(bias, len(weight)))


def _full(bias: NDArray[Any], channels: int) -> NDArray[Any]:
    return np.broadcast_to(bias, (channels,))


def _conv2d(signals: Signals, fields: Fields, signal: Signal) -> Signal:
    weight = _numbers(fields["weight"], "weight")
    stride, dilation = _pair(fields["stride"], "stride"), _pair(fields["dilation"], "dilation")
    return _convolved(signals, fields, signal, 3, weight, stride, dilation)


def _conv1d(signals: Signals, fields: Fields, signal: Signal) -> Signal:
    weight = _numbers(fields["weight"], "weight")
    stride, dilation = _pair(fields["stride"], "stride"), _pair(fields["dilation"], "dilation")
    return _convolved(signals, fields, signal, 2, weight[:, :, None], (1, stride[1]), (1, dilation[1]))


def _convolved(
    signals: Signals, fields: Fields, signal: Signal, ndim: int, weight: NDArray[Any], stride: Any, dilation: Any
) -> Signal:
    if len(signal.shape) != ndim or weight.ndim != 4:
        raise FileError(f"expected {ndim} dimensions and a kernel, found {signal.shape} and weights {weight.shape}")
    padding = _padding(fields["padding"], weight.shape[2:], stride, dilation)
    conv = Conv(
        weight=weight,
        stride=stride,
        dilation=dilation,
        padding=padding if ndim == 3 else (0, padding[1]),
        groups=_pair(fields["groups"], "groups")[0],
    )
    bias = _numbers(fields["bias"], "bias", weight.shape[:1]) if "bias" in fields else None
    return signals.through(signal, conv, None if bias is None else _full(bias, len(weight)))


def _padding(found: Any, window: Any, stride: Any, dilation: Any) -> tuple[int, int]:
    """Numbers, or torch's words: ``valid``, and ``same`` for windows that have a middle."""
    if not isinstance(found, str):
        return _pair(found, "padding")
    spans = [d * (k - 1) for k, d in zip(window, dilation, strict=True)]
    if found == "same" and tuple(stride) == (1, 1) and not any(span % 2 for span in spans):
        return spans[0] // 2, spans[1] // 2
    if found != "valid":
        raise FileError(
            f"padding: expected numbers, 'valid', or 'same' for odd windows and stride 1, found {brief(found)}"
        )
    return 0, 0


def _sum_pool(signals: Signals, fields: Fields, signal: Signal) -> Signal:
    names = ("kernel_size", "stride", "padding")
    size, stride, padding = (_pair(fields[name], name) for name in names)
    return signals.through(signal, SumPool(kernel_size=size, stride=stride, padding=padding))


def _average_pool(signals: Signals, fields: Fields, signal: Signal) -> Signal:
    """The sum, divided by the size of the window, padding included: torch's default."""
    found = _sum_pool(signals, fields, signal)
    factor = 1.0 / math.prod(_pair(fields["kernel_size"], "kernel_size"))
    terms = tuple(term._replace(factor=term.factor * factor) for term in found.terms)
    return found._replace(terms=terms, bias=None if found.bias is None else found.bias * factor)


def _scale(signals: Signals, fields: Fields, signal: Signal) -> Signal:
    scale = np.broadcast_to(_numbers(fields["scale"], "scale"), signal.shape)
    channels = per_channel(scale, signal.shape)
    if channels is not None:
        return signals.through(signal, Scale(weight=channels))
    diagonal = scipy.sparse.diags(scale.reshape(-1))
    return signals.through(signal, Sparse.from_scipy(diagonal, signal.shape))


def _flatten(signals: Signals, fields: Fields, signal: Signal) -> Signal:
    """All dimensions of a sample: from 0 if the batch is not counted, as in NIR, or from 1 if it is, as in torch."""
    start, end = (int(fields.get(name, default)) for name, default in (("start_dim", 1), ("end_dim", -1)))
    if start not in (0, 1) or end not in (-1, len(signal.shape) - 1, len(signal.shape)):
        raise FileError(f"expected to flatten all dimensions, found {start} to {end} of {signal.shape}")
    return signal._replace(
        shape=(math.prod(signal.shape),), bias=None if signal.bias is None else signal.bias.reshape(-1)
    )


LINEAR: dict[str, Callable[[Signals, Fields, Signal], Signal]] = {
    "Affine": _matrix,
    "AvgPool2d": _average_pool,
    "Conv1d": _conv1d,
    "Conv2d": _conv2d,
    "Flatten": _flatten,
    "Linear": _matrix,
    "Scale": _scale,
    "SumPool2d": _sum_pool,
}


# Neurons


def _integrate_and_fire(signals: Signals, name: str, fields: Fields, signal: Signal) -> Signal:
    """``dv/dt = r * I``: in units of ``r * dt``, the threshold is ``v_threshold / (r * dt)``."""
    r, vth = (_numbers(fields[key], key, signal.shape) for key in ("r", "v_threshold"))
    reset = _numbers(fields.get("v_reset", 0.0), "v_reset", signal.shape)
    if reset.any() or r.min() <= 0 or vth.min() <= 0:
        raise FileError(
            f"expected v_reset 0 and positive r and v_threshold, found v_reset from {reset.min():g} to "
            f"{reset.max():g}, r from {r.min():g}, v_threshold from {vth.min():g}"
        )
    scaled = compact(np.broadcast_to(vth / (r * signals.dt), signal.shape), signal.shape)
    one = scaled.flat[0]
    return signals.layer(name, signal, RateNeuron(vth=float(one) if (scaled == one).all() else scaled, v0=0.0))


def _integrator(signals: Signals, name: str, fields: Fields, signal: Signal) -> Signal:
    """In front of the output it is our readout."""
    behind = [signals.graph.nodes[target].kind for source, target in signals.graph.edges if source == name]
    if behind != ["Output"]:
        raise FileError(f"expected an integrator to go to the output, found {behind}")
    r = _numbers(fields["r"], "r", signal.shape)
    if (r != r.flat[0]).any():
        raise FileError("expected one r for all integrators of the readout")
    factor = float(r.flat[0]) * signals.dt
    terms = tuple(term._replace(factor=term.factor * factor) for term in signal.terms)
    return signal._replace(terms=terms, bias=None if signal.bias is None else signal.bias * factor)


def _output(signals: Signals, name: str, fields: Fields, signal: Signal) -> Signal:
    """Whatever comes out is added up over the time steps."""
    return signals.layer(name, signal, ReadoutNeuron(floating=True))


NEURONS: dict[str, Callable[[Signals, str, Fields, Signal], Signal]] = {
    "I": _integrator,
    "IF": _integrate_and_fire,
    "Output": _output,
}
