"""PyTorch model -> `Network`: threshold balancing, quantisation, and the neuron of the chosen method."""

import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any, Literal

from numpy.typing import NDArray

from lava_aug.conversion.building import Builder
from lava_aug.conversion.calibration import (
    PERCENTILE,
    Calibration,
    Range,
    as_intensity,
    best_thresholds,
    calibration_images,
    measure,
)
from lava_aug.conversion.channel_sizes import own_thresholds
from lava_aug.conversion.correcting import chosen, corrected_layers
from lava_aug.conversion.fineness import bounded_quanta
from lava_aug.conversion.float_layers import FloatGraph
from lava_aug.conversion.methods import METHODS, Options, check
from lava_aug.conversion.models import joint_inputs
from lava_aug.conversion.onnx_files import Model, as_module
from lava_aug.conversion.reach import within_reach
from lava_aug.conversion.signals import FloatLayer
from lava_aug.conversion.tracing import trace
from lava_aug.conversion.trying import tried
from lava_aug.core import fixed_point
from lava_aug.core.errors import ConversionError, ConversionWarning, SpecError
from lava_aug.core.images import Images, Progress
from lava_aug.core.network import Head, Layer, Network
from lava_aug.core.normalization import Normalization, normalization
from lava_aug.core.spec import is_int, is_number

Method = Literal["augmapping", "termapping", "rate"]


