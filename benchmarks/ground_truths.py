"""lava-dl's networks against the ground truths in its wheel, under FastSimCfg and with stock models.

    uv run python benchmarks/ground_truths.py                      # all; ntidigits with stock models takes minutes
    uv run python benchmarks/ground_truths.py pilotnet_lif --fast  # one, under FastSimCfg only

netx builds the networks, and Lava runs them; ours are the models of Conv, Dense and DelayDense alone. What is compared:

- pilotnet_lif: currents and potentials after 8 and after 16 steps, which is one image, in all hidden layers but the
  first, whose spikes are what the currents of the second are made of (reading its 76,032 neurons takes Lava longer than
  the run); potentials only where there was no spike, because the ground truth notes them before the reset;
- pilotnet_sdnn: what the last layer sends for one image;
- ntidigits: what the last layer spikes in 3,000 steps. lava-dl's own test looks at a single step of it.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source

import lava_aug as la

CONFIGS = {"FastSimCfg": la.FastSimCfg, "stock": Loihi2SimCfg}
PILOTNET_LAYERS = [*(f"conv-{i}" for i in range(1, 5)), *(f"fc-{i}" for i in range(3))]
"""Layers of pilotnet_lif that are compared, by the names of their ground truths."""

Result = tuple[np.ndarray, np.ndarray, float, int]
"""What was found, the ground truth, seconds that Lava ran, and steps."""


def folder(name: str) -> Path:
    """Where lava-dl keeps a network and its ground truth."""
    from lava.lib.dl import netx

    return Path(netx.__file__).parents[4] / "tests/lava/lib/dl/netx/gts" / name


def network(file: Path, **options: Any) -> Any:
    """A network by stock netx."""
    from lava.lib.dl import netx

    return netx.hdf5.Network(net_config=str(file), **options)


def advance(net: Any, config: Any, steps: int) -> float:
    """Run; seconds that it took."""
    start = time.perf_counter()
    net.run(condition=RunSteps(num_steps=steps), run_cfg=config)
    return time.perf_counter() - start


def pilotnet_lif(config: Any) -> Result:
    """States of all neurons of the hidden layers."""
    root = folder("pilotnet_lif")
    net = network(root / "network.net", reset_interval=16)
    net.in_layer.neuron.bias_mant.init = np.load(root / "image.npy").astype(int)
    found, truth, seconds = [], [], 0.0
    with la.supervise(net, timeout=120):
        for steps in (8, 16):
            seconds += advance(net, config, 8)
            for layer, name in zip(net.layers[2:-1], PILOTNET_LAYERS, strict=True):
                quiet = ~np.load(root / f"{name}.npy")[..., steps - 1]
                u, v = (np.load(root / f"{name}-{var}.npy")[..., steps - 1] for var in "uv")
                truth += [u.ravel(), v[quiet]]
                found += [layer.neuron.u.get().ravel(), layer.neuron.v.get()[quiet]]
    return np.concatenate(found), np.concatenate(truth), seconds, 16


def pilotnet_sdnn(config: Any) -> Result:
    """Output for one image."""
    root = folder("pilotnet_sdnn")
    net = network(root / "network.net")
    return _outputs(net, net.in_layer.neuron.a_in, root, config, len(net.layers))


def ntidigits(config: Any) -> Result:
    """Output spikes; the last layer, an average, netx does not have."""
    root = folder("ntidigits")
    net = network(root / "ntidigits.net", num_layers=5)
    return _outputs(net, net.inp, root, config, 3000)


def _outputs(net: Any, port: Any, root: Path, config: Any, steps: int) -> Result:
    source = Source(data=np.load(root / "input.npy"))
    sink = Sink(shape=net.out_layer.shape, buffer=steps)
    source.s_out.connect(port)
    net.out_layer.out.connect(sink.a_in)
    with la.supervise(net, timeout=600):
        seconds = advance(net, config, steps)
        return sink.data.get(), np.load(root / "output.npy"), seconds, steps


NETWORKS: dict[str, Callable[[Any], Result]] = {
    "pilotnet_lif": pilotnet_lif,
    "pilotnet_sdnn": pilotnet_sdnn,
    "ntidigits": ntidigits,
}


def compare(name: str, configs: list[str]) -> None:
    """Print one network's lines of the table."""
    results = {config: NETWORKS[name](CONFIGS[config](select_tag="fixed_pt")) for config in configs}
    for config, (found, truth, seconds, steps) in results.items():
        stock = results["stock"][0] if "stock" in results else None
        against_stock = "-" if stock is None else f"{np.sum(found != stock):,}"
        print(
            f"{name:13}  {config:10}  {steps:5,}  {seconds:7.1f}  {found.size:7,}  {np.sum(found != truth):16,}  "
            f"{against_stock:>16}",
            flush=True,
        )


def main() -> None:
    """Run and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), metavar="network", help=", ".join(NETWORKS))
    parser.add_argument("--fast", action="store_true", help="FastSimCfg only")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print("network        models      steps  seconds   values  unequal to truth  unequal to stock")
    for name in arguments.networks:
        compare(name, ["FastSimCfg"] if arguments.fast else list(CONFIGS))


if __name__ == "__main__":
    main()
