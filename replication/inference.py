"""Trained networks at work: folded for speed, and applied to image files and folders."""

import copy
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from replication.errors import ReplicationError
from replication.images import EXTENSIONS, image_files, load_image, save_image

log = logging.getLogger(__name__)

Network = TypeVar("Network", bound=nn.Module)


def for_inference(network: Network, dtype: torch.dtype = torch.float32) -> Network:
    """A copy that gives the same images faster, in evaluation mode, the convolutions in `dtype`.

    Batch norm is folded into the convolutions before it.
    """
    network = copy.deepcopy(network).eval()
    for module in [*network.modules()]:
        if isinstance(module, nn.Sequential):
            for i in range(len(module) - 1):
                if isinstance(module[i + 1], nn.BatchNorm2d):
                    module[i] = fuse_conv_bn_eval(module[i], module[i + 1], isinstance(module[i], nn.ConvTranspose2d))
                    module[i + 1] = nn.Identity()
    return network.requires_grad_(False).to(dtype, memory_format=torch.channels_last)


def transform_files(
    inputs: Sequence[Path | str], out: Path | str, transform: Callable[[Tensor, str], Tensor], smallest: int = 1
) -> list[ReplicationError]:
    """Transform image files, and the images in folders.

    Args:
        inputs: files and folders.
        out: a folder, where each result has the name of its input; or, for one file, a file.
        transform: what becomes of an image (1, 3, H, W) of that name.
        smallest: pixels that a side needs.

    Returns:
        What could not be read; all others are done.

    Raises:
        ReplicationError: no such input, no images in a folder, two results of one name, a result in place of its input,
            or a file that could not be written.
    """
    failed = []
    for source, target in _targets([Path(path) for path in inputs], Path(out)):
        try:
            image = load_image(source)
            if min(image.shape[2:]) < smallest:
                raise ReplicationError(f"{source} is too small: a side needs at least {smallest} pixels")
        except ReplicationError as error:
            log.warning("left out: %s", error)
            failed.append(error)
            continue
        result = transform(image, source.name)
        del image  # of a large one each copy counts
        save_image(result, target)
    return failed


def _targets(inputs: list[Path], out: Path) -> list[tuple[Path, Path]]:
    """Which file each image becomes."""
    sources = []
    for path in inputs:
        found = image_files(path) if path.is_dir() else [path]
        if not found:
            raise ReplicationError(f"{path} holds no images ({', '.join(EXTENSIONS)})")
        sources += found
    single = len(inputs) == 1 and not inputs[0].is_dir() and out.suffix and not out.is_dir()
    pairs = [(source, out if single else out / source.name) for source in sources]
    for i, (source, target) in enumerate(pairs):
        if target.exists() and source.exists() and target.samefile(source):
            raise ReplicationError(f"{target} would replace its input; choose another output")
        if target in [other for _, other in pairs[:i]]:
            raise ReplicationError(f"two inputs are named {source.name}; put their results into different folders")
    return pairs
