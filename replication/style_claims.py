"""What the paper says of Figs. 3 to 7, Table 1 and the style networks, and the rules by which our numbers are judged.

Each function takes the numbers in the figure's JSON file and the run's settings, and gives the checks.
"""

from typing import Any

from replication.data import VALIDATION
from replication.judgement import FEWEST, Check, judged_after
from replication.metrics import falls

Settings = dict[str, Any]
SIZES = (256, 512, 1024)  # of Fig. 5 and Table 1
TRAINED = 256  # pixels a side, of the photographs in training


def feature_inversion(results: list[dict[str, Any]], settings: Settings) -> list[Check]:
    """Fig. 3, from a row a layer, the lowest first."""
    psnrs, ssims, colours, layouts = (
        [row[name] for row in results] for name in ("psnr", "ssim", "histogram_distance", "gradient_correlation")
    )
    low, high = results[0]["layer"], results[-1]["layer"]
    checks = [
        Check(
            f"an image from {low} looks the same as the original",
            "visually indistinguishable",
            f"PSNR {psnrs[0]:.1f} dB",
            "at least 35",
            psnrs[0] >= 35,
        ),
        Check(
            "the higher the layer, the less of the image",
            "in the pictures",
            f"PSNR {', '.join(f'{psnr:.1f}' for psnr in psnrs)} dB",
            "falling",
            falls(psnrs),
        ),
        Check(
            "colour is lost",
            "not preserved at higher layers",
            f"histogram distance {colours[0]:.2f} at {low}, {colours[-1]:.2f} at {high}",
            "under and over 0.5",
            colours[0] < 0.5 < colours[-1],
        ),
        Check(
            "texture and exact shape are lost",
            "not preserved at higher layers",
            f"SSIM {ssims[0]:.2f} at {low}, {ssims[-1]:.2f} at {high}",
            "over and under 0.5",
            ssims[-1] < 0.5 < ssims[0],
        ),
        Check(
            "layout is kept",
            "preserved at higher layers",
            f"gradient correlation {layouts[-1]:.2f} at {high}",
            "over 0.2",
            layouts[-1] > 0.2,
        ),
    ]
    return judged_after(settings["iterations"], checks)


def style_reconstruction(results: list[dict[str, Any]], settings: Settings) -> list[Check]:
    """Fig. 4, from a row a layer, the lowest first."""
    ratios, layouts, structures = (
        [row[name] for row in results] for name in ("style_loss_ratio", "spatial_correlation", "relu5_1_distance")
    )
    checks = [
        Check(
            "the style is matched",
            "preserved",
            f"the loss fell to at most {max(ratios):.2f} of that of noise",
            "under 0.1",
            max(ratios) < 0.1,
        ),
        Check(
            "the layout is not kept",
            "not preserved",
            f"correlation with the painting {min(layouts):.2f} to {max(layouts):.2f}",
            "under 0.3",
            max(map(abs, layouts)) < 0.3,
        ),
        Check(
            "higher layers transfer larger structures",
            "in the pictures",
            f"distance at relu5_1 {', '.join(f'{distance:.2f}' for distance in structures)}",
            "falling",
            falls(structures),
        ),
    ]
    return judged_after(settings["iterations"], checks)


def gatys_baseline(results: dict[str, Any], settings: Settings) -> list[Check]:
    """Fig. 5's baseline, from its final objectives; it has 500 iterations to converge."""
    worst = max(row[f"share_after_{settings['iterations']}"] for row in results["images"])
    outside = results["share_of_values_out_of_range_unclipped"]
    return [
        Check(
            "the baseline converges to satisfactory results",
            "satisfactory within 500 iterations",
            f"at most {worst:.1%} of it after {settings['iterations']}",
            "at most 10%",
            worst <= 0.1 if worst <= 0.1 or settings["iterations"] >= 500 else None,
        ),
        Check(
            "without clipping, pixels leave their range",
            "typically",
            f"{outside:.1%} of the values",
            "more than none",
            outside > 0,
        ),
    ]


def objective(results: list[dict[str, Any]], settings: Settings) -> list[Check]:
    """Fig. 5, from a row a size; the paper's numbers are those of its kind of photographs."""
    rows, enough = {row["size"]: row for row in results}, settings["iterations"] >= 50
    if VALIDATION in settings.get("stand_ins", ()):
        rows = {}
    checks = []
    for size in SIZES:
        says = f"iterations that the network equals at {size} x {size}"
        number = rows[size]["iterations that the network equals"] if size in rows and enough else None
        checks.append(Check(says, "50 to 100", f"{number}", "at least 50", None if number is None else number >= 50))
    ratio = rows[256]["network over the last"] if 256 in rows and settings["iterations"] == 500 else None
    says = "its objective over the baseline's after 500 at 256 x 256"
    return [
        *checks,
        Check(says, "about 1.9, read off", f"{ratio}", "at most 2.5", None if ratio is None else ratio <= 2.5),
    ]


