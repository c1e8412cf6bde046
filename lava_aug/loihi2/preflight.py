"""Does a network fit on Loihi 2? Its layers are compared with the chip's public limits.

The limits, the needs of the layers, and the formulas of the estimates are in `lava_aug.loihi2.needs`.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, Literal

from lava_aug.core.errors import InputError
from lava_aug.core.images import Images, Progress, check_network
from lava_aug.core.network import Layer, Network
from lava_aug.core.neurons import Neuron
from lava_aug.core.spec import is_int
from lava_aug.core.tables import Table, Tabular
from lava_aug.core.texts import counted
from lava_aug.loihi2.needs import LIMITS, NOT_PUBLIC, SOURCES, LayerNeeds, needs
from lava_aug.simulation.planning import LayerPlan, plan

Kind = Literal["does not fit", "split", "unclear"]
"""``does not fit``: beyond a public limit. ``split``: beyond one core, fine on several. ``unclear``: depends on what is
not public, or on images."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that does not, or may not, fit unchanged.

    Attributes
    ----------
    kind : {"does not fit", "split", "unclear"}
        The severity.
    layer : str or None
        The layer; None for the whole network.
    limit : str
        The name of the limit in `lava_aug.loihi2.needs.LIMITS`; None if the limit is not public.
    found : int
        What the network needs, in the limit's unit.
    problem, change : str
        The problem, and the change that makes it fit.
    """

    kind: Kind
    layer: str | None
    limit: str | None
    found: int
    problem: str
    change: str

    @property
    def source(self) -> str:
        """The source of the limit."""
        return "not public" if self.limit is None else "; ".join(SOURCES[name] for name in LIMITS[self.limit].sources)

    def __str__(self) -> str:
        return f"{self.kind}: {self.where}: {self.problem}; {self.change}"

    @property
    def where(self) -> str:
        """The layer or network concerned."""
        return "network" if self.layer is None else f"layer {self.layer!r}"


@dataclasses.dataclass(frozen=True, repr=False)
class Preflight(Tabular):
    """What `check_loihi2` found; `str` makes a report of it.

    Attributes
    ----------
    chips : int
        How many chips the network may take.
    num_steps, num_images : int
        For what the bit widths of potentials and payloads were determined; without images only in the worst case.
    layers : tuple of LayerNeeds
        The needs of every layer.
    findings : tuple of Finding
        What does not fit unchanged, the worst first.
    """

    chips: int
    num_steps: int
    num_images: int
    layers: tuple[LayerNeeds, ...]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether no public limit is exceeded."""
        return all(finding.kind != "does not fit" for finding in self.findings)

    @property
    def cores(self) -> tuple[int, int]:
        """Estimated cores, at least and at most."""
        return sum(layer.cores_least for layer in self.layers), sum(layer.cores_most for layer in self.layers)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        findings = [dataclasses.asdict(finding) | {"source": finding.source} for finding in self.findings]
        limits = {name: dataclasses.asdict(limit) for name, limit in LIMITS.items()}
        return {
            "ok": self.ok,
            "cores": list(self.cores),
            **dataclasses.asdict(self),
            "findings": findings,
            "limits": limits,
            "sources": SOURCES,
            "not_public": list(NOT_PUBLIC),
        }

    def _facts(self) -> str:
        cores, limit = _range(*self.cores), self.chips * LIMITS["cores"].value
        verdict = "no public limit is exceeded" if self.ok else "does not fit"
        steps = counted(self.num_steps, "time step")
        seen = counted(self.num_images, "image") if self.num_images else "no images: widths in the worst case"
        return f"Loihi 2: {verdict}; {cores} of {limit} cores (estimate), {steps}, {seen}"

    def tables(self) -> tuple[Table, ...]:
        """What every layer needs, and what does not fit."""
        head = ["layer", "neurons", "fan-in", "fan-out", "synapses", "weight", "payload", "state", "axons in"]
        head += ["axons out", "memory (KB)", "cores"]
        note = "widths in bits; memory and cores are estimates: weights shared .. not shared"
        needed = Table(head, [_cells(layer) for layer in self.layers], self._facts(), note)
        problems = [[finding.where, finding.kind, finding.problem, finding.change] for finding in self.findings]
        columns = ["where", "result", "problem", "change"]
        return (needed, Table(columns, problems, left=columns)) if problems else (needed,)

    def __str__(self) -> str:
        return "\n".join(
            [
                self.tables()[0].text(),
                *self._advice(),
                "limits:",
                *(f"  {limit.what}: {limit} ({', '.join(limit.sources)})" for limit in LIMITS.values()),
                "not public:",
                *(f"  {text}" for text in NOT_PUBLIC),
                "sources:",
                *(f"  {name}: {text}" for name, text in SOURCES.items()),
            ]
        )

    def _advice(self) -> Iterator[str]:
        """The findings, those with the same cure together."""
        for (kind, limit, change), group in _grouped(self.findings).items():
            about = "not public" if limit is None else f"limit: {LIMITS[limit].what}, {LIMITS[limit]}"
            yield f"{kind}: {change} ({about})"
            yield from (f"  {finding.where}: {finding.problem}" for finding in group)


