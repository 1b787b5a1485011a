"""`python -m replication benchmark baseline`: what an iteration of the baseline costs, against the bare network."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from replication.data import Picture, content_picture, style_picture
from replication.device import default_device, keep_freed_memory
from replication.images import square
from replication.lbfgs import HISTORY, LBFGS
from replication.loss_network import LAYERS, MEAN, LossNetwork
from replication.objective import CONTENT_LAYER, STYLE_LAYERS, Objective
from replication.optimisation import white_noise
from replication.provenance import provenance
from replication.ranges import PRECISIONS
from replication.settings import check_profile
from replication.tables import save_table, text_table
from replication.timing import Timing, convolution_flops, interleaved, peak_memory
from replication.weights import vgg16_weights

SIZES = {"paper": (256, 512), "quick": (256,), "smoke": (64,)}
LARGE = {"paper": 1024, "quick": 512, "smoke": 128}  # on a CPU its memory alone, with the short history
SHORT_HISTORY = 20
ITERATIONS = 5  # in a timed call


def benchmark_baseline(profile: str, repeats: int = 5) -> list[dict[str, Any]]:
    """Time an iteration with a full history; print the table, save it as `figures/<profile>/benchmark_baseline.json`.

    Beside the bare VGG-16, forward and backward, there are three methods: "ours", as in `gatys`; "torch.optim.LBFGS"
    with its default tolerances and history 100, on our objective; "plain PyTorch", the same optimiser on the objective
    as it is usually written.

    Args:
        profile: "paper" (256, 512 and, on a GPU, 1024), "quick" (256) or "smoke" (64).
        repeats: timed rounds of `ITERATIONS` iterations each.

    Returns:
        The rows of the table: seconds an iteration (median and quartiles), their ratio to the bare network's, peak
        memory, and the floating-point operations of the bare network's convolutions over the seconds.

    Raises:
        ReplicationError: an unknown profile, or a file could not be written.
    """
    check_profile(profile)
    keep_freed_memory()
    device = default_device()
    sizes = (*SIZES[profile], LARGE[profile]) if device == "cuda" else SIZES[profile]
    rows = [row for size in sizes for row in _rows(size, repeats, device)]
    if device == "cpu":
        large = ("ours", "float32", LARGE[profile])
        memory = peak_memory(_fill_and_run, *large, device, SHORT_HISTORY)
        rows.append(_row(*large, SHORT_HISTORY, memory))
    print(text_table(rows))
    run = SimpleNamespace(command="benchmark baseline", profile=profile, seed=0, device=device, repeats=repeats)
    files = save_table("benchmark_baseline", rows, provenance(run, LossNetwork(STYLE_LAYERS).to(device), _pictures()))
    print(*files, sep="\n")
    return rows


def _rows(size: int, repeats: int, device: str) -> list[dict[str, Any]]:
    """The rows of one size: all methods and precisions timed in turn."""
    cases = [(method, precision) for precision in PRECISIONS for method in METHODS]
    calls = {case: METHODS[case[0]](case[1], size, device, HISTORY) for case in cases}
    for case in cases:
        calls[case].fill()
    timings = interleaved(calls, repeats, device, f"{size} x {size}")
    flops = {precision: convolution_flops(calls["bare VGG-16", precision].once) for precision in PRECISIONS}
    del calls
    rows = []
    for case in cases:
        timing, precision = timings[case], case[1]
        ratio = timing.seconds / timings["bare VGG-16", precision].seconds
        memory = peak_memory(_fill_and_run, *case, size, device, HISTORY)
        measured = timing._asdict() | {"ratio": ratio, "TFLOP_s": flops[precision] / timing.seconds / 1e12}
        rows.append(_row(*case, size, HISTORY, memory) | measured)
    return rows


def _row(method: str, precision: str, size: int, history: int, memory: int) -> dict[str, Any]:
    row = {"size": size, "precision": precision, "method": method, "history": history, "peak_GB": memory / 1e9}
    return row | dict.fromkeys((*Timing._fields, "ratio", "TFLOP_s"))


def _fill_and_run(method: str, precision: str, size: int, device: str, history: int) -> None:
    keep_freed_memory()
    call = METHODS[method](precision, size, device, history)
    call.fill()
    call()


def _pictures() -> list[Picture]:
    return [content_picture("chelsea"), style_picture("great_wave")]


class _Bare:
    """VGG-16 to relu4_3, forward and backward, and nothing else."""

    def __init__(self, precision: str, size: int, device: str, history: int):
        self.network = LossNetwork(["relu4_3"], dtype=getattr(torch, precision)).to(device)
        self.x = white_noise(size, 0).to(device).requires_grad_()
        self.gradient = torch.randn_like(self.network(self.x)["relu4_3"])

    def fill(self) -> None:
        """It has no history."""

    def once(self) -> None:
        self.x.grad = None
        self.network(self.x)["relu4_3"].backward(self.gradient)

    def __call__(self) -> int:
        for _ in range(ITERATIONS):
            self.once()
        return ITERATIONS


class _Ours:
    """The iterations of `gatys`."""

    def __init__(self, precision: str, size: int, device: str, history: int):
        content, style = (square(picture.image, size).to(device) for picture in _pictures())
        objective = Objective(style, dtype=getattr(torch, precision))
        target = objective.content_target(content)
        self.loss: Callable[[Tensor], Tensor] = lambda x: objective(x, target).total
        self.start(white_noise(size, 0).to(device), history)

    def start(self, x: Tensor, history: int) -> None:
        self.history, self.method = history, LBFGS(x, history, (0.0, 1.0))

    def pairs(self) -> int:
        return self.method.iterations - 1

    def fill(self) -> None:
        """Fill the history with pairs of a function that costs next to nothing."""
        loss, self.loss = self.loss, _bowl
        while self.pairs() < self.history:
            self()
        self.loss = loss

    def __call__(self) -> int:
        for _ in range(ITERATIONS):
            x = self.method.x.detach().requires_grad_()
            self.method.step(*torch.autograd.grad(self.loss(x).sum(), x))
        return ITERATIONS


class _Torchs(_Ours):
    """torch.optim.LBFGS on our objective."""

    def start(self, x: Tensor, history: int) -> None:
        self.history, self.x = history, x.requires_grad_()
        self.method = torch.optim.LBFGS([self.x], max_iter=ITERATIONS, history_size=history)

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

    def __init__(self, precision: str, size: int, device: str, history: int):
        content, style = (square(picture.image, size).to(device) for picture in _pictures())
        features = _plain_features(getattr(torch, precision), device)

        def gram(psi: Tensor) -> Tensor:
            return psi[0].flatten(1) @ psi[0].flatten(1).T / psi[0].numel()

        target = features(content)[CONTENT_LAYER]
        grams = {name: gram(feature) for name, feature in features(style).items()}

        def loss(x: Tensor) -> Tensor:
            found = features(x)
            style_loss = sum(F.mse_loss(gram(found[name]), grams[name]) for name in STYLE_LAYERS)
            smooth = (255 * x.diff(dim=2)).square().sum() + (255 * x.diff(dim=3)).square().sum()
            return F.mse_loss(found[CONTENT_LAYER], target) + 5 * style_loss + 0.5e-6 * smooth

        self.loss = loss
        self.start(white_noise(size, 0).to(device), history)


def _plain_features(dtype: torch.dtype, device: str) -> Callable[[Tensor], dict[str, Tensor]]:
    """The features at the style layers, from torch's modules as they come."""
    modules, tensors = nn.ModuleDict(), vgg16_weights().tensors
    for layer in LAYERS[: LAYERS.index(STYLE_LAYERS[-1]) + 1]:
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
            if layer in STYLE_LAYERS:
                found[layer] = x.float()
        return found

    return features


def _bowl(x: Tensor) -> Tensor:
    """A quadratic so badly conditioned that no optimiser is done with it before the history is full."""
    curvature = torch.logspace(4, 8, x.numel(), device=x.device).view_as(x)
    return (curvature * (x - 0.5).square()).sum()


METHODS = {"bare VGG-16": _Bare, "ours": _Ours, "torch.optim.LBFGS": _Torchs, "plain PyTorch": _Plain}
