"""Pictures that a reader moves in JupyterLab: a line between two, a training to start, a blind test of two methods.

Under papermill, where nobody can press anything, each shows itself as a still picture.
"""

import io
import json
import logging
import random
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import ipywidgets
import numpy as np
import torch
from IPython.display import display
from PIL import Image, ImageDraw
from scipy.stats import binomtest
from torch import Tensor
from torch.nn import functional as F

from replication.evaluation import MATCHED, Upscaler, enlarged, network_digests
from replication.io.files import FIGURES
from replication.io.pictures import Picture
from replication.io.pixels import from_pixels, to_pixels
from replication.networks import for_inference
from replication.report.tables import save_table
from replication.style_transfer import stylise
from replication.super_resolution import cropped, low_resolution
from replication.training import Trainer

log = logging.getLogger(__name__)

LETTERS = 16  # pixels high
GAP = 12  # white pixels between two images
LINE = 2  # white pixels that part two images in one
BLIND = {"srcnn": "srcnn", "feature": f"feature{MATCHED}"}  # the compared methods: names in the table and in `enlarged`
CONFIDENCE = 0.95


def attended() -> bool:
    """Whether a person runs the notebook: papermill and nbconvert tell the kernel that nobody answers questions."""
    try:
        return get_ipython().kernel._allow_stdin
    except (NameError, AttributeError):  # no IPython, or one in a terminal
        return False


def png(image: Tensor) -> bytes:
    """An image (1, 3, H, W) in [0, 1] as the content of a PNG file."""
    content = io.BytesIO()
    Image.fromarray(to_pixels(image)).save(content, "png")
    return content.getvalue()


def labelled(image: Tensor, text: str) -> Tensor:
    """An image (1, 3, H, W), in 8 bits, with a text in its upper left corner."""
    picture = Image.fromarray(to_pixels(image))
    about = {"fill": "white", "stroke_fill": "black", "stroke_width": 2, "font_size": LETTERS}
    ImageDraw.Draw(picture).text((5, 3), text, **about)
    return from_pixels(np.asarray(picture))


def side_by_side(images: Sequence[Tensor]) -> Tensor:
    """Images (1, 3, H, W) of one height in one, white between them."""
    padded = [F.pad(image.cpu(), (0, GAP), value=1) for image in images]
    return torch.cat(padded, dim=3)[..., :-GAP]


