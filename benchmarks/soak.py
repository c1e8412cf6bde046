"""Many runs on Lava in one interpreter: memory, file descriptors and shared memory must stay flat.

uv run python benchmarks/soak.py --runs 300
"""

import argparse
import gc
import time
from pathlib import Path

import numpy as np

import lava_aug as la
from lava_aug.examples.digits import load_digits, train


def state() -> tuple[float, int, int, int]:
    """Resident MiB, open file descriptors, threads, and segments of shared memory."""
    gc.collect()
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    resident = int(fields["VmRSS"].split()[0]) / 1024
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    return resident, descriptors, int(fields["Threads"]), len(list(Path("/dev/shm").glob("psm_*")))


def main() -> None:
    """Run, and print the state now and then."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=300)
    arguments = parser.parse_args()
    digits = load_digits()
    net = la.convert(train(digits, epochs=3), digits.train_images[:300])
    images = digits.test_images[:10]
    expected = la.simulate(net, images).v
    start = time.perf_counter()
    for run in range(arguments.runs + 1):
        assert np.array_equal(la.run(net, images).v, expected)
        if run % max(arguments.runs // 6, 1) == 0:
            resident, descriptors, threads, segments = state()
            print(
                f"run {run:4}: {resident:7.1f} MiB, {descriptors} descriptors, {threads} threads, {segments} segments, "
                f"{time.perf_counter() - start:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
