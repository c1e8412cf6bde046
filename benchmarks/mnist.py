"""The paper's comparison on MNIST, all 10,000 test images, and a check of Lava against the simulator.

    uv run python benchmarks/mnist.py --data ROOT --weights lenet.pt

``lenet.pt`` comes from ``lenet.py``. AugMapping's resolution is chosen on the last 10,000 training images.
"""

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import torch
from lenet import NUM_TRAIN, LeNet, load_mnist
from torch import Tensor

import lava_aug as la
from lava_aug.ann import ann_logits
from lava_aug.conversion import Method

RESOLUTIONS = (1.0, 1 / 2, 1 / 4, 1 / 8, 1 / 16)
AUGMAPPING_STEPS = 4
SHOWN = {"augmapping": (1, 2, 3, 4), "termapping": (4, 8, 12, 16), "rate": (4, 8, 12, 16)}


def chosen_resolution(model: LeNet, images: Tensor, labels: Tensor) -> float:
    """The coarsest resolution that loses nothing against the best one after four steps, on training data."""
    calibration, held_out = images[:1000], (images[NUM_TRAIN:], labels[NUM_TRAIN:].numpy())
    accuracies = {}
    for resolution in RESOLUTIONS:
        net = la.convert(model, calibration, "augmapping", resolution, AUGMAPPING_STEPS)
        accuracies[resolution] = float(la.simulate(net, held_out[0]).accuracy(held_out[1])[-1])
        print(f"  resolution {resolution:g}: {100 * accuracies[resolution]:.2f} % on held-out training images")
    best = max(accuracies.values())
    return max(resolution for resolution, accuracy in accuracies.items() if accuracy >= best - 0.0005)


def report(net: la.Network, images: Tensor, labels: np.ndarray) -> None:
    """Simulate all test images and print accuracy, events, time and memory."""
    start = time.perf_counter()
    out = la.simulate(net, images)
    seconds = time.perf_counter() - start
    accuracy, events = out.accuracy(labels), out.events_per_image()
    print(f"{net.method}, resolution {net.resolution:g}")
    for step in SHOWN[net.method]:
        print(f"  {step:2} steps: {100 * accuracy[step - 1]:.2f} %, {events[step - 1]:,.0f} events per image")
    clipped = sum(int(found.sum()) for part in (out.saturated, out.capped) for found in part.values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"  {len(images)} images, {out.num_steps} steps: {seconds:.1f} s, peak {peak:.2f} GiB, {clipped} values clipped"
    )


def check_on_lava(net: la.Network, images: Tensor) -> None:
    """Run images on Lava and compare every layer, step and neuron."""
    start = time.perf_counter()
    out = la.run(net, images, record=True)
    seconds = time.perf_counter() - start
    differences = la.simulate(net, images, record=True).differences(out)
    spikes = sum(int(found.sum()) for found in out.events.values())
    verdict = "\n".join(differences) if differences else f"equal in every layer, step and neuron ({spikes:,} spikes)"
    print(f"  Lava, {len(images)} images, {out.num_steps} steps, {seconds:.1f} s: {verdict}")


def stream_through_lava(net: la.Network, images: Tensor) -> None:
    """Run all images through Lava in one run, and compare readouts and counts."""
    start = time.perf_counter()
    out = la.run(net, images)
    seconds = time.perf_counter() - start
    differences = la.simulate(net, images).differences(out)
    verdict = "\n".join(differences) if differences else "readouts and counts equal in every step"
    print(f"  Lava, {len(images)} images, {out.num_steps} steps, one run, {seconds:.1f} s: {verdict}")


def settle_against_steps(net: la.Network, images: Tensor, num_steps: int = 32) -> None:
    """One forward pass against stepping, for the same readout."""
    start = time.perf_counter()
    settled = la.settle(net, images, num_steps)
    middle = time.perf_counter()
    stepped = la.simulate(net, images, num_steps)
    one, all_steps = middle - start, time.perf_counter() - middle
    equal = "equal" if np.array_equal(settled.v, stepped.v[-1]) else "DIFFERENT"
    print(
        f"  {num_steps} steps: settle {one:.2f} s, simulate {all_steps:.1f} s, {all_steps / one:.0f}x; readouts {equal}"
    )


def main() -> None:
    """Parse the command line and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="torchvision's root, the folder of MNIST/")
    parser.add_argument("--weights", type=Path, required=True, help="state_dict from lenet.py")
    parser.add_argument("--lava-images", type=int, default=100, help="test images to run on Lava")
    arguments = parser.parse_args()

    model = LeNet()
    model.load_state_dict(torch.load(arguments.weights, weights_only=True))
    train_images, train_labels = load_mnist(arguments.data, train=True)
    images, test_labels = load_mnist(arguments.data, train=False)
    labels = test_labels.numpy()
    print(
        f"ANN: {100 * (ann_logits(model, images).argmax(axis=1) == labels).mean():.2f} % of {len(images)} test images"
    )
    resolution = chosen_resolution(model, train_images, train_labels)
    plan: list[tuple[Method, float, int]] = [
        ("augmapping", resolution, AUGMAPPING_STEPS),
        ("termapping", 1, 16),
        ("rate", 1, 16),
    ]
    for method, chosen, steps in plan:
        net = la.convert(model, train_images[:1000], method, chosen, steps)
        report(net, images, labels)
        check_on_lava(net, images[: arguments.lava_images])
        if method == "augmapping":
            stream_through_lava(net, images)
            settle_against_steps(net, images)


if __name__ == "__main__":
    main()
