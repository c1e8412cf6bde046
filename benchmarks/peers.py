"""Other ways from a trained network to a spiking one, in one run: same network, same images, same counting.

    uv run python benchmarks/peers.py                                       # scikit-learn's digits, nothing to download
    uv run python benchmarks/peers.py mnist-lenet --data MNIST:ROOT --images 1000 --figure peers.png --json peers.json

Against AugMapping, TerMapping and rate coding of this package run SpikingJelly's ann2snn, sinabs' from_torch, and
lava-dl's Sigma-Delta through netx. Every peer is a script in ``benchmarks/peers/``, which says in its head what it
needs; uv makes an environment for it, kept in its cache (the first time takes minutes). A peer that cannot be
installed, or fails, is reported, and the others go on. Whoever is best at a point is marked, and named below the table.

Events are non-zero spikes of all spiking layers, the input's left out. In AugMapping networks pooling layers spike too,
and count; SpikingJelly and sinabs compute pooling in floats between the layers. Times are of a CPU, for one batch;
those of Sigma-Delta are of Lava, for one image after the other.
"""

import argparse
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from exchange import ExchangeError, Task, repeats, write_network, write_task
from peer_results import Found, Result, as_json, merged, report

import lava_aug as la
from lava_aug.commands.console import write_figure
from lava_aug.commands.inputs import read_images, read_model
from lava_aug.experiments.running import ann_logits

STEPS = (1, 2, 4, 8, 16, 32, 64)
HERE = Path(__file__).resolve().parent
OURS: dict[str, dict[str, Any]] = {
    "AugMapping 1/8": {"method": "augmapping", "resolution": 1 / 8},
    "AugMapping 1/4": {"method": "augmapping", "resolution": 1 / 4},
    "TerMapping": {"method": "termapping"},
    "rate": {"method": "rate"},
}
"""Our conversions, all with 8-bit weights: title to the arguments of `lava_aug.convert`."""

WEIGHT_SCALES = "channel"
"""As `lava_aug.experiments.compare` has it by default."""

NETWORK = "augmapping.net"
"""What our default conversion is called in the exchange folder, for peers that take a converted network."""


@dataclasses.dataclass(frozen=True)
class Peer:
    """A script that takes the exchange folder and the name of a JSON file to write.

    Attributes
    ----------
    script : str
        In ``benchmarks/peers/``.
    own_environment : bool
        Whether uv makes an environment from the script's head; else it runs in this one, and may load `NETWORK`.
    """

    script: str
    own_environment: bool = True

    @property
    def path(self) -> Path:
        """The script."""
        return HERE / "peers" / self.script


PEERS: dict[str, Peer] = {
    "spikingjelly": Peer("spikingjelly_peer.py"),
    "sinabs": Peer("sinabs_peer.py"),
    "sdnn": Peer("sdnn_peer.py", own_environment=False),
}
"""The peers by name. A new one is a script and a line."""


def run_ours(titles: Sequence[str], model: torch.nn.Module, task: Task, shown: Sequence[int]) -> Found:
    """Convert by our own methods and simulate."""
    results = []
    for title in titles:
        net = la.convert(model, task.calibration, num_steps=task.steps, weight_scales=WEIGHT_SCALES, **OURS[title])
        out = la.simulate(net, task.images, batch_size=task.batch_size)
        one, steps = task.images[: task.batch_size], sorted({*shown, task.steps})
        times = [1e3 * _seconds(net, one, num_steps) / len(one) for num_steps in steps]
        every = np.interp(np.arange(1, task.steps + 1), steps, times)
        curve = out.accuracy(task.labels), out.events_per_image(), every
        results.append(Result(title, *curve, "8-bit weights, 24-bit state", f"resolution {net.resolution:g}"))
    return Found(tuple(results), versions={"ours": {"lava-aug": la.__version__, "torch": torch.__version__}})


def _seconds(net: la.Network, images: np.ndarray, steps: int) -> float:
    times = []
    for _ in repeats():
        start = time.perf_counter()
        la.simulate(net, images, steps, batch_size=len(images))
        times.append(time.perf_counter() - start)
    return min(times)


def run_peer(name: str, folder: Path, timeout: float) -> Found:
    """Run a peer's script; whatever goes wrong becomes an error in what it gives."""
    peer, output = PEERS[name], folder / f"{name}.json"
    if not peer.path.exists():
        return Found(errors={name: f"left out: needs {str(peer.path)!r}, which is not there"})
    try:
        command = [*_interpreter(peer), str(peer.path), str(folder), str(output)]
        status, said = finished(command, _environment(peer), timeout)
    except FileNotFoundError as error:
        return Found(errors={name: str(error)})
    except subprocess.TimeoutExpired:
        return Found(errors={name: f"not finished after {timeout:g} s; --timeout gives it more"})
    if status or not output.exists():
        return Found(errors={name: last_words(said) or f"exit status {status}"})
    return merged(name, json.loads(output.read_text()))