def style_training(results: dict[str, Any], settings: Settings) -> list[Check]:
    """Sections 3.1 and 4.1, from counts of operations, receptive fields and objectives."""
    costs, fields = results["operations_by_downsampling"], [*results["receptive_field"].values()]
    costs = {int(factor): cost for factor, cost in costs.items()}
    widening = (fields[-1] - fields[-2]) / 2
    share = [*results["objective_after_steps"].values()][-1] / results["objective_of_photograph"]
    ends = results["final_loss_by_network"]
    compared = ends and settings["compare_steps"] >= FEWEST
    ratio = ends["non-residual"] / ends["residual"] if ends else float("nan")
    return [
        Check(
            "at a quarter of the size four times the filters cost the same",
            "the same",
            f"{costs[4] / 1e9:.1f}e9 operations for {costs[1] / 1e9:.1f}e9",
            "equal",
            costs[1] == costs[2] == costs[4],
        ),
        Check(
            "each 3x3 convolution there widens the receptive field by 2 x 4 pixels",
            "8",
            f"{widening:g}",
            "equal",
            widening == 8,
        ),
        Check(
            "training gives a photograph that was not trained on the style",
            "in the pictures",
            f"after {settings['steps']} steps {share:.0%} of its own objective",
            "under 50%",
            share < 0.5 if settings["steps"] >= FEWEST else None,
        ),
        Check(
            "with or without shortcuts training ends at a similar loss",
            "very similar",
            f"{ratio:.2f} of it without them",
            "within 25%",
            0.75 < ratio < 1.25 if compared else None,
        ),
    ]


def style_transfer(results: list[dict[str, Any]], settings: Settings) -> list[Check]:
    """Fig. 6, from a row a painting and photograph; beside the baseline after the paper's 500 iterations."""
    left, given_up = (max(row[name] for row in results) for name in ("style left", "content given up"))
    ran = settings["iterations"] >= 500
    return [
        Check(
            "one forward pass gives the style",
            "qualitatively similar",
            f"at most {left:.0%} of the photograph's style loss is left",
            "under 25%",
            left < 0.25 if ran else None,
        ),
        Check(
            "it keeps the content as the baseline does",
            "qualitatively similar",
            f"its feature reconstruction loss is at most {given_up:.2f} times the baseline's",
            "under 2",
            given_up < 2 if ran else None,
        ),
    ]


def style_transfer_large(results: list[dict[str, Any]], settings: Settings) -> list[Check]:
    """Fig. 7, from a row a painting and photograph."""
    small, large = (
        sum(row[f"share at {settings[name]}"] for row in results) / len(results) for name in ("size", "large")
    )
    side = settings["large"]
    return [
        Check(
            f"results are as good at {side} x {side}",
            "in the pictures",
            f"{large:.1%} of the photograph's objective",
            f"at most 1.5 times the {small:.1%} at {settings['size']} x {settings['size']}",
            large < 1.5 * small if side > TRAINED else None,
        )
    ]


def speed(results: list[dict[str, Any]], settings: Settings) -> list[Check]:
    """Table 1, from a row a size and precision."""
    checks = []
    for size, paper in zip(SIZES, (1060, 1026, 1042), strict=True):
        found = [row["speed-up over 500"] for row in results if row["size"] == size]
        says = f"times as fast as 500 iterations of our baseline at {size} x {size}"
        least = min(found, default=float("nan"))
        checks.append(Check(says, f"{paper}", f"{least:.0f}", "at least 1000", least >= 1000 if found else None))
    everywhere = {row["size"] for row in results} >= {*SIZES}
    usual = min(row["over plain 500"] for row in results)
    slowest = max((row["network / iteration"] for row in results if row["size"] in SIZES), default=float("nan"))
    frames = 1 / min((row["network"] for row in results if row["size"] == 512), default=float("inf"))
    ran = frames > 0 and not settings["device"].lower().startswith("cpu")
    return [
        *checks,
        Check(
            "times as fast as 500 of the usual baseline, at every size",
            "1026 to 1060",
            f"at least {usual:.0f}",
            "at least 1000",
            usual >= 1000 if everywhere else None,
        ),
        Check(
            "a forward pass takes half the time of an iteration",
            "about 0.5",
            f"at most {slowest:.2f} of it",
            "at most half",
            slowest <= 0.5 if {row["size"] for row in results} & {*SIZES} else None,
        ),
        Check(
            "images a second at 512 x 512, on a GPU",
            "20",
            f"{frames:.0f}",
            "at least 20",
            frames >= 20 if ran else None,
        ),
    ]
