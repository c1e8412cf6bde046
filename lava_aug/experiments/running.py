"""The paper's comparison: one model, several conversions; accuracy, spikes, operations and energy over time steps."""

import functools
import math
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lava_aug.conversion.calibration import as_intensity, calibration_images, labelled_images
from lava_aug.conversion.converter import checked_normalization, convert
from lava_aug.conversion.onnx_files import Model, as_module
from lava_aug.core.errors import InputError
from lava_aug.core.images import Progress, payloads
from lava_aug.core.network import INPUT, INPUT_LEVELS, Network
from lava_aug.core.normalization import Normalization
from lava_aug.core.prices import prices
from lava_aug.core.results import check_labels
from lava_aug.core.streams import Images, Stream
from lava_aug.core.walks import batches
from lava_aug.experiments.cases import Case, default_cases
from lava_aug.experiments.comparison import Comparison
from lava_aug.experiments.energy import ann_cost
from lava_aug.experiments.engines import EngineName, spread
from lava_aug.experiments.parts import VERSION, Part, Store, Unit, run_unit, units
from lava_aug.experiments.rows import LayerStatistics, Row
from lava_aug.simulation.courses import early_exits, margins_to_try
from lava_aug.simulation.simulator import simulate

Report = Callable[[str, int, int], None]
"""Called with what is going on, how much of it is finished, and how much there is."""

RASTER_NEURONS = 100
"""Neurons of each layer in a comparison's raster."""


def compare(
    model: Model,
    calibration: Images,
    images: Images,
    labels: Any = None,
    cases: Sequence[Case] | None = None,
    *,
    title: str = "",
    data: str = "",
    normalize: tuple[Any, Any] | Normalization | None = None,
    device: str = "cpu",
    parts: str | Path | None = None,
    engine: EngineName = "serial",
    scheduler: str | None = None,
    jobs: int | None = None,
    configuration: Mapping[str, Any] | None = None,
    progress: Report | None = None,
) -> Comparison:
    """Convert a model in several ways and simulate all of them on the same images.

    The images are divided into parts, each of which is computed by an engine and counted once, so that the result does
    not depend on where and in which order the parts were computed, or how often it was interrupted. For fixed-point
    networks it is reproducible bit for bit, except for the times.

    Parameters
    ----------
    model : torch.nn.Module or path
        The trained network, with one logit for each class.
    calibration : Images
        As for `lava_aug.convert`.
    images : Images
        As for `lava_aug.simulate`; all of them are kept in memory, unless they are a memory-mapped array.
    labels : array, shape (B,), optional
        True classes; default the labels that come with the images.
    cases : sequence of Case, optional
        The cases to compare; default rate, TerMapping and AugMapping with default options, for 32 steps.
    title, data : str
        Names of the comparison and of its data.
    normalize : (mean, std), optional
        As for `lava_aug.convert`.
    device : str
        A torch device for the simulation.
    parts : path, optional
        A folder for checkpoints of finished parts: with it, an interrupted comparison resumes where it stopped.
    engine : {"serial", "loky", "dask", "ray"}
        Where to compute; see `lava_aug.experiments.engines.spread`. Only this process writes to ``parts``.
    scheduler, jobs
        As for `lava_aug.experiments.engines.spread`.
    configuration : mapping, optional
        Additional entries for the result's configuration.
    progress : callable, optional
        Called with a description of the current stage, the number of finished units and their total: cases for
        conversions, images times steps for simulations.

    Returns
    -------
    Comparison
        One row for each case.

    Raises
    ------
    ConversionError, InputError
        As `convert` and `simulate`; or if titles of cases are not unique, or the model has no class logits.
    FileError
        If ``parts`` cannot be written to.
    BackendError
        As `lava_aug.experiments.engines.spread`.
    """
    chosen = list(default_cases() if cases is None else cases)
    _check_titles(chosen)
    say = progress or _say_nothing
    calibrated, _, inputs = calibration_images(calibration)
    shown, own = Stream(images, "images", inputs=inputs or None).all()
    model = as_module(model, inputs)
    watch = functools.partial(say, "running the ANN")
    logits = ann_logits(model, shown, normalize=normalize, progress=watch)
    predicted = logits.reshape(len(logits), -1).argmax(axis=1)
    expected = check_labels(labels, predicted.shape, own)
    networks = list[Network]()
    for index, case in enumerate(chosen):
        say("converting", index, len(chosen))
        networks.append(convert(model, calibrated, num_steps=case.num_steps, normalize=normalize, **case.convert))
    payloads(networks[0], shown)  # raises what every part would
    work = [
        units(net, shown, case.num_steps, {**case.simulate, "device": device})
        for net, case in zip(networks, chosen, strict=True)
    ]
    store = None if parts is None else Store(Path(parts))
    parts_by_key = _computed([unit for group in work for unit in group], store, say, engine, scheduler, jobs)
    rows = tuple(
        row(case, net, [parts_by_key[unit.key] for unit in group], [len(unit.images) for unit in group], expected)
        for case, net, group in zip(chosen, networks, work, strict=True)
    )
    cost = ann_cost(model, calibrated, normalize=normalize)
    notes = {"device": device, "images": len(shown), "calibration images": len(calibrated), **_versions()}
    shown_row = _most_telling(chosen)
    raster = _raster(chosen[shown_row], networks[shown_row], shown)
    return Comparison(
        title=title,
        data=data,
        ann_accuracy=float((predicted == expected).mean()),
        ann_macs=cost.macs,
        ann_energy=cost.energy,
        num_images=len(shown),
        rows=rows,
        configuration={**notes, "raster": {"row": rows[shown_row].title, "image": 0}, **(configuration or {})},
        raster=raster,
    )


