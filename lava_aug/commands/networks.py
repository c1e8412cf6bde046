"""Commands that take a network file: ``info``, ``check``, ``simulate``, ``run``, ``verify``, ``export``."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import numpy as np
import typer
from numpy.typing import NDArray

from lava_aug.commands import command
from lava_aug.commands.console import bar, check_outputs, print_json, print_table, show, show_verdict, tell, warn
from lava_aug.commands.inputs import (
    IMAGES_HELP,
    ImagesOption,
    JsonOption,
    LabelsOption,
    LayersOption,
    NetworkArgument,
    ResultOption,
    StepsOption,
    WeightsOption,
    read_images,
    read_model,
    read_spiking,
)
from lava_aug.core.errors import InputError
from lava_aug.core.files import write_arrays
from lava_aug.core.tables import Table
from lava_aug.core.texts import counted
from lava_aug.formats import FORMATS, options_of


@command("lava-aug info lenet.net --plan --json", order=60)
def info(
    network: NetworkArgument,
    num_layers: LayersOption = None,
    plan: Annotated[bool, typer.Option("--plan", help="show the bit widths that every layer needs")] = False,
    images: Annotated[str | None, typer.Option("--images", help="for --plan: typical images")] = None,
    num_steps: StepsOption = None,
    json: JsonOption = False,
) -> None:
    """Show the layers of a network file: lava-aug's own, an export, or lava-dl's."""
    import lava_aug as la

    if not plan:
        net = la.read_network(network, num_layers)
        show(net.to_dict, net.summary, json)
        return
    net = read_spiking(network)
    with bar("planning") as progress:
        widths = la.plan(net, None if images is None else read_images(images)[0], num_steps, progress=progress)
    show(widths.to_dict, widths.__str__, json)


def _loihi2(*arguments: Any, **options: Any) -> Any:
    import lava_aug as la

    return la.check_loihi2(*arguments, **options)


TARGETS: dict[str, Callable[..., Any]] = {"loihi2": _loihi2}
"""What checks a network for a target."""


@command("lava-aug check lenet.net --target loihi2 --chips 1", order=70)
def check(
    network: NetworkArgument,
    target: Annotated[str, typer.Option("--target", help=f"the hardware: {', '.join(TARGETS)}")] = "loihi2",
    images: Annotated[str | None, typer.Option("--images", help="typical images, for ranges of v and payloads")] = None,
    num_steps: StepsOption = None,
    chips: Annotated[int, typer.Option("--chips", help="number of chips available")] = 1,
    json: JsonOption = False,
) -> None:
    """Check a network against the public limits of a target; exit code 1 if it exceeds one of them."""
    if target not in TARGETS:
        raise InputError(f"--target: expected one of {', '.join(TARGETS)}, found {target!r}")
    net = read_spiking(network)
    x = None if images is None else read_images(images)[0]
    with bar("planning") as progress:
        preflight = TARGETS[target](net, x, num_steps, chips=chips, progress=progress)
    show_verdict(preflight, json)


@command("lava-aug verify lenet.net --num-images 2", order=110)
def verify(
    network: NetworkArgument,
    images: Annotated[
        str | None,
        typer.Option("--images", help=f"{IMAGES_HELP}; default random, one all black, one all white"),
    ] = None,
    num_images: Annotated[
        int | None, typer.Option(help="number of random images, or of images from --images; default 4, or all")
    ] = None,
    seed: Annotated[int, typer.Option(help="seed of the random images")] = 0,
    num_steps: StepsOption = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="the original model, to show the errors by layer as well"),
    ] = None,
    weights: WeightsOption = None,
    no_lava: Annotated[bool, typer.Option("--no-lava", help="skip Lava")] = False,
    timeout: Annotated[float | None, typer.Option(help="time limit of each run on Lava, in seconds")] = None,
    json: JsonOption = False,
) -> None:
    """Check that specification, simulator, file and Lava agree: exit code 0, or 1 and the first difference."""
    import lava_aug as la

    if weights is not None and model is None:
        raise InputError("--weights: expected the model that they belong to; give it with --model")
    if images is not None and num_images is not None and num_images < 1:
        raise InputError(f"--num-images: expected at least 1, found {num_images}")
    net = read_spiking(network)
    chosen = {} if num_images is None else {"num_images": num_images}
    with bar("verifying") as progress:
        verification = la.verify(
            net,
            None if images is None else read_images(images)[0][:num_images],
            num_steps,
            model=None if model is None else read_model(model, weights),
            lava=not no_lava,
            seed=seed,
            timeout=timeout,
            progress=progress,
            **chosen,
        )
    show_verdict(verification, json)


WRITERS = {name: file_format.write for name, file_format in FORMATS.items() if file_format.write is not None}
"""What writes each format."""

TO_HELP = "; ".join(f"{name}: {str(FORMATS[name].__doc__).splitlines()[0].rstrip('.')}" for name in WRITERS)

KINDS: dict[type, tuple[type, Callable[[Any], Any]]] = {
    np.ndarray: (str, lambda source: read_images(source, train=True)[0]),
    **{kind: (kind, kind) for kind in (int, float, str)},
}
"""What options of formats hold: as what it is given on the command line, and what makes the value of that."""

SHORT = {"images": "-c"}
"""Options that have a short form."""


def with_options(function: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of all formats in its signature, where typer looks for them."""
    *fixed, _ = inspect.signature(function).parameters.values()
    parameters: dict[str, inspect.Parameter] = {}
    for name, write in WRITERS.items():
        for option, (kind, text, default) in options_of(write).items():
            number = f"{default:g}" if isinstance(default, float) else default
            shown = f"{name}: {text}" + ("" if default is None else f"; default {number}")
            names = [f"--{option.replace('_', '-')}", *([SHORT[option]] if option in SHORT else [])]
            annotation = Annotated[KINDS[_held(kind)][0] | None, typer.Option(*names, help=shown)]
            parameters[option] = inspect.Parameter(
                option, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
            )
    function.__signature__ = inspect.Signature([*fixed, *parameters.values()])
    return function


