"""PyTorch model -> `Network`: threshold balancing, quantisation, and the neuron of the chosen method."""

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from torch import nn

from lava_aug import fixed_point
from lava_aug.calibration import Progress, as_intensity, balanced_thresholds, calibration_images
from lava_aug.errors import ConversionError, ConversionWarning, SpecError
from lava_aug.layers import Conv, Dense, Relay, SumPool, Synapse
from lava_aug.network import INPUT, INPUT_LEVELS, Connection, Layer, Network
from lava_aug.neurons import AugmentedNeuron, DoubleThresholdNeuron, Neuron, RateNeuron, ReadoutNeuron
from lava_aug.pooling import fold_pools
from lava_aug.quantize import MAX_SCALE, check_scale, integer_scale, power_of_two, rounded
from lava_aug.spec import is_int
from lava_aug.tracing import FloatLayer, trace

Method = Literal["augmapping", "termapping", "rate"]


@dataclasses.dataclass(frozen=True)
class Options:
    """What `convert` was asked for; see there."""

    method: str
    resolution: float
    weight_bits: int | None
    message_bits: int
    symmetric: bool
    v0: Literal["half", "zero"]
    power_of_two_vth: bool

    @property
    def is_float(self) -> bool:
        return self.weight_bits is None


@dataclasses.dataclass(frozen=True)
class _Method:
    """A conversion method: the neuron it uses, and the resolution that it takes unless told otherwise."""

    neuron: Callable[[Any, bool, Options], Neuron]
    resolution: float
    graded: bool


def _double_threshold(vth: Any, signed: bool, options: Options) -> dict[str, Any]:
    vth_lo = -vth if options.symmetric else None
    return {"vth": vth, "vth_lo": vth_lo, "v0": _start(options), "signed": signed}


def _start(options: Options) -> int | None:
    return 0 if options.v0 == "zero" else None


METHODS: dict[str, _Method] = {
    "augmapping": _Method(
        lambda vth, signed, options: AugmentedNeuron(
            **_double_threshold(vth, signed, options), message_bits=options.message_bits
        ),
        resolution=1 / 8,
        graded=True,
    ),
    "termapping": _Method(
        lambda vth, signed, options: DoubleThresholdNeuron(**_double_threshold(vth, signed, options)),
        resolution=1.0,
        graded=False,
    ),
    "rate": _Method(
        lambda vth, signed, options: RateNeuron(vth=vth, v0=_start(options)),
        resolution=1.0,
        graded=False,
    ),
}
"""Every conversion method by name."""


