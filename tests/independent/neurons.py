"""Neuron types: one time step of a layer's neurons."""

import math
from typing import Any, NamedTuple

from independent.arrays import Shape, flat_index, pair, read, spread
from independent.windows import Window, meetings, windows


class Sent(NamedTuple):
    """What the neurons of a layer send in a step, how many were saturated, and how many capped."""

    s: list[int]
    saturated: int
    capped: int


class Neurons:
    """The neurons of a layer in a window. What they share, and the readout, which never fires."""

    def __init__(self, group: Any, shape: Shape, bias: Any) -> None:
        self.sent = self.sent_shape(group, shape)
        self.bias = spread(bias, shape)
        self.v, self.n, self.t = [0] * math.prod(shape), [0] * math.prod(self.sent), 0
        self.limit = 2 ** (read(group, "payloadBits", 16) - 1) - 1

    def sent_shape(self, group: Any, shape: Shape) -> Shape:
        """Shape of what is sent, for the shape of the input current."""
        return shape

    def step(self, a: list[int]) -> Sent:
        self.t += 1
        exact = [self.integrate(v) + current + b for v, current, b in zip(self.v, a, self.bias, strict=True)]
        self.v = [min(max(v, -(2**23)), 2**23 - 1) for v in exact]
        saturated = differing(exact, self.v)
        wanted = self.fire()
        s = [min(max(x, -self.limit), self.limit) for x in wanted]
        self.n = [n + x for n, x in zip(self.n, s, strict=True)]
        self.reset(s)
        return Sent(s, saturated, differing(wanted, s))

    def integrate(self, v: int) -> int:
        """What is left of a potential from the last step."""
        return v

    def fire(self) -> list[int]:
        return [0] * len(self.n)

    def reset(self, s: list[int]) -> None:
        """What spikes take off the potentials."""


def differing(one: list[int], other: list[int]) -> int:
    return sum(x != y for x, y in zip(one, other, strict=True))


class Thresholds(Neurons):
    """Neurons with a threshold; rate neurons."""

    def __init__(self, group: Any, shape: Shape, bias: Any) -> None:
        super().__init__(group, shape, bias)
        self.vth = spread(read(group, "vThMant"), shape)
        v0 = read(group, "v0")
        self.v = [vth // 2 for vth in self.vth] if v0 is None else spread(v0, shape)
        self.low = spread(read(group, "vThLo", -1), shape)
        self.n_max = spread(read(group, "nMax"), shape)
        self.signed = read(group, "signed", False)

    def fire(self) -> list[int]:
        both = zip(self.v, self.n, self.vth, self.low, strict=True)
        return [self.bounded(self.one(*each), k) for k, each in enumerate(both)]

    def bounded(self, s: int, k: int) -> int:
        return s if self.n_max[k] is None else min(s, self.n_max[k] * self.t - self.n[k])

    def one(self, v: int, n: int, vth: int, low: int) -> int:
        """The coefficient of one neuron."""
        return 1 if v >= vth else 0

    def reset(self, s: list[int]) -> None:
        self.v = [v - x * vth for v, x, vth in zip(self.v, s, self.vth, strict=True)]


class DoubleThresholds(Thresholds):
    def one(self, v: int, n: int, vth: int, low: int) -> int:
        if v >= vth:
            return 1
        return -1 if v <= low and (n > 0 or self.signed) else 0


class Augmented(Thresholds):
    def one(self, v: int, n: int, vth: int, low: int) -> int:
        if v >= vth:
            return v // vth
        if v > low:
            return 0
        down = (low - v) // vth + 1
        return -down if self.signed else -min(n, down)


class MaxPooling(Neurons):
    def sent_shape(self, group: Any, shape: Shape) -> Shape:
        *self.leading, height, width = shape
        self.plane = (height, width)
        size = pair(group, "kernelSize", (1, 1))
        self.both = windows(group, size, stride=size)
        count = Window.ceil_count if read(group, "ceilMode", False) else Window.count
        self.steps = count(self.both[0], height), count(self.both[1], width)
        return (*self.leading, *self.steps)

    def fire(self) -> list[int]:
        largest: dict[int, int] = {}
        found = list(meetings(self.both, self.steps, self.plane))
        for plane in range(math.prod(self.leading)):
            for step, _, place in found:
                target = plane * math.prod(self.steps) + flat_index(step, self.steps)
                v = self.v[plane * math.prod(self.plane) + flat_index(place, self.plane)]
                largest[target] = max(v, largest.get(target, v))
        return [largest[k] - n for k, n in enumerate(self.n)]


class Functions(Neurons):
    def __init__(self, group: Any, shape: Shape, bias: Any) -> None:
        super().__init__(group, shape, bias)
        self.vth, self.table = spread(read(group, "vThMant"), shape), list(read(group, "table").flat)
        self.low, self.distance = read(group, "low"), 2 ** read(group, "stepBits")
        self.fraction, self.unit = 2 ** read(group, "fractionBits", 0), 2 ** read(group, "shift", 0)

    def fire(self) -> list[int]:
        means = [v * self.fraction // (self.t * vth) for v, vth in zip(self.v, self.vth, strict=True)]
        sums = [(self.t * self.curve(m) + self.unit // 2) // self.unit for m in means]
        return [total - n for total, n in zip(sums, self.n, strict=True)]

    def curve(self, m: int) -> int:
        """The function of a mean input, on the line that belongs to it."""
        i = min(max((m - self.low) // self.distance, 0), len(self.table) - 2)
        r = m - self.low - i * self.distance
        return self.table[i] + (self.table[i + 1] - self.table[i]) * r // self.distance


class Products(Neurons):
    def sent_shape(self, group: Any, shape: Shape) -> Shape:
        self.sizes = tuple(read(group, name, 1) for name in ("batch", "rows", "inner", "columns"))
        self.factor, self.divisor = read(group, "factor", 1), 2 ** read(group, "shift", 0)
        batch, rows, _, columns = self.sizes
        sent = read(group, "sent")
        return (batch, rows, columns) if sent is None else tuple(sent.flat)

    def fire(self) -> list[int]:
        divisor = self.divisor * self.t
        sums = [2 * self.factor * self.product(place) + divisor for place in range(len(self.n))]
        return [total // (2 * divisor) - n for total, n in zip(sums, self.n, strict=True)]

    def product(self, place: int) -> int:
        """A row of the first matrix times a column of the second one."""
        batch, rows, inner, columns = self.sizes
        (matrix, row), column = divmod(place // columns, rows), place % columns
        start = batch * rows * inner + matrix * inner * columns
        terms = (self.v[(matrix * rows + row) * inner + k] * self.v[start + k * columns + column] for k in range(inner))
        return sum(terms)


NEURONS: dict[str, type[Neurons]] = {
    "IF": Thresholds,
    "DTIF": DoubleThresholds,
    "AUGIF": Augmented,
    "FUNCTION": Functions,
    "MAXPOOL": MaxPooling,
    "PRODUCT": Products,
    "READOUT": Neurons,
}
