"""Figs. 8 and 9: the examples laid out like the paper's, its numbers beside ours, and what the claims judge."""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from skimage.morphology import dilation, disk
from skimage.segmentation import find_boundaries
from torch import Tensor

from replication.evaluation import AUTHORS, MATCHED, Upscaler, enlarged, matched_rows, published, scores
from replication.io.downloads import SETS, SetPicture
from replication.io.files import DATA
from replication.io.images import load_image
from replication.io.pictures import StandIns
from replication.metrics import sharpness, without_grid
from replication.report.claims import Measure, claims
from replication.report.figures import Panel
from replication.super_resolution import cropped, low_resolution

Box = tuple[float, float, float]  # top, left and side of a square, in heights of the image
Row = dict[str, Any]


class Example(NamedTuple):
    """A picture of Fig. 8 or 9."""

    set: str
    image: str
    detail: str  # that the paper names
    box: Box  # around it
    means: tuple[str, ...]  # the sets whose means stand under it


EXAMPLES = {
    4: (
        Example("set5", "baby", "eyelashes", (0.30, 0.15, 0.30), ("set5",)),
        Example("set14", "comic", "hat", (0.10, 0.18, 0.25), ("set14", "bsd100")),
    ),
    8: (Example("bsd100", "img_070", "horse's legs", (0.60, 0.62, 0.30), ("set5", "set14", "bsd100")),),
}
FIGURES = {4: "fig8_super_resolution_x4", 8: "fig9_super_resolution_x8"}
CLOSE = {"astronaut": (0.08, 0.28, 0.3), "chelsea": (0.22, 0.42, 0.3)}  # the squares of what first takes their place
TITLES = {
    "bicubic": "Bicubic",
    "pixel": r"Ours ($\ell_{pixel}$)",
    "srcnn": "SRCNN (trained here)",
    AUTHORS: "SRCNN (authors')",
    "feature": r"Ours ($\ell_{feat}$)",
}
METHODS = {"bicubic": "bicubic", "pixel": "pixel", "SRCNN": AUTHORS, "feature": "feature"}
NUMBER = re.compile(rf"(PSNR|SSIM) (gain )?({'|'.join(METHODS)}) (\w+)")  # the keys that `_numbers` writes
MASK = DATA / "masks" / "bsd100_img_070.png"  # white: horses and riders; grey: trees
BAND = 3  # pixels on either side of the boundary


def papers(factor: int) -> dict[tuple[str, str], dict[str, float]]:
    """The paper's PSNR in dB and SSIM, as the claims hold them, by method and the name of a set or a picture.

    At x8 the claims hold the networks' gains over bicubic interpolation, which are added to its values here.
    """
    printed = {}
    for check in claims()[FIGURES[factor]].checks:
        if key := NUMBER.fullmatch(check.key):
            printed[key.groups()] = float(check.paper.split()[0])  # without the unit
    found: dict[tuple[str, str], dict[str, float]] = {}
    for (measure, gain, method, name), number in printed.items():
        base = printed[measure, None, "bicubic", name] if gain else 0
        found.setdefault((METHODS[method], name), {})[measure.lower()] = base + number
    return found


def beside_papers(rows: Sequence[Row]) -> list[Row]:
    """Rows of `score_rows` with the paper's PSNR and SSIM beside whole sets, where histograms are as in the paper."""
    known, judged = {factor: papers(factor) for factor in FIGURES}, list(matched_rows(rows).values())
    found = []
    for row in rows:
        method = AUTHORS if row["method"] == "srcnn" else row["method"].removesuffix(MATCHED)
        compared = row["whole"] and row in judged
        paper = known[row["factor"]].get((method, SETS.get(row["set"], "")), {}) if compared else {}
        mine = {name: row[name] for name in ("set", "factor", "method", "psnr", "psnr_sd", "ssim", "ssim_sd")}
        found.append(mine | {"paper_psnr": paper.get("psnr"), "paper_ssim": paper.get("ssim")} | row)
    return found