def _grouped(findings: tuple[Finding, ...]) -> dict[tuple[Kind, str | None, str], list[Finding]]:
    groups: dict[tuple[Kind, str | None, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.kind, finding.limit, finding.change), []).append(finding)
    return groups


def _cells(layer: LayerNeeds) -> list[str]:
    width = f"{len(layer.variables)} x {layer.state_bits}"
    counts = (layer.neurons, layer.fan_in, layer.fan_out, layer.synapses, layer.weight_bits, layer.payload_bits)
    kilobytes = [math.ceil(size / 1024) for size in (layer.bytes_least, layer.bytes_most)]
    axons = (f"{layer.axons_in:,}", f"{layer.axons_out:,}")
    cores = _range(layer.cores_least, layer.cores_most)
    return [layer.name, *(f"{count:,}" for count in counts), width, *axons, _range(*kilobytes), cores]


def _range(least: int, most: int) -> str:
    return f"{least:,}" if least == most else f"{least:,} .. {most:,}"


def check_loihi2(
    net: Network,
    images: Images | None = None,
    num_steps: int | None = None,
    *,
    chips: int = 1,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> Preflight:
    """Check a network against the public limits of Loihi 2.

    Parameters
    ----------
    net : Network
        A fixed-point network.
    images : Images, optional
        Typical images, as for `lava_aug.simulate`, on which the ranges of potentials and payloads are measured.
        Without them, the worst case is used, and whatever exceeds a limit is only ``unclear``.
    num_steps : int, optional
        Time steps per image; default ``net.num_steps``.
    chips : int
        How many chips the network may take.
    batch_size, progress
        As for `lava_aug.simulate`.

    Returns
    -------
    Preflight
        Needs of every layer, and what does not fit with the change that makes it fit.

    Raises
    ------
    NetworkError
        If the network computes in floating point, which the chip does not support.
    InputError
        As `lava_aug.simulate`, or if ``chips`` is not a positive integer.

    Notes
    -----
    Limits and their sources: `lava_aug.loihi2.needs.LIMITS`. Nothing was tested on the chip itself.
    """
    check_network(net)
    if not is_int(chips) or chips < 1:
        raise InputError(f"chips: expected an integer of at least 1, found {chips!r}")
    widths = plan(net, images, num_steps, batch_size=batch_size, progress=progress)
    layers = tuple(needs(net, layer, measured) for layer, measured in zip(net, widths.layers, strict=True))
    findings = [
        finding
        for layer, measured, asked in zip(net, widths.layers, layers, strict=True)
        for finding in _findings(layer, measured, asked)
    ]
    findings += _of_the_network(layers, net, chips)
    order = ("does not fit", "split", "unclear")
    findings.sort(key=lambda finding: order.index(finding.kind))
    return Preflight(chips, widths.num_steps, widths.num_images, layers, tuple(findings))


# What does not fit


def _findings(layer: Layer, widths: LayerPlan, asked: LayerNeeds) -> Iterator[Finding]:
    yield from _of_weights(asked)
    yield from _of_payloads(layer.neuron, widths, asked)
    yield from _of_states(widths, asked)
    yield from _of_neurons(layer, asked)
    yield from _of_cores(asked)
    yield from _of_connections(asked)


def _of_weights(asked: LayerNeeds) -> Iterator[Finding]:
    limit = LIMITS["weight"].value
    if asked.weight_bits > limit:
        problem = f"weights of {asked.weight_bits} bits, {limit} fit"
        change = f"convert with weight_bits={limit} (--weight-bits {limit})"
        yield Finding("does not fit", asked.name, "weight", asked.weight_bits, problem, change)


def _of_payloads(neuron: Neuron, widths: LayerPlan, asked: LayerNeeds) -> Iterator[Finding]:
    if not neuron.graded:
        return
    worst = widths.worst_payload.bit_length() + 1
    most = LIMITS["lava_payload"].value
    change = (
        f"convert with message_bits={min(worst, most)} (--message-bits {min(worst, most)})"
        if asked.payload_bits < most
        else "use a coarser (larger) resolution"
    )
    if widths.payload is not None:
        if max(map(abs, widths.payload)) >= widths.payload_limit:
            problem = f"spikes reach the limit {widths.payload_limit:,} of {asked.payload_bits} bits on the images"
            yield Finding("does not fit", asked.name, "lava_payload", asked.payload_bits, problem, change)
    elif widths.worst_payload > widths.payload_limit:
        problem = f"spikes of up to {widths.worst_payload:,} in the worst case, {asked.payload_bits} bits hold "
        problem += f"{widths.payload_limit:,}"
        yield Finding("unclear", asked.name, "lava_payload", worst, problem, f"give images (--images), or {change}")


def _of_states(widths: LayerPlan, asked: LayerNeeds) -> Iterator[Finding]:
    bits, change = LIMITS["state"].value, "use fewer time steps, fewer weight bits, or a coarser (larger) resolution"
    if widths.v is not None:
        reached = max(map(abs, widths.v))
        if reached >= widths.state_limit:
            problem = f"v reaches the limit {widths.state_limit:,} of {bits} bits on the images"
            yield Finding("does not fit", asked.name, "state", reached.bit_length() + 1, problem, change)
    elif widths.worst_v > widths.state_limit:
        needed = widths.worst_v.bit_length() + 1
        problem = f"v needs {needed} bits in the worst case, {bits} fit"
        yield Finding("unclear", asked.name, "state", needed, problem, f"give images (--images), or {change}")


def _of_neurons(layer: Layer, asked: LayerNeeds) -> Iterator[Finding]:
    limit = LIMITS["neuron_state"]
    if asked.state_bytes > limit.value:
        problem = f"the state of a neuron takes {asked.state_bytes:,} bytes, {limit.value:,} fit"
        change = "pool in several steps of smaller windows, or multiply smaller matrices"
        yield Finding("does not fit", asked.name, "neuron_state", asked.state_bytes, problem, change)
    for doubt in layer.neuron.doubts():
        yield Finding("unclear", asked.name, None, *doubt)


def _of_cores(asked: LayerNeeds) -> Iterator[Finding]:
    memory, per_core = LIMITS["memory"].value, LIMITS["neurons_per_core"].value
    alone = asked.state_bytes + math.ceil(asked.fan_in * asked.weight_bits / 8)
    if alone > memory:
        problem = f"one neuron with its {asked.fan_in:,} synapses takes {alone:,} bytes, a core has {memory:,}"
        change = "split its inputs among several layers and add up what these relay"
        yield Finding("does not fit", asked.name, "memory", alone, problem, change)
    elif asked.neurons > per_core:
        problem = f"{asked.neurons:,} neurons, a core has {per_core:,}"
        yield Finding("split", asked.name, "neurons_per_core", asked.neurons, problem, _split(asked))
    elif asked.cores_most > 1:
        problem = f"{_range(asked.bytes_least, asked.bytes_most)} bytes, a core has {memory:,}"
        yield Finding("split", asked.name, "memory", asked.bytes_most, problem, _split(asked))


def _split(asked: LayerNeeds) -> str:
    return f"split it over {_range(asked.cores_least, asked.cores_most)} cores"


def _of_connections(asked: LayerNeeds) -> Iterator[Finding]:
    delay, axons = LIMITS["delay"].value, LIMITS["axons"].value
    if asked.delay > delay:
        problem = f"a connection is delayed by {counted(asked.delay, 'time step')}, a synapse by at most {delay}"
        change = "put a signed relay (vth 1) into the shorter path"
        yield Finding("does not fit", asked.name, "delay", asked.delay, problem, change)
    out = math.ceil(asked.axons_out / asked.cores_least)
    for way, count in (("into", asked.axons_in), ("out of", out)):
        if count > axons:
            problem = f"{count:,} axons {way} a core, the first Loihi had {axons:,}, Loihi 2's number is not public"
            change = "split the layer over more cores" if way == "out of" else "split the layer before it by channels"
            yield Finding("unclear", asked.name, "axons", count, problem, change)


def _of_the_network(layers: tuple[LayerNeeds, ...], net: Network, chips: int) -> Iterator[Finding]:
    totals = {
        "cores": (sum(layer.cores_least for layer in layers), sum(layer.cores_most for layer in layers)),
        "neurons": (sum(layer.neurons for layer in layers),) * 2,
        "synapses": (sum(layer.num_weights for layer in net), sum(layer.synapses for layer in layers)),
    }
    for name, (least, most) in totals.items():
        room = chips * LIMITS[name].value
        if most > room:
            kind: Kind = "does not fit" if least > room else "unclear"
            needed = _range(*(math.ceil(total / LIMITS[name].value) for total in (least, most)))
            on = "one chip" if chips == 1 else f"{chips} chips"
            problem = f"{_range(least, most)} {name}, {room:,} fit on {on}"
            change = f"use {needed} chips (--chips), or a smaller network"
            yield Finding(kind, None, name, most, problem, change)
