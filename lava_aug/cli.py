"""The command ``lava-aug``. Every command is a thin call of a public function; this module is the only printer."""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from lava_aug.errors import InputError, LavaAugError

app = typer.Typer(
    help="Deploy trained PyTorch networks as augmented-spike networks on Intel's Lava.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

ImagesOption = Annotated[
    Path, typer.Option("--images", help=".npy with images (B, C, H, W), uint8 or in [0, 1]; or .npz with 'images'")
]
LabelsOption = Annotated[
    Path | None, typer.Option("--labels", help=".npy with integer classes; default 'labels' of the .npz, if there")
]
StepsOption = Annotated[
    int | None, typer.Option("--num-steps", "-T", help="time steps per image; default the network's own")
]
ResultOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="write v, predictions and counts per layer to this .npz")
]
MeanOption = Annotated[str | None, typer.Option("--mean", help="the model's normalisation: one, or one a channel")]
StdOption = Annotated[str | None, typer.Option("--std", help="see --mean")]
FigureOption = Annotated[Path | None, typer.Option("--figure", help="write a figure to this file (.png, .svg, .pdf)")]
NetworkArgument = Annotated[Path, typer.Argument(help="a network file (.net)", show_default=False)]


def main() -> None:
    """Entry point: errors that users can mend end in a message and exit code 2, without a traceback."""
    try:
        app()
    except LavaAugError as error:
        err.print(f"[bold red]Error:[/] {_plain(error)}")
        sys.exit(2)


def _plain(error: LavaAugError) -> str:
    return str(error).replace("[", "\\[")