def finished(command: Sequence[str], environment: dict[str, str], timeout: float) -> tuple[int, str]:
    """Exit status and output of a command, whose children end with it whatever happens."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, env=environment, start_new_session=True, **pipes) as process:
        try:
            said, _ = process.communicate(timeout=timeout)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, said


def _interpreter(peer: Peer) -> list[str]:
    if not peer.own_environment:
        return [sys.executable]
    uv = shutil.which("uv")
    if uv is None:
        raise FileNotFoundError("uv is not there, which makes the environment: pip install uv")
    return [uv, "run", "--quiet", "--script"]


def _environment(peer: Peer) -> dict[str, str]:
    """This one, with ``exchange.py``; in an environment of its own, a peer does not see our packages."""
    if not peer.own_environment:
        return {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
    kept = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONHOME")}
    return {**kept, "PYTHONPATH": str(HERE)}


def last_words(text: str, lines: int = 3) -> str:
    """The end of what a program said, on one line."""
    return " ".join(" | ".join([line.strip() for line in text.splitlines() if line.strip()][-lines:]).split())[:500]


def main() -> None:
    """Run all tools, print the results, and write the requested files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="digits", help="digits, a name of the zoo, or module:factory")
    parser.add_argument("--weights", type=Path, help="state_dict (.pt)")
    parser.add_argument("--data", help="test images: a data set and its folder, as in MNIST:ROOT, or .npz with labels")
    parser.add_argument("--calibration", help="as --data; default held-out training images of the same data set")
    parser.add_argument("--images", type=int, default=500, help="test images (%(default)s), taken at random")
    parser.add_argument("--calibration-images", type=int, default=500, help="how many of them (%(default)s)")
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS, help="time steps to show (%(default)s)")
    parser.add_argument("--only", nargs="+", choices=[*OURS, *PEERS], help="run these alone")
    parser.add_argument("--batch-size", type=int, default=50, help="images computed together (%(default)s)")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds for each peer (%(default)s)")
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--figure", type=Path, help="draw accuracy over steps and over events here")
    arguments = parser.parse_args()
    if min(*arguments.steps, arguments.images, arguments.calibration_images, arguments.batch_size, 1) < 1:
        parser.error("--steps, --images, --calibration-images and --batch-size: expected numbers of at least 1")
    try:
        model, task = prepared(arguments)
        found = compete(arguments, model, task)
    except (la.LavaAugError, ExchangeError) as error:
        parser.error(str(error))
    accuracy = float((task.logits.argmax(1) == task.labels).mean())
    print(report(found, accuracy, len(task.images), sorted(set(arguments.steps))))
    if arguments.json is not None:
        sizes = {"calibration_images": len(task.calibration), "batch_size": task.batch_size, "threads": task.threads}
        head = {"arguments": sys.argv[1:], "ann_accuracy": accuracy, "num_images": len(task.images), **sizes}
        arguments.json.write_text(as_json(found, head))
    if arguments.figure is not None and found.results:
        write_figure(arguments.figure, lambda plot: draw(plot, found, accuracy))


def prepared(arguments: argparse.Namespace) -> tuple[torch.nn.Module, Task]:
    """The trained model in evaluation mode, and what is to be done with it."""
    if arguments.model == "digits":
        from lava_aug.examples.digits import load_digits, train

        digits = load_digits()
        model: torch.nn.Module = train(digits)
        test, calibration = (digits.test_images, digits.test_labels), digits.train_images
    else:
        model = read_model(arguments.model, arguments.weights).eval()
        if arguments.data is None:
            raise la.InputError("--data: expected test images, as in MNIST:ROOT")
        calibration_source = arguments.calibration or arguments.data
        if calibration_source == arguments.data and Path(arguments.data).is_file():
            raise la.InputError("--calibration: expected training images, which a file given to --data does not tell")
        test, calibration = read_images(arguments.data), read_images(calibration_source, train=True)[0]
    images, labels = test
    if labels is None:
        raise la.InputError(f"--data {arguments.data}: expected images with labels")
    chosen = sample(len(images), arguments.images)
    images, labels = as_uint8(images[chosen]), np.asarray(labels[chosen])
    calibration = as_uint8(calibration[sample(len(calibration), arguments.calibration_images)])
    logits = ann_logits(model, images)
    task = Task(
        calibration, images, labels, logits, max(arguments.steps), arguments.batch_size, torch.get_num_threads()
    )
    return model, task


def sample(count: int, wanted: int) -> np.ndarray:
    """A fixed random subset of indices."""
    return np.random.default_rng(0).permutation(count)[:wanted]


def as_uint8(images: np.ndarray) -> np.ndarray:
    """Images as all tools receive them: uint8 as they are, those in [0, 1] rounded to 255 levels."""
    return images if images.dtype == np.uint8 else np.rint(255 * images).astype(np.uint8)


def compete(arguments: argparse.Namespace, model: torch.nn.Module, task: Task) -> Found:
    """Run all tools that were not excluded."""
    wanted = arguments.only or [*OURS, *PEERS]
    found = Found()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        write_task(task, path)
        write_network(model, path)
        ours = [title for title in OURS if title in wanted]
        if ours:
            print("ours ...", file=sys.stderr, flush=True)
            found += run_ours(ours, model, task, arguments.steps)
        if any(not PEERS[name].own_environment and PEERS[name].path.exists() for name in PEERS if name in wanted):
            net = la.convert(model, task.calibration, num_steps=task.steps, weight_scales=WEIGHT_SCALES)
            la.save(net, path / NETWORK)
        for name in PEERS:
            if name in wanted:
                print(f"{name} ...", file=sys.stderr, flush=True)
                found += run_peer(name, path, arguments.timeout)
    return found


def draw(plot: Any, found: Found, ann_accuracy: float) -> Any:
    """Accuracy over steps and over events, side by side."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 5), layout="constrained", sharey=True)
    for ax, against in zip(axes, ("steps", "events"), strict=True):
        plot.curves(found.results, ann_accuracy, ax, against=against)
        ax.get_legend().remove()
    axes[1].set_ylabel("")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return axes[0]


if __name__ == "__main__":
    main()
