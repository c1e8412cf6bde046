"""The complete workflow: train, convert, compare, save, and run on Lava."""

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

import torch

from lava_aug.conversion.converter import convert
from lava_aug.core.errors import BackendError, FileError
from lava_aug.core.files import write_arrays, write_bytes, write_figure
from lava_aug.core.results import Output
from lava_aug.examples import digits
from lava_aug.experiments.cases import TITLES, default_cases
from lava_aug.experiments.comparison import STEPS, Comparison
from lava_aug.experiments.running import compare
from lava_aug.netx.networks import load, save
from lava_aug.plot.comparisons import accuracy_and_events
from lava_aug.simulation.simulator import simulate

LAVA_IMAGES = 100
LAVA_STEPS = 4


@dataclasses.dataclass(frozen=True)
class LavaCheck:
    """How a run on Lava compares with the simulator.

    Attributes
    ----------
    num_images, num_steps : int
        What ran.
    num_spikes : int
        Events that were compared, of all layers and the input.
    accuracy : float
        After the last step.
    differences : list of str
        Where the two differ; empty if every spike of every layer, every readout and every count is equal.
    """

    num_images: int
    num_steps: int
    num_spikes: int
    accuracy: float
    differences: list[str]


@dataclasses.dataclass(frozen=True)
class Demo:
    """What the demo found, and the files that it wrote.

    Attributes
    ----------
    comparison : Comparison
        ANN, rate, TerMapping and AugMapping on 500 test digits.
    lava : LavaCheck or None
        None where Lava is not available.
    lava_missing : str
        Why, there.
    network, figure, weights, data : Path
        The AugMapping network, the figure, the trained model's state_dict, and images and labels as ``.npz``.
    """

    comparison: Comparison
    lava: LavaCheck | None
    lava_missing: str
    network: Path
    figure: Path
    weights: Path
    data: Path


def demo(directory: str | Path = ".", *, say: Callable[[str], None] = lambda text: None) -> Demo:
    """Train a small network on digits, convert it with all three methods, save it, and run 100 test digits on Lava.

    Parameters
    ----------
    directory : path
        Where ``digits.net``, ``digits.png``, ``digits.pt`` and ``digits.npz`` are written.
    say : callable
        Told what is going on, one line at a time.

    Returns
    -------
    Demo
        The results.

    Raises
    ------
    FileError
        If the directory cannot be written to.
    """
    target = Path(directory)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot write to {str(target)!r}: {error}") from error
    say("training a small CNN on 1,297 digits")
    data = digits.load_digits()
    model = digits.train(data)
    say(f"converting it with {', '.join(TITLES.values())} and simulating {STEPS[-1]} time steps of 500 test digits")
    cases = default_cases(STEPS[-1])
    comparison = compare(model, data.train_images, data.test_images, data.test_labels, cases)
    paths = {suffix: target / f"digits.{suffix}" for suffix in ("net", "png", "pt", "npz")}
    say(f"writing {paths['net']}")
    save(convert(model, data.train_images, num_steps=LAVA_STEPS), paths["net"])
    weights = io.BytesIO()
    torch.save(model.state_dict(), weights)
    write_bytes(paths["pt"], weights.getvalue())
    write_arrays(paths["npz"], {"images": data.test_images, "labels": data.test_labels})
    title = f"scikit-learn digits, {comparison.num_images} test images, 8-bit weights"
    write_figure(accuracy_and_events(comparison, title), paths["png"], dpi=120)
    say(f"running {LAVA_IMAGES} test digits on Lava, {LAVA_STEPS} time steps each")
    lava, missing = _on_lava(paths["net"], data)
    return Demo(comparison, lava, missing, paths["net"], paths["png"], paths["pt"], paths["npz"])


def _on_lava(path: Path, data: digits.Digits) -> tuple[LavaCheck | None, str]:
    """Run the saved file on Lava and compare every number with the simulator's."""
    try:
        from lava_aug.lava.deploy import run
    except BackendError as error:
        return None, str(error)
    images, labels = data.test_images[:LAVA_IMAGES], data.test_labels[:LAVA_IMAGES]
    network = load(path)
    out: Output = run(network, images, record=True)
    differences = simulate(network, images, record=True).differences(out)
    spikes = sum(int(events.sum()) for events in out.events.values())
    return LavaCheck(len(images), out.num_steps, spikes, float(out.accuracy(labels)[-1]), differences), ""
