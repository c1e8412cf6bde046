"""The command that trains: ``finetune``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from lava_aug.commands import command
from lava_aug.commands.console import check_outputs, show_chosen, stages, write_figure
from lava_aug.commands.inputs import (
    FigureOption,
    JsonOption,
    LabelsOption,
    MeanOption,
    ModelArgument,
    StdOption,
    WeightsOption,
    normalization,
    number,
    read_labelled,
    read_model,
    read_training,
    source_of,
)


@command("lava-aug finetune mnist-lenet --data ROOT --epochs 3 -o sparse.net", order=35)
def finetune(
    model: ModelArgument,
    data: Annotated[
        str,
        typer.Option(
            "--data",
            help="the folder of the pretrained network's data set; or a data set and its folder, as in MNIST:data; or "
            ".npz with 'images' and 'labels' for training",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="the network file to write")],
    labels: LabelsOption = None,
    weights: WeightsOption = None,
    validation: Annotated[
        str | None,
        typer.Option(help="as --data, with labels; default held-out training images, or one tenth of those in a file"),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="passes over the training images")] = 4,
    objective: Annotated[
        Literal["events", "operations", "energy"], typer.Option(help="what to save, per image")
    ] = "energy",
    max_loss: Annotated[float, typer.Option(help="allowed loss of accuracy, in percentage points")] = 0.5,
    budget: Annotated[float | None, typer.Option(help="the cost per image that is enough (energy in nJ)")] = None,
    resolution: Annotated[
        float,
        typer.Option("--resolution", "-r", parser=number, metavar="NUMBER", help="threshold / balanced threshold"),
    ] = "1/2",  # pyright: ignore[reportArgumentType]: the parser's
    num_steps: Annotated[int, typer.Option("--num-steps", "-T", help="time steps per image")] = 1,
    weight_bits: Annotated[int, typer.Option(help="bit width of the weights")] = 8,
    learning_rate: Annotated[float, typer.Option(help="Adam's largest one")] = 2e-3,
    batch_size: Annotated[int, typer.Option(min=1, help="images per step")] = 128,
    augment: Annotated[
        Literal["none", "shift", "flip"],
        typer.Option(help="shift training images at random by up to 2 pixels; flip: mirror half of them, too"),
    ] = "none",
    seed: Annotated[int, typer.Option(help="of the order of images, and of --augment")] = 0,
    checkpoint: Annotated[
        Path | None, typer.Option(help="a file, written after every epoch, from which an interrupted run goes on")
    ] = None,
    mean: MeanOption = None,
    std: StdOption = None,
    device: Annotated[str, typer.Option(help="torch device")] = "cpu",
    figure: FigureOption = None,
    json: JsonOption = False,
) -> None:
    """Train a converted network on, so that it sends less and stays as accurate, and write it."""
    import lava_aug as la

    check_outputs(output, figure=figure)
    net_model = read_model(model, weights)
    train, held_out = read_training(source_of(model, data), labels)
    with stages() as progress:
        found = la.finetune(
            net_model,
            train,
            validation=held_out if validation is None else read_labelled(validation),
            num_steps=num_steps,
            resolution=resolution,
            weight_bits=weight_bits,
            epochs=epochs,
            objective=objective,
            max_loss=max_loss,
            budget=budget,
            learning_rate=learning_rate,
            batch_size=batch_size,
            augment=la.experiments.AUGMENTATIONS[augment],
            normalize=normalization(mean, std),
            checkpoint=checkpoint,
            seed=seed,
            device=device,
            progress=progress,
        )
    la.save(found.network, output)
    missed = "no epoch stays within --max-loss of the ANN's accuracy; the most accurate one is written"
    show_chosen(found, output, missed, json)
    write_figure(figure, lambda plot: plot.training(found), say=not json)