def convert(
    model: Model,
    calibration: Images,
    method: Method = "augmapping",
    resolution: float | None = None,
    num_steps: int = 4,
    *,
    normalize: tuple[Any, Any] | Normalization | None = None,
    layer_resolutions: Mapping[str, float] | None = None,
    percentile: float = PERCENTILE,
    balance: Literal["percentile", "search"] = "percentile",
    thresholds: Literal["layer", "channel"] = "layer",
    weight_scales: Literal["layer", "channel"] = "channel",
    quality: Literal["best", "fast"] = "best",
    weight_bits: int | None = fixed_point.WEIGHT_BITS,
    message_bits: int | None = None,
    symmetric: bool = False,
    v0: Literal["half", "zero"] = "half",
    power_of_two_vth: bool = False,
    batch_size: int = 100,
    progress: Progress | None = None,
) -> Network:
    """Convert a trained PyTorch network to a spiking one.

    For layer l with balanced threshold ``lambda`` (the percentile of its output on calibration data) the quantum is
    ``theta = resolution * lambda``; weights and biases are scaled to it and rounded (`lava_aug.conversion.quantize`).

    Parameters
    ----------
    model : torch.nn.Module or path
        Trained on images in [0, 1] of shape (C, H, W) or (features,). It is not modified, and may be in training or
        evaluation mode. The path of an ONNX file stands for its model (``pip install 'lava-aug[onnx]'``). Any
        feed-forward graph of the operations listed in docs/conversion.md: convolutions, linear layers, batch
        normalisation, ReLU and its variants, pooling, sums, concatenation.
    calibration : Images
        A few hundred training images, uint8 or floating point in [0, 1], as for `lava_aug.simulate`. Of a data set, a
        DataLoader or another iterable, however long, a sample of at most 2,048 images or 1 GiB is kept, the same one
        in every conversion.
    method : {"augmapping", "termapping", "rate"}
        Augmented, double-threshold or ordinary one-threshold neurons.
    resolution : float, optional
        Threshold / balanced threshold: 1 is plain threshold balancing, 1/8 makes spikes eight times finer. The default
        for AugMapping is the coarsest of 1/8, 1/64 and 1/512 with which the outputs correlate with the model's by 0.99
        on calibration images (`Network.fidelity`), or else the one with which they correlate most; for the others it is
        1, since their spikes cannot represent more than one threshold per step.
    num_steps : int
        Default number of time steps per image, 1 .. 65,536. The readout has headroom for this number of steps with
        twice the logits of the calibration images; more steps may clip it.
    normalize : (mean, std), optional
        The normalisation of the model's images, ``(x - mean) / std`` of images in [0, 1]: numbers, or one per channel.
        It is folded into the first layer, including padding, so that the network takes raw images, and is stored as
        ``Network.normalize`` for functions that also run the model (`lava_aug.diagnose`).
    layer_resolutions : mapping of str to float, optional
        Resolutions of individual layers, by name, instead of ``resolution``.
    percentile : float
        Percentile of the outputs used as the balanced threshold; 100 is the maximum.
    balance : {"percentile", "search"}
        "search" chooses, in TerMapping and rate networks, the threshold with the least squared error over ``num_steps``
        steps, and, for all methods, the weight scale with the least rounding error (it may clip a few weights).
    thresholds : {"layer", "channel"}
        Whether all channels of a layer share one balanced threshold.
    weight_scales : {"layer", "channel"}
        Whether all channels of a layer share one integer threshold, and with it the quantisation step of their weights.
        "channel" (per-channel quantisation) is more precise where the channels' magnitudes differ, as after batch
        normalisation in depthwise convolutions.
    quality : {"best", "fast"}
        "best" rounds layer by layer, in view of what the rounded layers before send on calibration images: the weights
        together, so that their sums, and not they themselves, are nearest to the model's (GPTQ), and the biases so that
        each channel's mean input is the model's. "fast" rounds each number to the nearest.
    weight_bits : int or None
        Bit width of the signed weights, 2 .. 16; None makes a floating-point network.
    message_bits : int, optional
        Bit width of the signed payload that carries a spike coefficient, 2 .. 24. By default each layer has as many as
        four times the coefficients of the calibration images need.
    symmetric : bool
        Whether ``vth_lo = -vth`` instead of -1.
    v0 : {"half", "zero"}
        Membrane potential at the start of a window: ``vth // 2`` or 0.
    power_of_two_vth : bool
        Whether to round thresholds down to powers of two, which turns divisions into shifts.
    batch_size : int
        Calibration images between two calls of ``progress``. It has no other effect: the number of images per forward
        pass is derived from the model's size, so that the network does not depend on ``batch_size``.
    progress : callable, optional
        Called with the number of finished calibration images and their total; before, while a stream is read, with the
        number of images read, and of all, as far as that is known.

    Returns
    -------
    Network
        Integer weights, thresholds and biases (floats for ``weight_bits=None``), with a readout at the end;
        `Network.fidelity` says how near it is to the model on calibration images.

    Raises
    ------
    ConversionError
        If the model contains unsupported operations (the message lists all of them), or calibration data or options are
        invalid.
    FileError
        If ``model`` is a path, and there is no ONNX file.

    Warns
    -----
    ConversionWarning
        If a layer is never active on the calibration images, a resolution clips activations, weights keep no more than
        half of their bits, or potentials or spikes overflow on some of the calibration images.

    Notes
    -----
    Threshold balancing, TerMapping and AugMapping: Yu, Ma et al., IEEE TNNLS 33(4), 2022. The rules for rounding,
    reset and lower threshold are our choice (docs/arithmetic.md).
    """
    options = Options(
        method=method,
        resolution=resolution,
        num_steps=num_steps,
        thresholds=thresholds,
        weight_scales=weight_scales,
        balance=balance,
        quality=quality,
        weight_bits=weight_bits,
        message_bits=message_bits,
        symmetric=bool(symmetric),
        v0=v0,
        power_of_two_vth=bool(power_of_two_vth),
        layer_resolutions=dict(layer_resolutions or {}),
    )
    if options.clips:
        warnings.warn(
            f"resolution {options.resolution:g} clips activations at {options.resolution:g} times the balanced "
            f"threshold, since a {method} neuron fires at most once per step; use 1, or method='augmapping'",
            ConversionWarning,
            stacklevel=2,
        )
    check(is_number(percentile) and 0 < percentile <= 100, "percentile", "a number above 0, at most 100", percentile)
    check(is_int(batch_size) and batch_size >= 1, "batch_size", "an integer of at least 1", batch_size)
    images, _, inputs = calibration_images(calibration, progress)
    model = as_module(model, inputs)
    transform = checked_normalization(normalize, images.shape[1])
    graph = trace(model, as_intensity(images[[0, -1]]), METHODS[method].needs, transform)
    data = Calibration(images, percentile, options.thresholds == "channel", batch_size, progress)
    whole, (graph, ranges) = graph, within_reach(graph, measure(graph, data), data)
    balanced = {name: measured.percentile for name, measured in ranges.items()}
    if options.search and not METHODS[method].needs.graded:
        balanced = best_thresholds(graph, ranges, data, num_steps)
    if METHODS[method].needs.graded:
        balanced |= own_thresholds(graph.layers, ranges, graph.shapes, _operands(graph))
    names = [layer.name for layer in graph.layers]
    unknown = sorted(set(options.layer_resolutions) - set(names))
    check(not unknown, "layer_resolutions", f"names among {names}", unknown)
    taken = {"inputs": joint_inputs(model), "normalize": transform}
    found: list[tuple[Network, tuple[str, ...]]] = []
    for finer in FINER if resolution is None and not layer_resolutions and METHODS[method].needs.graded else (1,):
        finer_options = dataclasses.replace(options, resolution=options.resolution_of("") / finer)
        found.append(_network(graph, _builder(graph, ranges, balanced, finer_options), images, whole, **taken))
        if _is_near(found[-1][0]):
            break
    net, remarks = max(found, key=lambda one: one[0].fidelity.correlation if one[0].fidelity else 0.0)
    for remark in remarks:
        warnings.warn(remark, ConversionWarning, stacklevel=2)
    return net


