"""What notebook 07 times: each kind of work as the project does it, as it is usually written, and its convolutions."""

import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from replication.baseline import white_noise
from replication.config import PAPER, StyleConfig, SuperResolutionConfig
from replication.io.files import ReplicationError
from replication.io.images import resize, save_image, square
from replication.io.pictures import PHOTOGRAPHS, content_picture, style_picture
from replication.io.photographs import ImageDataset, photographs_of
from replication.io.ranges import FACTORS
from replication.io.runtime import free_memory, keep_freed_memory
from replication.io.weights import vgg16_weights
from replication.lbfgs import LBFGS
from replication.loss_network import LAYERS, MEAN
from replication.losses import Objective
from replication.networks import FILTERS, SR_FILTERS, ImageTransformationNetwork, SuperResolutionNetwork, for_inference
from replication.report.timing import Call, bare_convolutions, convolution_flops, interleaved, peak_memory
from replication.style_transfer import style_trainer, stylise
from replication.super_resolution import super_resolution_trainer, upscale
from replication.training import Trainer, compile_in_place, compiled

STYLE = "great_wave"
HISTORY = 100  # of L-BFGS, full, as in the later part of a run
ITERATIONS = 5  # of the baseline in a timed call
RUNS = 5  # of a network
NUMBERS = (100, 300, 500)  # of iterations, Table 1
MATRIX = {"cuda": 8192, "cpu": 2048}  # rows and columns of the product that gives the peak

Builder = Callable[..., Call]  # of size, precision, device and a way to compile


