"""Evaluation of the networks: style networks by their objective, super-resolution by mean scores over the test sets."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from replication.histograms import histogram_matched
from replication.io.checkpoints import load_network
from replication.io.downloads import DIGESTS, SETS, SetPicture, evaluation_set
from replication.io.files import ReplicationError, data_folder, sha256
from replication.io.images import load_image
from replication.io.pictures import PHOTOGRAPHS, Picture, StandIns, content_picture, stand_ins
from replication.io.pixels import square
from replication.io.runtime import progress_bar
from replication.losses import Objective
from replication.metrics import (
    checkerboard_energy,
    lattice_peak,
    luminance_scores,
    perceptual_distance,
    sharpness,
    without_grid,
)
from replication.networks import SRCNN, for_inference
from replication.style_transfer import stylise
from replication.super_resolution import (
    PRETRAINED,
    SRCNNUpscaler,
    bicubic,
    cropped,
    low_resolution,
    luminance,
    pretrained_network,
    upscale,
)

PERIODS = (2, 4)  # pixels, of the lattice after two transposed convolutions of stride 2
SPREAD = ("psnr", "ssim", "notch_psnr", "notch_ssim")  # scores whose standard deviation over the images is reported
NO_SET = "scikit-image's photographs"  # the name of what takes the place of the sets
NAMES = ("bicubic", "pixel", "srcnn", "feature")
AUTHORS = "srcnn, authors'"  # their SRCNN's output images, if `sr_reference/` under `REPLICATION_DATA` has them
MATCHED = ", histogram matched"
TRAINED = ("feature", "pixel")  # methods that are also scored with matched histograms

Upscaler = Callable[[Tensor], Tensor]


@torch.inference_mode()
def style_scores(
    network: nn.Module, objective: Objective, pictures: Sequence[Picture], sizes: Sequence[int]
) -> dict[str, float]:
    """Mean terms of the objective at the first size, in float32, and peaks of the lattice at every size.

    Args:
        network: an `ImageTransformationNetwork`.
        objective: that of the network's painting, on the same device.
        pictures: photographs that it was not trained on.
        sizes: pixels a side of the squares that are stylised.

    Returns:
        "objective" and its terms; "peak 2 at 256" and so on, for each period and size, see `lattice_peak`.
    """
    network, device = for_inference(network), next(network.parameters()).device
    scores = {}
    for size in sizes:
        photographs = [square(picture.image, size).to(device) for picture in pictures]
        images = [stylise(network, y) for y in photographs]
        if not scores:
            terms = [objective(x, objective.content_target(y)) for x, y in zip(images, photographs, strict=True)]
            scores = {"objective": torch.cat([each.total for each in terms]).mean().item()}
            scores |= {n: torch.cat([getattr(t, n) for t in terms]).mean().item() for n in terms[0]._fields}
        grey = torch.cat([luminance(x)[:, 0] for x in images])
        scores |= {f"peak {period} at {size}": lattice_peak(grey, period) for period in PERIODS}
    return scores


@torch.inference_mode()
def objective_values(objective: Objective, images: Sequence[Tensor], photographs: Sequence[Tensor]) -> Tensor:
    """The objective of each image for its photograph, (B,); both (1, 3, H, W) in [0, 1], on the objective's device."""
    pairs = zip(images, photographs, strict=True)
    return torch.cat([objective(y_hat, objective.content_target(x)).total for y_hat, x in pairs])


def network_digests() -> dict[str, str]:
    """SHA-256 of the files of the super-resolution networks, by name, for the provenance."""
    return {path.stem: sha256(path.read_bytes()) for path in sorted(PRETRAINED.glob("*.safetensors"))}


def methods(factor: int, device: str) -> dict[str, Upscaler]:
    """What enlarges a small image (1, 3, H, W) by `factor`, by name: bicubic, pixel, at x4 srcnn, feature.

    Raises:
        ReplicationError: a trained network is missing or damaged.
    """
    pixel, feature = (for_inference(pretrained_network(factor, loss)[0]).to(device) for loss in ("pixel", "feature"))
    found: dict[str, Upscaler] = {
        "bicubic": lambda small: bicubic(small, factor),
        "pixel": lambda small: upscale(pixel, small.to(device)),
        "feature": lambda small: upscale(feature, small.to(device)),
    }
    if factor == 4:
        srcnn = for_inference(SRCNNUpscaler(load_network(PRETRAINED / "srcnn_x4.safetensors", SRCNN)[0])).to(device)
        found["srcnn"] = lambda small: srcnn(small.to(device))
    return {name: found[name] for name in NAMES if name in found}


def pictures_of(names: Sequence[str], most: int | None = None) -> tuple[dict[str, list[SetPicture]], StandIns]:
    """The pictures of the available sets, at most `most` of each; if no set is available, scikit-image's photographs.

    A set that is unavailable or incomplete is named in the log and left out. The second result says what stands in for
    the missing sets.
    """
    found = {}
    for name in names:
        try:
            found[name] = evaluation_set(name)[:most]
        except ReplicationError as error:
            logging.getLogger(__name__).warning("%s is left out: %s", SETS[name], error)
    absent = ", ".join(SETS[name] for name in names if name not in found)
    if found:
        return found, {absent: "nothing"} if absent else {}
    pictures = [content_picture(name) for name in PHOTOGRAPHS[:most]]
    return {NO_SET: [SetPicture(picture, False) for picture in pictures]}, stand_ins(absent, pictures)


