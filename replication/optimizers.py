"""What makes the steps of a training: the paper's Adam, or Muon on the kernels of convolutions and Adam on the rest."""

import torch
from torch import Tensor, nn

from replication.config import TrainingConfig


class Optimizers:
    """Adam on all parameters, or torch's Muon on the kernels of convolutions and Adam on biases and norms.

    Muon (Jordan et al. 2024) steps along the running mean of the gradients with all its singular values brought near
    one. It takes matrices: of a kernel (outputs, inputs * height * width), which is a copy.

    The singular values of a step are near `kernel_rate` times sqrt(max(1, rows / columns)).
    """

    def __init__(self, network: nn.Module, config: TrainingConfig):
        self.parameters = dict(network.named_parameters())
        is_muon = config.optimizer == "muon"
        self.kernels = {name: p for name, p in self.parameters.items() if is_muon and p.ndim == 4}
        self.transposed = {f"{name}.weight" for name, m in network.named_modules() if isinstance(m, nn.ConvTranspose2d)}
        self.parameters |= {
            name: nn.Parameter(self._matrix(name, p.detach()).clone()) for name, p in self.kernels.items()
        }
        others = [p for name, p in self.parameters.items() if name not in self.kernels]
        self.parts = [torch.optim.Adam(others, lr=config.learning_rate, fused=True)]
        if self.kernels:
            matrices = [self.parameters[name] for name in self.kernels]
            self.parts.append(torch.optim.Muon(matrices, lr=config.kernel_rate, weight_decay=0))
        self.rates = [part.param_groups[0]["lr"] for part in self.parts]

    @property
    def learning_rate(self) -> float:
        """That of Adam at the last step."""
        return self.parts[0].param_groups[0]["lr"]

    @torch.no_grad()
    def step(self, share: float = 1) -> None:
        """One step along the gradients, with this share of the learning rates."""
        for name, kernel in self.kernels.items():
            matrix = self.parameters[name]
            matrix.copy_(self._matrix(name, kernel))
            matrix.grad = self._matrix(name, kernel.grad)
        for part, rate in zip(self.parts, self.rates, strict=True):
            part.param_groups[0]["lr"] = rate * share
            part.step()
        for name, kernel in self.kernels.items():
            turned = kernel.transpose(0, 1) if name in self.transposed else kernel
            turned.copy_(self.parameters[name].view_as(turned))

    def state(self) -> dict[str, Tensor]:
        """What the next step depends on beside the parameters, by parameter and kind."""
        states = {name: self._part(name).state[parameter] for name, parameter in self.parameters.items()}
        return {f"{name}.{kind}": value for name, found in states.items() for kind, value in found.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        for key, value in state.items():
            name, _, kind = key.rpartition(".")
            parameter = self.parameters[name]
            like = torch.empty_like(parameter)  # the fused Adam takes moments in the memory format of the parameter
            self._part(name).state[parameter][kind] = like.copy_(value) if value.shape == like.shape else value

    def _part(self, name: str) -> torch.optim.Optimizer:
        return self.parts[name in self.kernels]

    def _matrix(self, name: str, kernel: Tensor) -> Tensor:
        return (kernel.transpose(0, 1) if name in self.transposed else kernel).flatten(1)