def _held(kind: Any) -> type:
    """The type of an option that may be None, whatever its elements are."""
    held = kind if isinstance(kind, type) else next(iter(get_args(kind)), kind)
    return get_origin(held) or held


@command("lava-aug export lenet.net --to nir -o lenet.nir", order=120)
@with_options
def export(
    network: NetworkArgument,
    to: Annotated[str, typer.Option("--to", help=TO_HELP)],
    output: Annotated[Path, typer.Option("--output", "-o", help="the file to write")],
    **options: Any,
) -> None:
    """Write a network in another format: for other tools, or, if it comes from one of them, for lava-aug."""
    if to not in WRITERS:
        raise InputError(f"--to {to!r}: expected one of {', '.join(WRITERS)}")
    taken = options_of(WRITERS[to])
    given = {name: value for name, value in options.items() if value is not None}
    unknown = sorted(given.keys() - taken.keys())
    if unknown:
        raise InputError(f"--to {to}: takes no --{unknown[0]}; it takes {sorted(taken) or 'no options'}")
    check_outputs(output)
    net = read_spiking(network)
    report = WRITERS[to](net, output, **{name: KINDS[_held(taken[name].kind)][1](given[name]) for name in given})
    for table in report.tables:
        print_table(table)
    for note in report.notes:
        tell(f"- {note}")
    tell(f"Wrote {output}.")


SHOWN_STEPS = 32
"""Time steps of a long run that are listed."""


@command("lava-aug simulate lenet.net --images MNIST:ROOT -T 8 -o result.npz", order=80)
def simulate(
    network: NetworkArgument,
    images: ImagesOption,
    labels: LabelsOption = None,
    num_steps: StepsOption = None,
    output: ResultOption = None,
    presentation: Annotated[
        Literal["constant", "first"], typer.Option(help="present the image in every step, or all of it in the first")
    ] = "constant",
    stop_when: Annotated[
        float | None,
        typer.Option(help="early exit: the margin between the two largest logits at which an image stops"),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="number of images per batch")] = None,
    device: Annotated[str, typer.Option(help="torch device")] = "cpu",
    json: JsonOption = False,
) -> None:
    """Simulate a network on images: lava-aug's own, or one of Sigma-Delta neurons for netx."""
    import lava_aug as la

    check_outputs(output)
    net = la.read_network(network)
    x, y = read_images(images, labels)
    if not isinstance(net, la.Network):
        _report_netx(net, la.netx.simulate(net, x, num_steps), y, output, json)
        return
    with bar("simulating") as progress:
        result = la.simulate(
            net,
            x,
            num_steps,
            presentation=presentation,
            stop_when=stop_when,
            counts="sum" if output is None else "image",
            batch_size=batch_size,
            device=device,
            progress=progress,
        )
    _report(result, y, output, json)


