"""The scores of every method of super-resolution on every picture, and the examples of Figs. 8 and 9."""

import logging
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from replication.data import PHOTOGRAPHS, content_picture
from replication.evaluation_sets import SETS, DownloadError, TestPicture, evaluation_set
from replication.files import sha256
from replication.inference import for_inference
from replication.metrics import grid, luminance_scores, sharpness
from replication.network_files import load_network
from replication.networks import SRCNN
from replication.progress import progress_bar
from replication.super_resolution import (
    LOSSES,
    SHIPPED,
    bicubic,
    cropped,
    histogram_matched,
    low_resolution,
    shipped_network,
    srcnn,
    upscale,
)
from replication.super_resolution_claims import MATCHED, NAMES, paper_figures

log = logging.getLogger(__name__)

EXAMPLES = {  # a picture, and the square to look at closely: top, left and side, in heights; at x4 those of the paper
    4: (("set5", "baby", (0.30, 0.15, 0.3)), ("set14", "comic", (0.10, 0.18, 0.25))),
    8: (("bsd100", "img_070", (0.13, 0.57, 0.38)),),
}

Method = Callable[[Tensor], Tensor]
Scores = dict[str, float | None]


def network_digests() -> dict[str, str]:
    """SHA-256 of the files of the trained networks, by name, for the provenance."""
    return {path.stem: sha256(path.read_bytes()) for path in sorted(SHIPPED.glob("*.safetensors"))}


def methods(factor: int, device: str) -> dict[str, Method]:
    """What enlarges a small image (1, 3, H, W) by `factor`, by name: bicubic, pixel, at x4 srcnn, feature.

    Raises:
        ReplicationError: a trained network is missing or damaged.
    """
    pixel, feature = (for_inference(shipped_network(factor, loss)[0]).to(device) for loss in ("pixel", "feature"))
    found: dict[str, Method] = {
        "bicubic": lambda small: bicubic(small, factor),
        "pixel": lambda small: upscale(pixel, small.to(device)),
        "feature": lambda small: upscale(feature, small.to(device)),
    }
    if factor == 4:
        third = for_inference(load_network(SHIPPED / "srcnn_x4.safetensors", SRCNN)[0]).to(device)
        found["srcnn"] = lambda small: srcnn(third, small.to(device))
    return {name: found[name] for name in NAMES if name in found}


def pictures_of(names: Sequence[str], most: int | None = None) -> dict[str, list[TestPicture]]:
    """The pictures of the sets that there are, at most as many of each; if there are none, scikit-image's photographs.

    Raises:
        ReplicationError: a set under `REPLICATION_DATA` is damaged.
    """
    found = {}
    for name in names:
        try:
            found[name] = evaluation_set(name)[:most]
        except DownloadError as error:
            log.warning("left out: %s", error)
    if not found:
        log.warning("scikit-image's photographs take the place of the sets")
        found["scikit-image"] = [TestPicture(content_picture(name), False) for name in PHOTOGRAPHS[:most]]
    return found


def score_rows(
    sets: dict[str, list[TestPicture]], factor: int, methods: dict[str, Method], blur: float = 0.0
) -> list[dict[str, Any]]:
    """Means over each set, one row a set and method, those of the trained networks with their histograms matched too.

    Args:
        sets: pictures by set.
        factor: 4 or 8.
        methods: see `methods`.
        blur: of the test images; see `low_resolution`.

    Returns:
        Rows of set, factor, method, psnr and ssim (see `luminance_scores`), the paper's where the set is whole, the
        grid and the sharpness (see `metrics`), the perceptual distance (see `perceptual_distance`; None where it is not
        installed), the share of images where it is less than SRCNN's, and the number of images.
    """
    rows = []
    for name, pictures in sets.items():
        each: dict[str, list[Scores]] = {}
        with progress_bar(len(pictures), f"{SETS.get(name, name)}, x{factor}") as bar:
            for picture, grey in pictures:
                y = cropped(picture.image, factor)
                for method, large in enlarged(low_resolution(y, factor, blur), methods).items():
                    each.setdefault(method, []).append(_scores(large, y, factor, grey))
                bar.update()
        for method, scores in each.items():
            means = {key: _mean([score[key] for score in scores]) for key in scores[0]}
            means["nearer_than_srcnn"] = _nearer(scores, each.get("srcnn"))
            row = {"set": name, "factor": factor, "method": method}
            row |= {key: means.pop(key) for key in ("psnr", "ssim")} | paper_figures(factor, name, method, len(scores))
            rows.append(row | means | {"images": len(scores)})
    return rows