def examples(
    sets: dict[str, list[SetPicture]],
    factor: int,
    upscalers: dict[str, Upscaler],
    rows: Sequence[Row],
    blur: float = 0.0,
) -> tuple[list[list[Panel]], list[str], dict[str, dict[str, Row]], StandIns]:
    """The examples of Fig. 8 (x4) or 9 (x8): the whole pictures, then a close look, and below it scores and means.

    Args:
        sets, upscalers, blur: see `score_rows`.
        rows: those of `score_rows` for this factor.

    Returns:
        Two rows of panels an example, the names of all these rows, the scores by picture and method, and what stands in
        for the paper's pictures. Each score has `detail`, the sharpness of the close look without what repeats with
        the upsampling; for the picture with the horses `boundary` and `trees` too; see `MASK`.
    """
    (shown, others), lines, names, found = _shown(sets, factor), [], [], {}
    for (picture, grey), example, box in shown:
        y = cropped(picture.image, factor)
        close = (..., *(slice(round(start * y.shape[2]), round((start + box[2]) * y.shape[2])) for start in box[:2]))
        large = enlarged(low_resolution(y, factor, blur), upscalers)
        large = {m: large.get(f"{m}{MATCHED}", large[m]) for m in large if not m.endswith(MATCHED)}
        large |= published(example.set, picture.name, factor)
        own = {}
        for method, image in large.items():
            own[method] = scores(image, y, factor, grey)
            clean = without_grid(image, factor)
            own[method]["detail"] = sharpness(clean[close], y[close])
            if picture.name == "img_070":
                own[method] |= {name: sharpness(clean, y, where) for name, where in _regions(y).items()}
        found[picture.name] = own
        srcnn = AUTHORS if AUTHORS in large else "srcnn"
        columns = [method for method in ("bicubic", "pixel", srcnn, "feature") if method in large]
        under = _texts(example, picture.name, factor, own, rows)
        lines.append([Panel(y, "Ground truth", box=box)] + [Panel(large[m], TITLES[m]) for m in columns])
        lines.append([Panel(y[close], below=under[""])] + [Panel(large[m][close], below=under[m]) for m in columns])
        names += [picture.name if picture.name == example.image else f"{picture.name}, for {example.image}", ""]
    return lines, names, found, others


def _regions(y: Tensor) -> dict[str, np.ndarray]:
    """Where the boundary of horses and riders is, and where the trees are, (H, W) each."""
    mask = cropped(load_image(MASK), 8)[0, 0].numpy()
    return {"boundary": dilation(find_boundaries(mask > 0.9), disk(BAND)), "trees": np.abs(mask - 0.5) < 0.1}


def _texts(example: Example, name: str, factor: int, own: dict[str, Row], rows: Sequence[Row]) -> dict[str, str]:
    """The text under each close look: lines of our and the paper's scores; under the ground truth, the lines' names."""
    known, means, lines = papers(factor), matched_rows(rows), []
    lines.append(({"": "this image"} | {method: _two(score) for method, score in own.items()}, name))
    for each in example.means:
        sets = {method: row for (_, of, method), row in means.items() if of == each}
        if sets:
            part = "mean" if sets["bicubic"]["whole"] else f"({sets['bicubic']['images']} images)"
            texts = {"": f"{SETS[each]} {part}"} | {method: _two(row) for method, row in sets.items()}
            lines.append((texts, SETS[each] if part == "mean" else ""))
    texts = {}
    for method in ("", *own):
        those = []
        for line, of in lines:
            paper = known.get((AUTHORS if method == "srcnn" else method, of))
            said = "(the paper's)" if ("bicubic", of) in known and not method else " "
            beside = f"({_two(paper)})" if paper else said
            those += [line.get(method, " "), beside]
        texts[method] = "\n".join([" " if method else "PSNR / SSIM", *those])
    return texts


def _two(score: dict[str, float]) -> str:
    return f"{score['psnr']:.2f} / {score['ssim']:.4f}"


def _shown(sets: dict[str, list[SetPicture]], factor: int) -> tuple[list[tuple[SetPicture, Example, Box]], StandIns]:
    """The examples' pictures, each with the square to look at closely, and what they stand in for.

    Where one is not in the sets, the first picture that is not shown yet takes its place, if there is one.
    """
    left = {(name, each.picture.name): each for name, pictures in sets.items() for each in pictures}
    own = [left.pop((example.set, example.image), None) for example in EXAMPLES[factor]]
    shown, others = [], {}
    for found, example in zip(own, EXAMPLES[factor], strict=True):
        if found:
            shown.append((found, example, example.box))
            continue
        wanted = f"{SETS[example.set]}'s {example.image}"
        others[wanted] = "nothing"
        if left:
            other = left.pop(next(iter(left)))
            others[wanted] = other.picture.name
            shown.append((other, example, CLOSE.get(other.picture.name, example.box)))
    return shown, others


