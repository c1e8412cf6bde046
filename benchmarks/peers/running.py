"""What the peers' scripts share: the same images, step by step, counted and timed in the same way."""

import json
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from exchange import Task, read_network, read_task, repeats
from torch import Tensor, fx, nn


class Spiking(NamedTuple):
    """A converted network: one time step for a batch, the way back to the start, and the layers that spike."""

    step: Callable[[Tensor], Tensor]
    reset: Callable[[], Any]
    layers: Sequence[nn.Module]
    note: str = ""


Converter = Callable[[fx.GraphModule, Task], Spiking]


def events_and_accuracy(snn: Spiking, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Fraction of right answers after every step, and non-zero spikes per image up to it.

    The answer after ``t`` steps is the largest of the last layer's outputs, added up over the steps.
    """
    right, events = np.zeros(task.steps), np.zeros(task.steps)
    count = [0]

    def add(_module: nn.Module, _inputs: Any, spikes: Tensor) -> None:
        count[0] += int(torch.count_nonzero(spikes))

    hooks = [layer.register_forward_hook(add) for layer in snn.layers]
    for x, labels in task.batches():
        snn.reset()
        total = torch.zeros(())
        for t in range(task.steps):
            count[0] = 0
            total = total + snn.step(x)
            right[t] += int((total.argmax(1) == labels).sum())
            events[t] += count[0]
    for hook in hooks:
        hook.remove()
    return right / len(task.labels), np.cumsum(events) / len(task.labels)


def milliseconds(snn: Spiking, task: Task) -> np.ndarray:
    """Time per image up to every step, for one batch, without counting."""
    x, _ = next(task.batches())
    found = np.full(task.steps, np.inf)
    for _ in repeats():
        snn.reset()
        start, total = time.perf_counter(), torch.zeros(())
        times = []
        for _ in range(task.steps):
            total = total + snn.step(x)
            times.append(time.perf_counter() - start)
        found = np.minimum(found, times)
    return 1e3 * found / len(x)


def check_network(net: nn.Module, task: Task) -> None:
    """ValueError if the network does not give what it gave where it was written."""
    x, _ = next(task.batches())
    expected = torch.tensor(task.logits[: len(x)])
    off = float((net(x) - expected).abs().max() / expected.abs().max())
    if not off < 1e-3:
        raise ValueError(f"the network that was read differs from the one that was written by {100 * off:.2g} %")


def main(package: str, modes: Mapping[str, Converter]) -> None:
    """Convert and run in every mode, and write a list of results, or of errors, as JSON.

    Called by a script with two arguments: the folder of the exchange, and the file to write.
    """
    folder, output = map(Path, sys.argv[1:])
    task = read_task(folder)
    torch.set_num_threads(task.threads)
    rows = []
    with torch.no_grad():
        check_network(read_network(folder), task)
        for title, convert in modes.items():
            print(f"{title} ...", file=sys.stderr, flush=True)
            rows.append({"title": title, **_row(convert, folder, task)})
    versions = {name: version(name) for name in (package, "torch")}
    output.write_text(json.dumps({"versions": versions, "rows": rows}))


def _row(convert: Converter, folder: Path, task: Task) -> dict[str, Any]:
    try:
        snn = convert(read_network(folder), task)
        accuracy, events = events_and_accuracy(snn, task)
        times = milliseconds(snn, task)
    except Exception as error:  # one mode that fails must not take the others along
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}
    found = {"accuracy": accuracy.tolist(), "events": events.tolist(), "milliseconds": times.tolist()}
    return {**found, "arithmetic": "float32", "note": snn.note}