def convert(
    model: nn.Module,
    calibration: Any,
    method: Method = "augmapping",
    resolution: float | None = None,
    num_steps: int = 4,
    *,
    percentile: float = 99.9,
    weight_bits: int | None = fixed_point.WEIGHT_BITS,
    message_bits: int = fixed_point.MESSAGE_BITS,
    symmetric: bool = False,
    v0: Literal["half", "zero"] = "half",
    power_of_two_vth: bool = False,
    batch_size: int = 100,
    progress: Progress | None = None,
) -> Network:
    """Convert a trained PyTorch network to a spiking one.

    For layer l with balanced threshold ``lambda`` (the percentile of its output on calibration data) the quantum is
    ``theta = resolution * lambda``; weights and biases are scaled to it and rounded (`lava_aug.quantize`).

    Parameters
    ----------
    model : torch.nn.Module
        Trained on images in [0, 1] of shape (C, H, W) or (features,). It is not changed, and it makes no difference
        whether it is in training or evaluation mode. Supported are Linear, Conv2d, BatchNorm1d/2d after them, ReLU,
        AvgPool2d, AdaptiveAvgPool2d(1), Flatten, Dropout and Identity, in one chain.
    calibration : tensor, array or DataLoader
        Some hundred training images (B, *shape), uint8 or floating point in [0, 1].
    method : {"augmapping", "termapping", "rate"}
        Augmented, double-threshold or ordinary one-threshold neurons.
    resolution : float, optional
        Threshold / balanced threshold: 1 is plain threshold balancing, 1/8 makes spikes eight times finer. Default
        1/8 for AugMapping, 1 for the others, whose spikes cannot stand for more than one threshold per step.
    num_steps : int
        Time steps per image that the network takes unless told otherwise.
    percentile : float
        Percentile of the outputs that becomes the balanced threshold; 100 is the maximum.
    weight_bits : int or None
        Width of the signed weights, 2 .. 16; None makes a floating-point network.
    message_bits : int
        Width of the signed payload that carries a spike coefficient.
    symmetric : bool
        Whether ``vth_lo = -vth`` instead of -1.
    v0 : {"half", "zero"}
        Potential at the start of a window: ``vth // 2`` or 0.
    power_of_two_vth : bool
        Whether to round thresholds down to powers of two, which makes divisions shifts.
    batch_size : int
        Calibration images run through the model at once.
    progress : callable, optional
        Called with the number of finished calibration images and of all.

    Returns
    -------
    Network
        Integer weights, thresholds and biases (floats for ``weight_bits=None``), with a readout at the end.

    Raises
    ------
    ConversionError
        If the model holds something unsupported, or calibration data or options are not usable.

    Warns
    -----
    ConversionWarning
        If a layer is never active on the calibration images, or a resolution clips activations.

    Notes
    -----
    Threshold balancing, TerMapping and AugMapping: Yu, Ma et al., IEEE TNNLS 33(4), 2022. The rules for rounding,
    reset and lower threshold are our choice (docs/arithmetic.md).
    """
    options = _options(method, resolution, weight_bits, message_bits, symmetric, v0, power_of_two_vth)
    _check(_is_number(percentile) and 0 < percentile <= 100, "percentile", "a number above 0, at most 100", percentile)
    _check(is_int(batch_size) and batch_size >= 1, "batch_size", "an integer of at least 1", batch_size)
    images = calibration_images(calibration)
    graph = trace(model, as_intensity(images[:2]))
    input_shape = tuple(images.shape[1:])
    layers = graph.layers if METHODS[method].graded else fold_pools(graph.layers, input_shape)
    balanced = balanced_thresholds(
        graph.module,
        {layer.name: layer.node for layer in layers if isinstance(layer.synapse, (Conv, Dense))},
        images,
        percentile=percentile,
        batch_size=batch_size,
        progress=progress,
    )
    try:
        return Network(
            input_shape=input_shape,
            layers=_layers(layers, balanced, options),
            num_steps=num_steps,
            method=method,
            resolution=options.resolution,
        )
    except SpecError as error:
        raise ConversionError(str(error)) from error


def _check(fine: bool, name: str, expected: str, found: Any) -> None:
    if not fine:
        raise ConversionError(f"{name}: expected {expected}, found {found!r}")


def _is_number(value: Any) -> bool:
    return is_int(value) or isinstance(value, (float, np.floating))


def _options(
    method: Any, resolution: Any, weight_bits: Any, message_bits: Any, symmetric: Any, v0: Any, power_of_two_vth: Any
) -> Options:
    _check(method in METHODS, "method", f"one of {sorted(METHODS)}", method)
    resolution = METHODS[method].resolution if resolution is None else resolution
    _check(_is_number(resolution) and 0 < resolution < np.inf, "resolution", "a positive number", resolution)
    bits_fine = weight_bits is None or (is_int(weight_bits) and 2 <= weight_bits <= 16)
    _check(bits_fine, "weight_bits", "None or an integer from 2 to 16", weight_bits)
    _check(v0 in ("half", "zero"), "v0", "'half' or 'zero'", v0)
    if resolution < 1 and not METHODS[method].graded:
        warnings.warn(
            f"resolution {resolution:g} clips activations at {resolution:g} times the balanced threshold, since a "
            f"{method} neuron fires at most once per step; use 1, or method='augmapping'",
            ConversionWarning,
            stacklevel=3,
        )
    return Options(method, float(resolution), weight_bits, message_bits, bool(symmetric), v0, bool(power_of_two_vth))


def _layers(layers: list[FloatLayer], balanced: dict[str, tuple[float, float]], options: Options) -> tuple[Layer, ...]:
    quanta = {INPUT: 1 / INPUT_LEVELS}
    made = []
    for layer in layers[:-1]:
        build = _pool if isinstance(layer.synapse, SumPool) else _spiking
        theta = options.resolution * _threshold(layer, balanced)
        made.append(build(layer, quanta[layer.source], theta, options))
        quanta[layer.name] = made[-1].quantum
    last = layers[-1]
    return (*made, _readout(last, quanta[last.source], balanced.get(last.name, (0.0, 0.0))[1], options))


def _threshold(layer: FloatLayer, balanced: dict[str, tuple[float, float]]) -> float:
    """The balanced threshold; where more than the percentile of the outputs are zero, their maximum."""
    percentile, maximum = balanced.get(layer.name, (1.0, 1.0))
    if maximum <= 0:
        warnings.warn(
            f"layer {layer.name!r} is never active on the calibration images; its threshold is set to 1. "
            "Use more calibration images, or check the model",
            ConversionWarning,
            stacklevel=4,
        )
        return 1.0
    return percentile if percentile > 0 else maximum


