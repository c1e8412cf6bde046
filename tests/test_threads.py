"""Calls in several threads at a time: they give what they give one after the other, and leave the process as it was."""

import contextlib
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import run_python
from nets import images_for, skip_net, small_net

from lava_aug.examples.digits import load_digits, train
from lava_aug.kernels.batches import exact_arithmetic
from lava_aug.kernels.threads import Shared
from lava_aug.simulation.settling import settle
from lava_aug.simulation.simulator import simulate

CUDA = torch.device("cuda")
"""Naming it needs none."""


BY_BACKEND: Any = getattr(torch.backends.mkldnn, "matmul", None) if hasattr(torch.backends, "fp32_precision") else None
"""Where torch 2.9 and later keep how products are rounded: each backend by itself."""

EXACT, INEXACT = ("ieee", "bf16") if BY_BACKEND else ("highest", "medium")


def precision() -> str:
    """How products of float32 are rounded."""
    return BY_BACKEND.fp32_precision if BY_BACKEND else torch.get_float32_matmul_precision()


def set_precision(value: str) -> None:
    """Change it."""
    if BY_BACKEND:
        BY_BACKEND.fp32_precision = value
    else:
        torch.set_float32_matmul_precision(value)


def settings() -> tuple[Any, ...]:
    """What the simulator may change while it runs."""
    return precision(), torch.backends.cudnn.enabled, torch.get_num_threads()


@pytest.fixture
def fast_and_inexact() -> Iterator[tuple[Any, ...]]:
    """A user who asked for it; threads that change hands often."""
    before, interval = precision(), sys.getswitchinterval()
    set_precision(INEXACT)
    sys.setswitchinterval(1e-5)
    yield settings()
    set_precision(before)
    sys.setswitchinterval(interval)


def test_the_last_one_out_restores_and_nobody_before(fast_and_inexact: tuple[Any, ...]) -> None:
    with contextlib.ExitStack() as second:
        with exact_arithmetic(CUDA):
            second.enter_context(exact_arithmetic(CUDA))
            assert settings()[:2] == (EXACT, False)
        assert settings()[:2] == (EXACT, False)
    assert settings() == fast_and_inexact


def test_an_error_of_one_leaves_the_others_exact(fast_and_inexact: tuple[Any, ...]) -> None:
    with exact_arithmetic(CUDA):
        with pytest.raises(KeyError), exact_arithmetic(CUDA):
            raise KeyError("a user's own")
        assert settings()[:2] == (EXACT, False)
    assert settings() == fast_and_inexact


def test_what_cannot_be_entered_is_tried_again() -> None:
    answers: Iterator[Any] = iter([OSError("not now"), "entered"])

    @contextlib.contextmanager
    def fragile() -> Iterator[str]:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        yield answer

    shared = Shared(fragile)
    with pytest.raises(OSError, match="not now"), shared:
        pass
    with shared as value:
        assert value == "entered"


def test_many_threads_come_and_go(fast_and_inexact: tuple[Any, ...]) -> None:
    start = threading.Barrier(8)

    def work(seed: int) -> set[tuple[Any, ...]]:
        start.wait()
        seen = set()
        for _ in range(200):
            with exact_arithmetic(CUDA):
                seen.add(settings()[:2])
        return seen

    with ThreadPoolExecutor(8) as pool:
        assert set().union(*pool.map(work, range(8))) == {(EXACT, False)}
    assert settings() == fast_and_inexact


def test_concurrent_calls_equal_calls_in_turn(fast_and_inexact: tuple[Any, ...]) -> None:
    nets = [small_net(), skip_net({"c": ("input",), "out": ("a",)}), small_net(num_steps=7), skip_net({})]
    images = [images_for(net, 40) for net in nets]
    tasks = list(zip(nets, images, strict=True)) * 4
    expected = [(simulate(net, x, record=True), settle(net, x).v) for net, x in tasks[:4]] * 4

    def work(task: Any) -> tuple[Any, np.ndarray]:
        return simulate(*task, record=True), settle(*task).v

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, tasks))
    for (output, settled), (wanted, v) in zip(found, expected, strict=True):
        assert output.differences(wanted) == []
        assert np.array_equal(settled, v)
    assert settings() == fast_and_inexact


def test_concurrent_training_gives_the_same_weights() -> None:
    """The number of torch's threads, and its random numbers, belong to the process."""
    data, threads = load_digits(), torch.get_num_threads()
    with ThreadPoolExecutor(3) as pool:
        first, *others = (model.state_dict() for model in pool.map(lambda _: train(data, epochs=1), range(3)))
    assert all(torch.equal(first[name], other[name]) for other in others for name in first)
    assert torch.get_num_threads() == threads


def test_a_forked_child_computes_with_one_thread(tmp_path: Path) -> None:
    """The cure that docs/limits.md gives: torch's threads do not survive a fork."""
    program = """
import multiprocessing
import torch
import lava_aug as la
from nets import images_for, small_net

net = small_net()
images = images_for(net, 20_000)

def predict(seed):
    return la.simulate(net, images).v.tolist()

if __name__ == "__main__":
    torch.set_num_threads(2)
    torch.ones(1 << 20).exp().sum()
    expected = predict(0)
    with multiprocessing.get_context("fork").Pool(2, torch.set_num_threads, (1,)) as pool:
        print(all(found == expected for found in pool.map_async(predict, range(2)).get()))
"""
    assert (
        run_python(f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n{program}", tmp_path) == "True\n"
    )
