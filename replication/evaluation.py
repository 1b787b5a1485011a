"""How alike two images are, and what is alike in them; float64, scikit-image where it has the measure."""

import logging
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from skimage.color import rgb2gray, rgb2ycbcr
from skimage.filters import gaussian, sobel
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor, nn

from replication.io.checkpoints import load_network
from replication.io.downloads import DIGESTS, SETS, TestPicture, evaluation_set
from replication.io.files import ReplicationError, sha256
from replication.io.pictures import Picture
from replication.io.images import square, to_pixels
from replication.io.pictures import PHOTOGRAPHS, StandIns, content_picture, stand_ins
from replication.io.runtime import progress_bar
from replication.losses import Objective, lattice_peak
from replication.networks import SRCNN, for_inference
from replication.style_transfer import stylise
from replication.super_resolution import (
    LOSSES,
    PRETRAINED,
    bicubic,
    cropped,
    histogram_matched,
    low_resolution,
    luminance,
    pretrained_network,
    srcnn,
    upscale,
)

NAMES = ("bicubic", "pixel", "srcnn", "feature")
PAPER: dict[int, dict[str, tuple[tuple[float, float] | None, ...]]] = {
    4: {
        "set5": ((28.43, 0.8114), (28.40, 0.8205), (30.48, 0.8628), (27.09, 0.7680)),
        "set14": ((25.99, 0.7031), (25.75, 0.6994), (27.49, 0.7503), (24.99, 0.6731)),
        "bsd100": ((25.96, 0.6682), (25.91, 0.6680), (26.90, 0.7101), (24.95, 0.6317)),
    },
    8: {
        "set5": ((23.80, 0.6455), (24.77, 0.6864), None, (23.26, 0.7058)),
        "set14": ((22.37, 0.5518), (23.02, 0.5787), None, (21.64, 0.5837)),
        "bsd100": ((22.11, 0.5322), (22.54, 0.5526), None, (21.35, 0.5474)),
    },
}
MATCHED = ", histogram matched"


def paper_figures(factor: int, name: str, method: str, count: int) -> dict[str, float | None]:
    """The paper's PSNR and SSIM for a set, a mean over all its pictures; None where `count` of them is not all."""
    paper = None
    if count == len(DIGESTS.get(name, ())):
        paper = dict(zip(NAMES, PAPER[factor][name], strict=True))[method.removesuffix(MATCHED)]
    return dict(zip(("paper_psnr", "paper_ssim"), paper or (None, None), strict=True))


BINS = 8  # a channel, so 512 colours
WANG = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}  # SSIM as in Wang et al. 2004
SHIFT = 1 / 64  # of the image's height: the accuracy of position that `gradient_correlation` asks for


def compare(y_hat: Tensor, y: Tensor) -> dict[str, float]:
    """PSNR, SSIM, histogram distance and gradient correlation of two images (1, 3, H, W) in [0, 1], by name."""
    measures = (psnr, ssim, histogram_distance, gradient_correlation)
    return {measure.__name__: measure(y_hat, y) for measure in measures}


def psnr(y_hat: Tensor, y: Tensor) -> float:
    """Peak signal-to-noise ratio over the three channels, in dB; images (1, 3, H, W), peak 1."""
    return float(peak_signal_noise_ratio(_array(y), _array(y_hat), data_range=1))


def ssim(y_hat: Tensor, y: Tensor) -> float:
    """Structural similarity, mean over channels, at most 1; images (1, 3, H, W) in [0, 1].

    Gaussian window 11 x 11 with sigma 1.5 and population covariances, as in Wang et al. 2004.
    """
    return float(structural_similarity(_array(y), _array(y_hat), data_range=1, channel_axis=-1, **WANG))


def luminance_scores(y_hat: Tensor, y: Tensor, border: int, grey: bool = False) -> dict[str, float]:
    """PSNR in dB and SSIM of the luminance, by the protocol that reproduces the paper's figures 8 and 9 at x4.

    Both images rounded to 8 bits; Y of BT.601 (16..235), not rounded; PSNR with peak 255; SSIM with a Gaussian window
    11 x 11, sigma 1.5, data range 255, population covariances, mean over the positions where the window fits.

    Args:
        y_hat, y: (1, 3, H, W) in [0, 1].
        border: pixels a side that do not count, in the paper the factor.
        grey: the image was published with one channel, which is then measured as it is, 0..255; the mean of the three
            is taken.
    """
    found, wanted = (to_pixels(image)[border:-border, border:-border] for image in (y_hat, y))
    found, wanted = (x.mean(-1) if grey else rgb2ycbcr(x)[..., 0] for x in (found, wanted))
    return {
        "psnr": float(peak_signal_noise_ratio(wanted, found, data_range=255)),
        "ssim": float(structural_similarity(wanted, found, data_range=255, **WANG)),
    }