@command("lava-aug run lenet.net --images images.npz --hierarchical", order=90)
def run(
    network: NetworkArgument,
    images: ImagesOption,
    labels: LabelsOption = None,
    num_steps: StepsOption = None,
    output: ResultOption = None,
    hierarchical: Annotated[
        bool, typer.Option("--hierarchical", help="run every layer in its own Lava processes")
    ] = False,
    timeout: Annotated[float | None, typer.Option(help="time limit of the run, in seconds")] = None,
    num_layers: LayersOption = None,
    json: JsonOption = False,
) -> None:
    """Run a network on Lava's CPU backend: lava-aug's own, or one for netx, on images, frames or rows of spikes."""
    import lava_aug as la

    check_outputs(output)
    net = la.read_network(network, num_layers)
    x, y = read_images(images, labels)
    if not isinstance(net, la.Network):
        with bar("running on Lava"):
            netx_output = la.netx.run(net, x, num_steps, timeout=timeout)
        _report_netx(net, netx_output, y, output, json)
        return
    try:
        with bar("running on Lava") as progress:
            result = la.run(net, x, num_steps, fused=not hierarchical, timeout=timeout, progress=progress)
    except la.RunInterruptedError as error:
        if error.output is not None:  # what was finished is not lost
            _report(error.output, None if y is None else y[: error.num_finished], output, json)
        raise
    _report(result, y, output, json)


def _report_netx(net: Any, result: Any, labels: NDArray[Any] | None, output: Path | None, json: bool) -> None:
    """Accuracy, and events of every layer per input, of a network for netx; of lava-dl's, all that it sends."""
    summary = result.to_dict(labels)
    if output is not None:
        events = {f"events/{name}": counts for name, counts in result.events.items()}
        write_arrays(output, {"sent": result.sent, "predictions": result.predictions, **events})
    if json:
        print_json(summary if net.exported else {**summary, "sent": result.sent})
        return
    accuracy = "" if labels is None else f", accuracy {100 * summary['accuracy']:.2f} %"
    rows = [[name, f"{events / result.num_inputs:,.1f}"] for name, events in summary["events"].items()]
    title = f"{counted(result.num_inputs, 'input')}{accuracy}"
    print_table(Table(["layer", "events per input"], rows, title))
    if not net.exported:
        _print_steps(result.sent)
    if output is not None:
        tell(f"Wrote {output}.")


def _print_steps(sent: NDArray[Any]) -> None:
    """What the last layer sends, step by step."""
    head, rows = ("step", "non-zero", "sum", "least", "largest"), list[list[str]]()
    for t, row in enumerate(sent[:SHOWN_STEPS], start=1):
        rows.append([str(t), *(f"{value:,}" for value in (np.count_nonzero(row), row.sum(), row.min(), row.max()))])
    if len(sent) > SHOWN_STEPS:
        rows.append(["…", *[""] * 4])
    title = f"output {'x'.join(map(str, sent.shape[1:]))}, {counted(len(sent), 'time step')}"
    print_table(Table(head, rows, title, f"{np.count_nonzero(sent):,} non-zero in all"))


def _report(result: Any, labels: NDArray[Any] | None, output: Path | None, json: bool) -> None:
    """Per step: accuracy, events, spike sums and synaptic operations per image; overflows, if there are any."""
    if output is not None:
        write_result(result, output)
    if json:
        print_json(result.to_dict(labels))
        return
    count = result.num_images
    head = ["steps", "accuracy (%)", "events*", "sum of |s|*", "synaptic operations*"]
    accuracy = ["-"] * result.num_steps if labels is None else [f"{100 * a:.2f}" for a in result.accuracy(labels)]
    columns = [np.cumsum(result.per_image(field)) for field in ("events", "spike_sum", "synops")]
    rows = [
        [str(step + 1), accuracy[step], *(f"{column[step]:,.1f}" for column in columns)]
        for step in range(result.num_steps)
    ]
    print_table(Table(head, rows, counted(count, "image"), "* per image, over all layers, up to that step"))
    if result.stops is not None:
        tell(f"{result.steps.mean():.2f} time steps per image on average")
    for what in ("saturated", "capped"):
        for name, counts in getattr(result, what).items():
            if counts.sum():
                warn(f"layer {name!r}: {what} {counts.sum():,} times")
    if output is not None:
        tell(f"Wrote {output}.")


def write_result(result: Any, path: Path) -> None:
    """Write readout, predictions and counts of an `Output` to an ``.npz``."""
    arrays = {"v": result.v, "steps": result.steps}
    arrays |= {f"heads/{name}": logits for name, logits in result.heads.items()}
    if not result.heads:
        arrays["predictions"] = result.predictions
    for what in ("events", "spike_sum", "synops", "saturated", "capped"):
        arrays |= {f"{what}/{name}": counts for name, counts in getattr(result, what).items()}
    write_arrays(path, arrays)
