"""Exported rate networks on other tools: every spike of every layer, compared with the simulator's.

    uv run --with norse python benchmarks/nir_readers.py

runs the tools that are installed: snnTorch, with the tests; norse; and sinabs, which asks for an older nir than it
works with (``uv pip install --no-deps sinabs samna pbr``). Each runs twice: as it imports the graph, and with what it
does otherwise set to what we do.
"""

import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

import lava_aug as la
from lava_aug.examples.digits import load_digits, train

Spikes = dict[str, np.ndarray]


def firing(net: la.Network) -> list[str]:
    """The layers that send spikes."""
    return [layer.name for layer in net if layer.neuron.fires]


class Watch:
    """Notes what the modules of an imported graph send, one image and one call at a time."""

    def __init__(self, net: la.Network, images: int, steps: int) -> None:
        self.spikes = {name: np.zeros((steps, images, *net.shapes[name])) for name in firing(net)}
        self.readout = np.zeros((steps, images, *net.shapes[net.readout.name]))
        self.at: Any = (0, 0)

    def follow(self, module: Any) -> None:
        """Have the modules report."""
        for name in self.spikes:
            getattr(module, name).register_forward_hook(lambda _, inputs, sent, name=name: self.note(name, sent))

    def note(self, name: str, sent: Any) -> None:
        """Keep the spikes of a layer; modules with a state send it along."""
        self.spikes[name][self.at] = (sent[0] if isinstance(sent, tuple) else sent).numpy()

    def result(self) -> tuple[Spikes, np.ndarray]:
        """Spikes by layer, and the readout's potential."""
        return self.spikes, self.readout.cumsum(axis=0)


def on_snntorch(net: la.Network, path: Path, images: np.ndarray, steps: int, adjusted: bool) -> Any:
    """SnnTorch 1.0 imports ``IF`` as a neuron that leaks (beta 0.9) and sends tuples.

    It also takes a residue above the threshold for a reset that is still to come (``reset_delay=False``).
    """
    import nir
    from snntorch import Leaky
    from snntorch.import_nir import import_from_nir

    watch = Watch(net, len(images), steps)
    for index, image in enumerate(images):
        module: Any = import_from_nir(nir.read(path))
        neurons = {name: getattr(module, name) for name in firing(net)}
        for name, neuron in neurons.items():
            assert isinstance(neuron, Leaky)
            neuron.init_hidden = True  # without it the graph does not run
            if adjusted:
                neuron.beta.data = torch.tensor(1.0)
                neuron.reset_delay = True
                neuron.mem = torch.zeros(net.shapes[name]) + start(net, name)
        watch.follow(module)
        step_through(watch, index, module, image, steps)
    return watch.result()


def on_norse(net: la.Network, path: Path, images: np.ndarray, steps: int, adjusted: bool) -> Any:
    """Norse 1.1 sets the potential to zero when a neuron fires."""
    import nir
    import norse.torch as norse  # pyright: ignore[reportMissingImports]
    from norse.torch.functional.iaf import IAFFeedForwardState  # pyright: ignore[reportMissingImports]

    def subtract(a: Any, state: Any, p: Any, dt: float) -> Any:
        v = state.v + a
        z = (v > p.v_th).to(v.dtype)
        return z, IAFFeedForwardState(v - z * p.v_th)

    watch = Watch(net, len(images), steps)
    for index, image in enumerate(images):
        module = norse.from_nir(nir.read(path))
        for name in firing(net) if adjusted else ():
            neuron: Any = getattr(module, name)
            neuron.activation = subtract
            neuron.state_fallback = lambda a, name=name: IAFFeedForwardState(torch.zeros_like(a) + start(net, name))
        watch.follow(module)
        step_through(watch, index, module, image, steps)
    return watch.result()


def on_sinabs(net: la.Network, path: Path, images: np.ndarray, steps: int, adjusted: bool) -> Any:
    """Sinabs 3.1 lets a neuron fire several times in a step, and keeps its potential above ``-v_threshold``."""
    import nir
    from sinabs.activation import SingleSpike  # pyright: ignore[reportMissingImports]
    from sinabs.nir import from_nir  # pyright: ignore[reportMissingImports]

    watch = Watch(net, len(images), steps)
    for index, image in enumerate(images):
        module = from_nir(nir.read(path), batch_size=1)
        for name in firing(net) if adjusted else ():
            neuron: Any = getattr(module, name)
            neuron.spike_fn, neuron.min_v_mem = SingleSpike, None
            neuron.init_state_with_shape((1, *net.shapes[name]))
            neuron.v_mem.data += start(net, name)
        watch.follow(module)
        watch.at = (slice(None), index)
        frames = torch.tensor(image, dtype=torch.float32).expand(steps, *image.shape)
        with torch.no_grad():
            sent = module(frames)
        watch.readout[watch.at] = (sent[0] if isinstance(sent, tuple) else sent).numpy()
    return watch.result()


def start(net: la.Network, name: str) -> torch.Tensor:
    """What the neurons of a layer start from."""
    neuron: Any = net[name].neuron
    return torch.as_tensor(np.asarray(neuron.v0, np.float32))


def step_through(watch: Watch, index: int, module: Any, image: np.ndarray, steps: int) -> None:
    """Run a module that takes one sample and a state, and gives both back."""
    frame, state = torch.tensor(image, dtype=torch.float32), None
    with torch.no_grad():
        for step in range(steps):
            watch.at = (step, index)
            sent, state = module(frame) if state is None else module(frame, state)
            watch.readout[watch.at] = sent.numpy()


READERS: dict[str, Callable[[la.Network, Path, np.ndarray, int, bool], Any]] = {
    "snntorch": on_snntorch,
    "norse": on_norse,
    "sinabs": on_sinabs,
}
"""By name: spikes by layer ``(T, B, *shape)``, and the readout's potential; as imported, or adjusted."""


def differences(net: la.Network, images: np.ndarray, steps: int, found: Any) -> Iterator[tuple[str, int, int, int]]:
    """For each layer its name, spikes there and here, and at how many places and steps they differ."""
    ours = la.simulate(net, images, steps, record=True)
    spikes, readout = found
    for name in firing(net):
        there, here = spikes[name], ours.spikes[name]
        yield name, int(there.sum()), int(here.sum()), int((there != here).sum())
    yield net.readout.name, 0, 0, int((readout != ours.v).sum())


def main() -> None:
    """Print the comparison for digits: both starts, all tools."""
    data = load_digits()
    model, images, path = train(data), data.test_images[:5], Path("digits.nir")
    warnings.simplefilter("ignore")
    for v0 in ("zero", "half"):
        net = la.convert(model, data.train_images, "rate", num_steps=16, v0=v0)
        la.nir.export(net, path)
        for name, read in READERS.items():
            for adjusted in (False, True):
                try:
                    found = read(net, path, images, 16, adjusted)
                except ImportError as error:
                    print(f"{name}: not installed ({error})", file=sys.stderr)
                    break
                print(f"v0 {v0}, {name}, {'adjusted' if adjusted else 'as imported'}")
                for layer, there, here, different in differences(net, images, 16, found):
                    print(f"  {layer:8} spikes there {there:8,} here {here:8,}, different {different:8,}")
    path.unlink()


if __name__ == "__main__":
    main()