def _say_nothing(what: str, done: int, total: int) -> None:
    pass


def _check_titles(cases: Sequence[Case]) -> None:
    titles = [case.title for case in cases]
    twice = sorted({title for title in titles if titles.count(title) > 1})
    if twice or not titles:
        raise InputError(f"cases: expected one or more with titles of their own, found {twice or 'none'}")


def _computed(
    wanted: list[Unit],
    store: Store | None,
    say: Report,
    engine: EngineName,
    scheduler: str | None,
    jobs: int | None,
) -> dict[str, Part]:
    """All parts by key: those that are kept, and the others as they come."""
    parts: dict[str, Part] = {}
    missing: dict[str, Unit] = {}
    for unit in wanted:
        kept = None if store is None else store.read(unit.key)
        if kept is None:
            missing[unit.key] = unit
        else:
            parts[unit.key] = kept
    total = sum(unit.work for unit in {unit.key: unit for unit in wanted}.values())
    done = total - sum(unit.work for unit in missing.values())
    say("simulating", done, total)
    todo = list(missing.values())
    for index, part in spread(run_unit, todo, engine=engine, scheduler=scheduler, jobs=jobs) if todo else ():
        unit = todo[index]
        if store is not None:
            store.write(unit.key, part)
        parts[unit.key] = part
        done += unit.work
        say("simulating", done, total)
    return parts


def _versions() -> dict[str, Any]:
    return {
        "lava_aug": VERSION,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "seed": None,  # nothing is random
    }


def _most_telling(cases: Sequence[Case]) -> int:
    """The case of which a raster is shown: AugMapping, the finest, the first of such."""
    ranks = [(case.convert.get("method") == "augmapping", -(case.convert.get("resolution") or 0)) for case in cases]
    return ranks.index(max(ranks))


