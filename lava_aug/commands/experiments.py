"""Commands that run experiments and show them: ``demo``, ``compare``, ``report``."""

import re
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer
from numpy.typing import NDArray

from lava_aug.commands import command
from lava_aug.commands.console import err, print_tables, progress_console, show_page, stages, tell, warn
from lava_aug.commands.inputs import (
    LabelsOption,
    MeanOption,
    ModelArgument,
    StdOption,
    WeightsOption,
    normalization,
    number,
    read_images,
    read_labelled,
    read_model,
    source_of,
)
from lava_aug.core.errors import InputError
from lava_aug.core.files import check_output, is_file
from lava_aug.core.texts import counted


@command("lava-aug demo -o demo", order=10)
def demo(
    directory: Annotated[Path, typer.Option("--output", "-o", help="directory for the output files")] = Path(),
) -> None:
    """Train a small CNN on digits, convert it with all methods, compare the results, and run one on Lava."""
    from lava_aug.examples.digits import demo as run_demo

    result = run_demo(directory, say=lambda text: tell(f"{text} …", progress_console))
    tell(f"{result.comparison.num_images} test digits, 8-bit weights")
    print_tables(result.comparison)
    if result.lava is None:
        tell(f"Not run on Lava: {result.lava_missing}")
    elif result.lava.differences:
        tell("\n  ".join(["Lava differs from the simulator:", *result.lava.differences]))
    else:
        tell(
            f"Lava: {result.lava.num_images} images, {result.lava.num_steps} time steps each, "
            f"accuracy {100 * result.lava.accuracy:.2f} %; all {result.lava.num_spikes:,} spikes of all layers, "
            "every readout and every count equal the simulator's."
        )
    tell(f"Wrote {result.network}, {result.figure}, {result.weights}, {result.data}.")
    if result.lava is not None and result.lava.differences:
        raise typer.Exit(1)


@command("lava-aug compare mnist-lenet --data ROOT --num-images 1000 --open", order=50)
def compare(
    model: ModelArgument,
    data: Annotated[
        str,
        typer.Option(
            "--data",
            help="the folder of the pretrained network's data set; or a data set and its folder, as in "
            "MNIST:data; or .npz with 'images' and 'labels'",
        ),
    ],
    weights: WeightsOption = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="folder for results, and for checkpoints in parts/")
    ] = Path("results"),
    cases: Annotated[
        Literal["methods", "ablations"],
        typer.Option(help="methods and resolutions, or one changed option at a time"),
    ] = "methods",
    methods: Annotated[str, typer.Option(help="comma-separated")] = "rate,termapping,augmapping",
    resolutions: Annotated[str, typer.Option(help="resolutions of AugMapping, comma-separated")] = "1,1/2,1/4,1/8",
    num_steps: Annotated[int, typer.Option("--num-steps", "-T", min=1, help="time steps per image")] = 64,
    augmapping_steps: Annotated[
        int, typer.Option("--augmapping-steps", min=1, help="time steps for AugMapping, which needs fewer")
    ] = 16,
    weight_scales: Annotated[
        Literal["layer", "channel"], typer.Option(help="granularity of weight scales")
    ] = "channel",
    num_images: Annotated[
        int | None, typer.Option(min=1, help="number of test images, evenly spaced over the data set; default all")
    ] = None,
    calibration: Annotated[
        str | None, typer.Option("--calibration", "-c", help="as --data; default held-out training images")
    ] = None,
    num_calibration: Annotated[int, typer.Option(min=1, help="number of calibration images, evenly spaced")] = 500,
    labels: LabelsOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    engine: Annotated[
        Literal["serial", "loky", "dask", "ray"],
        typer.Option(help="where to compute: this process, processes on this machine, or a cluster"),
    ] = "serial",
    scheduler: Annotated[str | None, typer.Option(help="the cluster's address, such as tcp://127.0.0.1:8786")] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="processes; default one per core")] = None,
    device: Annotated[str, typer.Option(help="torch device")] = "cpu",
    show: Annotated[bool, typer.Option("--open", help="show the report in the browser")] = False,
) -> None:
    """Compare rate coding, TerMapping and AugMapping with the ANN; resumes if it was interrupted."""
    import lava_aug as la

    steps = (num_steps, augmapping_steps)
    choice = la.experiments.Choice(_words(methods), _resolutions(resolutions), *steps, weight_scales)
    net_model = read_model(model, weights)
    source = source_of(model, data)
    x, y = read_labelled(source, labels)
    chosen, calibrated = _evenly(len(x), num_images), _calibration(source, calibration)
    title = re.sub(r"[^\w.-]+", "-", model) + ("" if cases == "methods" else f"-{cases}")
    check_output(output / f"{title}.html", make_folder=True)
    parts = output / "parts"
    try:
        with stages() as progress:
            comparison = la.experiments.compare(
                net_model,
                calibrated[_evenly(len(calibrated), num_calibration)],
                x[chosen],
                y[chosen],
                la.experiments.cases_named(cases, choice),
                title=title,
                data=source.partition(":")[0] if source != data or ":" in data else data,
                normalize=normalization(mean, std),
                device=device,
                parts=parts,
                engine=engine,
                scheduler=scheduler,
                jobs=jobs,
                configuration={"command": shlex.join(["lava-aug", *sys.argv[1:]]), "steps": num_steps},
                progress=progress,
            )
    except KeyboardInterrupt:
        tell(f"Finished parts are in {parts}; run the same command to resume.", err)
        raise
    tell(_heading(comparison))
    print_tables(comparison)
    for row in comparison.rows:
        if row.overflows:
            warn(f"{row.title}: {row.overflows:,} values were clipped")
    with progress_console.status("drawing figures"):
        page = comparison.write_report(output, name=title)
    tell(f"Wrote {page}, and the same results as .json and .csv.")
    if show:
        show_page(page)


def _heading(comparison: Any) -> str:
    images = counted(comparison.num_images, "image")
    return f"{comparison.title}: {images}, {comparison.ann_macs:,} multiply-accumulates in the ANN"


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _resolutions(text: str) -> list[float]:
    """Numbers from a text such as "1,1/2,0.25"."""
    try:
        return [number(word) for word in _words(text)]
    except typer.BadParameter:
        raise InputError(f"--resolutions: expected comma-separated numbers, found {text!r}") from None


def _calibration(source: str, calibration: str | None) -> Any:
    if calibration is None and is_file(source):
        raise InputError(f"--calibration: expected calibration images, as {source!r} is not a data set")
    return read_images(calibration or source, train=True)[0]


def _evenly(count: int, wanted: int | None) -> NDArray[Any]:
    """Evenly spaced indices, since files may be sorted by class."""
    wanted = count if wanted is None else min(wanted, count)
    return np.arange(wanted) * count // wanted


@command("lava-aug report results/mnist-lenet.json results/fashion-lenet.json -o results.md", order=100)
def report(
    files: Annotated[list[Path], typer.Argument(help="comparisons (.json), in this order")],
    output: Annotated[Path, typer.Option("--output", "-o", help="the page to write, .html or .md")] = Path(
        "report.html"
    ),
    show: Annotated[bool, typer.Option("--open", help="open it in the browser")] = False,
) -> None:
    """Write a page with tables and figures of comparisons: HTML, with the curves as CSV next to it, or Markdown."""
    import lava_aug as la

    with progress_console.status("drawing figures"):
        first, *others = la.experiments.Comparison.read(*files)
        written = first.write_page(output, *others)
    tell(f"Wrote {', '.join(map(str, written))}.")
    if show:
        show_page(output)
