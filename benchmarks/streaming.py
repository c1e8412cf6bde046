"""A whole test set through Lava in one run, compared with the simulator; and one forward pass against stepping.

uv run python benchmarks/streaming.py --data ROOT
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

import lava_aug as la
from lava_aug.examples.datasets import load_images, split
from lava_aug.examples.zoo import ZOO

T = TypeVar("T")


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What it gives, and seconds."""
    start = time.perf_counter()
    found = work()
    return found, time.perf_counter() - start


def stream(net: la.Network, images: np.ndarray) -> None:
    """Run all images through Lava in one run, and compare readouts and counts."""
    out, seconds = timed(lambda: la.run(net, images))
    differences = la.simulate(net, images).differences(out)
    verdict = "\n".join(differences) if differences else "readouts and counts equal in every step"
    print(f"Lava: {len(images)} images, {out.num_steps} steps, one run, {seconds:.1f} s: {verdict}")


def settle_against_steps(net: la.Network, images: np.ndarray, num_steps: int) -> None:
    """One forward pass against stepping, for the same readout."""
    settled, once = timed(lambda: la.settle(net, images, num_steps))
    stepped, often = timed(lambda: la.simulate(net, images, num_steps))
    equal = "equal" if np.array_equal(settled.v, stepped.v[-1]) else "DIFFERENT"
    print(f"{num_steps} steps: settle {once:.2f} s, simulate {often:.1f} s, {often / once:.0f} times; readouts {equal}")


def main() -> None:
    """Parse the command line and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the data, torchvision's root")
    parser.add_argument("--network", choices=ZOO, default="mnist-lenet", help="(%(default)s)")
    parser.add_argument("--resolution", type=float, default=1 / 4, help="(%(default)s)")
    parser.add_argument("--settle-steps", type=int, default=32, help="(%(default)s)")
    parser.add_argument("--images", type=int, help="number of test images; default all")
    arguments = parser.parse_args()
    found = la.pretrained(arguments.network)
    _, held_out = split(load_images(found.data, arguments.data, train=True), 100)
    test = load_images(found.data, arguments.data)
    images = test.images[: arguments.images]
    net = la.convert(found.model, held_out.images, "augmapping", arguments.resolution, 4)
    stream(net, images)
    settle_against_steps(net, images, arguments.settle_steps)


if __name__ == "__main__":
    main()
