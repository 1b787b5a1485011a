"""How good a style network is: its objective, which the paper plots, and lattices, which the objective hardly sees."""

from collections.abc import Sequence

import torch
from torch import nn

from replication.data import Picture
from replication.images import square
from replication.inference import for_inference
from replication.lattice import lattice_peak
from replication.objective import Objective
from replication.style_transfer import stylize
from replication.super_resolution import luminance

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
        images = [stylize(network, y) for y in photographs]
        if not scores:
            terms = [objective(x, objective.content_target(y)) for x, y in zip(images, photographs, strict=True)]
            scores = {"objective": torch.cat([each.total for each in terms]).mean().item()}
            scores |= {n: torch.cat([getattr(t, n) for t in terms]).mean().item() for n in terms[0]._fields}
        grey = torch.cat([luminance(x)[:, 0] for x in images])
        scores |= {f"peak {period} at {size}": lattice_peak(grey, period) for period in PERIODS}
    return scores
