"""The paper's comparison: one model, several conversions; accuracy, spikes, operations and energy over time steps."""

import functools
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lava_aug.conversion.calibration import calibration_images
from lava_aug.conversion.converter import convert
from lava_aug.core.errors import InputError
from lava_aug.core.images import payloads
from lava_aug.core.network import Network
from lava_aug.core.normalization import Normalization
from lava_aug.core.results import check_labels
from lava_aug.core.streams import Images, Stream
from lava_aug.experiments.ann import ann_cost, ann_logits
from lava_aug.experiments.cases import Case, default_cases
from lava_aug.experiments.comparison import Comparison
from lava_aug.experiments.engines import EngineName, spread
from lava_aug.experiments.merging import row
from lava_aug.experiments.parts import VERSION, Part, Store, Unit, run_unit, units
from lava_aug.simulation.simulator import simulate

Report = Callable[[str, int, int], None]
"""Called with what is going on, how much of it is finished, and how much there is."""

RASTER_NEURONS = 100
"""Neurons of each layer in a comparison's raster."""


def compare(
    model: nn.Module,
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
    model : torch.nn.Module
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
    say = progress or (lambda what, done, total: None)
    (shown, own), calibrated = Stream(images, "images").all(), calibration_images(calibration)
    watch = functools.partial(say, "running the ANN")
    logits = ann_logits(model, shown, normalize=normalize, progress=watch)
    predicted = logits.reshape(len(logits), -1).argmax(axis=1)
    expected = check_labels(labels, predicted.shape, own)
    networks = []
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
