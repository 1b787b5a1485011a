"""What style transfer costs: a training step against its bare parts, stylisation against plain PyTorch, Table 1."""

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from replication.data import PHOTOGRAPHS, content_picture, style_picture
from replication.device import default_device, keep_freed_memory
from replication.inference import for_inference
from replication.loss_network import LossNetwork
from replication.networks import FILTERS, ImageTransformationNetwork
from replication.objective import CONTENT_LAYER, STYLE_LAYERS
from replication.optimisation import white_noise
from replication.photographs import photographs_of
from replication.provenance import provenance
from replication.ranges import PRECISIONS
from replication.settings import check_profile
from replication.style_training import BATCH_SIZE, style_trainer
from replication.style_transfer import stylize
from replication.tables import save_table, text_table
from replication.timing import interleaved, peak_memory
from replication.training import Trainer

TRAINING_SIZE = {"paper": 256, "quick": 128, "smoke": 64}
SIZES = {"paper": (256, 512, 1024, 2048), "quick": (256, 512), "smoke": (64, 128)}

CASES = (("plain PyTorch", "float32"), ("stylize", "float32"), ("stylize", "bfloat16"))
STYLE = "great_wave"


def benchmark_style(profile: str, repeats: int = 5) -> list[dict[str, Any]]:
    """Time training and stylisation; print the table, save it as `figures/<profile>/benchmark_style.json` and `.csv`.

    "training step" is one of the engine's, with batch 4; its "bare parts" are the network forward and backward, the
    loss network to relu4_3 forward and backward, and to relu3_3 forward. "plain PyTorch" is the network in evaluation
    mode as torch's modules come, in the default memory format; "stylize" has its batch norm folded and runs in
    channels_last.

    Args:
        profile: "paper" (training at 256, stylisation from 256 to 2048), "quick" or "smoke".
        repeats: timed rounds.

    Returns:
        The rows of the table: seconds (median and quartiles), the ratio to the parts or to plain PyTorch in float32,
        and of stylisation the peak memory, libraries included.

    Raises:
        ReplicationError: an unknown profile, or a file could not be written.
    """
    check_profile(profile)
    keep_freed_memory()
    device = default_device()
    rows = _training_rows(TRAINING_SIZE[profile], repeats, device)
    for size in SIZES[profile]:
        rows += _stylisation_rows(size, repeats, device)
    print(text_table(rows))
    run = SimpleNamespace(command="benchmark style", profile=profile, seed=0, device=device, repeats=repeats)
    inputs = [content_picture(name) for name in PHOTOGRAPHS] + [style_picture(STYLE)]
    files = save_table("benchmark_style", rows, provenance(run, LossNetwork(STYLE_LAYERS).to(device), inputs))
    print(*files, sep="\n")
    return rows


def _training_rows(size: int, repeats: int, device: str) -> list[dict[str, Any]]:
    calls: dict[tuple[str, str], Callable[[], None]] = {}
    for precision in PRECISIONS:
        photographs = photographs_of([content_picture(name) for name in PHOTOGRAPHS]).to(device)
        trainer, _ = style_trainer(style_picture(STYLE), photographs, size=size, precision=precision)
        calls["training step", precision] = partial(step, trainer)
        for name, part in _bare_parts(size, precision, device).items():
            calls[name, precision] = part
    timings = interleaved(calls, repeats, device, f"training, {size} x {size}")
    rows = []
    for precision in PRECISIONS:
        names = [name for name, other in calls if other == precision]
        bare = sum(timings[name, precision].seconds for name in names[1:])
        for name in names:
            timing = timings[name, precision]
            ratio = timing.seconds / bare if name == "training step" else None
            row = {"size": size, "batch": BATCH_SIZE, "precision": precision, "method": name}
            rows.append(row | timing._asdict() | {"ratio": ratio, "peak_GB": None})
    return rows


def step(trainer: Trainer) -> None:
    """One step of a training that does not end."""
    trainer.advance(trainer.step + 1)


def _bare_parts(size: int, precision: str, device: str) -> dict[str, Callable[[], None]]:
    """What a training step cannot do without."""
    dtype = getattr(torch, precision)
    network = ImageTransformationNetwork().to(device)
    deep, shallow = (LossNetwork([layer], dtype=dtype).to(device) for layer in (STYLE_LAYERS[-1], CONTENT_LAYER))
    images = torch.cat([white_noise(size, i) for i in range(BATCH_SIZE)]).to(device)
    images = images.to(memory_format=torch.channels_last)
    leaf = images.clone().requires_grad_()
    gradient = torch.randn_like(deep(images)[STYLE_LAYERS[-1]])

    def transformation() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
            result = network(images)
        result.backward(images)

    def loss_network() -> None:
        leaf.grad = None
        deep(leaf)[STYLE_LAYERS[-1]].backward(gradient)

    @torch.no_grad()
    def content() -> None:
        shallow(images)

    return {
        "bare part: network, forward and backward": transformation,
        "bare part: VGG-16 to relu4_3, forward and backward": loss_network,
        "bare part: VGG-16 to relu3_3, forward": content,
    }


def _stylisation_rows(size: int, repeats: int, device: str) -> list[dict[str, Any]]:
    timings = interleaved(
        {case: _stylisation(*case, size, device) for case in CASES}, repeats, device, f"stylisation, {size} x {size}"
    )
    rows = []
    for method, precision in CASES:
        timing = timings[method, precision]
        memory = peak_memory(_stylize_once, method, precision, size, device, device=device)
        row = {"size": size, "batch": 1, "precision": precision, "method": method} | timing._asdict()
        rows.append(row | {"ratio": timing.seconds / timings[CASES[0]].seconds, "peak_GB": memory / 1e9})
    return rows


def _stylize_once(method: str, precision: str, size: int, device: str) -> None:
    keep_freed_memory()
    _stylisation(method, precision, size, device)()


def _stylisation(method: str, precision: str, size: int, device: str) -> Callable[[], None]:
    network, image = ImageTransformationNetwork().eval().to(device), white_noise(size, 0).to(device)
    if method == "stylize":
        fast = for_inference(network, getattr(torch, precision))
        return lambda: drop(stylize(fast, image, tile=None))
    network.layers[-1] = nn.Conv2d(FILTERS[0], 3, 9, padding=4).to(device)
    network.to(memory_format=torch.contiguous_format)
    padded = F.pad(image, [network.margin] * 4, "reflect")
    return torch.inference_mode()(lambda: drop(torch.tanh(network.layers(padded))))


def drop(result: Tensor) -> None:
    """A timed call returns how often it did its work, or nothing."""