def wiped(before: Tensor, after: Tensor, share: float) -> Tensor:
    """The left `share` of one image (1, 3, H, W), the rest of another of that shape, and a white line between."""
    column = round(share * before.shape[3])
    image = torch.cat([before[..., :column], after[..., column:]], dim=3)
    image[..., max(0, column - LINE // 2) : column + LINE // 2] = 1
    return image


class View:
    """What a cell shows: `widget` if a person runs the notebook; else, and in a saved notebook, the image `still`."""

    widget: ipywidgets.Widget

    def still(self) -> Tensor:
        """One image (1, 3, H, W) of it."""
        raise NotImplementedError

    def _ipython_display_(self) -> None:
        widget = self.widget._repr_mimebundle_() if attended() else {}
        display(widget | {"text/plain": type(self).__name__, "image/png": png(self.still())}, raw=True)


class Wipe(View):
    """An image left of a line and its transformation right of it; a list chooses the method, a slider moves the line.

    Args:
        before: (1, 3, H, W) in [0, 1].
        make: maps a name to an image of the same shape; called once for each name that is chosen.
        names: the names in the list.
        name: the first one chosen.
    """

    def __init__(self, before: Tensor, make: Callable[[str], Tensor], names: Sequence[str], name: str):
        self.before, self.made = before.cpu(), cache(lambda name: make(name).cpu())
        self.name = ipywidgets.Dropdown(options=list(names), value=name, description="made by")
        self.share = ipywidgets.FloatSlider(0.5, min=0, max=1, step=0.01, readout=False, description="line")
        self.image = ipywidgets.Image(format="png", value=png(self.still()))
        for control in (self.name, self.share):
            control.observe(self._draw, "value")
        self.widget = ipywidgets.VBox([ipywidgets.HBox([self.name, self.share]), self.image])

    @property
    def after(self) -> Tensor:
        """What the chosen name makes, (1, 3, H, W)."""
        return self.made(self.name.value)

    def still(self) -> Tensor:
        """Both, parted by the line."""
        return wiped(self.before, self.after, self.share.value)

    def _draw(self, _: Any) -> None:
        self.image.value = png(self.still())


class TrainingView(View):
    """Shows what a style network makes of a photograph while it trains; a button starts the training.

    Args:
        trainer: see `style_trainer`.
        photograph: (1, 3, H, W), on the trainer's device.
        stages: numbers of steps after which to look, rising; 0 is the network that it starts from.
    """

    def __init__(self, trainer: Trainer, photograph: Tensor, stages: Sequence[int]):
        self.trainer, self.photograph, self.stages = trainer, photograph, stages
        self.images: dict[int, Tensor] = {}
        self.button = ipywidgets.Button(description=f"Train {stages[-1]} steps", button_style="primary")
        self.button.on_click(self._press)
        self.image, self.output = ipywidgets.Image(format="png", value=png(photograph)), ipywidgets.Output()
        self.widget = ipywidgets.VBox([self.button, self.output, self.image])

    def train(self) -> dict[int, Tensor]:
        """Train what is not trained yet; returns the image after each stage, and shows each as it comes."""
        for stage in self.stages:
            if stage not in self.images:
                if stage > self.trainer.step:
                    self.trainer.run(f"to step {stage}", until=stage)
                self.images[stage] = stylise(for_inference(self.trainer.network), self.photograph).cpu()
                self.image.value = png(self._row())
        self.button.disabled = True
        return self.images

    def still(self) -> Tensor:
        """The photograph and its images so far, from left to right; where nobody can press the button, all of them."""
        if not attended():
            self.train()
        return self._row()

    def _row(self) -> Tensor:
        stages = [labelled(image, f"{stage} steps") for stage, image in self.images.items()]
        return side_by_side([self.photograph, *stages])

    def _press(self, _: Any) -> None:
        self.button.disabled = True
        with self.output:
            self.train()


class BlindTest(View):
    """Which of two enlargements by 4 does a reader prefer: SRCNN's, or that of the feature loss?

    Their order is drawn by seed, and so are the pictures. Choices lie in `figures/<profile>/table_blind_test.csv` and
    `.json`, from where a later test of the same networks goes on, whatever its seed.

    Args:
        pictures: to choose from.
        count: how many to show, all where there are fewer.
        upscalers: see `evaluation.methods`; those of a factor of 4.
        sources: from `provenance`; its "seed" draws.
    """

    NAME = "table_blind_test"

    def __init__(
        self, pictures: Sequence[Picture], count: int, upscalers: dict[str, Upscaler], sources: dict[str, Any]
    ) -> None:
        self.pictures = {picture.name: picture.image for picture in pictures}
        digests = network_digests()
        self.sources = sources | {"networks": {name: digests[name] for name in ("srcnn_x4", "x4_feature")}}
        self.upscalers = {name: upscalers[name] for name in BLIND}
        drawn, self.rows = random.Random(sources["seed"]), []
        for row in self._chosen_before():
            self.rows.append(self._row(row["picture"], row["left"], row["right"], row["chosen"]))
        for name in drawn.sample(sorted(self.pictures), min(count, len(self.pictures))):
            left, right = drawn.sample(list(BLIND), 2)
            if name not in [row["picture"] for row in self.rows]:
                self.rows.append(self._row(name, left, right, None))
        save_table(self.NAME, self.rows, self.sources)
        self.question, self.sides = ipywidgets.HTML(), [ipywidgets.Image(format="png") for _ in range(2)]
        self.buttons = [ipywidgets.Button(description=f"{side} is better") for side in ("left", "right")]
        for button, side in zip(self.buttons, ("left", "right"), strict=True):
            button.on_click(lambda _, side=side: self.choose(side))
        columns = [ipywidgets.VBox(pair) for pair in zip(self.sides, self.buttons, strict=True)]
        self.widget = ipywidgets.VBox([self.question, ipywidgets.HBox(columns)])
        self._draw()

    def choose(self, side: str) -> None:
        """Take the choice of the pair that is shown, "left" or "right", write it down, and show the next one."""
        row = self.rows[self.number]
        self.rows[self.number] = self._row(row["picture"], row["left"], row["right"], row[side])
        save_table(self.NAME, self.rows, self.sources)
        self._draw()

    @property
    def number(self) -> int | None:
        """The index of the first pair that nobody has judged; None after the last."""
        return next((i for i, row in enumerate(self.rows) if row["chosen"] is None), None)

    @property
    def pair(self) -> list[Tensor]:
        """The two images that are shown, left and right; the last ones at the end."""
        row = self.rows[-1 if self.number is None else self.number]
        small = low_resolution(cropped(self.pictures[row["picture"]], 4), 4)
        large = enlarged(small, self.upscalers)
        return [large[BLIND[row[side]]] for side in ("left", "right")]

    def still(self) -> Tensor:
        """The pair that is shown."""
        return side_by_side(self.pair)

    def __str__(self) -> str:
        """What has been chosen so far."""
        answered = [row for row in self.rows if row["chosen"]]
        if not answered:
            return f"No one has chosen yet. Pairs left: {len(self.rows)}."
        last = answered[-1]
        share, low, high = (f"{last[name]:.0%}" for name in ("share", "low", "high"))
        said = f"The feature loss was chosen in {last['feature']} of {last['choices']} pairs, {share}"
        return f"{said} (95 % interval {low} to {high}). Pairs left: {len(self.rows) - len(answered)}."

    def _chosen_before(self) -> list[dict[str, Any]]:
        """The rows of an earlier test of these pictures, by these networks, that somebody has answered."""
        path = FIGURES / self.sources["profile"] / f"{self.NAME}.json"
        earlier = json.loads(path.read_text()) if path.exists() else {"results": [], "provenance": {}}
        same = earlier["provenance"].get("networks") == self.sources["networks"]
        chosen = [row for row in earlier["results"] if row["chosen"]]
        kept = [row for row in chosen if same and row["picture"] in self.pictures]
        if kept != chosen:
            names = (f".earlier{number}.json" for number in ("", *(f"-{number}" for number in range(2, 10_000))))
            aside = next(each for each in map(path.with_suffix, names) if not each.exists())
            path.replace(aside)
            log.warning("choices of other pictures or networks: %d, left out and in %s", len(chosen) - len(kept), aside)
        return kept

    def _row(self, picture: str, left: str, right: str, chosen: str | None) -> dict[str, Any]:
        """The row of a pair; after an answer, with the totals so far, and `low` and `high`, Wilson's interval."""
        row = {"picture": picture, "left": left, "right": right, "chosen": chosen}
        answers = [each["chosen"] for each in self.rows if each["chosen"]] + [chosen]
        if chosen is None:
            return row | dict.fromkeys(("choices", "feature", "share", "low", "high"))
        count, ours = len(answers), answers.count("feature")
        low, high = map(float, binomtest(ours, count).proportion_ci(CONFIDENCE, method="wilson"))
        return row | {"choices": count, "feature": ours, "share": ours / count, "low": low, "high": high}

    def _draw(self) -> None:
        done = self.number is None
        asked = "" if done else f"<b>Pair {self.number + 1} of {len(self.rows)}</b>: which one is better? "
        self.question.value = f"{asked}{self}"
        for image, button, large in zip(self.sides, self.buttons, self.pair, strict=True):
            image.value, button.disabled = png(large), done