def _spiking(layer: FloatLayer, quantum_in: float, theta: float, options: Options) -> Layer:
    """A layer whose one unit of coefficient stands for ``theta``."""
    if not layer.relu and options.method == "rate":
        raise ConversionError(
            f"layer {layer.name!r}: no ReLU follows, and rate neurons cannot send negative values; "
            "put a ReLU behind it, or use method='termapping' or 'augmapping'"
        )
    finest = max(1, int(MAX_SCALE * min(1.0, options.resolution)))  # room for 1 / resolution thresholds in one step
    scale, synapse, bias = _scaled(layer, quantum_in / theta, 1 / theta, finest, options)
    if options.power_of_two_vth and not options.is_float:
        scale, synapse, bias = _scaled(layer, quantum_in / theta, 1 / theta, power_of_two(int(scale)), options)
    return Layer(
        name=layer.name,
        connections=(Connection(layer.source, synapse),),
        neuron=METHODS[options.method].neuron(scale, not layer.relu, options),
        quantum=theta,
        bias=bias,
        note=_note(layer),
    )


def _scaled(
    layer: FloatLayer, factor: float, bias_factor: float, finest: int, options: Options
) -> tuple[int | float, Synapse, np.ndarray | None]:
    """Scale (the threshold, up to ``finest``), synapse and bias in the network's number format."""
    bias = None if layer.bias is None else layer.bias * bias_factor
    if not isinstance(layer.synapse, (Conv, Dense)):
        raise ConversionError(f"layer {layer.name!r}: {layer.synapse.describe()} has no weights to scale")
    weight = layer.synapse.weight.astype(np.float64) * factor
    if not np.isfinite(weight).all() or (bias is not None and not np.isfinite(bias).all()):
        raise ConversionError(f"layer {layer.name!r}: weights or biases are NaN or infinite")
    if options.weight_bits is None:
        return 1.0, layer.synapse.replace(weight=weight), bias
    scale = check_scale(integer_scale(weight, bias, options.weight_bits, finest), layer.name)
    synapse = layer.synapse.replace(weight=rounded(weight, scale))
    return scale, synapse, None if bias is None else rounded(bias, scale)


def _pool(layer: FloatLayer, quantum_in: float, theta: float, options: Options) -> Layer:
    """Average pooling: a graded relay of exact sums, or the method's own neuron, whose threshold is the largest sum."""
    signed, method = not layer.relu, METHODS[options.method]
    largest = int(layer.synapse.weight_sum) * (INPUT_LEVELS if layer.source == INPUT else 1)
    vth = 1 if method.graded else largest
    threshold = float(vth) if options.is_float else vth
    return Layer(
        name=layer.name,
        connections=(Connection(layer.source, layer.synapse),),
        neuron=_relay(threshold, signed, options) if method.graded else method.neuron(threshold, signed, options),
        quantum=quantum_in * vth / layer.divisor,
    )


def _relay(vth: int | float, signed: bool, options: Options) -> Neuron:
    return AugmentedNeuron(vth=vth, v0=0, signed=signed, message_bits=options.message_bits)


READOUT_STEPS = 256
"""Time steps for which the readout's 24 bits must last, at the largest logit that calibration images gave."""


def _readout(layer: FloatLayer, quantum_in: float, largest: float, options: Options) -> Layer:
    """The last layer integrates: one unit of its ``v`` stands for ``quantum``."""
    if isinstance(layer.synapse, (Conv, Dense)):
        unit = float(np.abs(layer.synapse.weight).max()) * quantum_in or 1.0
        room = unit * fixed_point.signed_range(fixed_point.STATE_BITS)[1] / READOUT_STEPS
        finest = MAX_SCALE if largest == 0 else max(1, int(min(MAX_SCALE, room / largest)))
        scale, synapse, bias = _scaled(layer, quantum_in / unit, 1 / unit, finest, options)
        quantum = unit / scale
    else:
        synapse, bias, quantum = layer.synapse, None, quantum_in / layer.divisor
    assert isinstance(synapse, (Conv, Dense, SumPool, Relay))
    return Layer(
        name=layer.name,
        connections=(Connection(layer.source, synapse),),
        neuron=ReadoutNeuron(floating=options.is_float),
        quantum=quantum,
        bias=bias,
        note=_note(layer),
    )


def _note(layer: FloatLayer) -> str | None:
    return f"{', '.join(layer.folded)} folded in" if layer.folded else None
