"""Signals -> float layers: where linear operations are composed, and where a layer of neurons is needed."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lava_aug.conversion.composition import (
    compact,
    compose,
    composes,
    is_nothing,
    merged,
    placed,
    scale_rows,
    worth_merging,
)
from lava_aug.conversion.methods import Needs
from lava_aug.conversion.signals import RELU, SIGNED, Activation, FloatLayer, Signal, Term
from lava_aug.core.errors import ConversionError
from lava_aug.core.layers import Conv, Dense, Relay, Scale, Shape, Sparse, SumPool, Synapse
from lava_aug.core.network import INPUT
from lava_aug.core.neurons import MaxPoolNeuron

NEGATIVE = ".negative"
"""What is added to the name of a layer that sends the negative part of something."""

FOLDED = {(Dense, SumPool), (Conv, SumPool)}
"""Types (outer, inner) that become one where that is exact and cheap enough, if spikes are not graded."""

SWAPPED = {(SumPool, Scale)}
"""Types (outer, inner) of which the outer one works on every channel alone, so that it may as well come first."""


MOST_MORE = 2
"""How many times more synapses two maps may have as one than as two, with a layer between."""


class Lowering:
    """Makes layers out of signals.

    Parameters
    ----------
    input_shape : tuple of int
        Shape of the images.
    needs : Needs
        What the method's spikes can carry.

    Attributes
    ----------
    layers : dict of str to FloatLayer
        What has been made so far, in topological order.
    shapes : dict of str to tuple of int
        Shape of the images and of what every layer sends.
    """

    def __init__(self, input_shape: Shape, needs: Needs) -> None:
        self.needs = needs
        self.layers: dict[str, FloatLayer] = {}
        self.shapes: dict[str, Shape] = {INPUT: input_shape}
        self.settled_before: dict[int, tuple[Signal, Signal]] = {}
        self.pools: dict[tuple[str, str], str] = {}

    # Linear operations

    def images(self, node: str) -> Signal:
        """The images themselves."""
        return self._output(INPUT, INPUT, node)

    def unknown(self, shape: Shape, node: str) -> Signal:
        """Stands for what cannot be made, so that what follows can be looked at."""
        name = self._unused("unknown", f"unknown {node}")
        self.shapes[name] = shape or (1,)
        return dataclasses.replace(self._output(name, name, node), view=shape)

    def linear(
        self,
        signal: Signal,
        synapse: Synapse,
        name: str,
        node: str,
        *,
        bias: NDArray[Any] | None = None,
        gain: float = 1.0,
    ) -> Signal:
        """``gain * synapse(signal) + bias``, the synapse for spikes of the shape ``signal.shape``."""
        shape = synapse.output_shape(signal.shape)
        terms = [self.composed(synapse, term, signal.shape, name) for term in signal.terms]
        kept = [dataclasses.replace(term, gain=gain * term.gain) for term in terms if term is not None]
        if len(kept) < len(terms):
            return self.linear(self.settled(signal), synapse, name, node, bias=bias, gain=gain)
        kept = [term for term in kept if not is_nothing(term.synapse)] or kept[:1]
        if signal.bias is not None:
            full = np.broadcast_to(signal.bias, signal.shape).astype(np.float64)
            bias = _sum(compact(gain * synapse.accumulate(full[None])[0], shape), bias)
        return Signal(tuple(kept), bias, shape, shape, name, node)

    def composed(self, synapse: Synapse, term: Term, between: Shape, name: str) -> Term | None:
        """A linear operation on one term; None if a layer has to stand between."""
        wide = self.shapes[term.source]
        pair = type(synapse), type(term.synapse)
        if pair in FOLDED:
            return None if self.needs.graded else self._folded(synapse, term, between)
        if pair in SWAPPED:
            pooled = self._pooled(term.source, synapse, name)
            return dataclasses.replace(term, source=pooled)
        composed = None if self._is_lavish(synapse, term, between) else compose(synapse, term.synapse, wide)
        return None if composed is None else dataclasses.replace(term, synapse=composed, name=name)

    def _is_lavish(self, synapse: Synapse, term: Term, between: Shape) -> bool:
        """Whether sums that are spread again, as means are, or a small part would have far more synapses as one map."""
        if not self.needs.graded or term.synapse.learned:
            return False
        wide = self.shapes[term.source]
        outer, inner = synapse.connectivity(between), term.synapse.connectivity(wide)
        needed = int(inner.fan_in.reshape(-1) @ outer.fan_out.reshape(-1))
        stored = outer.count * math.prod(wide) // math.prod(between) if synapse.flattens else 0  # of a dense layer, all
        return max(needed, stored) > MOST_MORE * (inner.count + outer.count)

    def _folded(self, synapse: Synapse, term: Term, between: Shape) -> Term | None:
        """Average pooling as part of the next synapse, where that is exact and cheap enough."""
        wide = self.shapes[term.source]
        folded = merged(synapse, term.synapse, wide)
        if folded is None or not worth_merging(folded, wide, synapse, between):
            return None
        return Term(term.source, folded, term.gain, folded=(term.name, *term.folded))

    def _pooled(self, source: str, pool: Synapse, name: str) -> str:
        """A layer of sums over the windows of what a layer sends; the same one whenever it is asked for again."""
        key = source, repr(pool)
        if key not in self.pools:
            shape = pool.output_shape(self.shapes[source])
            signal = Signal((Term(source, pool, name=name),), None, shape, shape, f"{name}.{source}", "")
            self.pools[key] = self._plain(self.settled(signal), "pooling")
        return self.pools[key]

    def scaled(self, signal: Signal, factors: Any, name: str, node: str) -> Signal:
        """``factors * signal``, for a number or an array that broadcasts to the signal as the model sees it."""
        if np.ndim(factors) and (factors == np.ravel(factors)[0]).all():
            factors = np.ravel(factors)[0]
        bias = None if signal.bias is None else signal.bias * self._as_sent(factors, signal)
        if np.ndim(factors) == 0:
            terms = [dataclasses.replace(term, gain=term.gain * float(factors)) for term in signal.terms]
            return dataclasses.replace(signal, terms=tuple(terms), bias=bias, name=name, node=node)
        sent = self._as_sent(factors, signal)
        terms = [self._with_rows(term, sent) for term in signal.terms]
        if None in terms:
            diagonal = np.broadcast_to(sent, signal.shape).reshape(-1)
            places = np.arange(diagonal.size)
            synapse = Sparse(weight=diagonal, rows=places, columns=places, shape=signal.shape)
            return dataclasses.replace(self.linear(signal, synapse, name, node), view=signal.view)
        return dataclasses.replace(signal, terms=tuple(terms), bias=bias, name=name, node=node)

    def _with_rows(self, term: Term, factors: NDArray[Any]) -> Term | None:
        synapse = scale_rows(term.synapse, factors, self.shapes[term.source])
        return None if synapse is None else dataclasses.replace(term, synapse=synapse)

    def shifted(self, signal: Signal, offset: Any, name: str, node: str) -> Signal:
        """``signal + offset``, for a number or an array that broadcasts to the signal as the model sees it."""
        bias = _sum(signal.bias, self._as_sent(offset, signal))
        return dataclasses.replace(signal, bias=bias, name=name, node=node)

    def _as_sent(self, values: Any, signal: Signal) -> NDArray[Any]:
        """An array for the signal as the model sees it, as one for the signal as it is sent."""
        full = np.broadcast_to(np.asarray(values, np.float64), signal.view).reshape(signal.shape)
        return compact(full, signal.shape)

    def added(self, signals: Sequence[Signal], name: str, node: str) -> Signal:
        """The sum of signals that the model sees with one shape."""
        if len({signal.shape for signal in signals}) > 1:
            signals = [self.as_seen(signal) for signal in signals]
        bias = None
        for signal in signals:
            bias = _sum(bias, signal.bias)
        terms = tuple(term for signal in signals for term in signal.terms)
        return Signal(terms, bias, signals[0].shape, signals[0].view, name, node)

    def as_seen(self, signal: Signal) -> Signal:
        """The same signal, sent in the shape in which the model sees it."""
        seen = signal.view or (1,)  # one number for each image is a layer of one neuron
        if signal.shape == seen:
            return signal
        places = np.arange(math.prod(seen))
        reshape = Sparse(weight=np.ones(places.size, np.int8), rows=places, columns=places, shape=seen)
        return self.linear(signal, reshape, f"{signal.name}.reshape", signal.node)

    # Layers

    def activated(
        self,
        signal: Signal,
        activation: Activation,
        name: str,
        node: str,
        *,
        sign: float = 1.0,
        shift: float = 0.0,
    ) -> Signal:
        """A layer of ``activation(sign * signal + shift)``."""
        x = signal if sign == 1 else self.scaled(signal, sign, signal.name, signal.node)
        x = self.shifted(x, shift, x.name, x.node) if shift else x
        return dataclasses.replace(self._layer(x, activation, name, node, x.shape), view=signal.view)

    def max_pooled(self, signal: Signal, options: dict[str, Any], name: str, node: str) -> Signal:
        """A layer of maxima over windows; of a concatenation, one for each part."""
        signal = self.as_seen(signal)
        apart = signal.bias is None and all(_keeps_order(term) for term in signal.terms) and _disjoint(signal, self)
        if not apart or len(signal.terms) == 1:
            signal = self.settled(signal)
            self._plain(signal, "max pooling")
            return self._layer(signal, Activation(max_pool=options), name, node, _pooled_shape(signal.shape, options))
        terms: list[Term] = []
        for term in signal.terms:
            part = self._output(term.source, term.source, "")
            shape = _pooled_shape(part.shape, options)
            made = self._layer(part, Activation(max_pool=options), f"{name}.{term.source}", node, shape)
            terms.append(dataclasses.replace(term, source=made.terms[0].source))
        shape = _pooled_shape(signal.shape, options)
        return Signal(tuple(terms), None, shape, shape, name, node)

    def multiplied(
        self,
        signals: Sequence[Signal],
        elements: Sequence[NDArray[Any]],
        options: dict[str, Any],
        name: str,
        node: str,
        view: Shape,
    ) -> Signal:
        """A layer of products of two signals: of some elements of each, as `ProductNeuron` takes them."""
        *starts, total = itertools.accumulate(map(len, elements), initial=0)
        parts: list[Term] = []
        for signal, start, columns in zip(signals, starts, elements, strict=True):
            exact = signal if _is_exact(signal) else self.settled(signal)
            rows = start + np.arange(len(columns))
            chosen = Sparse(weight=np.ones(len(rows), np.int8), rows=rows, columns=columns, shape=(total,))
            parts += self.linear(exact, chosen, signal.name, signal.node).terms
        sign = math.prod(math.copysign(1.0, term.gain) for term in parts)
        positive = tuple(dataclasses.replace(term, gain=abs(term.gain)) for term in parts)
        joined = Signal(positive, None, (total,), (total,), name, node)
        made = self._layer(joined, Activation(product=options), name, node, options["sent"])
        return self.scaled(dataclasses.replace(made, view=view), sign, made.name, made.node)

    def settled(self, signal: Signal) -> Signal:
        """The signal as the plain output of a layer; of two, if it has both signs and neurons can send only one."""
        if signal.source is not None:
            return signal
        if id(signal) not in self.settled_before:
            self.settled_before[id(signal)] = signal, self._settled(signal)  # kept alive, so that its id stays its own
        return self.settled_before[id(signal)][1]

    def _settled(self, signal: Signal) -> Signal:
        if self.needs.signed or self.is_nonnegative(signal):
            activation = SIGNED if self.needs.signed else RELU
            return self.activated(signal, activation, signal.name, signal.node)
        halves = [
            self.activated(signal, RELU, signal.name + suffix, signal.node, sign=sign)
            for sign, suffix in ((1.0, ""), (-1.0, NEGATIVE))
        ]
        return self.added([halves[0], self.scaled(halves[1], -1.0, "", "")], signal.name, signal.node)

    def is_nonnegative(self, signal: Signal) -> bool:
        """Whether it follows from where the signal comes from that it is never negative."""
        return self._never_negative(signal.terms, signal.bias)

    def _never_negative(self, terms: Iterable[Term], bias: NDArray[Any] | None) -> bool:
        return (bias is None or bool((bias >= 0).all())) and all(
            term.gain > 0 and not (term.synapse.weights < 0).any() and self._sends_nonnegative(term.source)
            for term in terms
        )

    def _sends_nonnegative(self, source: str) -> bool:
        layer = self.layers.get(source)
        if layer is None or layer.activation.relu:
            return True
        return layer.activation.function is None and self._never_negative(layer.terms, layer.bias)

    def has_steps(self, signal: Signal, activation: Activation) -> bool:
        """Whether it is what a layer of an activation with ``levels`` gives, or the maximum of some of that."""
        layer = self.layers.get(signal.source or "")
        while layer is not None and layer.activation.max_pool is not None:
            layer = self.layers.get(layer.terms[0].source)
        own = None if layer is None else layer.activation
        return (
            own is not None
            and own.levels == activation.levels
            and math.isclose(own.step, activation.step, rel_tol=1e-5)
        )

    def is_light(self, signal: Signal) -> bool:
        """Whether using it several times costs next to nothing."""
        return all(
            term.synapse.keeps_place or (not self.needs.graded and type(term.synapse) in {inner for _, inner in FOLDED})
            for term in signal.terms
        )

    def readout(self, signal: Signal, name: str) -> None:
        """The last layer; it has the shape that the model's output has, where no layer is needed for that."""
        signal = self._seen_if_free(signal)
        self._layer(signal, SIGNED, name if signal.source is not None else signal.name, signal.node, signal.shape)
        self._drop_unused()

    def heads(self, signals: Sequence[Signal], name: str) -> None:
        """A last layer with the elements of several signals, one after the other."""
        *starts, total = itertools.accumulate((math.prod(signal.shape) for signal in signals), initial=0)
        parts = [self._placed(signal, start, total) for signal, start in zip(signals, starts, strict=True)]
        joined = self.added(parts, name, parts[0].node)
        self._layer(joined, SIGNED, name, joined.node, joined.shape)
        self._drop_unused()

    def _placed(self, signal: Signal, offset: int, total: int) -> Signal:
        """The elements of a signal from a place on, on one axis."""
        terms = [(term, placed(term.synapse, self.shapes[term.source], offset, total)) for term in signal.terms]
        if any(synapse is None for _, synapse in terms):
            return self._placed(self.settled(signal), offset, total)
        bias = None
        if signal.bias is not None:
            bias = np.zeros(total)
            bias[offset : offset + math.prod(signal.shape)] = np.broadcast_to(signal.bias, signal.shape).reshape(-1)
        made = tuple(dataclasses.replace(term, synapse=synapse) for term, synapse in terms if synapse is not None)
        return Signal(made, bias, (total,), (total,), signal.name, signal.node)

    def _drop_unused(self) -> None:
        """Leave out layers that the last one does not depend on: of a concatenation, parts that nobody took."""
        used = {next(reversed(self.layers))}
        for layer in reversed(self.layers.values()):
            used |= set(layer.sources) if layer.name in used else set()
        self.layers = {name: layer for name, layer in self.layers.items() if name in used}

    def _seen_if_free(self, signal: Signal) -> Signal:
        terms = [_as_dense(term, self.shapes[term.source]) for term in signal.terms]
        if None not in terms and len(signal.view) <= 1:
            bias = None if signal.bias is None else np.broadcast_to(signal.bias, signal.shape).reshape(-1)
            return dataclasses.replace(signal, terms=tuple(terms), bias=bias, shape=signal.view or (1,))
        free = all(composes(Sparse, term.synapse) for term in signal.terms)
        return dataclasses.replace(self.as_seen(signal), name=signal.name) if free else signal

    def _layer(self, signal: Signal, activation: Activation, name: str, node: str, shape: Shape) -> Signal:
        name = self._unused(name, node if name != signal.name else signal.node)
        self.layers[name] = FloatLayer(name, signal.terms, signal.bias, signal.shape, shape, activation)
        self.shapes[name] = shape
        return dataclasses.replace(self._output(name, name, node), view=shape)

    def _output(self, source: str, name: str, node: str) -> Signal:
        shape = self.shapes[source]
        return Signal((Term(source, Relay()),), None, shape, shape, name, node)

    def _plain(self, signal: Signal, what: str) -> str:
        if signal.source is None:
            raise ConversionError(
                f"{what} of values of both signs, which this method's neurons cannot send; put a ReLU before it, or "
                "use method='termapping' or 'augmapping'"
            )
        return signal.source

    def _unused(self, name: str, node: str) -> str:
        candidates: Iterable[str] = (name, node, *(f"{name}_{count}" for count in range(1, len(self.shapes) + 2)))
        return next(candidate for candidate in candidates if candidate and candidate not in self.shapes)


