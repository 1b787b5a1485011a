"""Every kind of work that is timed: as the project does it, as it is usually written, and its convolutions alone."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from replication.baseline import white_noise
from replication.config import PAPER, StyleConfig, SuperResolutionConfig
from replication.io.photographs import SHORT_SIDE, photographs_of
from replication.io.pictures import PHOTOGRAPHS, content_picture, style_picture
from replication.io.pixels import square
from replication.io.runtime import free_memory, keep_freed_memory
from replication.io.weights import vgg16_weights
from replication.lbfgs import HISTORY, LBFGS
from replication.loss_network import LAYERS, MEAN
from replication.losses import Objective
from replication.networks import ImageTransformationNetwork, SuperResolutionNetwork, for_inference
from replication.report.timing import Call, Timing, bare_convolutions, convolution_flops, interleaved, peak_memory
from replication.style_transfer import style_trainer, stylise
from replication.super_resolution import super_resolution_trainer, upscale

STYLE = "great_wave"
ITERATIONS = 5  # of the baseline in a timed call
RUNS = 5  # of a network
MATRIX = {"cuda": 8192, "cpu": 2048}  # rows and columns of the product that gives the peak

Builder = Callable[[int, str, str], Call]  # of size, precision and device


class _Iterations:
    """The iterations of `gatys` after its history is full."""

    def __init__(self, size: int, precision: str, device: str):
        pictures = content_picture("chelsea"), style_picture(STYLE)
        content, style = (square(picture.image, size).to(device) for picture in pictures)
        loss = self.objective(content, style, getattr(torch, precision))
        self.start(white_noise(size, 0).to(device))
        self.loss = _bowl  # fills the history at next to no cost
        while self.pairs() < HISTORY:
            self()
        self.loss = loss

    def objective(self, content: Tensor, style: Tensor, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
        objective = Objective(style, dtype=dtype)
        target = objective.content_target(content)
        return lambda x: objective(x, target).total

    def start(self, x: Tensor) -> None:
        self.method = LBFGS(x, HISTORY, (0.0, 1.0))

    def pairs(self) -> int:
        return self.method.iterations - 1

    def __call__(self) -> int:
        for _ in range(ITERATIONS):
            x = self.method.x.detach().requires_grad_()
            self.method.step(*torch.autograd.grad(self.loss(x).sum(), x))
        return ITERATIONS


class _Torchs(_Iterations):
    """torch.optim.LBFGS, with its default tolerances, on our objective."""

    def start(self, x: Tensor) -> None:
        self.x = x.requires_grad_()
        self.method = torch.optim.LBFGS([self.x], max_iter=ITERATIONS, history_size=HISTORY)

    def pairs(self) -> int:
        return len(self.method.state[self.x].get("old_dirs", ()))

    def __call__(self) -> int:
        evaluations = 0

        def closure() -> Tensor:
            nonlocal evaluations
            evaluations += 1
            self.method.zero_grad()
            loss = self.loss(self.x).sum()
            loss.backward()
            return loss

        self.method.step(closure)
        return evaluations


class _Plain(_Torchs):
    """torch.optim.LBFGS on the objective as it is usually written: default memory format, Grams as matrix products."""

    def objective(self, content: Tensor, style: Tensor, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
        features = _plain_features(dtype, content.device)

        def gram(psi: Tensor) -> Tensor:
            return psi[0].flatten(1) @ psi[0].flatten(1).T / psi[0].numel()

        target = features(content)[PAPER.content_layer]
        grams = {name: gram(feature) for name, feature in features(style).items()}

        def loss(x: Tensor) -> Tensor:
            found = features(x)
            style_loss = sum(F.mse_loss(gram(found[name]), grams[name]) for name in PAPER.style_layers)
            smooth = (255 * x.diff(dim=2)).square().sum() + (255 * x.diff(dim=3)).square().sum()
            content_loss = F.mse_loss(found[PAPER.content_layer], target)
            return content_loss + PAPER.style_weight * style_loss + PAPER.tv_weight / 2 * smooth

        return loss


def _plain_features(dtype: torch.dtype, device: torch.device) -> Callable[[Tensor], dict[str, Tensor]]:
    """The features at the style layers, from torch's modules as they come."""
    modules, tensors = nn.ModuleDict(), vgg16_weights().tensors
    for layer in LAYERS[: LAYERS.index(PAPER.style_layers[-1]) + 1]:
        weight, bias = (tensors[f"{layer.replace('relu', 'conv')}.{part}"] for part in ("weight", "bias"))
        convolution = nn.Conv2d(*weight.shape[1::-1], kernel_size=3, padding=1)
        convolution.load_state_dict({"weight": weight, "bias": bias})
        pool = [nn.MaxPool2d(2, ceil_mode=True)] if layer.endswith("_1") and layer != LAYERS[0] else []
        modules[layer] = nn.Sequential(*pool, convolution, nn.ReLU(inplace=True))
    modules.requires_grad_(False).to(device, dtype)
    mean = torch.tensor(MEAN, device=device).view(1, 3, 1, 1)

    def features(x: Tensor) -> dict[str, Tensor]:
        x, found = (255 * x - mean).to(dtype), {}
        for layer, module in modules.items():
            x = module(x)
            if layer in PAPER.style_layers:
                found[layer] = x.float()
        return found

    return features


