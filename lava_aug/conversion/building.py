"""Float layers -> layers of a network: quanta, thresholds, and the neuron of the chosen method."""

import dataclasses
import math
from collections.abc import Collection, Mapping
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from lava_aug.conversion.calibration import Range, usual_thresholds
from lava_aug.conversion.composition import Factors, along_channels
from lava_aug.conversion.fineness import ROOM, Bounds
from lava_aug.conversion.function_neurons import table_of
from lava_aug.conversion.methods import METHODS, Options
from lava_aug.conversion.own_scales import OwnScale, own_scale, own_unit
from lava_aug.conversion.quantize import MAX_SCALE, rounded
from lava_aug.conversion.relays import relayed_quantum
from lava_aug.conversion.rounding import Room, Rounding, largest_biases
from lava_aug.conversion.signals import FloatLayer, Pointwise, Term
from lava_aug.core import fixed_point
from lava_aug.core.errors import ConversionError
from lava_aug.core.layers import Relay, Shape
from lava_aug.core.network import INPUT, INPUT_LEVELS, Connection, Layer
from lava_aug.core.neurons import MaxPoolNeuron, Neuron, ProductNeuron, ReadoutNeuron
from lava_aug.core.products import MAX_SHIFT, most_factor
from lava_aug.core.synapse import Weighted, per_channel

FINEST_CHANNEL = 16
"""What is hardly ever active, as some channels are, or a mean that is always zero, has a tiny threshold; so many of
them is the most that one unit of input may make, so that the weights still fit their bits."""

RELAY_FINENESS, RELAY_UNITS = 16, 256
"""How much finer than other layers relays of sums need to be at most, so that up to 4x4 windows nothing of the sum is
lost; at fine resolutions, so many units at the balanced threshold are enough, which is what weights have bits for."""

MOST_OF_SUMS = 1 << 14
"""Largest scale of sums on a model's own grid: weights of two connections of 8 bits each are that precise."""

FLUCTUATION = 7
"""Of coefficients of single steps, where there are several: coarse spikes come in some steps, and not in others."""

NOTE_LETTERS = 900
"""Longest list of names in a note: files hold texts of 4,096 bytes, and letters have up to four."""


