"""An AugMapping network and its Sigma-Delta export, on the same images: accuracy, events, steps, time on Lava.

    uv run python benchmarks/sdnn.py lenet.net --images MNIST:ROOT
    uv run python benchmarks/sdnn.py lenet.net --images MNIST:ROOT --stock       # with Lava's own Conv and Dense, too

Sigma-Delta networks run on unmodified netx of lava-dl, one image per time step, without reset, under FastSimCfg. Events
are non-zero messages of all layers without the input. Milliseconds per image leave out the start of Lava. The model of
netx's arithmetic is held against Lava, and says what resets bring and cost.
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lava.magma.core.run_configs import Loihi2SimCfg

import lava_aug as la
from lava_aug.commands.inputs import read_images
from lava_aug.core.tables import Table

TIMED = 1000
"""Images that are timed: those there are, over and over."""

PART = 250
"""Images for which accuracy without reset is shown together."""

RESETS = (1, 10, 100)
"""Images between two resets, for the model."""


def table(cells: Sequence[Sequence[str]]) -> str:
    """A table whose first row is its head."""
    head, *rows = cells
    return Table(head, rows).text()


def aug_rows(net: la.Network, x: np.ndarray, y: np.ndarray) -> list[list[str]]:
    """AugMapping on Lava after every step: all layers in one process, or each as synapses and neurons."""
    rows = []
    for name, fused in (("one process", True), ("a process each", False)):
        found, milliseconds = timed(lambda images, fused=fused: la.run(net, images, fused=fused), x, TIMED)
        events, accuracy = found.events_per_image(), found.accuracy(y)
        for step in range(1, net.num_steps + 1) if fused else (net.num_steps,):
            shown = f"{milliseconds:.1f}" if step == net.num_steps else "-"
            cells = [f"{net.method}, {name}", f"{100 * accuracy[step - 1]:.2f}", f"{events[step - 1]:,.0f}"]
            rows.append([*cells, str(step), shown])
    return rows


def sdnn_rows(path: Path, made: la.netx.NetxExport, x: np.ndarray, y: np.ndarray, *, stock: bool) -> list[list[str]]:
    """Sigma-Delta on Lava."""
    rows, model = [], la.netx.simulate(made.network, x)
    for fast in (True, False) if stock else (True,):
        images = TIMED if fast else len(x)
        config = None if fast else Loihi2SimCfg(select_tag="fixed_pt")
        found, milliseconds = timed(lambda images, config=config: la.netx.run(path, images, config=config), x, images)
        if not np.array_equal(found.sent, model.sent):
            raise SystemExit("Lava differs from the model of its arithmetic")
        name = f"Sigma-Delta, netx, {'FastSimCfg' if fast else 'stock models'}"
        accuracy = 100 * np.mean(found.predictions == y)
        rows.append([name, f"{accuracy:.2f}", f"{found.events_per_input:,.0f}", "1", f"{milliseconds:.1f}"])
    return rows


def timed(run: Any, x: np.ndarray, count: int) -> tuple[Any, float]:
    """The result, and milliseconds for each of so many images beyond the first, which pays for the start."""
    found, seconds = run(x), []
    for images in (x[:1], np.resize(x, (count + 1, *x.shape[1:]))):
        start = time.perf_counter()
        run(images)
        seconds.append(time.perf_counter() - start)
    return found, 1e3 * (seconds[1] - seconds[0]) / count


def reset_rows(made: la.netx.NetxExport, x: np.ndarray, y: np.ndarray, own: np.ndarray) -> list[list[str]]:
    """The model with a reset every so many images."""
    rows = [["reset every", "accuracy (%)", "as AugMapping (%)", "events"]]
    for count in (count for count in RESETS if count <= len(x)):
        parts = [la.netx.simulate(made.network, x[start : start + count]) for start in range(0, len(x), count)]
        found = np.concatenate([part.predictions for part in parts])
        events = sum(part.events_per_input * part.num_inputs for part in parts) / len(x)
        rows.append([f"{count} images", f"{100 * np.mean(found == y):.2f}", f"{100 * np.mean(found == own):.2f}"])
        rows[-1].append(f"{events:,.0f}")
    return rows


def drift_rows(made: la.netx.NetxExport, x: np.ndarray, y: np.ndarray, own: np.ndarray) -> list[list[str]]:
    """The model without any reset, part by part."""
    found = la.netx.simulate(made.network, x).predictions
    rows = [["without reset", "accuracy (%)", "AugMapping (%)"]]
    for start in range(0, len(x), PART):
        part = slice(start, min(start + PART, len(x)))
        cells = [f"{100 * np.mean(each[part] == y[part]):.1f}" for each in (found, own)]
        rows.append([f"images {part.start + 1} to {part.stop}", *cells])
    return rows


def main() -> None:
    """Export, run and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", help="a network file, from `lava-aug convert`")
    parser.add_argument("--images", required=True, help="images with labels, as for `lava-aug simulate`")
    parser.add_argument("--count", type=int, default=100, help="images on Lava")
    parser.add_argument("--model-count", type=int, default=2000, help="images for the model")
    parser.add_argument("--threshold", type=float, default=0.0, help="of the export")
    parser.add_argument("--stock", action="store_true", help="also with Lava's own models of Conv and Dense")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    net = la.load(arguments.network)
    images, labels = read_images(arguments.images)
    if labels is None:
        raise SystemExit("expected labels with the images")
    x, y = images[: arguments.count], labels[: arguments.count]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sdnn.net"
        made = la.netx.export(net, path, threshold=arguments.threshold)
        print(made, end="\n\n", flush=True)
        head = [f"{len(x)} images on Lava", "accuracy (%)", "events", "steps", "ms per image"]
        print(table([head, *aug_rows(net, x, y), *sdnn_rows(path, made, x, y, stock=arguments.stock)]), end="\n\n")
    more, answers = images[: arguments.model_count], labels[: arguments.model_count]
    own = la.simulate(net, more).predictions[-1]
    print(f"{len(more)} images, the model of netx's arithmetic; AugMapping {100 * np.mean(own == answers):.2f} %")
    print(table(reset_rows(made, more, answers, own)), end="\n\n")
    print(table(drift_rows(made, more, answers, own)))


if __name__ == "__main__":
    main()