def work_rows(
    work: str, size: int, precision: str, device: str, *, repeats: int, modes: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Time a kind of work against its bare convolutions and the device's peak, all in turn.

    The bare convolutions are those that it consists of, forward and backward, each called alone on tensors of the same
    shapes and memory formats; the peak is that of a large product of matrices at the same precision.

    Args:
        work: one of `WORKS`.
        size: pixels a side, of the small image where it is enlarged.
        precision: "float32" or "bfloat16".
        device: "cpu" or "cuda".
        repeats: timed rounds.
        modes: ways to compile it, which are timed too.

    Returns:
        A row a method: seconds (median and quartiles), their ratio to the bare convolutions', the share of the peak,
        and the peak memory, on a CPU with the libraries.
    """
    builders = WORKS[work]
    calls = {name: build(size, precision, device) for name, build in builders.items()}
    calls |= {f"ours, {mode}": builders["ours"](size, precision, device, mode) for mode in modes}
    times = calls["ours"]() or 1
    bare = bare_convolutions(calls["ours"])
    a, b = (torch.randn(MATRIX[device], MATRIX[device], device=device).to(getattr(torch, precision)) for _ in range(2))
    timed = {"product": lambda: _drop(a @ b), "bare convolutions": lambda: _drop(bare()) or times} | calls
    for call in timed.values():
        call()  # compiles, where the second call captures the graphs
    timings = interleaved(timed, repeats, device, f"{work}, {size} x {size}, {precision}")
    peak = 2 * MATRIX[device] ** 3 / timings.pop("product").seconds
    flops = convolution_flops(bare) / times
    del calls, timed
    rows = []
    for method, timing in timings.items():
        row = {"work": work, "size": size, "precision": precision, "method": method} | timing._asdict()
        row |= {"ratio": timing.seconds / timings["bare convolutions"].seconds}
        row |= {"share of peak": flops / timing.seconds / peak, "peak GB": None}
        if method in builders:
            row["peak GB"] = peak_memory(_once, work, method, size, precision, device, device=device) / 1e9
        rows.append(row)
    free_memory()
    return rows


def _once(work: str, method: str, size: int, precision: str, device: str) -> None:
    keep_freed_memory()
    WORKS[work][method](size, precision, device)()


def speed_rows(
    network: ImageTransformationNetwork, sizes: Sequence[int], precision: str, repeats: int, device: str
) -> list[dict[str, Any]]:
    """Rows of Table 1, one a size.

    Timed are iterations of the baseline with its full history, a few in each round, and the network; all in turn, at
    one precision. The seconds of 100, 300 and 500 iterations are that many times the median.

    Args:
        network: a style network.
        sizes: pixels a side.
        precision: "float32" or "bfloat16", of the convolutions on both sides.
        repeats: timed rounds.
        device: "cpu" or "cuda".

    Returns:
        For each size the seconds of an iteration, of 100, 300 and 500 iterations and of the network, the speed-ups, the
        network's share of an iteration, and the same speed-ups over the baseline as it is usually written.
    """
    fast = for_inference(network, getattr(torch, precision)).to(device)
    return [_speed_row(fast, size, precision, repeats, device) for size in sizes]


def _speed_row(fast: nn.Module, size: int, precision: str, repeats: int, device: str) -> dict[str, Any]:
    iterations = WORKS["iteration of the baseline"]
    calls: dict[str, Call] = {name: iterations[name](size, precision, device) for name in ("ours", "plain PyTorch")}
    calls["network"] = _repeated(partial(stylise, fast, white_noise(size, 0).to(device), tile=None))
    timings = interleaved(calls, repeats, device, f"{size} x {size}, {precision}")
    iteration, plain, once = (timings[name].seconds for name in calls)
    row: dict[str, Any] = {"size": size, "precision": precision, "iteration": iteration}
    row |= {f"{number} iterations": number * iteration for number in NUMBERS} | {"network": once}
    row |= {f"speed-up over {number}": number * iteration / once for number in NUMBERS}
    row |= {"network / iteration": once / iteration}
    return row | {f"over plain {number}": number * plain / once for number in NUMBERS}


def memory_rows(sides: Sequence[int], device: str) -> list[dict[str, Any]]:
    """The peak memory of the commands on image files, each with its defaults in a process of its own.

    They go from one JPEG file to another, `upscale` from one that is smaller by its factor.

    Args:
        sides: pixels a side of the results.
        device: "cpu" or "cuda".

    Returns:
        Rows of the command, the side, seconds with the start of the process, and the peak memory, libraries included.

    Raises:
        ReplicationError: a command failed.
    """
    commands = {f"stylise --style {style}": 1 for style in (STYLE, f"{STYLE}_instance")}
    commands |= {f"upscale --factor {factor}": factor for factor in FACTORS}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for side in sides:
            for command, factor in commands.items():
                source = Path(folder, f"{side // factor}.jpg")
                save_image(resize(content_picture("coffee").image, side // factor, side // factor), source)
                arguments = [*command.split(), str(source), "--out", f"{folder}/result.jpg", "--overwrite"]
                start = time.perf_counter()
                peak = peak_memory(_run, arguments, device=device)
                seconds = time.perf_counter() - start
                rows.append({"command": command, "side": side, "seconds": seconds, "peak GB": peak / 1e9})
    return rows


def _run(arguments: list[str]) -> None:
    from replication.__main__ import main

    if main(arguments):
        raise ReplicationError(f"{' '.join(arguments)} failed")


class _Iterations:
    """The iterations of `gatys` after its history is full."""

    def __init__(self, size: int, precision: str, device: str, mode: str | None = None):
        content, style = (square(picture.image, size).to(device) for picture in _pictures())
        objective = Objective(style, dtype=getattr(torch, precision))
        target = objective.content_target(content)

        def loss(x: Tensor) -> Tensor:
            return objective(x, target).total

        self.start(white_noise(size, 0).to(device))
        self.fill(compiled(loss, mode, device) if mode else loss)

    def start(self, x: Tensor) -> None:
        self.method = LBFGS(x, HISTORY, (0.0, 1.0))

    def pairs(self) -> int:
        return self.method.iterations - 1

    def fill(self, loss: Callable[[Tensor], Tensor]) -> None:
        """Fill the history with pairs of a function that costs next to nothing, then take the loss."""
        self.loss = _bowl
        while self.pairs() < HISTORY:
            self()
        self.loss = loss

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

    def __init__(self, size: int, precision: str, device: str):
        content, style = (square(picture.image, size).to(device) for picture in _pictures())
        features = _plain_features(getattr(torch, precision), device)

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

        self.start(white_noise(size, 0).to(device))
        self.fill(loss)


def _plain_features(dtype: torch.dtype, device: str) -> Callable[[Tensor], dict[str, Tensor]]:
    """The features at the style layers, from torch's modules as they come."""
    modules, tensors = nn.ModuleDict(), vgg16_weights().tensors
    for layer in LAYERS[: LAYERS.index(PAPER.style_layers[-1]) + 1]:
        weight, bias = (tensors[f"{layer.replace('relu', 'conv')}.{part}"] for part in ("weight", "bias"))
        convolution = nn.Conv2d(*weight.shape[1::-1], kernel_size=3, padding=1)
        convolution.load_state_dict({"weight": weight, "bias": bias})
        pool = [nn.MaxPool2d(2)] if layer.endswith("_1") and layer != LAYERS[0] else []
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
    """A quadratic so badly conditioned that no optimiser is done with it before the history is full."""
    curvature = torch.logspace(4, 8, x.numel(), device=x.device).view_as(x)
    return (curvature * (x - 0.5).square()).sum()


def _pictures() -> list[Any]:
    return [content_picture("chelsea"), style_picture(STYLE)]


def _photographs(device: str) -> ImageDataset:
    return photographs_of([content_picture(name) for name in PHOTOGRAPHS]).to(device)


def _style_step(size: int, precision: str, device: str, mode: str | None = None) -> Call:
    config = StyleConfig(size=size, precision=precision, compiled=mode)
    return _step(style_trainer(style_picture(STYLE), _photographs(device), config)[0])


def _super_resolution_step(size: int, precision: str, device: str, mode: str | None = None) -> Call:
    config = SuperResolutionConfig(patch=size, precision=precision, compiled=mode)
    return _step(super_resolution_trainer(_photographs(device), config)[0])


def _step(trainer: Trainer) -> Call:
    return lambda: _drop(trainer.advance())


def _stylisation(size: int, precision: str, device: str, mode: str | None = None) -> Call:
    fast = for_inference(ImageTransformationNetwork().to(device), getattr(torch, precision))
    if mode:
        compile_in_place(fast, mode)
    return _repeated(partial(stylise, fast, white_noise(size, 0).to(device), tile=None))


def _plain_stylisation(size: int, precision: str, device: str) -> Call:
    """The network in evaluation mode as torch's modules come, in the default memory format."""
    network = ImageTransformationNetwork().eval().to(device)
    network.layers[-1] = nn.Conv2d(FILTERS[0], 3, 9, padding=4)
    padded = F.pad(white_noise(size, 0), [network.margin] * 4, "reflect")
    return _plain_network(network, padded, precision, device)


def _enlarging(size: int, precision: str, device: str, mode: str | None = None) -> Call:
    fast = for_inference(SuperResolutionNetwork(4).to(device), getattr(torch, precision))
    if mode:
        compile_in_place(fast, mode)
    return _repeated(partial(upscale, fast, white_noise(size, 0).to(device)))


def _plain_enlarging(size: int, precision: str, device: str) -> Call:
    network = SuperResolutionNetwork(4).eval()
    network.layers[-1] = nn.Conv2d(SR_FILTERS, 3, 9, padding=4)
    return _plain_network(network, white_noise(size, 0), precision, device)


def _plain_network(network: nn.Module, image: Tensor, precision: str, device: str) -> Call:
    dtype = getattr(torch, precision)
    network, image = network.to(device, dtype, memory_format=torch.contiguous_format), image.to(device, dtype)
    return _repeated(torch.inference_mode()(lambda: torch.tanh(network.layers(image))))


def _repeated(call: Callable[[], Any]) -> Call:
    def several() -> int:
        for _ in range(RUNS):
            call()
        return RUNS

    return several


def _drop(result: Any) -> None:
    """A timed call returns how often it did its work, or nothing."""


WORKS: dict[str, dict[str, Builder]] = {
    "iteration of the baseline": {"ours": _Iterations, "torch.optim.LBFGS": _Torchs, "plain PyTorch": _Plain},
    "training step, style": {"ours": _style_step},
    "training step, super-resolution": {"ours": _super_resolution_step},
    "stylisation": {"ours": _stylisation, "plain PyTorch": _plain_stylisation},
    "enlarging by 4": {"ours": _enlarging, "plain PyTorch": _plain_enlarging},
}