def _sum(one: NDArray[Any] | None, other: NDArray[Any] | None) -> NDArray[Any] | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other


def _is_exact(signal: Signal) -> bool:
    """Whether it is but elements of what one layer sends, times a number, and so takes no layer of its own."""
    synapse, others = signal.terms[0].synapse, signal.terms[1:]
    whole = not synapse.learned and synapse.weight_sum == 1 and bool((synapse.weights == 1).all())
    return whole and not others and signal.bias is None


def _keeps_order(term: Term) -> bool:
    """Whether larger values of the source are larger values of the term, neuron by neuron."""
    return term.gain > 0 and term.synapse.keeps_place and bool((term.synapse.weights > 0).all())


def _disjoint(signal: Signal, lowering: Lowering) -> bool:
    """Whether every channel comes from one term alone."""
    counts = np.sum([term.synapse.connectivity(lowering.shapes[term.source]).fan_in for term in signal.terms], axis=0)
    return bool((counts == 1).all())


def _pooled_shape(shape: Shape, options: dict[str, Any]) -> Shape:
    return MaxPoolNeuron(**options).output_shape(shape)


def _as_dense(term: Term, wide: Shape) -> Term | None:
    """A term as a dense layer, if it is one."""
    form = _DENSE_FORMS.get(type(term.synapse))
    dense = None if form is None else form(term.synapse, wide)
    return None if dense is None else dataclasses.replace(term, synapse=dense)


def _over_the_map(conv: Conv, wide: Shape) -> Dense | None:
    """A convolution over the whole map, which gives one value for each channel."""
    plain = (conv.groups, conv.padding, conv.dilation) == (1, (0, 0), (1, 1)) and conv.window == wide[1:]
    return Dense(weight=conv.weight.reshape(len(conv.weight), -1)) if plain else None


_DENSE_FORMS: dict[type, Callable[[Any, Shape], Dense | None]] = {
    Dense: lambda dense, wide: dense,
    Conv: _over_the_map,
}