@contextmanager
def _bar(text: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error that takes (finished, all)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(text, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _table(cells: list[list[str]], title: str, caption: str | None = None) -> Table:
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left")
    table.box, table.pad_edge, table.collapse_padding = box.SIMPLE_HEAD, False, True
    for index, head in enumerate(cells[0]):
        table.add_column(head, justify="right" if index else "left", no_wrap=not index)
    for row in cells[1:]:
        table.add_row(*row)
    return table


@app.command()
def demo(
    directory: Annotated[Path, typer.Option("--output", "-o", help="directory for the files it writes")] = Path(),
) -> None:
    """Train a small CNN on digits, convert it by all methods, compare them, and run one on Lava."""
    from lava_aug.compare import STARS
    from lava_aug.demo import demo as run_demo

    found = run_demo(directory, say=lambda text: err.print(f"[dim]{text} …[/]"))
    title = f"{found.comparison.num_images} test digits, 8-bit weights, by number of time steps"
    out.print(_table(found.comparison.cells(), title, STARS))
    if found.lava is None:
        out.print(f"Not run on Lava: {found.lava_missing}")
    elif found.lava.differences:
        out.print("[bold red]Lava differs from the simulator:[/]", *found.lava.differences, sep="\n  ")
    else:
        out.print(
            f"Lava: {found.lava.num_images} images, {found.lava.num_steps} time steps each, "
            f"accuracy {100 * found.lava.accuracy:.2f} %; all {found.lava.num_spikes:,} spikes of all layers, "
            "every readout and every count equal the simulator's."
        )
    out.print(f"Wrote {found.network}, {found.figure}, {found.weights}, {found.data}.")
    if found.lava is not None and found.lava.differences:
        raise typer.Exit(1)


@app.command()
def convert(
    model: Annotated[str, typer.Argument(help="module:factory, for example lava_aug.digits:DigitsNet")],
    calibration: Annotated[Path, typer.Option("--calibration", "-c", help="images as for --images of simulate")],
    output: Annotated[Path, typer.Option("--output", "-o", help="the network file to write")],
    weights: Annotated[Path | None, typer.Option("--weights", "-w", help="state_dict (.pt), read weights_only")] = None,
    method: Annotated[
        Literal["augmapping", "termapping", "rate"], typer.Option("--method", "-m", help="conversion method")
    ] = "augmapping",
    resolution: Annotated[
        float | None, typer.Option("--resolution", "-r", help="threshold / balanced threshold; default 1/8 or 1")
    ] = None,
    num_steps: Annotated[int, typer.Option("--num-steps", "-T", help="time steps per image")] = 4,
    percentile: Annotated[float, typer.Option(help="of the activations, which becomes the threshold")] = 99.9,
    weight_bits: Annotated[int, typer.Option(help="width of the weights; 0 for floating point")] = 8,
    mean: MeanOption = None,
    std: StdOption = None,
    balance: Annotated[
        Literal["percentile", "search"], typer.Option(help="how thresholds and weight scales are found")
    ] = "percentile",
    thresholds: Annotated[Literal["layer", "channel"], typer.Option(help="one for each")] = "layer",
    weight_scales: Annotated[Literal["layer", "channel"], typer.Option(help="one for each")] = "layer",
    bias_correction: Annotated[
        bool, typer.Option("--bias-correction", help="take off the biases what rounding the weights adds")
    ] = False,
) -> None:
    """Convert a trained PyTorch model to a network file."""
    import lava_aug as la

    net_model = _model(model, weights)
    images, _ = _images(calibration, None)
    with _bar("calibrating") as progress:
        net = la.convert(
            net_model,
            images,
            method,
            resolution,
            num_steps,
            normalize=_normalization(mean, std),
            percentile=percentile,
            balance=balance,
            thresholds=thresholds,
            weight_scales=weight_scales,
            bias_correction=bias_correction,
            weight_bits=weight_bits or None,
            progress=progress,
        )
    la.save(net, output)
    out.print(net.summary(), markup=False, soft_wrap=True)
    out.print(f"Wrote {output}.")


def _normalization(mean: str | None, std: str | None) -> tuple[list[float], list[float]] | None:
    """Numbers from texts such as "0.5" and "0.485,0.456,0.406"."""
    if mean is None and std is None:
        return None
    try:
        return _numbers(mean or "0"), _numbers(std or "1")
    except ValueError:
        raise InputError(
            f"--mean, --std: expected numbers with commas between them, found {mean!r} and {std!r}"
        ) from None


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


@app.command()
def tune(
    model: Annotated[str, typer.Argument(help="module:factory, for example lava_aug.digits:DigitsNet")],
    calibration: Annotated[Path, typer.Option("--calibration", "-c", help="images as for --images of simulate")],
    output: Annotated[Path, typer.Option("--output", "-o", help="the network file to write")],
    labels: LabelsOption = None,
    weights: Annotated[Path | None, typer.Option("--weights", "-w", help="state_dict (.pt), read weights_only")] = None,
    max_loss: Annotated[float, typer.Option(help="how far below the ANN's accuracy, in points (%)")] = 0.5,
    objective: Annotated[Literal["events", "steps"], typer.Option(help="what is to be small")] = "events",
    num_steps: Annotated[int, typer.Option("--num-steps", "-T", help="most time steps per image")] = 8,
    per_layer: Annotated[bool, typer.Option("--per-layer", help="go on with every layer's resolution")] = False,
    mean: MeanOption = None,
    std: StdOption = None,
    figure: FigureOption = None,
) -> None:
    """Find resolution and steps with the fewest events, or the fewest steps, and write the best network."""
    import lava_aug as la

    net_model = _model(model, weights)
    images, found = _images(calibration, labels)
    if found is None:
        raise InputError(f"{str(calibration)!r}: expected labels with the images; give them with --labels")
    with _bar("tuning") as progress:
        tuned = la.tune(
            net_model,
            images,
            found,
            max_loss=max_loss / 100,
            objective=objective,
            num_steps=num_steps,
            per_layer=per_layer,
            normalize=_normalization(mean, std),
            progress=lambda text, done, total: progress(done, total),
        )
    out.print(_table(tuned.cells(), f"ANN {100 * tuned.ann_accuracy:.2f} %, Pareto front"))
    if not tuned.reached:
        out.print("[bold yellow]Warning:[/] nothing that was tried comes as near to the ANN as was asked for")
    la.save(tuned.network, output)
    out.print(f"Wrote {output}.")
    _write_figure(figure, lambda plot: plot.pareto(tuned))


@app.command()
def diagnose(
    network: NetworkArgument,
    model: Annotated[str, typer.Argument(help="module:factory that it was converted from")],
    images: ImagesOption,
    weights: Annotated[Path | None, typer.Option("--weights", "-w", help="state_dict (.pt), read weights_only")] = None,
    num_steps: StepsOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    figure: FigureOption = None,
) -> None:
    """Show how far every layer is from the model's activations, and why: the worst first."""
    import lava_aug as la

    net = la.load(network)
    net_model = _model(model, weights)
    x, _ = _images(images, None)
    with _bar("comparing") as progress:
        found = la.diagnose(net, net_model, x, num_steps, normalize=_normalization(mean, std), progress=progress)
    out.print(_table(found.cells(), f"{found.num_images} images, {found.num_steps} time steps"))
    _write_figure(figure, lambda plot: plot.layer_error(found))


def _write_figure(path: Path | None, draw: Callable[[Any], Any]) -> None:
    if path is None:
        return
    import matplotlib as mpl

    mpl.use("agg")
    from lava_aug import plot

    axes = draw(plot)
    try:
        axes.figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write {str(path)!r}: {error}") from error
    out.print(f"Wrote {path}.")


@app.command()
def info(
    network: NetworkArgument,
    plan: Annotated[bool, typer.Option("--plan", help="show the widths that every layer needs")] = False,
    images: Annotated[Path | None, typer.Option("--images", help="for --plan: typical images")] = None,
    num_steps: StepsOption = None,
    json: Annotated[bool, typer.Option("--json", help="for --plan: as JSON")] = False,
) -> None:
    """Show the layers of a network file."""
    import lava_aug as la

    net = la.load(network)
    if not plan:
        out.print(net.summary(), markup=False, soft_wrap=True)
        return
    with _bar("planning") as progress:
        found = net.plan(None if images is None else _images(images, None)[0], num_steps, progress=progress)
    if json:
        out.print_json(data=found.to_dict())
        return
    out.print(str(found), markup=False, soft_wrap=True)


@app.command()
def simulate(
    network: NetworkArgument,
    images: ImagesOption,
    labels: LabelsOption = None,
    num_steps: StepsOption = None,
    output: ResultOption = None,
    batch_size: Annotated[int | None, typer.Option(help="images computed together")] = None,
    device: Annotated[str, typer.Option(help="torch device")] = "cpu",
) -> None:
    """Simulate a network on images."""
    import lava_aug as la

    net = la.load(network)
    x, y = _images(images, labels)
    with _bar("simulating") as progress:
        result = la.simulate(net, x, num_steps, batch_size=batch_size, device=device, progress=progress)
    _report(result, y, output)


@app.command()
def run(
    network: NetworkArgument,
    images: ImagesOption,
    labels: LabelsOption = None,
    num_steps: StepsOption = None,
    output: ResultOption = None,
    hierarchical: Annotated[
        bool, typer.Option("--hierarchical", help="every layer in Lava processes of its own")
    ] = False,
    timeout: Annotated[float | None, typer.Option(help="seconds that the run may take")] = None,
) -> None:
    """Run a network on Lava's CPU backend."""
    import lava_aug as la

    net = la.load(network)
    x, y = _images(images, labels)
    try:
        with _bar("running on Lava") as progress:
            result = la.run(net, x, num_steps, fused=not hierarchical, timeout=timeout, progress=progress)
    except la.RunInterruptedError as error:
        if error.output is not None:  # what was finished is not lost
            _report(error.output, None if y is None else y[: error.num_finished], output)
        raise
    _report(result, y, output)


def _report(result: Any, labels: np.ndarray | None, output: Path | None) -> None:
    """Per step: accuracy, events, spike sums and synaptic operations per image; overflows, if there are any."""
    count = result.num_images
    head = ["step", "accuracy (%)", "events*", "sum of |s|*", "synaptic operations*"]
    accuracy = ["-"] * result.num_steps if labels is None else [f"{100 * a:.2f}" for a in result.accuracy(labels)]
    columns = [
        sum(part[name].sum(axis=1) for name in part if name != "input") / count
        for part in (result.events, result.spike_sum, result.synops)
    ]
    rows = [
        [str(step + 1), accuracy[step], *(f"{column[step]:,.1f}" for column in columns)]
        for step in range(result.num_steps)
    ]
    out.print(_table([head, *rows], f"{count} images", "* per image, of all layers"))
    for what in ("saturated", "capped"):
        for name, found in getattr(result, what).items():
            if found.sum():
                out.print(f"[bold yellow]Warning:[/] layer {name!r}: {what} {found.sum():,} times")
    if output is not None:
        write_result(result, output)
        out.print(f"Wrote {output}.")


def write_result(result: Any, path: Path) -> None:
    """Write readout, predictions and counts of an `Output` to an ``.npz``, whole or not at all."""
    arrays = {"v": result.v}
    arrays |= {f"heads/{name}": found for name, found in result.heads.items()}
    if not result.heads:
        arrays["predictions"] = result.predictions
    for what in ("events", "spike_sum", "synops", "saturated", "capped"):
        arrays |= {f"{what}/{name}": found for name, found in getattr(result, what).items()}
    partial = path.with_name(f".{path.name}.partial.npz")
    try:
        np.savez_compressed(partial, **arrays)
        partial.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {str(path)!r}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _images(path: Path, labels: Path | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Images and, if they are there, labels."""
    found = _read(path)
    if isinstance(found, dict):
        if "images" not in found:
            raise InputError(f"{str(path)!r}: expected an array named 'images', found {sorted(found)}")
        images, inside = found["images"], found.get("labels")
    else:
        images, inside = found, None
    if labels is None:
        return images, inside
    read = _read(labels)
    if not isinstance(read, dict):
        return images, read
    if "labels" not in read:
        raise InputError(f"{str(labels)!r}: expected an array named 'labels', found {sorted(read)}")
    return images, read["labels"]


def _read(path: Path) -> Any:
    """An array, or a dictionary of arrays; nothing pickled."""
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
        with found:
            return {name: found[name] for name in found.files}
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise InputError(f"{str(path)!r}: cannot be read as .npy or .npz: {error}") from error


def _model(name: str, weights: Path | None) -> Any:
    """A model from ``module:factory``, with weights if they are given."""
    module, colon, factory = name.partition(":")
    if not colon or not module or not factory:
        raise InputError(f"model {name!r}: expected module:factory, for example lava_aug.digits:DigitsNet")
    sys.path.insert(0, "")
    try:
        found = getattr(importlib.import_module(module), factory)()
    except (ImportError, AttributeError, TypeError) as error:
        raise InputError(f"model {name!r}: {error}") from error
    finally:
        sys.path.remove("")
    if weights is not None:
        _load_weights(found, weights)
    return found


def _load_weights(model: Any, path: Path) -> None:
    import pickle

    import torch

    try:
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, ValueError, TypeError, EOFError, AttributeError, pickle.UnpicklingError) as error:
        text = " ".join(str(error).split())
        raise InputError(f"weights {str(path)!r}: {text[:300]}") from error
