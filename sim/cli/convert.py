"""``nmtrain convert``."""

from pathlib import Path

import click

from sim.console import log


@click.command("convert")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--dense", is_flag=True, help="write the master weights, not what the pruned products read")
@click.option("--packed", is_flag=True, help="two of four values and a bitmask, of linear layers that are 2:4")
def command(file: Path, target: Path, dense: bool, packed: bool) -> None:
    """Write the trained network of FILE, a weights.npz of nmtrain train, as TARGET: .safetensors or .onnx.

    Tensors have PyTorch's layout and, where torchvision or timm has the network, its names. ONNX takes images as (N, C, H, W).
    Weights are those of the forward product, with the zeros of N:M; --dense takes the masters. With --packed, 2:4 matrices
    are in compressed-tensors' sparse-24-bitmask, and all else as it was.

    \b
    Example:
      nmtrain convert out/train/weights.npz out/train/weights.safetensors
    """
    from training.exchange.files import write
    from training.saved import read_model

    saved = read_model(file)
    write(target, saved, dense=dense, packed=packed)
    log.print(f"{target}: {saved.model.network.name}, {saved.text['method']}, ratio {saved.text['ratio']}", soft_wrap=True)