FINER = (1, 8, 64)
"""How much finer than the method's own resolution spikes may be, unless a resolution is asked for."""

NEAR = 0.99
"""Correlation with the model on calibration images that is enough."""


def _is_near(net: Network) -> bool:
    return net.fidelity is not None and net.fidelity.correlation >= NEAR


def _operands(graph: FloatGraph) -> set[str]:
    """Layers whose spikes are multiplied with others."""
    return {source for layer in graph.layers if layer.activation.product for source in layer.sources}


def _builder(
    graph: FloatGraph, ranges: Mapping[str, Range], balanced: Mapping[str, NDArray[Any]], options: Options
) -> Builder:
    bounds = bounded_quanta(graph.layers, graph.shapes, ranges, balanced, options)
    return Builder(graph.shapes, ranges, balanced, options, bounds, _operands(graph))


def _network(
    graph: FloatGraph, builder: Builder, images: NDArray[Any], whole: FloatGraph, **taken: Any
) -> tuple[Network, tuple[str, ...]]:
    """The network, with what it takes, and what the user should be warned about; ``whole`` are the model's layers."""
    options = builder.options
    try:
        net = Network(
            input_shape=graph.input_shape,
            layers=_layers(graph, builder, images),
            num_steps=options.num_steps,
            method=options.method,
            resolution=options.resolution_of(""),
            heads=tuple(Head(*head) for head in graph.heads),
            **taken,
        )
    except SpecError as error:
        raise ConversionError(str(error)) from error
    net, problems = tried(net, whole, images)
    return net, (*builder.remarks, *problems)


def _layers(graph: FloatGraph, builder: Builder, images: NDArray[Any]) -> tuple[Layer, ...]:
    *_, readout = graph.layers

    def made(layer: FloatLayer) -> Layer:
        return builder.readout(layer) if layer is readout else builder.layer(layer)

    if not builder.options.corrects:
        return tuple(map(made, graph.layers))
    return corrected_layers(graph, as_intensity(chosen(images, graph)), made, builder)


def checked_normalization(normalize: Any, channels: int) -> Normalization | None:
    """The normalisation passed to `convert`; ConversionError if it is invalid."""
    try:
        return normalization(normalize, channels)
    except SpecError as error:
        raise ConversionError(f"normalize: {error}") from None
