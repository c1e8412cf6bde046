"""lava-dl's Sigma-Delta network, through unmodified netx on Lava: the converted network, exported.

It needs no environment of its own. Images follow each other in single time steps, without reset, as such networks are
meant to run. After that step nothing changes as long as the image stays: no neuron has anything more to send, so
accuracy and events are the same after every further step, and only the time grows. The answer comes ``depth`` steps
later, while the next images are under way.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from exchange import Task, read_task

import lava_aug as la


def row(folder: Path, task: Task) -> dict[str, Any]:
    """What netx makes of the exported network."""
    file = folder / "sdnn.net"
    made = la.netx.export(la.load(folder / "augmapping.net"), file, images=task.calibration)
    start = la.netx.run(file, task.images[:1]).seconds
    found = la.netx.run(file, task.images)
    accuracy = float((found.predictions == task.labels).mean())
    milliseconds = 1e3 * max(found.seconds - start, 0.0) / max(len(task.images) - 1, 1)
    return {
        "accuracy": [accuracy] * task.steps,
        "events": [found.events_per_input] * task.steps,
        "milliseconds": (milliseconds * np.arange(1, task.steps + 1)).tolist(),
        "arithmetic": "8-bit weights, 24-bit state, on Lava with FastSimCfg",
        "note": f"one step per image, {made.network.depth} steps late; no reset",
    }


def main() -> None:
    """Export, run, and write the result as JSON; called with the folder of the exchange and the file to write."""
    folder, output = map(Path, sys.argv[1:])
    title = "Sigma-Delta"
    try:
        found = row(folder, read_task(folder))
    except la.LavaAugError as error:  # a network that netx cannot express
        found = {"error": str(error)}
    versions = {name: version(name) for name in ("lava-nc", "lava-dl")}
    output.write_text(json.dumps({"versions": versions, "rows": [{"title": title, **found}]}))


if __name__ == "__main__":
    main()