def _bowl(x: Tensor) -> Tensor:
    """A quadratic so badly conditioned that no optimiser converges before the history is full."""
    curvature = torch.logspace(4, 8, x.numel(), device=x.device).view_as(x)
    return (curvature * (x - 0.5).square()).sum()


def _training_step(style: bool, size: int, precision: str, device: str) -> Call:
    side = max(size, SHORT_SIDE)  # some of scikit-image's photographs are smaller than the larger crops
    pictures = [content_picture(name) for name in PHOTOGRAPHS]
    pictures = [picture._replace(image=square(picture.image, side)) for picture in pictures]
    photographs = photographs_of(pictures, side).to(device)
    if style:
        config = StyleConfig(size=size, precision=precision)
        trainer, _ = style_trainer(style_picture(STYLE), photographs, config)
    else:
        trainer, _ = super_resolution_trainer(photographs, SuperResolutionConfig(patch=size, precision=precision))
    return lambda: drop(trainer.advance())


def _pass(network: nn.Module, size: int, precision: str, device: str) -> Call:
    apply = partial(stylise, tile=None) if isinstance(network, ImageTransformationNetwork) else upscale
    fast = for_inference(network.to(device), getattr(torch, precision))
    return repeated(partial(apply, fast, white_noise(size, 0).to(device)))


def _plain_pass(network: nn.Module, size: int, precision: str, device: str) -> Call:
    """The network in evaluation mode as torch's modules come, in the default memory format."""
    network.layers[-1] = nn.Conv2d(network.layers[-1].in_channels, 3, 9, padding=4)
    network = network.eval().to(device, getattr(torch, precision), memory_format=torch.contiguous_format)
    image = F.pad(white_noise(size, 0), [getattr(network, "margin", 0)] * 4, "reflect")
    image = image.to(device, getattr(torch, precision))
    return repeated(torch.inference_mode()(lambda: torch.tanh(network.layers(image))))


def repeated(call: Callable[[], Any]) -> Call:
    """A call that makes `call` `RUNS` times, and returns that number to the timer."""

    def several() -> int:
        for _ in range(RUNS):
            call()
        return RUNS

    return several


def drop(result: Any) -> None:
    """Discard a result: a timed call returns how often it did its work, or nothing."""


WORKS: dict[str, dict[str, Builder]] = {
    "iteration of the baseline": {"ours": _Iterations, "torch.optim.LBFGS": _Torchs, "plain PyTorch": _Plain},
    "training step, style": {"ours": partial(_training_step, True)},
    "training step, super-resolution": {"ours": partial(_training_step, False)},
    "stylisation": {
        "ours": lambda *how: _pass(ImageTransformationNetwork(), *how),
        "plain PyTorch": lambda *how: _plain_pass(ImageTransformationNetwork(), *how),
    },
    "enlarging by 4": {
        "ours": lambda *how: _pass(SuperResolutionNetwork(4), *how),
        "plain PyTorch": lambda *how: _plain_pass(SuperResolutionNetwork(4), *how),
    },
}


def work_rows(work: str, size: int, precision: str, device: str, *, repeats: int) -> list[dict[str, Any]]:
    """Time a kind of work against its `bare_convolutions` and the device's peak, all in turn.

    The peak is that of a large product of matrices at the same precision.

    Args:
        work: one of `WORKS`.
        size: pixels a side; for enlarging, of the small image.
        precision: "float32" or "bfloat16".
        device: "cpu" or "cuda".
        repeats: timed rounds.

    Returns:
        A row a method: seconds (median and quartiles), their ratio to the bare convolutions', the share of the peak,
        and the peak memory, on a CPU with the libraries.
    """
    timings, flops, peak = _timed(work, size, precision, device, repeats)
    rows = []
    for method, timing in timings.items():
        row = {"work": work, "size": size, "precision": precision, "method": method} | timing._asdict()
        row |= {"ratio": timing.seconds / timings["bare convolutions"].seconds}
        row |= {"share of peak": flops / timing.seconds / peak, "peak GB": None}
        if method in WORKS[work]:
            row["peak GB"] = peak_memory(_once, work, method, size, precision, device, device=device) / 1e9
        rows.append(row)
    free_memory()
    return rows


def _timed(work: str, size: int, precision: str, device: str, repeats: int) -> tuple[dict[str, Timing], float, float]:
    """The timings by method, the operations of a call, and the device's most a second. Nothing else stays in memory."""
    calls = {name: build(size, precision, device) for name, build in WORKS[work].items()}
    times = calls["ours"]() or 1
    bare = bare_convolutions(calls["ours"])
    a, b = (torch.randn(MATRIX[device], MATRIX[device], device=device).to(getattr(torch, precision)) for _ in range(2))
    timed = {"product": lambda: _product(a, b), "bare convolutions": lambda: bare() or times} | calls
    timings = interleaved(timed, repeats, device, f"{work}, {size} x {size}, {precision}")
    peak = 2 * MATRIX[device] ** 3 / timings.pop("product").seconds
    return timings, convolution_flops(bare) / times, peak


def _product(a: torch.Tensor, b: torch.Tensor) -> None:
    """Multiply, with float32 rounded to TF32 where convolutions round it."""
    matmul = torch.backends.cuda.matmul
    before, matmul.allow_tf32 = matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    try:
        drop(a @ b)
    finally:  # Gram matrices keep their precision
        matmul.allow_tf32 = before


def _once(work: str, method: str, size: int, precision: str, device: str) -> None:
    keep_freed_memory()
    WORKS[work][method](size, precision, device)()