def _raster(case: Case, net: Network, images: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """For the first image: coefficients of the first neurons of every layer."""
    out = simulate(net, images[:1], case.num_steps, record=True, **case.simulate)
    return {name: s.reshape(len(s), -1)[:, :RASTER_NEURONS] for name, s in out.spikes.items()}


def row(case: Case, net: Network, parts: Sequence[Part], sizes: Sequence[int], labels: NDArray[Any]) -> Row:
    """The row of a case.

    Parameters
    ----------
    case : Case
        What was done.
    net : Network
        What ran.
    parts : sequence of Part
        Of successive images.
    sizes : sequence of int
        How many images each part is of.
    labels : numpy.ndarray, shape (B,)
        True classes of all of them.
    """
    count = sum(sizes)
    right = np.concatenate([part["predictions"] for part in parts], axis=1) == labels
    margins = np.concatenate([part["margins"] for part in parts], axis=1)
    events, spike_sum, operations = (_sum(parts, name) for name in ("events", "spike_sum", "operations"))
    firing = [layer.name for layer in net if layer.neuron.fires]
    by_name = {name: events[index + 1] / count for index, name in enumerate(firing)}
    energy = prices(net, _input_limit(case)).energy(operations / count, by_name)
    return Row(
        title=case.title,
        options={"method": net.method, "resolution": net.resolution, **case.options},
        summary=net.summary(),
        accuracy=right.mean(axis=1),
        events=np.cumsum(events[1:].sum(axis=0)) / count,
        spike_sum=np.cumsum(spike_sum[1:].sum(axis=0)) / count,
        synops=np.cumsum(operations.sum(axis=0)) / count,
        energy=np.cumsum(energy),
        layers=_layers(net, events / count, spike_sum / count, operations / count, _coefficients(parts, count)),
        exits=early_exits(margins, right, margins_to_try(margins)),
        overflows=int(sum(int(part["overflows"]) for part in parts)),
        seconds=float(sum(float(part["seconds"]) for part in parts)),
    )


def _sum(parts: Sequence[Part], name: str) -> NDArray[Any]:
    return np.sum([part[name] for part in parts], axis=0, dtype=np.int64)


def _input_limit(case: Case) -> int:
    """The largest payload of the input: all steps' images at once, if they come in the first one."""
    return INPUT_LEVELS * (case.num_steps if case.simulate.get("presentation") == "first" else 1)


def _coefficients(parts: Sequence[Part], count: int) -> dict[int, dict[int, float]]:
    """By index of the layer: mean number of spikes of each coefficient."""
    totals: dict[int, dict[int, int]] = {}
    for part in parts:
        for index, value, number in part["coefficients"].tolist():
            layer = totals.setdefault(index, {})
            layer[value] = layer.get(value, 0) + number
    return {
        index: {value: layer_counts[value] / count for value in sorted(layer_counts)}
        for index, layer_counts in totals.items()
    }


def _layers(
    net: Network,
    events: NDArray[Any],
    spike_sum: NDArray[Any],
    operations: NDArray[Any],
    coefficients: dict[int, dict[int, float]],
) -> dict[str, LayerStatistics]:
    """Of the input and of every layer; the readout sends nothing."""
    none = np.zeros(events.shape[1])
    layers = {INPUT: LayerStatistics(math.prod(net.input_shape), events[0], spike_sum[0], none, {})}
    sent, taken = 0, 0
    for layer in net:
        end = taken + len(layer.connections)
        sent += layer.neuron.fires
        fires = layer.neuron.fires
        layers[layer.name] = LayerStatistics(
            neurons=math.prod(net.shapes[layer.name]),
            events=events[sent] if fires else none,
            spike_sum=spike_sum[sent] if fires else none,
            synops=operations[taken:end].sum(axis=0),
            coefficients=coefficients.get(sent, {}) if fires else {},
        )
        taken = end
    return layers


def ann_logits(
    model: Model,
    images: Any,
    batch_size: int = 100,
    *,
    normalize: tuple[Any, Any] | Normalization | None = None,
    progress: Progress | None = None,
) -> NDArray[Any]:
    """The model's output on images, uint8 or in [0, 1], in evaluation mode: ``(B, ...)`` float32.

    ``normalize`` is as for `lava_aug.convert`; ``progress`` is called with the number of finished images and of all.
    """
    x, _, inputs = labelled_images(images)
    transform = checked_normalization(normalize, x.shape[1])
    module = as_module(model, inputs)
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            shown = map(as_intensity, batches(x, batch_size, progress))
            return np.concatenate([module(x if transform is None else transform(x)).numpy() for x in shown])
    finally:
        module.train(was_training)
