"""The optimisers of a training: the paper's Adam, or Muon for the kernels of convolutions and Adam for the rest."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from replication.config import TrainingConfig
from replication.io.runtime import dtype_of

MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # of the terms X, X^3 and X^5
ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """Muon: steps along the running mean of the gradients with its singular values brought near 1 (Jordan et al. 2024).

    A kernel is treated as a matrix, outputs x (inputs * height * width). The singular values of a step are near
    lr * sqrt(max(1, rows / columns)). In bfloat16 the steps equal those of torch.optim.Muon bit for bit; that optimiser
    has no other precision.

    Args:
        kernels: kernels of convolutions, (outputs, inputs, height, width).
        transposed: kernels of transposed convolutions, (inputs, outputs, height, width).
        lr: the learning rate.
        dtype: precision of the orthogonalisation.
    """

    def __init__(
        self, kernels: Sequence[nn.Parameter], transposed: Sequence[nn.Parameter], lr: float, dtype: torch.dtype
    ):
        super().__init__([{"params": kernels, "outputs": 0}, {"params": transposed, "outputs": 1}], {"lr": lr})
        self.dtype = dtype

    @torch.no_grad()
    def step(self) -> None:
        """One step along the gradients."""
        for group in self.param_groups:
            for kernel in (each for each in group["params"] if each.grad is not None):
                gradient = kernel.grad.transpose(0, group["outputs"]).flatten(1)
                state = self.state[kernel]
                mean = state.setdefault("momentum_buffer", torch.zeros_like(gradient)).lerp_(gradient, 1 - MOMENTUM)
                step = orthogonalised(gradient.lerp(mean, MOMENTUM).to(self.dtype))  # Nesterov's
                rows, columns = step.shape
                turned = kernel.transpose(0, group["outputs"])
                turned.add_(step.reshape(turned.shape), alpha=-group["lr"] * max(1, rows / columns) ** 0.5)


def orthogonalised(matrix: Tensor) -> Tensor:
    """U V^T of a matrix U S V^T, nearly: five Newton-Schulz iterations leave singular values of 0.7 to 1.2."""
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonalised(matrix.T).T
    a, b, c = NEWTON_SCHULZ
    x = matrix / matrix.norm().clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


class Optimizers:
    """Adam on all parameters, or Muon on the kernels of convolutions and Adam on biases and norms."""

    def __init__(self, network: nn.Module, config: TrainingConfig):
        self.parameters = dict(network.named_parameters())
        muon = config.optimizer == "muon"
        self.kernels = {name for name, p in self.parameters.items() if muon and p.ndim == 4}
        transposed = {layer.weight for layer in network.modules() if isinstance(layer, nn.ConvTranspose2d)}
        others = [p for name, p in self.parameters.items() if name not in self.kernels]
        self.parts: list[torch.optim.Optimizer] = [torch.optim.Adam(others, lr=config.learning_rate, fused=True)]
        if muon:
            kernels = [self.parameters[name] for name in sorted(self.kernels)]
            dtype = dtype_of(config.precision, kernels[0].device.type)
            plain, turned = [p for p in kernels if p not in transposed], [p for p in kernels if p in transposed]
            self.parts.append(Muon(plain, turned, config.kernel_rate, dtype))
        self.rates = [part.defaults["lr"] for part in self.parts]

    @property
    def learning_rate(self) -> float:
        """Adam's learning rate at the last step."""
        return self.parts[0].param_groups[0]["lr"]

    def step(self, share: float = 1) -> None:
        """One step along the gradients, with this share of the learning rates."""
        for part, rate in zip(self.parts, self.rates, strict=True):
            for group in part.param_groups:
                group["lr"] = rate * share
            part.step()

    def state(self) -> dict[str, Tensor]:
        """The tensors, besides the parameters, that the next step depends on, by "<parameter>.<kind>"."""
        states = {name: self._part(name).state[parameter] for name, parameter in self.parameters.items()}
        return {f"{name}.{kind}": value for name, found in states.items() for kind, value in found.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore what `state` returned."""
        for key, value in state.items():
            name, _, kind = key.rpartition(".")
            parameter = self.parameters[name]
            like = torch.empty_like(parameter)  # the fused Adam takes moments in the memory format of the parameter
            self._part(name).state[parameter][kind] = like.copy_(value) if value.shape == like.shape else value

    def _part(self, name: str) -> torch.optim.Optimizer:
        return self.parts[name in self.kernels]