class Builder:
    """Makes the layers of a network, one after the other.

    Parameters
    ----------
    shapes : dict of str to tuple of int
        Shape of the images and of what every layer sends.
    ranges : dict of str to Range
        From calibration images.
    balanced : dict of str to numpy.ndarray
        Balanced threshold of every layer: one value, or one for each channel.
    options : Options
        What was asked for.
    bounds : mapping of str to Bounds
        On the quanta of some layers (`lava_aug.conversion.fineness`).
    operands : collection of str
        Layers whose spikes are multiplied with others, and so have one quantum each.

    Attributes
    ----------
    quanta : dict of str to float or numpy.ndarray
        What a spike of the images and of every layer so far stands for.
    units : dict of str to float or numpy.ndarray
        What a unit of the model's values is in the potentials of every layer so far that has rounded weights.
    remarks : list of str
        What the user should be warned about.
    sent : dict of str to tensor
        What the sources of the next layer send on calibration images, if its weights are to be rounded for that.
    kept : set of str
        Layers with the quanta of the model, which is quantised itself, and those that follow only such.
    """

    def __init__(
        self,
        shapes: dict[str, Shape],
        ranges: Mapping[str, Range],
        balanced: Mapping[str, NDArray[Any]],
        options: Options,
        bounds: Mapping[str, Bounds],
        operands: Collection[str],
    ) -> None:
        self.shapes, self.ranges, self.balanced, self.options = shapes, ranges, balanced, options
        self.bounds, self.operands = bounds, operands
        self.method = METHODS[options.method]
        self.quanta: dict[str, Factors] = {INPUT: 1 / INPUT_LEVELS}
        self.remarks: list[str] = []
        self.kept: set[str] = set()
        self.units: dict[str, Factors] = {}
        self.sent: dict[str, torch.Tensor] = {}
        self.rounding = Rounding(shapes, self.quanta, options, self.remarks, self.sent)

    def layer(self, layer: FloatLayer) -> Layer:
        """A layer that is not the last one."""
        if layer.activation.max_pool is not None:
            made = self._max_pool(layer)
        elif layer.activation.product is not None:
            made = self._product(layer, layer.activation.product)
        elif layer.activation.function is not None:
            made = self._function(layer, layer.activation.function)
        else:
            made = self._relay(layer) or self._spiking(layer)
        self.quanta[layer.name] = made.quantum
        if layer.activation.levels is not None or self.kept.issuperset(layer.sources):
            self.kept.add(layer.name)
        return made

    def _note(self, layer: FloatLayer) -> str | None:
        """What is folded into the layer, and whether its spikes are coarser than was asked for."""
        least = self.bounds.get(layer.name, Bounds()).least
        if not least or least <= self.options.resolution_of(layer.name) * (threshold := self._threshold(layer).max()):
            return _note(layer)
        coarser = f"resolution {least / threshold:.2g}: sums of finer spikes exceed {fixed_point.STATE_BITS} bits"
        return "; ".join(filter(None, (_note(layer), coarser)))

    def _neuron(self, layer: FloatLayer, parameters: dict[str, Any], quantum: Factors) -> Neuron:
        """The method's own."""
        graded = {"message_bits": self._message_bits(layer, quantum)} if self.method.needs.graded else {}
        return self.method.neuron(parameters | graded, not layer.activation.relu, self.options)

    def _message_bits(self, layer: FloatLayer, quantum: Factors) -> int:
        """The payload's width: as asked for, or what several times the coefficients of calibration images need.

        Nothing is known of what never sends anything there, nor, with a symmetric threshold, of single steps.
        """
        if self.options.message_bits is not None:
            return self.options.message_bits
        maximum, units = self.ranges[layer.name].maximum, np.ravel(quantum)
        largest = float(np.max(maximum / units if maximum.size == units.size else maximum.max() / units.min()))
        needed = fixed_point.payload_bits(
            max(largest, FLUCTUATION) if largest and self.options.num_steps > 1 else largest
        )
        return needed if largest and not self.options.symmetric else max(needed, fixed_point.MESSAGE_BITS)

    # Layers without weights

    def _max_pool(self, layer: FloatLayer) -> Layer:
        (term,) = layer.terms
        assert layer.activation.max_pool is not None
        quantum = self.quanta[term.source]
        neuron = MaxPoolNeuron(
            **layer.activation.max_pool, message_bits=self._message_bits(layer, quantum), floating=self.options.is_float
        )
        connections = (Connection(term.source, Relay()),)
        return Layer(name=layer.name, connections=connections, neuron=neuron, quantum=quantum)

    def _product(self, layer: FloatLayer, options: dict[str, Any]) -> Layer:
        """Exact products of exact sums, whose quantum is widened to what a whole factor and a shift make of them."""
        unit = math.prod(self._operand_unit(layer, term) for term in layer.terms)
        asked = self._resolution(layer) * float(self._threshold(layer).max())
        most = most_factor(options["inner"])
        shift = max(0, min(MAX_SHIFT, math.floor(math.log2(most * asked / unit))))
        factor = max(1, min(most, math.floor(unit / asked * 2.0**shift)))
        quantum = unit * 2.0**shift / factor
        neuron = ProductNeuron(
            **options,
            factor=factor,
            shift=shift,
            message_bits=self._message_bits(layer, quantum),
            floating=self.options.is_float,
        )
        return Layer(
            name=layer.name, connections=self._whole(layer), neuron=neuron, quantum=quantum, note=self._note(layer)
        )

    def _operand_unit(self, layer: FloatLayer, term: Term) -> float:
        quantum = self.quanta[term.source]
        if np.ndim(quantum):
            raise ConversionError(
                f"layer {layer.name!r}: takes products of what {term.source!r} sends, whose quantum differs between "
                "channels; use thresholds='layer'"
            )
        return float(quantum) * term.gain

    def _relay(self, layer: FloatLayer) -> Layer | None:
        """Exact sums: a graded relay, or the method's own neuron, whose threshold is the largest sum."""
        quantum = relayed_quantum(layer, self.quanta, self.shapes)
        if quantum is None or (np.ndim(quantum) and layer.name in self.operands):
            return None
        largest = max(int(t.synapse.weight_sum) * (INPUT_LEVELS if t.source == INPUT else 1) for t in layer.terms)
        vth = self._relay_threshold(layer, quantum) if self.method.needs.graded else largest
        parameters: dict[str, Any] = {"vth": vth * 1.0 if self.options.is_float else vth}
        if np.all(vth == 1):
            parameters["v0"] = 0
        if self.method.needs.graded:
            parameters["vth_lo"] = None
        return Layer(
            name=layer.name,
            connections=self._whole(layer),
            neuron=self._neuron(layer, parameters, quantum * vth),
            quantum=_plain(quantum * vth),
            note=self._note(layer),
        )

    def _relay_threshold(self, layer: FloatLayer, quantum: Factors) -> Any:
        """1, so that sums are exact; more for sums that are much finer than they need to be, or exceed the payload.

        Sums of large windows would ask what takes them for weights that are next to nothing.
        """
        measured, limit = self.ranges[layer.name], fixed_point.symmetric_limit(self.options.most_message_bits)
        by_channel = cast("NDArray[Any]", per_channel(quantum, layer.shape))  # quanta never differ within a channel
        units = np.broadcast_to(np.ravel(by_channel), layer.shape[:1])
        balanced = np.where(self.balanced[layer.name] > 0, self.balanced[layer.name], measured.maximum)
        resolution = self._resolution(layer)
        finer = balanced / units * max(resolution / RELAY_FINENESS, min(resolution, 1 / RELAY_UNITS))
        payload = 2 * np.maximum(measured.highs, -measured.lows) / units / limit
        if np.ndim(quantum) == 0:  # and so it stays
            finer, payload = finer.min(), payload.max()
        finer = np.maximum(finer, self.bounds.get(layer.name, Bounds()).least / units.min())
        vth = np.maximum(1, np.maximum(np.floor(finer), np.ceil(payload))).astype(np.int64)
        return int(vth) if vth.ndim == 0 else along_channels(vth, layer.shape)

    def _whole(self, layer: FloatLayer) -> tuple[Connection, ...]:
        """Whole-numbered weights in the network's number format."""
        dtype = np.float32 if self.options.is_float else np.int64
        return tuple(Connection(term.source, term.synapse.with_dtype(dtype)) for term in layer.terms)

    # Layers with weights

    def _spiking(self, layer: FloatLayer) -> Layer:
        theta, n_max = self._quantum(layer)
        terms = [self.rounding.in_units(layer, term, 1 / theta) for term in layer.terms]
        bias = None if layer.bias is None else layer.bias / theta
        kept = self._own_scale(layer, terms, bias, theta)
        scale = self._scale(layer, terms, bias, theta) if kept is None else kept.scale
        if kept is None:
            connections, bias = self.rounding.rounded(layer, terms, bias, scale)
            self.units[layer.name] = scale / theta
        else:
            connections = (Connection(layer.terms[0].source, kept.synapse),)
            bias = None if bias is None else rounded(bias, scale)
        parameters = {"vth": scale} | ({} if n_max is None else {"n_max": n_max})
        if layer.activation.levels is not None:  # the model's own rounding
            parameters["v0"] = scale / 2 if self.options.is_float else scale // 2
        return Layer(
            name=layer.name,
            connections=connections,
            neuron=self._neuron(layer, parameters, theta),
            quantum=_plain(theta),
            bias=bias,
            note=self._note(layer),
        )

    def _scale(self, layer: FloatLayer, terms: list[Weighted], bias: NDArray[Any] | None, theta: Factors) -> Any:
        """The largest at which weights fit; sums on the model's own grid take two connections for each identity."""
        own = layer.activation.levels is not None and len(terms) > 1 and self.options.weight_bits is not None
        if own and all(term.keeps_place for term in terms):
            return min(MOST_OF_SUMS, max(1, int(self._own_room(layer, bias, theta).min())))
        return self.rounding.scale(layer, terms, bias, self._room(layer, theta))

    def _own_room(self, layer: FloatLayer, bias: NDArray[Any] | None, theta: Factors) -> NDArray[Any]:
        """The largest scales at which what calibration images gave, and biases, stay within their bits."""
        units = np.broadcast_to(np.ravel(theta), layer.current_shape[:1])
        room = np.broadcast_to(ROOM * units / self._piles_up(layer), units.shape)
        return np.minimum(room, ROOM / np.maximum(largest_biases(layer, bias), 1e-30))

    def _own_scale(
        self, layer: FloatLayer, terms: list[Weighted], bias: NDArray[Any] | None, theta: Factors
    ) -> OwnScale | None:
        """What keeps the integers of a model that is quantised itself."""
        options = self.options
        if layer.activation.levels is None or len(terms) > 1 or options.weight_bits is None or options.power_of_two_vth:
            return None
        room = self._own_room(layer, bias, theta)
        wide = self.shapes[layer.terms[0].source]
        return own_scale(terms[0], wide, layer.current_shape, options.weight_bits, room)

    def _function(self, layer: FloatLayer, function: Pointwise) -> Layer:
        """Neurons with a table, whose unit of input is the most that one unit of a source makes.

        So the largest weight is as whole as can be, and what only one layer sends comes in without rounding.
        """
        measured = self.ranges[layer.name]
        low, high = float(measured.lows.min()), float(measured.highs.max())
        unit = max(float(self.rounding.largest_weights(layer).max()), 1e-30)
        terms = [self.rounding.in_units(layer, term, 1 / unit) for term in layer.terms]
        bias = None if layer.bias is None else layer.bias / unit
        scale = self.rounding.scale(layer, terms, bias, self._room(layer, unit))
        connections, bias = self.rounding.rounded(layer, terms, bias, scale)
        self.units[layer.name] = scale / unit
        quantum = self._resolution(layer) * float(self._threshold(layer).max())
        return Layer(
            name=layer.name,
            connections=connections,
            neuron=table_of(function, scale, unit, quantum, (low, high), self._message_bits(layer, quantum)),
            quantum=quantum,
            bias=bias,
            note=self._note(layer),
        )

    def _room(self, layer: FloatLayer, theta: Factors) -> Room:
        """The largest thresholds: what comes in in one step has room, and what piles up has.

        Where several connections meet, the finest weights ask for a large threshold. Half of the 24 bits have to last
        for ``num_steps`` steps of the largest input that calibration images gave. Others need so much only where it
        piles up, as in channels whose weights are next to nothing beside a bias that pushes them down in every step.
        """
        measured, units = self.ranges[layer.name], np.broadcast_to(np.ravel(theta), layer.current_shape[:1])
        keeps = len(layer.terms) > 1 or layer.activation.function is not None  # all of its input
        steps, down = (self.options.num_steps, True) if keeps else (1, not layer.activation.relu)
        arrives = np.maximum(measured.highs, -measured.lows if down else 0.0) / units
        lasts = ROOM / max(steps * float(arrives.max()), 1e-30)
        by_step = max(1, int(min(MAX_SCALE, lasts)))
        if keeps:
            return Room(by_step)
        soft = ROOM * units / self._piles_up(layer) if self.method.needs.graded else np.inf
        return Room(by_step, soft, layer.activation.relu & (measured.highs <= 0))

    def _piles_up(self, layer: FloatLayer) -> NDArray[Any]:
        """The largest potential that calibration images can make of each channel, in the model's units.

        Spikes take off what is above the threshold, in graded ones all of it; what is below waits, if it cannot be
        sent, and so does what a ceiling keeps back.
        """
        measured, steps, ceiling = self.ranges[layer.name], self.options.num_steps, layer.activation.ceiling
        down = -measured.lows * (steps if layer.activation.relu else 1)
        up = measured.highs if ceiling is None else ceiling + steps * np.maximum(0, measured.highs - ceiling)
        return np.maximum(np.maximum(down, up), 1e-30)

    def _quantum(self, layer: FloatLayer) -> tuple[Factors, Any]:
        """The quantum, and how many of them the layer's ceiling is; the quantum is widened to make that whole."""
        if layer.activation.levels is not None:
            one = (layer.activation.step * layer.activation.levels, 1)
            return (layer.activation.step, layer.activation.levels) if self.method.needs.graded else one
        quanta = self._resolution(layer) * self._threshold(layer)
        quanta = quanta.max(keepdims=True) if layer.name in self.operands else quanta
        quanta = np.maximum(quanta, self._finest(layer, quanta.size > 1))
        theta: Factors = along_channels(quanta, layer.shape) if quanta.size > 1 else float(quanta[0])
        ceiling = layer.activation.ceiling
        if ceiling is None:
            return theta, None
        count = np.maximum(1, np.floor(ceiling / np.asarray(theta) + 1e-9)).astype(np.int64)
        widened = ceiling / count
        return (float(widened), int(count)) if count.ndim == 0 else (widened, count)

    def _finest(self, layer: FloatLayer, by_channel: bool) -> Any:
        """What quanta must not be below: of each channel, beside products, or where what is sent is next to nothing.

        That are means that are always zero, and differences of what is always the same.
        """
        if self.options.is_float and not by_channel and not self.operands:
            return 0.0
        units = self.rounding.largest_weights(layer)
        if by_channel:  # idle ones may have next to no weights beside their bias
            inside = np.maximum(largest_biases(layer, layer.bias), self._piles_up(layer))
            return np.maximum(units / FINEST_CHANNEL, inside * FINEST_CHANNEL / ROOM)
        nothing = float(self._threshold(layer).max()) < FINEST_CHANNEL * units.max()
        return units.max() / FINEST_CHANNEL if nothing or self.operands else 0.0

    def _resolution(self, layer: FloatLayer) -> float:
        """Quanta relative to thresholds: as asked for, or what what takes the spikes can make more of."""
        threshold, bounds = float(self._threshold(layer).max()), self.bounds.get(layer.name, Bounds())
        return max(min(self.options.resolution_of(layer.name), bounds.most / threshold), bounds.least / threshold)

    def _threshold(self, layer: FloatLayer) -> NDArray[Any]:
        """`usual_thresholds`, and some for what is never active."""
        if self.ranges[layer.name].maximum.max() <= 0:
            remark = (
                f"layer {layer.name!r} is never active on the calibration images; its threshold is set to 1. "
                "Use more calibration images, or check the model"
            )
            self.remarks += [] if remark in self.remarks else [remark]
            return np.ones(1)
        thresholds = usual_thresholds(self.balanced[layer.name], self.ranges[layer.name])
        return thresholds if (thresholds > 0).all() else self._with_idle(layer, thresholds)

    def _with_idle(self, layer: FloatLayer, thresholds: NDArray[Any]) -> NDArray[Any]:
        """Channels that are never active take a usual threshold, for weights like theirs.

        With the largest one, their weights in the next layer would be the largest too, and take the bits of all others.
        """
        active, weights = thresholds > 0, np.maximum(self.rounding.largest_weights(layer), 1e-30)
        if weights.size != active.size:  # of products, whose inputs have other channels
            return np.where(active, thresholds, thresholds.max())
        usual = np.median(thresholds[active] / weights[active]) * weights
        return np.where(active, thresholds, np.minimum(usual, thresholds.max()))

    # The last layer

    def readout(self, layer: FloatLayer) -> Layer:
        """The last layer integrates: one unit of its ``v`` stands for ``quantum``."""
        quantum = relayed_quantum(layer, self.quanta, self.shapes)
        if quantum is not None and np.ndim(quantum) == 0:
            connections = self._whole(layer)
            bias = None
        else:
            connections, bias, quantum = self._weighted_readout(layer)
        return Layer(
            name=layer.name,
            connections=connections,
            neuron=ReadoutNeuron(floating=self.options.is_float),
            quantum=_plain(quantum),
            bias=bias,
            note=self._note(layer),
        )

    def _weighted_readout(self, layer: FloatLayer) -> tuple[tuple[Connection, ...], NDArray[Any] | None, float]:
        """Weights that use their bits, as far as the largest logit has room for all time steps."""
        largest = float(self.ranges[layer.name].maximum.max())
        terms = [self.rounding.in_units(layer, term, 1.0) for term in layer.terms]
        own = self._own_unit(layer, terms)
        if own is not None:
            largest += 0.0 if layer.bias is None else float(np.abs(layer.bias).max())
            finer = math.floor(math.log2(own * ROOM / max(self.options.num_steps * largest, 1e-30)))
            return self._in_own_units(layer, terms[0], own, 2 ** min(max(0, finer), 20))
        unit = max(float(np.abs(term.weight).max()) for term in terms) or 1.0
        terms = [term.replace(weight=term.weight.astype(np.float64) / unit) for term in terms]
        bias = None if layer.bias is None else layer.bias / unit
        lasts = unit * ROOM / max(self.options.num_steps * largest, 1e-30)
        room = Room(max(1, int(min(MAX_SCALE, lasts))))
        one = dataclasses.replace(self.options, weight_scales="layer", power_of_two_vth=False)
        rounding = Rounding(self.shapes, self.quanta, one, self.remarks, self.sent)
        plain = rounding.scale(layer, terms, bias, room)
        scale = rounding.finer_scale(layer, terms, bias, plain, room)
        rounding.note_rows(layer, terms, scale)
        connections, bias = rounding.rounded(layer, terms, bias, scale, by_rows=scale > plain)
        self.units[layer.name] = scale / unit
        return connections, bias, unit / scale

    def _own_unit(self, layer: FloatLayer, terms: list[Weighted]) -> float | None:
        """The one step of all weights of a readout that follows a quantised layer."""
        source, bits = layer.terms[0].source, self.options.weight_bits
        if len(terms) > 1 or source not in self.kept or bits is None:
            return None
        return own_unit(terms[0], self.shapes[source], bits)

    def _in_own_units(
        self, layer: FloatLayer, term: Weighted, own: float, finer: int
    ) -> tuple[tuple[Connection, ...], NDArray[Any] | None, float]:
        weight = np.rint(term.weight.astype(np.float64) / own).astype(np.int64) * finer
        bias = None if layer.bias is None else np.rint(layer.bias / own * finer).astype(np.int64)
        return (Connection(layer.terms[0].source, term.replace(weight=weight)),), bias, own / finer


def _plain(quantum: Factors) -> Any:
    """A quantum as a number where it is one."""
    return float(quantum) if np.ndim(quantum) == 0 else quantum


def _note(layer: FloatLayer) -> str | None:
    names = ", ".join(layer.folded)
    return f"{names[:NOTE_LETTERS]}{' …' if len(names) > NOTE_LETTERS else ''} folded in" if names else None
