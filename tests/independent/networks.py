"""Networks: what a file gives for an image, step by step."""

import copy
import math
import os
from typing import Any, NamedTuple

import h5py

from independent.arrays import Shape, numbered, read, texts
from independent.layers import LAYERS
from independent.neurons import NEURONS, Neurons


class Layer(NamedTuple):
    """Its name, the names and synapses of its connections, and its neurons as they are at the start of a window."""

    name: str
    connections: list[tuple[str, list[tuple[int, int, int]]]]
    neurons: Neurons


class Run(NamedTuple):
    """What one image gives: lists by time step; in ``counts`` by kind of count and layer, in ``spikes`` by layer."""

    v: list[list[int]]
    logits: list[list[float]]
    spikes: dict[str, list[list[int]]]
    counts: dict[str, dict[str, list[int]]]

    def count(self, kind: str, name: str, number: int) -> None:
        self.counts.setdefault(kind, {}).setdefault(name, []).append(number)

    def send(self, name: str, s: list[int]) -> None:
        self.spikes.setdefault(name, []).append(s)
        self.count("events", name, sum(x != 0 for x in s))
        self.count("spike_sum", name, sum(map(abs, s)))


class Network:
    """The network of a file."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        with h5py.File(path, "r") as file:
            first, *groups = numbered(file["layer"])
            self.num_steps: int = read(file["simulation"], "Ts")
            self.shapes: dict[str, Shape] = {"input": tuple(read(first, "shape").flat)}
            self.layers = [self.layer(group) for group in groups if texts(group, "type") != ["flatten"]]
            self.quantum: float = read(groups[-1], "quantum")
            heads = numbered(file["heads"]) if "heads" in file else []
            self.heads = {texts(head, "name")[0]: tuple(read(head, "shape").flat) for head in heads}

    def layer(self, group: Any) -> Layer:
        (name,), sources = texts(group, "name"), texts(group, "inputs")
        parts = numbered(group["synapse"]) if texts(group, "type") == ["sum"] else [group]
        made = [
            LAYERS[texts(part, "type")[0]](part, self.shapes[source])
            for source, part in zip(sources, parts, strict=True)
        ]
        kind = NEURONS[texts(group["neuron"], "type")[0]]
        neurons = kind(group["neuron"], made[0][0], read(group, "bias", 0))
        self.shapes[name] = neurons.sent
        return Layer(name, [(source, found) for source, (_, found) in zip(sources, made, strict=True)], neurons)

    def run(self, payloads: list[int], num_steps: int | None = None, presentation: str = "constant") -> Run:
        """One image, flattened, for a window of time steps."""
        steps = num_steps or self.num_steps
        run = Run([], [], {}, {})
        neurons = {layer.name: copy.copy(layer.neurons) for layer in self.layers}
        for t in range(1, steps + 1):
            times = 1 if presentation == "constant" else (steps if t == 1 else 0)
            self.step(run, [times * x for x in payloads], neurons)
            run.logits.append([v * (self.quantum / t) for v in run.v[-1]])
        return run

    def step(self, run: Run, payloads: list[int], neurons: dict[str, Neurons]) -> None:
        """One time step of all layers, one after the other."""
        run.send("input", payloads)
        for name, connections, _ in self.layers:
            a = [0] * len(neurons[name].v)
            synops = 0
            for source, synapses in connections:
                s = run.spikes[source][-1]
                for target, index, weight in synapses:
                    a[target] += weight * s[index]
                    synops += s[index] != 0
            sent = neurons[name].step(a)
            for kind, number in (("synops", synops), ("saturated", sent.saturated), ("capped", sent.capped)):
                run.count(kind, name, number)
            if name != self.layers[-1].name:
                run.send(name, sent.s)
        run.v.append(neurons[self.layers[-1].name].v)

    def head_logits(self, logits: list[float]) -> dict[str, list[float]]:
        """The readout's elements by head, each flat."""
        found, start = {}, 0
        for name, shape in self.heads.items():
            found[name] = logits[start : start + math.prod(shape)]
            start += math.prod(shape)
        return found


def payload(intensity: float) -> int:
    """What a floating-point image in [0, 1] becomes: the nearest of 255 levels, halves to the even one."""
    return round(255 * intensity)
