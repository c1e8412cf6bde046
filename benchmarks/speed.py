"""How fast networks run: stock Lava, FastSimCfg, hierarchical, fused, simulator, settle, and the ANN in torch.

    uv run python benchmarks/speed.py --json speed.json

Everything is measured in one run of this script, so that ratios hold on any machine; times do not. Networks have random
weights, images are random; the converted networks are AugMapping, 8 bit, resolution 1/8, 4 time steps. Lava's times are
steady-state times per time step: the difference between a long and a short run, divided by their difference in steps.
"""

import argparse
import itertools
import json
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.conv.process import Conv as LavaConv
from lava.proc.conv.utils import conv as lava_convolution
from lava.proc.dense.process import Dense as LavaDense
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source
from threadpoolctl import threadpool_limits
from torch import nn

import lava_aug as la
from lava_aug.core.layers import Conv, Dense, SumPool
from lava_aug.core.network import INPUT
from lava_aug.experiments.running import ann_logits
from lava_aug.kernels.batches import TorchKernel
from lava_aug.kernels.samples import SampleKernel
from lava_aug.lava.deploy import Deployment
from lava_aug.processes import ImageSource, Neurons

STEPS = 4
CONV_LAYERS = ((1, 28, 16, 5), (32, 14, 64, 3), (64, 16, 128, 3), (128, 8, 256, 3))
"""Input channels, height and width, output channels, kernel size."""

Row = dict[str, Any]


