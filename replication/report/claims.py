"""What the paper says of each figure, and the checks of it against what was measured.

Each function takes the numbers of its figure as the JSON file holds them, mostly in rows, and the run's settings.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from replication.evaluation import NAMES, PAPER, matched_rows
from replication.io.downloads import SETS
from replication.io.pictures import VALIDATION
from replication.report import rules
from replication.report.rules import FEWEST, Check, Judgement, judged, judged_after

Row = dict[str, Any]
Settings = dict[str, Any]

SPEED_UPS = {256: 1060, 512: 1026, 1024: 1042}  # Table 1, over 500 iterations, by the sizes of Fig. 5, too
TRAINED = 256  # pixels a side, of the photographs in training
ITERATIONS = 500  # of the paper's baseline
REACHED = {"pixel": rules.at_least, "feature": partial(rules.at_least, less=0.3), "srcnn": partial(rules.within, 0.5)}


Judge = Callable[[Any, Settings], list[Check]]


class Claim(NamedTuple):
    """What the paper says of a figure, its section first, and the function that checks it."""

    text: str
    judge: Judge


CLAIMS: dict[str, Claim] = {}  # by figure


def _claim(text: str) -> Callable[[Judge], Judge]:
    """Put the paper's words, and the function that follows, under the name of the figure, which is the function's."""
    return lambda judge: CLAIMS.setdefault(judge.__name__.removeprefix("_"), Claim(text, judge)).judge


@_claim(
    "Section 3.2, Fig. 3: an image that matches the original at an early layer looks the same; at higher layers "
    "content and layout are kept, colour, texture and exact shape are not."
)
def _fig3_feature_inversion(rows: list[Row], settings: Settings) -> list[Check]:
    low, high = rows[0]["layer"], rows[-1]["layer"]
    psnrs = [row["psnr"] for row in rows]
    colours, ssims = ([rows[i][name] for i in (0, -1)] for name in ("histogram_distance", "ssim"))
    ends, each = f"{{:.2f}} at {low}, {{:.2f}} at {high}", ", ".join(["{:.1f}"] * len(psnrs))
    same = f"an image from {low} looks the same as the original | visually indistinguishable | PSNR {{:.1f}} dB"
    less = f"the higher the layer, the less of the image | in the pictures | PSNR {each} dB"
    colour = f"colour is lost | not preserved at higher layers | histogram distance {ends}"
    shape = f"texture and exact shape are lost | not preserved at higher layers | SSIM {ends}"
    kept = f"layout is kept | preserved at higher layers | gradient correlation {{:.2f}} at {high}"
    checks = [
        judged(same, psnrs[0], rules.at_least(35)),
        judged(less, psnrs, rules.FALLING),
        judged(colour, colours, rules.crosses(0.5, upwards=True)),
        judged(shape, ssims, rules.crosses(0.5, upwards=False)),
        judged(kept, rows[-1]["gradient_correlation"], rules.over(0.2)),
    ]
    return judged_after(settings["iterations"], checks)


@_claim(
    "Section 3.2, Fig. 4: matching the style reconstruction loss keeps the texture of the painting and not its "
    "layout; higher layers transfer larger structures."
)
def _fig4_style_reconstruction(rows: list[Row], settings: Settings) -> list[Check]:
    names = ("style_loss_ratio", "spatial_correlation", "relu5_1_distance")
    ratios, layouts, structures = ([row[name] for row in rows] for name in names)
    correlation = f"correlation with the painting {min(layouts):.2f} to {max(layouts):.2f}"
    distances = ", ".join(["{:.2f}"] * len(structures))
    larger = f"higher layers transfer larger structures | in the pictures | distance at relu5_1 {distances}"
    style = "the style is matched | preserved | the loss fell to at most {:.2f} of that of noise"
    checks = [
        judged(style, max(ratios), rules.under(0.1)),
        judged(f"the layout is not kept | not preserved | {correlation}", max(map(abs, layouts)), rules.under(0.3)),
        judged(larger, structures, rules.FALLING),
    ]
    return judged_after(settings["iterations"], checks)


@_claim(
    "Section 4.1, Fig. 5: projected L-BFGS from white noise converges to satisfactory results within 500 iterations, "
    "at about 6% of the content image's objective; without clipping, pixels leave their range."
)
def _gatys_baseline(results: dict[str, Any], settings: Settings) -> list[Check]:
    iterations, low = settings["iterations"], rules.at_most(0.1, ".0%")
    worst = max(row[f"share_after_{iterations}"] for row in results["images"])
    ran = iterations >= ITERATIONS or low.allows(worst)  # it may have converged before
    converges = "the baseline converges to satisfactory results | satisfactory within 500 iterations | "
    leave = "without clipping, pixels leave their range | typically | {:.1%} of the values"
    return [
        judged(f"{converges}at most {{:.1%}} of it after {iterations}", worst if ran else None, low),
        judged(leave, results["share_of_values_out_of_range_unclipped"], rules.SOME),
    ]


@_claim(
    "Sections 3.1 and 4.1, supplement: at a quarter of the size a network has four times the filters and receptive "
    "field for the same cost; trained on photographs it gives any of them the style; with or without shortcuts it "
    "ends at a similar loss."
)
def _style_training(results: dict[str, Any], settings: Settings) -> list[Check]:
    costs = {int(factor): cost for factor, cost in results["operations_by_downsampling"].items()}
    *_, before, last = results["receptive_field"].values()
    share = [*results["objective_after_steps"].values()][-1] / results["objective_of_photograph"]
    ends, steps = results["final_loss_by_network"], settings["steps"]
    ratio = ends["non-residual"] / ends["residual"] if ends and settings["compare_steps"] >= FEWEST else None
    operations = f"{costs[4] / 1e9:.1f}e9 operations for {costs[1] / 1e9:.1f}e9"
    cost = f"at a quarter of the size four times the filters cost the same | the same | {operations}"
    wider = "each 3x3 convolution there widens the receptive field by 2 x 4 pixels | 8 | {:g}"
    trained = "training gives a photograph that was not trained on the style | in the pictures | "
    alike = "with or without shortcuts training ends at a similar loss | very similar | {:.2f} of it without them"
    enough = share if steps >= FEWEST else None
    return [
        judged(cost, [costs[1], costs[2], costs[4]], rules.EQUAL),
        judged(wider, [(last - before) / 2, 2 * 4], rules.EQUAL),
        judged(f"{trained}after {steps} steps {{:.0%}} of its own objective", enough, rules.under(0.5, ".0%")),
        judged(alike, ratio, rules.within_share(0.25)),
    ]


@_claim(
    "Section 4.1, Fig. 5: the network's objective equals that of 50 to 100 iterations of the baseline, at the size "
    "that it was trained at and at larger ones."
)
def _fig5_objective(results: list[Row], settings: Settings) -> list[Check]:
    comparable = VALIDATION not in settings.get("stand_ins", ())  # the paper's numbers are those of its photographs
    rows = {row["size"]: row for row in results if comparable}
    enough = rows if settings["iterations"] >= 50 else {}
    numbers = {size: enough.get(size, {}).get("iterations that the network equals") for size in SPEED_UPS}
    whole = rows if settings["iterations"] == ITERATIONS else {}
    equals = "iterations that the network equals at {0} x {0} | 50 to 100 | "
    last = "its objective over the baseline's after 500 at 256 x 256 | about 1.9, read off | {}"
    return [
        *(judged(f"{equals.format(size)}{{}}", number, rules.at_least(50)) for size, number in numbers.items()),
        judged(last, whole.get(256, {}).get("network over the last"), rules.at_most(2.5)),
    ]


@_claim(
    "Section 4.1, Fig. 6: one forward pass gives results that are qualitatively similar to the optimisation baseline's."
)
def _fig6_style_transfer(rows: list[Row], settings: Settings) -> list[Check]:
    ran, names = settings["iterations"] >= ITERATIONS, ("style left", "content given up")
    left, given_up = (max(row[name] for row in rows) if ran else None for name in names)
    style = "one forward pass gives the style | qualitatively similar | "
    content = "it keeps the content as the baseline does | qualitatively similar | its feature reconstruction loss is "
    return [
        judged(f"{style}at most {{:.0%}} of the photograph's style loss is left", left, rules.under(0.25, ".0%")),
        judged(f"{content}at most {{:.2f}} times the baseline's", given_up, rules.under(2)),
    ]


@_claim(
    "Section 4.1, Fig. 7: networks trained on 256 x 256 images apply to images of any size, with results as good at "
    "512 x 512."
)
def _fig7_style_transfer_512(rows: list[Row], settings: Settings) -> list[Check]:
    size, side = sides = settings["size"], settings["large"]
    small, large = (sum(row[f"share at {each}"] for row in rows) / len(rows) for each in sides)
    good = f"results are as good at {side} x {side} | in the pictures | {{:.1%}} of the photograph's objective"
    rule = rules.at_most_times(1.5, small, ".1%", f" at {size} x {size}")
    return [judged(good, large if side > TRAINED else None, rule)]


@_claim("Table 1: a forward pass takes about half the time of one iteration of the baseline, a thousandth of 500.")
def _table1_speed(rows: list[Row], settings: Settings) -> list[Check]:
    found = {size: [row for row in rows if row["size"] == size] for size in SPEED_UPS}
    usual = min(row["over plain 500"] for row in rows) if all(found.values()) else None
    share = max((row["network / iteration"] for those in found.values() for row in those), default=None)
    on_cpu = settings["device"].lower().startswith("cpu")
    frames = None if on_cpu or not found[512] else 1 / min(row["network"] for row in found[512])
    ours = "times as fast as 500 iterations of our baseline at {0} x {0} | {1} | "
    least = {size: min((row["speed-up over 500"] for row in those), default=None) for size, those in found.items()}
    half = "a forward pass takes half the time of an iteration | about 0.5 | at most {:.2f} of it"
    plain = "times as fast as 500 of the usual baseline, at every size | 1026 to 1060 | at least {:.0f}"
    return [
        *(judged(f"{ours.format(size, SPEED_UPS[size])}{{:.0f}}", least[size], rules.at_least(1000)) for size in least),
        judged(plain, usual, rules.at_least(1000)),
        judged(half, share, rules.HALF),
        judged("images a second at 512 x 512, on a GPU | 20 | {:.0f}", frames, rules.at_least(20)),
    ]


@_claim(
    "Section 4.2: trained in the same way, a network with the pixel loss has the higher PSNR, one with the feature "
    "reconstruction loss the finer details."
)
def _super_resolution_training(results: dict[str, Any], settings: Settings) -> list[Check]:
    after = f"after {settings['steps']} steps each, "
    both = [results["scores"][f"{loss}, {settings['steps']} steps"] for loss in ("feature", "pixel")]
    psnrs, sharp = ([row[name] for row in both] for name in ("psnr", "sharpness"))
    lower = f"the feature loss gives a lower PSNR | lower | {after}{{:.2f}} against {{:.2f}} dB for one photograph"
    finer = f"it gives finer details | in the pictures | {after}sharpness {{:.2f}} against {{:.2f}}"
    return judged_after(settings["steps"], [judged(lower, psnrs, rules.LESS), judged(finer, sharp, rules.MORE)])


@_claim(
    "Section 4.2, Fig. 8: at x4 the feature reconstruction loss gives sharper edges and finer details, lower PSNR and "
    "SSIM, and a slight cross-hatch pattern."
)
def _fig8_super_resolution_x4(results: dict[str, Any], settings: Settings) -> list[Check]:
    return [*orderings(results["means"], 4), preferred(results["means"])]


@_claim(
    "Section 4.2, Fig. 9: at x8 the pixel loss has a higher PSNR than bicubic interpolation, the feature "
    "reconstruction loss a lower one and, but for BSD100, a higher SSIM than the pixel loss."
)
def _fig9_super_resolution_x8(results: dict[str, Any], settings: Settings) -> list[Check]:
    return orderings(results["means"], 8)


def orderings(rows: Sequence[Row], factor: int) -> list[Check]:
    """From `score_rows` at one factor, set by set; a set that is not there as a whole was not run."""
    found, checks = _whole(rows), []
    for name in PAPER[factor]:
        methods = {method: row for (_, own, method), row in found.items() if own == name}
        those = _orderings(factor, name, methods) if methods else [Check("the methods compared", "", "", "", None)]
        checks += [each._replace(statement=f"x{factor}, {SETS[name]}: {each.statement}") for each in those]
    return checks


def _orderings(factor: int, name: str, methods: dict[str, Row]) -> list[Check]:
    bicubic, pixel, feature = (methods[method] for method in ("bicubic", "pixel", "feature"))
    paper = dict(zip(NAMES, PAPER[factor][name], strict=True))
    below, above = (row["psnr"] - bicubic["psnr"] for row in (feature, pixel))
    papers = [f"{paper[method][0] - paper['bicubic'][0]:+.2f}" for method in ("feature", "pixel")]
    ssims = f"{paper['feature'][1]:.4f} against {paper['pixel'][1]:.4f} | {{:.4f}} against {{:.4f}}"
    higher, more = ("higher", rules.MORE) if factor == 8 and name != "bsd100" else ("lower", rules.LESS)
    under = f"the feature loss has a lower PSNR than bicubic | {papers[0]} dB | {{:+.2f}} dB"
    over = f"the pixel loss has a higher PSNR than bicubic | {papers[1]} dB | {{:+.2f}} dB"
    lower = "the feature loss has a lower PSNR than the pixel loss | lower | {:+.2f} dB"
    ssim = f"the feature loss has a {higher} SSIM than the pixel loss | {ssims}"
    sharp = "the feature loss is the sharpest, and not beyond the original | in the pictures | {:.2f}, {:.2f}, {:.2f}"
    slight = "the cross-hatch pattern of the feature loss is slight | visible under magnification | "
    grid = f"{slight}{{:.1f}} grey levels, {pixel['grid']:.1f} with the pixel loss"
    sharpness = [row["sharpness"] for row in (feature, pixel, bicubic)]
    return [
        judged(under, below, rules.under(0)),
        *([judged(over, above, rules.over(0))] if factor == 8 else []),
        judged(lower, below - above, rules.under(0)),
        judged(ssim, [feature["ssim"], pixel["ssim"]], more),
        judged(f"{sharp} (feature, pixel, bicubic)", sharpness, rules.most(1.1)),
        _nearest({method: row["perceptual"] for method, row in methods.items()}),
        judged(grid, feature["grid"], rules.under(8)),
    ]


def _nearest(distances: dict[str, float | None]) -> Check:
    says = "the feature loss gives the least perceptual distance, by ST-LPIPS"
    if distances["feature"] is None:
        return Check(says, "in the pictures", "", "", None)
    ours = ", ".join(f"{distance:.3f} {method}" for method, distance in distances.items())
    values = [distances.pop("feature"), *distances.values()]
    return judged(f"{says} | in the pictures | {ours}", values, rules.LEAST)


def preferred(rows: Sequence[Row]) -> Check:
    """What stands in for the user study at x4: on how many pictures of BSD100 the feature loss is nearer than SRCNN."""
    share = _whole(rows).get((4, "bsd100", "feature"), {}).get("nearer_than_srcnn")
    says = "in place of the user study: the share of BSD100 where the feature loss is nearer than SRCNN by ST-LPIPS"
    return judged(f"{says} | people preferred it on 96% | {{:.0%}}", share, rules.at_least(0.9, ".0%"))


@_claim("Section 4.2, Figs. 8 and 9: the PSNR on Set5, Set14 and BSD100, at x8 its gain over bicubic interpolation.")
def _table_super_resolution(rows: Sequence[Row], settings: Settings) -> list[Check]:
    psnrs, checks = {key: row["psnr"] for key, row in _whole(rows).items()}, []
    for factor, name, papers in ((factor, *each) for factor, sets in PAPER.items() for each in sets.items()):
        gain, form = (" over bicubic", "+.2f") if factor == 8 else ("", ".2f")
        bases = (papers[0][0], psnrs.get((8, name, "bicubic"))) if factor == 8 else (0, 0)
        for method, paper in zip(NAMES[1:], papers[1:], strict=True):
            if paper:
                wanted, psnr = paper[0] - bases[0], psnrs.get((factor, name, method))
                words = f"x{factor}, {SETS[name]}, {method}: PSNR{gain} | {wanted:{form}} dB | {{:{form}}} dB"
                checks.append(judged(words, None if psnr is None else psnr - bases[1], REACHED[method](wanted, form)))
    return checks


def _whole(rows: Sequence[Row]) -> dict[tuple[int, str, str], Row]:
    """Of whole sets alone: what stands in for a set, or is a part of it, is not judged."""
    return {key: row for key, row in matched_rows(rows).items() if row["paper_psnr"] is not None}


def judge(figure: str, results: Any, settings: Settings) -> Judgement:
    """The verdict on a figure, one of `CLAIMS`, from its numbers and the settings of the run, `stand_ins` with them."""
    claim = CLAIMS[figure]
    return Judgement(figure, claim.text, claim.judge(results, settings), settings.get("stand_ins", {}))


def judge_record(record: dict[str, Any]) -> Judgement:
    """The verdict on what a figure's JSON file holds."""
    source = record["provenance"]
    settings = source["settings"] | {"device": source["device"], "stand_ins": source.get("stand_ins", {})}
    return judge(record["figure"], record["results"], settings)