def grid(y_hat: Tensor, y: Tensor, period: int) -> float:
    """How strong a pattern that repeats every `period` pixels is in `y_hat` and not in `y`, in grey levels of 255.

    The standard deviation of the difference of their luminance, averaged over all squares of `period` pixels a side:
    the part of its spectrum at the frequency of the upsampling and its multiples.

    Args:
        y_hat, y: (1, 3, H, W) in [0, 1].
        period: in pixels.
    """
    difference = 255 * (rgb2gray(_array(y_hat)) - rgb2gray(_array(y)))
    rows, columns = (side // period for side in difference.shape)
    squares = difference[: rows * period, : columns * period].reshape(rows, period, columns, period)
    return float(squares.mean((0, 2)).std())


def sharpness(y_hat: Tensor, y: Tensor) -> float:
    """The mean Sobel gradient magnitude of the luminance of `y_hat` over that of `y`: less than 1 if blurred."""
    found, wanted = (sobel(rgb2gray(_array(image))).mean() for image in (y_hat, y))
    return float(found / wanted)


def histogram_distance(y_hat: Tensor, y: Tensor) -> float:
    """Total variation distance of the joint colour histograms (8 x 8 x 8 bins): 0 same colours, 1 none in common."""
    p, q = (np.histogramdd(_array(image).reshape(-1, 3), BINS, range=[(0, 1)] * 3)[0].ravel() for image in (y_hat, y))
    return float(np.abs(p / p.sum() - q / q.sum()).sum() / 2)


def gradient_correlation(y_hat: Tensor, y: Tensor) -> float:
    """Pearson correlation, over the pixels, of where the edges are: -1 to 1, about 0 for unrelated layouts.

    Sobel gradient magnitude of the luminance, averaged by a Gaussian with sigma H/64, so that an edge that moved by a
    few pixels still counts.
    """
    edges = (gaussian(sobel(rgb2gray(image)), sigma=SHIFT * len(image)) for image in (_array(y_hat), _array(y)))
    return _correlation(*edges)


def spatial_correlation(y_hat: Tensor, y: Tensor) -> float:
    """Pearson correlation, over the pixels, of the luminance: -1 to 1, about 0 for unrelated layouts."""
    return _correlation(*(rgb2gray(_array(image)) for image in (y_hat, y)))


def falls(values: Sequence[float]) -> bool:
    """Whether each value is less than the one before it."""
    return all(after < before for before, after in pairwise(values))


def _array(image: Tensor) -> np.ndarray:
    return image[0].detach().permute(1, 2, 0).cpu().double().numpy()


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


PERIODS = (2, 4)  # pixels, after two transposed convolutions of stride 2


@torch.inference_mode()
def style_scores(
    network: nn.Module, objective: Objective, pictures: Sequence[Picture], sizes: Sequence[int]
) -> dict[str, float]:
    """Mean terms of the objective at the first size, in float32, and the peaks of the lattice at each.

    Args:
        network: an `ImageTransformationNetwork`.
        objective: of its painting, on the same device.
        pictures: photographs that it was not trained on.
        sizes: pixels a side of the squares that are stylised.

    Returns:
        "objective", its "content", "style" and "total_variation"; "peak 2 at 256" and so on, for each period and size,
        see `lattice_peak`.
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


log = logging.getLogger(__name__)

EXAMPLES = {  # a picture, and the square to look at closely: top, left and side, in heights; at x4 those of the paper
    4: (("set5", "baby", (0.30, 0.15, 0.3)), ("set14", "comic", (0.10, 0.18, 0.25))),
    8: (("bsd100", "img_070", (0.13, 0.57, 0.38)),),
}
CLOSE = {"astronaut": (0.08, 0.28, 0.3), "chelsea": (0.22, 0.42, 0.3)}  # the squares of what first takes their place

NO_SET = "scikit-image's photographs"  # the name of what takes the place of the sets

Method = Callable[[Tensor], Tensor]
Scores = dict[str, float | None]


def network_digests() -> dict[str, str]:
    """SHA-256 of the files of the trained networks, by name, for the provenance."""
    return {path.stem: sha256(path.read_bytes()) for path in sorted(PRETRAINED.glob("*.safetensors"))}


def methods(factor: int, device: str) -> dict[str, Method]:
    """What enlarges a small image (1, 3, H, W) by `factor`, by name: bicubic, pixel, at x4 srcnn, feature.

    Raises:
        ReplicationError: a trained network is missing or damaged.
    """
    pixel, feature = (for_inference(pretrained_network(factor, loss)[0]).to(device) for loss in ("pixel", "feature"))
    found: dict[str, Method] = {
        "bicubic": lambda small: bicubic(small, factor),
        "pixel": lambda small: upscale(pixel, small.to(device)),
        "feature": lambda small: upscale(feature, small.to(device)),
    }
    if factor == 4:
        third = for_inference(load_network(PRETRAINED / "srcnn_x4.safetensors", SRCNN)[0]).to(device)
        found["srcnn"] = lambda small: srcnn(third, small.to(device))
    return {name: found[name] for name in NAMES if name in found}


def pictures_of(names: Sequence[str], most: int | None = None) -> tuple[dict[str, list[TestPicture]], StandIns]:
    """The pictures of the sets that there are, at most as many of each; if there are none, scikit-image's photographs.

    A set that is not to be had, or not as a whole, is named in the log and left out.

    Returns:
        Pictures by set, and what they stand in for.
    """
    found = {}
    for name in names:
        try:
            found[name] = evaluation_set(name)[:most]
        except ReplicationError as error:
            log.warning("%s is left out: %s", SETS[name], error)
    absent = ", ".join(SETS[name] for name in names if name not in found)
    if found:
        return found, {absent: "nothing"} if absent else {}
    pictures = [content_picture(name) for name in PHOTOGRAPHS[:most]]
    return {NO_SET: [TestPicture(picture, False) for picture in pictures]}, stand_ins(absent, pictures)


def heading(sets: dict[str, list[TestPicture]]) -> str:
    """The names of sets for a title, with the numbers of pictures where they are not all there."""
    names = []
    for name, pictures in sets.items():
        whole = len(DIGESTS.get(name, pictures))
        part = f" ({len(pictures)} of {whole})" if len(pictures) < whole else ""
        names.append(f"{SETS.get(name, name)}{part}")
    return ", ".join(names)


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
) -> tuple[list[list[tuple[Tensor, str]]], dict[str, dict[str, Any]], StandIns]:
    """The examples of Fig. 8 (x4) or 9 (x8): the whole picture, then a close look.

    Where a picture is not in the sets, the first one that is not shown yet takes its place, if there is one.

    Returns:
        Two rows an example for `figures.panels`, the scores that stand in them by picture, and what they stand in for.
    """
    (shown, others), rows, scores = _shown(sets, factor), [], {}
    for (picture, grey), title, (top, left, side) in shown:
        y = cropped(picture.image, factor)
        close = (..., *(slice(round(start * y.shape[2]), round((start + side) * y.shape[2])) for start in (top, left)))
        large = enlarged(low_resolution(y, factor, blur), methods)
        large = {method: x for method, x in large.items() if f"{method}{MATCHED}" not in large}
        scores[picture.name] = found = {method: luminance_scores(x, y, factor, grey) for method, x in large.items()}
        row = [(y, f"{title}\nPSNR / SSIM")] + [
            (x, f"{method.removesuffix(MATCHED)}\n{found[method]['psnr']:.2f} / {found[method]['ssim']:.4f}")
            for method, x in large.items()
        ]
        rows += [row, [(x[close], "") for x, _ in row]]
    return rows, scores, others


def _shown(
    sets: dict[str, list[TestPicture]], factor: int
) -> tuple[list[tuple[TestPicture, str, tuple[float, float, float]]], StandIns]:
    """The examples' pictures, each with its title and the square to look at closely, and what they stand in for."""
    left = {(name, each.picture.name): each for name, pictures in sets.items() for each in pictures}
    own = [left.pop((name, image), None) for name, image, _ in EXAMPLES[factor]]
    shown, others = [], {}
    for found, (name, image, close) in zip(own, EXAMPLES[factor], strict=True):
        if found:
            shown.append((found, image, close))
            continue
        papers = f"{SETS[name]}'s {image}"
        others[papers] = "nothing"
        if left:
            other = left.pop(next(iter(left)))
            others[papers] = other.picture.name
            shown.append((other, f"{other.picture.name}\nfor {papers}", CLOSE.get(other.picture.name, close)))
    return shown, others


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
