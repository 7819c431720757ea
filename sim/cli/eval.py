"""``nmtrain eval``."""

from pathlib import Path
from typing import Any

import click

from hw.files import write_json
from sim.cli.common import data_options, output_options, show
from sim.console import log


@click.command("eval")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--data", default=None, help="data set, as nmtrain train takes it  [default: what the network was trained on]")
@data_options
@output_options("out/eval")
def command(file: Path, data: str | None, out: Path, as_json: bool, **form: Any) -> None:  # noqa: ANN401 (the fields of Form)
    """Test the trained network of FILE, a weights.npz of nmtrain train, as it was tested when it was trained.

    FILE holds the network, its masks and packed copies, so that neither its Python file nor its method need be there, and how
    images were normalised.

    \b
    Example:
      nmtrain eval out/train/weights.npz --data digits
    """
    from training.experiment import load_for
    from training.loop import check_fit, evaluate
    from training.readers.form import Form
    from training.saved import read_model

    saved = read_model(file)
    trained = saved.text["metrics"]
    data = data or str(trained.get("data", "digits"))
    images = load_for(saved.model.network, data, Form(**form), int(trained.get("seed", 0)))
    if not form["normalise"]:
        images = saved.as_trained(images)
    check_fit(saved.model.network, images)
    result = {
        "model": saved.model.network.name,
        "method": saved.text["method"],
        "ratio": saved.text["ratio"],
        "data": data,
        "test_images": len(images.test_labels),
        "test_accuracy": evaluate(saved.model, images),
    }
    write_json(out / "eval.json", result)
    show(result, as_json=as_json)
    log.print(f"{out / 'eval.json'}: test accuracy {result['test_accuracy']:.2%}, {result['method']}, ratio {result['ratio']}")