def conv_block(inputs: int, outputs: int, size: int) -> list[nn.Module]:
    """Convolution, batch norm, ReLU."""
    return [nn.Conv2d(inputs, outputs, size, padding=size // 2), nn.BatchNorm2d(outputs), nn.ReLU()]


def lenet() -> nn.Module:
    """LeNet-like, for 1x28x28."""
    return nn.Sequential(
        *conv_block(1, 16, 5), nn.AvgPool2d(2), *conv_block(16, 32, 5), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(1568, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def vgg() -> nn.Module:
    """VGG-like, for 3x32x32: 64-64-128-128-256-256 and a dense layer."""
    widths = (3, 64, 64, 128, 128, 256, 256)
    layers: list[nn.Module] = []
    for index, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        layers += conv_block(inputs, outputs, 3) + ([nn.AvgPool2d(2)] if index % 2 else [])
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(256 * 16, 10))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "LeNet-like": (lenet, (1, 28, 28)),
    "VGG-like": (vgg, (3, 32, 32)),
}


def best(work: Callable[[], Any], repeats: int = 5) -> float:
    """Shortest time of a call in seconds, after one to warm up."""
    work()
    return min(_timed(work) for _ in range(repeats))


def _timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def lava_seconds(process: Any, run_cfg: Any, few: int, many: int) -> float:
    """Steady-state seconds per time step of a Lava network."""
    with threadpool_limits(1), la.supervise(process):
        options = {"run_cfg": run_cfg, "compile_config": {"pypy_channel_size": 2}}
        process.run(condition=RunSteps(num_steps=few), **options)
        times = [_timed(lambda: process.run(condition=RunSteps(num_steps=many))) / many for _ in range(3)]
    return statistics.median(times)


def in_lavas_axes(values: Any) -> Any:
    """One value for each neuron, or one for all, in (W, H, C) axes."""
    return values.transpose(2, 1, 0) if np.ndim(values) == 3 else values


def stock_network(net: la.Network, x: np.ndarray) -> ImageSource:
    """The same network on Lava's own Conv and Dense, with our neurons between them, in Lava's (W, H, C) axes."""
    turned = {name: shape[::-1] if len(shape) == 3 else shape for name, shape in net.shapes.items()}
    source = ImageSource(images=x.transpose(0, 3, 2, 1).astype(np.int32), num_steps=STEPS)
    ports: dict[str, Any] = {INPUT: source.s_out}
    for layer in net:
        (origin, synapse), bias = layer.connections[0], layer.bias
        neuron: Any = Neurons(
            shape=turned[layer.name],
            neuron=layer.neuron.replace(**{name: in_lavas_axes(x) for name, x in layer.neuron.numbers().items()}),
            bias=0 if bias is None else in_lavas_axes(bias),
            reset_interval=STEPS,
            reset_offset=net.depths[layer.name] + 1,
        )
        process = stock_synapse(synapse, net.shapes[origin])
        port = ports[origin].flatten() if isinstance(synapse, Dense) and len(turned[origin]) > 1 else ports[origin]
        port.connect(process.s_in)
        process.a_out.connect(neuron.a_in)
        ports[layer.name] = neuron.s_out if layer.neuron.fires else neuron.v_out
    sink = Sink(shape=turned[net.readout.name], buffer=1)
    ports[net.readout.name].connect(sink.a_in)
    return source


def stock_synapse(synapse: Any, shape: tuple[int, ...]) -> Any:
    """Lava's Process for a layer; pooling is a convolution with ones."""
    if isinstance(synapse, Dense):
        weight = synapse.weight.astype(np.int32)
        if len(shape) == 3:  # flattened from (W, H, C) instead of (C, H, W)
            weight = weight.reshape(-1, *shape).transpose(0, 3, 2, 1).reshape(len(weight), -1)
        return LavaDense(weights=weight, num_message_bits=24)
    if isinstance(synapse, SumPool):
        synapse = Conv(weight=np.ones((shape[0], 1, *synapse.kernel_size), int), stride=synapse.stride, groups=shape[0])
    return LavaConv(
        weight=synapse.weight[:, :, ::-1, ::-1].transpose(0, 3, 2, 1).astype(np.int32),
        input_shape=(shape[2], shape[1], shape[0]),
        stride=synapse.stride[::-1],
        padding=synapse.padding[::-1],
        groups=synapse.groups,
        num_message_bits=24,
    )


def conv_layers() -> list[Row]:
    """Single convolutions: kernels alone, and through a running Lava network."""
    rows = []
    rng = np.random.default_rng(0)
    for inputs, size, outputs, kernel in CONV_LAYERS:
        synapse = Conv(
            weight=rng.integers(-127, 128, (outputs, inputs, kernel, kernel)), padding=(kernel // 2, kernel // 2)
        )
        shape = (inputs, size, size)
        row: Row = {"layer": f"{inputs}x{size}x{size} -> {outputs}, k{kernel}"}
        stock = stock_synapse(synapse, shape)
        dense = rng.integers(1, 9, shape).astype(np.float32)
        few = dense * (rng.random(shape) < 0.05)
        arguments = [stock.proc_params["weight"], *(np.array(v.init) for v in _geometry(stock)), 1]
        row["stock ms"] = 1e3 * best(lambda d=dense, a=arguments: lava_convolution(d.transpose(2, 1, 0), *a), 3)
        with threadpool_limits(1):
            fast = SampleKernel(synapse, shape)
            for title, s in (("dense", dense), ("5 % events", few)):
                largest, events = float(s.max()), int(np.count_nonzero(s))
                row[f"{title} ms"] = 1e3 * best(lambda f=fast, s=s, m=largest, e=events: f(s, m, e), 50)
        for title, config, s, many in (
            ("Lava stock", Loihi2SimCfg, dense, 10),
            ("Lava FastSimCfg", la.FastSimCfg, dense, 300),
            ("same, 5 %", la.FastSimCfg, few, 300),
        ):
            process = stock_synapse(synapse, shape)
            source = Source(data=np.repeat(s.transpose(2, 1, 0)[..., None], 2, axis=-1).astype(int))
            sink = Sink(shape=process.a_out.shape, buffer=1)
            source.s_out.connect(process.s_in)
            process.a_out.connect(sink.a_in)
            row[f"{title} ms"] = 1e3 * lava_seconds(source, config(select_tag="fixed_pt"), 3, many)
        row["dense x"] = row["stock ms"] / row["dense ms"]
        row["5 % events x"] = row["stock ms"] / row["5 % events ms"]
        row["Lava x"] = row["Lava stock ms"] / row["Lava FastSimCfg ms"]
        row["Lava 5 % x"] = row["Lava stock ms"] / row["same, 5 % ms"]
        rows.append(row)
    return rows


def batch_layers(batch: int = 64) -> list[Row]:
    """Single convolutions of batches, with ternary spikes: in float32, and by 8-bit products where torch has them."""
    rows = []
    for inputs, size, outputs, kernel in CONV_LAYERS:
        rng = np.random.default_rng(0)
        weight = rng.integers(-127, 128, (outputs, inputs, kernel, kernel))
        fast = TorchKernel(Conv(weight=weight, padding=(kernel // 2, kernel // 2)), torch.device("cpu"))
        s = torch.tensor(rng.integers(-1, 2, (batch, inputs, size, size)), dtype=torch.float32)
        row: Row = {"layer": f"{batch}x{inputs}x{size}x{size} -> {outputs}, k{kernel}"}
        row["as chosen ms"] = 1e3 * best(lambda f=fast, s=s: f(s, 1.0), 20)
        fast.bounded = None
        row["float32 ms"] = 1e3 * best(lambda f=fast, s=s: f(s, 1.0), 20)
        row["x"] = row["float32 ms"] / row["as chosen ms"]
        rows.append(row)
    return rows


def _geometry(process: Any) -> tuple[Any, Any, Any, Any]:
    return process.kernel_size, process.stride, process.padding, process.dilation


def network_row(title: str, num_images: int) -> Row:
    """One converted network by every way of running it; milliseconds per time step, and per image where that is all."""
    make, shape = NETWORKS[title]
    torch.manual_seed(0)
    model = make()
    images = np.random.default_rng(0).integers(0, 256, (num_images, *shape)).astype(np.uint8)
    model.train()
    with torch.no_grad():  # give batch norms statistics of these images
        model(torch.tensor(images[:64]).float() / 255)
    model.eval()
    net = la.convert(model, images[:64], num_steps=STEPS)
    row: Row = {"network": title}
    slow = 4 if title == "VGG-like" else 40
    row["stock Lava"] = 1e3 * lava_seconds(stock_network(net, images), Loihi2SimCfg(select_tag="fixed_pt"), 1, slow)
    row["FastSimCfg"] = 1e3 * lava_seconds(stock_network(net, images), la.FastSimCfg(select_tag="fixed_pt"), 5, 60)
    for name, fused in (("hierarchical", False), ("fused", True)):
        source = Deployment(net, images, STEPS, fused=fused).source
        row[name] = 1e3 * lava_seconds(source, Loihi2SimCfg(select_tag="fixed_pt"), 5, 60)
    batch = 50
    per_step = 1e3 / num_images / STEPS
    row["simulate"] = per_step * best(lambda: la.simulate(net, images, batch_size=batch), 3)
    row["ANN"] = per_step * STEPS * best(lambda: ann_logits(model, images, batch), 3)
    row["settle per image"] = 1e3 / num_images * best(lambda: la.settle(net, images, batch_size=batch), 3)
    row["stock / fused"] = row["stock Lava"] / row["fused"]
    row["stock / FastSimCfg"] = row["stock Lava"] / row["FastSimCfg"]
    row["simulate / ANN"] = row["simulate"] / row["ANN"]
    row["settle / ANN"] = row["settle per image"] / row["ANN"]
    return row


def pilotnet_row() -> Row:
    """lava-dl's pilotnet_sdnn, built by stock netx from the file in lava-dl's wheel."""
    from lava.lib.dl import netx

    file = Path(netx.__file__).parents[4] / "tests/lava/lib/dl/netx/gts/pilotnet_sdnn/network.net"
    row: Row = {"network": "pilotnet_sdnn (netx)"}
    rng = np.random.default_rng(0)
    for title, config, many in (("stock Lava", Loihi2SimCfg, 30), ("FastSimCfg", la.FastSimCfg, 200)):
        net: Any = netx.hdf5.Network(net_config=str(file))
        source = Source(data=rng.integers(0, 255, (*net.in_layer.shape, 16)))
        sink = Sink(shape=net.out_layer.shape, buffer=1)
        source.s_out.connect(net.in_layer.neuron.a_in)
        net.out_layer.out.connect(sink.a_in)
        row[title] = 1e3 * lava_seconds(net, config(select_tag="fixed_pt"), 3, many)
    row["stock / FastSimCfg"] = row["stock Lava"] / row["FastSimCfg"]
    return row


def show(title: str, rows: list[Row]) -> None:
    """Print rows as a table."""
    print(f"\n{title}")
    heads = list(dict.fromkeys(key for row in rows for key in row))
    cells = [heads, *([_text(row.get(head)) for head in heads] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(heads))]
    for line in cells:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else f"{value:,.3f}" if value < 10 else f"{value:,.0f}"


def main() -> None:
    """Measure, print, and write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--images", type=int, default=200, help="images for simulate, settle and the ANN")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    found = {
        "conv_layers": conv_layers(),
        "batch_layers": batch_layers(),
        "networks": [*(network_row(title, arguments.images) for title in NETWORKS), pilotnet_row()],
        "threads": torch.get_num_threads(),
    }
    show("Convolutions, one sample, milliseconds; x: times faster than stock", found["conv_layers"])
    show("Convolutions of batches in the simulator, milliseconds; x: times faster than float32", found["batch_layers"])
    show("Networks, milliseconds per time step (ANN and settle: per image)", found["networks"])
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
