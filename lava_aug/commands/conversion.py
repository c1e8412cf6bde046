"""Commands that convert models or examine conversions: ``convert``, ``tune``, ``diagnose``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from lava_aug.commands import command
from lava_aug.commands.console import (
    bar,
    check_outputs,
    print_json,
    print_tables,
    show_chosen,
    tell,
    write_figure,
)
from lava_aug.commands.inputs import (
    CalibrationOption,
    FigureOption,
    ImagesOption,
    JsonOption,
    LabelsOption,
    MeanOption,
    ModelArgument,
    NetworkArgument,
    StdOption,
    StepsOption,
    WeightsOption,
    normalization,
    number,
    read_images,
    read_labelled,
    read_model,
    read_spiking,
)


@command("lava-aug convert mnist-lenet -c MNIST:ROOT -r 0.25 -T 4 -o lenet.net", order=20)
def convert(
    model: ModelArgument,
    calibration: CalibrationOption,
    output: Annotated[Path, typer.Option("--output", "-o", help="the network file to write")],
    weights: WeightsOption = None,
    method: Annotated[
        Literal["augmapping", "termapping", "rate"], typer.Option("--method", "-m", help="conversion method")
    ] = "augmapping",
    resolution: Annotated[
        float | None,
        typer.Option(
            "--resolution",
            "-r",
            parser=number,
            metavar="NUMBER",
            help="threshold / balanced threshold; default 1/8 for augmapping, or finer if need be, else 1",
        ),
    ] = None,
    num_steps: Annotated[int, typer.Option("--num-steps", "-T", help="time steps per image")] = 4,
    percentile: Annotated[float, typer.Option(help="percentile of activations for the balanced threshold")] = 99.9,
    weight_bits: Annotated[int, typer.Option(help="bit width of the weights; 0 for floating point")] = 8,
    mean: MeanOption = None,
    std: StdOption = None,
    balance: Annotated[
        Literal["percentile", "search"], typer.Option(help="how to choose thresholds and weight scales")
    ] = "percentile",
    thresholds: Annotated[
        Literal["layer", "channel"], typer.Option(help="granularity of balanced thresholds")
    ] = "layer",
    weight_scales: Annotated[
        Literal["layer", "channel"], typer.Option(help="granularity of weight scales")
    ] = "channel",
    quality: Annotated[
        Literal["best", "fast"],
        typer.Option(help="whether to round weights together, for the inputs of calibration images, or each alone"),
    ] = "best",
    message_bits: Annotated[
        int | None, typer.Option(help="bit width of the payload of graded spikes; default 16, or more where necessary")
    ] = None,
    power_of_two_vth: Annotated[
        bool, typer.Option("--power-of-two-vth", help="round thresholds down to powers of two")
    ] = False,
) -> None:
    """Convert a trained PyTorch model to a network file."""
    import lava_aug as la

    check_outputs(output)
    net_model = read_model(model, weights)
    images, _ = read_images(calibration, train=True)
    with bar("calibrating") as progress:
        net = la.convert(
            net_model,
            images,
            method,
            resolution,
            num_steps,
            normalize=normalization(mean, std),
            percentile=percentile,
            balance=balance,
            thresholds=thresholds,
            weight_scales=weight_scales,
            quality=quality,
            weight_bits=weight_bits or None,
            message_bits=message_bits,
            power_of_two_vth=power_of_two_vth,
            progress=progress,
        )
    la.save(net, output)
    tell(net.summary())
    tell(f"Wrote {output}.")


@command("lava-aug tune mnist-lenet -c MNIST:ROOT --max-loss 0.2 -o best.net", order=30)
def tune(
    model: ModelArgument,
    calibration: CalibrationOption,
    output: Annotated[Path, typer.Option("--output", "-o", help="the network file to write")],
    labels: LabelsOption = None,
    weights: WeightsOption = None,
    max_loss: Annotated[float, typer.Option(help="allowed loss of accuracy, in percentage points")] = 0.5,
    objective: Annotated[Literal["events", "steps"], typer.Option(help="what to minimise")] = "events",
    num_steps: Annotated[int, typer.Option("--num-steps", "-T", help="largest number of time steps per image")] = 8,
    per_layer: Annotated[bool, typer.Option("--per-layer", help="then also tune the resolution of each layer")] = False,
    mean: MeanOption = None,
    std: StdOption = None,
    figure: FigureOption = None,
    json: JsonOption = False,
) -> None:
    """Find the resolution and number of steps with the fewest events, or the fewest steps, and write that network."""
    import lava_aug as la

    check_outputs(output, figure=figure)
    net_model = read_model(model, weights)
    images, classes = read_labelled(calibration, labels, train=True)
    with bar("tuning") as progress:
        tuned = la.tune(
            net_model,
            images,
            classes,
            max_loss=max_loss,
            objective=objective,
            num_steps=num_steps,
            per_layer=per_layer,
            normalize=normalization(mean, std),
            progress=lambda text, done, total: progress(done, total),
        )
    la.save(tuned.network, output)
    show_chosen(tuned, output, "no network that was tried stays within --max-loss of the ANN's accuracy", json)
    write_figure(figure, lambda plot: plot.search(tuned), say=not json)


@command("lava-aug diagnose lenet.net mnist-lenet --images MNIST:ROOT", order=40)
def diagnose(
    network: NetworkArgument,
    model: ModelArgument,
    images: ImagesOption,
    weights: WeightsOption = None,
    num_steps: StepsOption = None,
    figure: FigureOption = None,
    json: JsonOption = False,
) -> None:
    """Show how far each layer's output is from the model's activations, and why; the worst layer first."""
    import lava_aug as la

    check_outputs(figure=figure)
    net = read_spiking(network)
    net_model = read_model(model, weights)
    x, _ = read_images(images)
    with bar("comparing") as progress:
        diagnosis = la.diagnose(net, net_model, x, num_steps, progress=progress)
    if json:
        print_json(diagnosis.to_dict())
    else:
        print_tables(diagnosis)
    write_figure(figure, lambda plot: plot.layer_error(diagnosis), say=not json)