def _scores(large: Tensor, y: Tensor, factor: int, grey: bool) -> Scores:
    others = {"grid": grid(large, y, factor), "sharpness": sharpness(large, y)}
    return luminance_scores(large, y, factor, grey) | others | {"perceptual": perceptual_distance(large, y)}


def _nearer(scores: list[Scores], other: list[Scores] | None) -> float | None:
    """The share of pictures whose perceptual distance is less than that of another method."""
    if other is None or scores is other or scores[0]["perceptual"] is None:
        return None
    return float(np.mean([a["perceptual"] < b["perceptual"] for a, b in zip(scores, other, strict=True)]))


def examples(
    sets: dict[str, list[TestPicture]], factor: int, methods: dict[str, Method], blur: float = 0.0
) -> tuple[list[list[tuple[Tensor, str]]], dict[str, dict[str, Any]]]:
    """The examples of Fig. 8 (x4) or 9 (x8): two rows each for `figures.panels`, and the scores that stand in them.

    The whole picture, then a close look. Where a picture is not in the sets, the first one that is takes its place.
    """
    pictures = {(name, picture.name): (picture.image, grey) for name, each in sets.items() for picture, grey in each}
    rows, scores = [], {}
    for name, image, (top, left, side) in EXAMPLES[factor]:
        key = (name, image) if (name, image) in pictures else next(iter(pictures))
        y, grey = cropped(pictures[key][0], factor), pictures[key][1]
        close = (..., *(slice(round(start * y.shape[2]), round((start + side) * y.shape[2])) for start in (top, left)))
        large = enlarged(low_resolution(y, factor, blur), methods)
        shown = {method: large[method] for method in large if f"{method}{MATCHED}" not in large}
        scores[key[1]] = found = {method: luminance_scores(x, y, factor, grey) for method, x in shown.items()}
        row = [(y, f"{key[1]}\nPSNR / SSIM")] + [
            (x, f"{method.removesuffix(MATCHED)}\n{found[method]['psnr']:.2f} / {found[method]['ssim']:.4f}")
            for method, x in shown.items()
        ]
        rows += [row, [(x[close], "") for x, _ in row]]
    return rows, scores


def enlarged(small: Tensor, methods: dict[str, Method]) -> dict[str, Tensor]:
    """What each method makes of a small image, and of the trained networks with its histograms."""
    found = {}
    for name, method in methods.items():
        found[name] = method(small).cpu()
        if name in LOSSES:
            found[f"{name}{MATCHED}"] = histogram_matched(found[name], small)
    return found


def perceptual_distance(y_hat: Tensor, y: Tensor) -> float | None:
    """ST-LPIPS (Ghildyal and Liu 2022) of two images (1, 3, H, W) in [0, 1], by AlexNet: 0 for equal ones.

    None where it is not installed (`pip install stlpips-pytorch torchsummary`). It stands where the paper has its user
    study.
    """
    if not all(map(find_spec, ("stlpips_pytorch", "torchsummary"))):
        return None
    with torch.inference_mode():
        return _stlpips()(2 * y_hat - 1, 2 * y - 1).item()


@cache
def _stlpips() -> torch.nn.Module:
    from stlpips_pytorch import stlpips

    return stlpips.LPIPS(net="alex", variant="shift_tolerant", verbose=False).eval()


def _mean(values: list[float | None]) -> float | None:
    return None if None in values else float(np.mean(values))
