"""Made-up comparisons, for reports and figures."""

from typing import Any

import numpy as np

from lava_aug.experiments.comparison import Comparison
from lava_aug.experiments.rows import LayerStatistics, Row
from lava_aug.simulation.courses import Exit

CASES: dict[str, dict[str, Any]] = {
    "AugMapping 1/8": {"method": "augmapping", "resolution": 0.125},
    "AugMapping 1/4": {"method": "augmapping", "resolution": 0.25},
    "AugMapping 1": {"method": "augmapping", "resolution": 1.0},
    "TerMapping": {"method": "termapping", "resolution": 1.0},
    "TerMapping 1/2": {"method": "termapping", "resolution": 0.5},
    "rate": {"method": "rate", "resolution": 1.0},
}


def example(title: str = "mnist-lenet", *, rows: int = 3, layers: int = 4, steps: int = 16) -> Comparison:
    """A comparison with numbers from a formula: finer rows are better sooner, and every number differs."""
    names = [f"conv{index}" for index in range(1, layers)] + ["fc"]
    found = tuple(_example_row(index, case, names, steps) for index, case in enumerate(list(CASES)[:rows]))
    random = np.random.default_rng(0)
    raster = {
        name: random.poisson(0.4, (steps, 48)) * random.choice([-1, 1, 1, 2, 5], (steps, 48)) for name in names[:-1]
    }
    configuration = {
        "command": "lava-aug compare mnist-lenet --data ROOT",
        "versions": {"lava_aug": "0.1.0", "numpy": "1.26.4", "python": "3.10.14", "torch": "2.3.1"},
        "seed": 7,
        "device": "cpu",
        "images": 10_000,
        "steps": steps,
        "raster": {"row": found[0].title, "image": 0},
    }
    return Comparison(title, "MNIST", 0.99, 2_345_678, 10_790.1, 10_000, found, configuration, raster)


def _example_row(index: int, case: str, names: list[str], steps: int) -> Row:
    t = np.arange(1, steps + 1)
    accuracy = 0.99 - (0.3 + 0.1 * index) * np.exp(-t / (0.5 + 0.6 * index))
    events = 1000.0 * (6 - index) * t**0.9
    layers = {"input": LayerStatistics(784, np.full(steps, 150.0), np.full(steps, 2e4), np.zeros(steps), {255: 9.0})}
    for place, name in enumerate(names):
        share = np.diff(events, prepend=0) / len(names) * (0.7 + 0.1 * place)
        largest = 1 if "rate" in case else 2 if "Ter" in case else 40 // (index + 1)
        found = {c: 2000 / c**2 for c in range(1, largest)} | ({-1: 35.5} if largest > 1 else {1: 1234.5})
        layers[name] = LayerStatistics(3456 >> place, share, 3 * share, 90 * share, found if name != "fc" else {})
    points = ((0.5, 1.5, 0.9), (1.0, 2.5, 0.95), (2.0, 4.0, 0.98)) if index < 2 else ()
    exits = tuple(Exit(margin, steps + index, accuracy) for margin, steps, accuracy in points)
    energy = 0.9 * events
    summary = f"{case}\nlayer  type\n-----------\nconv1  conv 5x5"
    return Row(
        title=case,
        options=CASES[case],
        summary=summary,
        accuracy=accuracy,
        events=events,
        spike_sum=3 * events,
        synops=90 * events,
        energy=energy,
        layers=layers,
        exits=exits,
        overflows=index % 2 * 3,
        seconds=12.5 + index,
    )