def heading(sets: dict[str, list[SetPicture]]) -> str:
    """The names of sets for a title, with the numbers of pictures where they are not all there."""
    names = []
    for name, pictures in sets.items():
        whole = len(DIGESTS.get(name, pictures))
        part = f" ({len(pictures)} of {whole})" if len(pictures) < whole else ""
        names.append(f"{SETS.get(name, name)}{part}")
    return ", ".join(names)


def score_rows(
    sets: dict[str, list[SetPicture]], factor: int, upscalers: dict[str, Upscaler], blur: float = 0.0
) -> list[dict[str, Any]]:
    """Mean scores over each set, a row for each set and method; trained networks also with matched histograms.

    Args:
        sets, factor, upscalers: see `pictures_of` and `methods`.
        blur: sigma of the test images' blur; see `low_resolution`.

    Returns:
        Rows with set, factor and method; the mean of each of `scores`, and for those in `SPREAD` the standard deviation
        over the images; the share of images that are nearer to the original than SRCNN's by ST-LPIPS; the number of
        images, and whether they are the whole set.
    """
    rows = []
    for name, pictures in sets.items():
        each: dict[str, list[dict[str, float | None]]] = {}
        with progress_bar(len(pictures), f"{SETS.get(name, name)}, x{factor}") as bar:
            for picture, grey in pictures:
                y = cropped(picture.image, factor)
                images = enlarged(low_resolution(y, factor, blur), upscalers) | published(name, picture.name, factor)
                for method, large in images.items():
                    each.setdefault(method, []).append(scores(large, y, factor, grey))
                bar.update()
        if len(each.get(AUTHORS, pictures)) < len(pictures):
            logging.getLogger(__name__).warning(
                "%s: images of the authors' SRCNN are missing, so it is left out", SETS.get(name, name)
            )
            del each[AUTHORS]
        for method, found in each.items():
            row = {"set": name, "factor": factor, "method": method}
            for key in found[0]:
                values = [score[key] for score in found]
                row[key] = None if None in values else float(np.mean(values))
                row |= {f"{key}_sd": float(np.std(values))} if key in SPREAD else {}
            row |= {"nearer_than_srcnn": _nearer(found, each.get(AUTHORS) or each.get("srcnn"))}
            rows.append(row | {"images": len(found), "whole": len(found) == len(DIGESTS.get(name, ()))})
    return rows


def scores(large: Tensor, y: Tensor, factor: int, grey: bool = False) -> dict[str, float | None]:
    """What is measured of an enlarged image.

    Returns:
        psnr and ssim (see `luminance_scores`), what a notch filter at the frequencies of the upsampling adds to both
        (see `without_grid`), grid (see `checkerboard_energy`), sharpness, and perceptual (see `perceptual_distance`).
    """
    found = luminance_scores(large, y, factor, grey)
    notched = luminance_scores(without_grid(large, factor), y, factor, grey)
    found |= {f"notch_{key}": notched[key] - found[key] for key in notched}
    found |= {"grid": checkerboard_energy(large, y, factor), "sharpness": sharpness(large, y)}
    return found | {"perceptual": perceptual_distance(large, y)}


def mean_scores(images: Sequence[Tensor], targets: Sequence[Tensor], factor: int) -> dict[str, float]:
    """Means of psnr and ssim (see `luminance_scores`), grid, and detail: the sharpness after the grid is removed."""
    found = []
    for large, y in zip(images, targets, strict=True):
        own = luminance_scores(large, y, factor) | {"grid": checkerboard_energy(large, y, factor)}
        found.append(own | {"detail": sharpness(without_grid(large, factor), y)})
    return {key: float(np.mean([each[key] for each in found])) for key in found[0]}


def published(name: str, image: str, factor: int) -> dict[str, Tensor]:
    """The authors' SRCNN's output for a picture of a set at x4, (1, 3, H, W), by `AUTHORS`; {} if there is none."""
    folder = data_folder() if factor == 4 else None
    path = folder / "sr_reference" / "x4" / name / "srcnn" / f"{image}.png" if folder else None
    return {AUTHORS: load_image(path)} if path and path.exists() else {}


def matched_rows(rows: Sequence[dict[str, Any]]) -> dict[tuple[int, str, str], dict[str, Any]]:
    """Index rows of `score_rows` by factor, set and method, taking the rows with matched histograms where they exist.

    The paper matches histograms, too. The name of a method is given without `MATCHED`.
    """
    matched = {row["method"].removesuffix(MATCHED) for row in rows if row["method"].endswith(MATCHED)}
    those = [row for row in rows if row["method"] not in matched]
    return {(row["factor"], row["set"], row["method"].removesuffix(MATCHED)): row for row in those}


def _nearer(scores: list[dict[str, Any]], other: list[dict[str, Any]] | None) -> float | None:
    """The share of pictures whose perceptual distance is less than that of another method."""
    if other is None or scores is other or scores[0]["perceptual"] is None:
        return None
    return float(np.mean([a["perceptual"] < b["perceptual"] for a, b in zip(scores, other, strict=True)]))


def enlarged(small: Tensor, upscalers: dict[str, Upscaler]) -> dict[str, Tensor]:
    """A small image (1, 3, H, W) enlarged by each upscaler, on the CPU; of trained ones also with its histograms."""
    found = {}
    for name, upscaler in upscalers.items():
        found[name] = upscaler(small).cpu()
        if name in TRAINED:
            found[f"{name}{MATCHED}"] = histogram_matched(found[name], small)
    return found