def measures(factor: int, rows: Sequence[Row], found: dict[str, dict[str, Row]]) -> dict[str, Measure]:
    """The numbers that the checks of Fig. 8 or 9 judge, by key; None where a set is missing or incomplete.

    Args:
        rows: of `score_rows`.
        found: the scores of the examples.
    """
    means = {key[1:]: row for key, row in matched_rows(rows).items() if key[0] == factor and row["whole"]}
    sets = [{m: row for (of, m), row in means.items() if of == name} for name in SETS]
    shown = {example: found.get(example.image, {}) for example in EXAMPLES[factor]}
    places = dict(zip(SETS.values(), sets, strict=True)) | {each.image: place for each, place in shown.items()}
    own = _numbers(places, factor)
    psnr, ssim = ([_less(place, key) for place in sets] for key in ("psnr", "ssim"))  # feature loss minus pixel loss
    own["PSNR order"] = _all(max, psnr)  # in the set where the paper's order holds least
    if factor == 4:
        own["SSIM order"] = _all(max, ssim)
    else:
        own |= {"SSIM order, Set5 and Set14": _all(min, ssim[:2]), "SSIM order, BSD100": ssim[2]}
    own |= {f"details: {each.detail}": _lead(place) for each, place in shown.items()}
    feature = [place.get("feature") for place in sets]
    if factor == 8:
        own |= {"PSNR against bicubic": _all(max, [_less(place, "psnr", "bicubic") for place in sets])}
        own |= {"SSIM against bicubic": _all(min, [_less(place, "ssim", "bicubic") for place in sets])}
        return own | {"boundary against trees": _boundary(found.get("img_070"))}
    bsd = places["BSD100"] if AUTHORS in places["BSD100"] else {}  # our own SRCNN is the weaker one
    shares = {m: bsd.get(m, {}).get("nearer_than_srcnn") for m in ("feature", "pixel")}
    own |= {"grid": _all(min, [_less(place, "grid") for place in sets])}
    own |= {f"notch {key.upper()}": _pooled(feature, f"notch_{key}") for key in ("psnr", "ssim")}
    separates = None if None in shares.values() else shares["feature"] - shares["pixel"]
    retrained = [place["srcnn"]["psnr"] - place[AUTHORS]["psnr"] if AUTHORS in place else None for place in sets]
    own |= {"own SRCNN": _all(min, retrained)}
    return own | {"user study": shares["feature"], "user study separates": separates}


def _numbers(places: dict[str, dict[str, Row]], factor: int) -> dict[str, Measure]:
    """PSNR and SSIM; at x8, for the networks, their gain over bicubic interpolation."""
    own: dict[str, Measure] = {}
    for name, place in places.items():
        for title, method in METHODS.items():
            if factor == 8 and title == "SRCNN":
                continue
            for key in ("psnr", "ssim"):
                gain, score = factor == 8 and title != "bicubic", place.get(method)
                value = None if score is None else score[key] - (place["bicubic"][key] if gain else 0)
                spread = score and not gain and score.get(f"{key}_sd")
                own[f"{key.upper()} {'gain ' * gain}{title} {name}"] = (value, spread) if spread else value
    return own


def _less(place: dict[str, Row], key: str, other: str = "pixel") -> float | None:
    return place["feature"][key] - place[other][key] if place else None


def _all(pick: Callable[[Sequence[float]], float], values: Sequence[float | None]) -> float | None:
    return None if None in values else pick(values)


def _lead(place: dict[str, Row]) -> float | None:
    """The sharpness of the detail with the feature loss, minus that of the sharpest other method."""
    others = [score["detail"] for method, score in place.items() if method != "feature"]
    return place["feature"]["detail"] - max(others) if place else None


def _boundary(place: dict[str, Row] | None) -> float | None:
    if not place:
        return None
    boundary, trees = (place["feature"][name] / place["pixel"][name] for name in ("boundary", "trees"))
    return boundary - trees


def _pooled(rows: Sequence[Row | None], key: str) -> Measure:
    """The mean over all images of several sets, and their standard deviation."""
    if None in rows:
        return None
    counts, values, spreads = (np.array([row[name] for row in rows]) for name in ("images", key, f"{key}_sd"))
    mean = np.average(values, weights=counts)
    return float(mean), float(np.sqrt(np.average(spreads**2 + (values - mean) ** 2, weights=counts)))
