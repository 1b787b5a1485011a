"""The paper's claims, figure by figure, each with what judges it from the figure's numbers."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

from replication import style_claims, super_resolution_claims
from replication.judgement import Check, Judgement


class Claim(NamedTuple):
    """What the paper says of a figure.

    Attributes:
        text: the claim, its section first.
        judge: from the numbers of the figure, and the settings and the device of the run, to the checks.
    """

    text: str
    judge: Callable[[Any, dict[str, Any]], list[Check]]


CLAIMS = {
    "fig3_feature_inversion": Claim(
        "Section 3.2, Fig. 3: an image that matches the original at an early layer looks the same; at higher layers "
        "content and layout are kept, colour, texture and exact shape are not.",
        style_claims.feature_inversion,
    ),
    "fig4_style_reconstruction": Claim(
        "Section 3.2, Fig. 4: matching the style reconstruction loss keeps the texture of the painting and not its "
        "layout; higher layers transfer larger structures.",
        style_claims.style_reconstruction,
    ),
    "gatys_baseline": Claim(
        "Section 4.1, Fig. 5: projected L-BFGS from white noise converges to satisfactory results within 500 "
        "iterations, at about 6% of the content image's objective; without clipping, pixels leave their range.",
        style_claims.gatys_baseline,
    ),
    "style_training": Claim(
        "Sections 3.1 and 4.1, supplement: at a quarter of the size a network has four times the filters and receptive "
        "field for the same cost; trained on photographs it gives any of them the style; with or without shortcuts it "
        "ends at a similar loss.",
        style_claims.style_training,
    ),
    "fig5_objective": Claim(
        "Section 4.1, Fig. 5: the network's objective equals that of 50 to 100 iterations of the baseline, at the size "
        "that it was trained at and at larger ones.",
        style_claims.objective,
    ),
    "fig6_style_transfer": Claim(
        "Section 4.1, Fig. 6: one forward pass gives results that are qualitatively similar to the optimisation "
        "baseline's.",
        style_claims.style_transfer,
    ),
    "fig7_style_transfer_512": Claim(
        "Section 4.1, Fig. 7: networks trained on 256 x 256 images apply to images of any size, with results as good "
        "at 512 x 512.",
        style_claims.style_transfer_large,
    ),
    "table1_speed": Claim(
        "Table 1: a forward pass takes about half the time of one iteration of the baseline, a thousandth of 500.",
        style_claims.speed,
    ),
    "super_resolution_training": Claim(
        "Section 4.2: trained in the same way, a network with the pixel loss has the higher PSNR, one with the feature "
        "reconstruction loss the finer details.",
        super_resolution_claims.training,
    ),
    "fig8_super_resolution_x4": Claim(
        "Section 4.2, Fig. 8: at x4 the feature reconstruction loss gives sharper edges and finer details, lower PSNR "
        "and SSIM, and a slight cross-hatch pattern.",
        lambda results, settings: [
            *super_resolution_claims.orderings(results["means"], 4),
            super_resolution_claims.preferred(results["means"]),
        ],
    ),
    "fig9_super_resolution_x8": Claim(
        "Section 4.2, Fig. 9: at x8 the pixel loss has a higher PSNR than bicubic interpolation, the feature "
        "reconstruction loss a lower one and, but for BSD100, a higher SSIM than the pixel loss.",
        lambda results, settings: super_resolution_claims.orderings(results["means"], 8),
    ),
    "table_super_resolution": Claim(
        "Section 4.2, Figs. 8 and 9: the PSNR on Set5, Set14 and BSD100, at x8 its gain over bicubic interpolation.",
        lambda results, settings: super_resolution_claims.figures_met(results),
    ),
}


def judge(figure: str, results: Any, run: SimpleNamespace) -> Judgement:
    """The verdict on a figure.

    Args:
        figure: one of `CLAIMS`.
        results: its numbers, as its JSON file holds them.
        run: what `settings.start` returned, where something took the place of the paper's input with `stand_ins`.
    """
    claim = CLAIMS[figure]
    return Judgement(figure, claim.text, claim.judge(results, vars(run)), getattr(run, "stand_ins", {}))


def judge_record(record: dict[str, Any]) -> Judgement:
    """The verdict on what a figure's JSON file holds."""
    source = record["provenance"]
    run = source["settings"] | {"device": source["device"], "stand_ins": source.get("stand_ins", {})}
    return judge(record["figure"], record["results"], SimpleNamespace(**run))
