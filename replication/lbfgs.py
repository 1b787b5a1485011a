"""L-BFGS without line search, projected onto bounds (section 4.1): B problems at once, nothing read back."""

import torch
from torch import Tensor

HISTORY = 100  # curvature pairs, as in the published code's baseline
CURVATURE = 1e-10  # a pair is skipped unless s'y exceeds this, as in torch.optim.LBFGS


class LBFGS:
    """Minimises B independent functions, given their gradients: `step(gradient at x)` moves `x`.

    The steps are those of torch.optim.LBFGS without line search: the first has length min(1, 1/|g|_1) times -g, the
    others are full quasi-Newton steps. The history is two matrices a problem, and an iteration reads each of them
    twice; nothing in it waits for the device. With bounds, x is clipped at each step, and the history holds the
    steps that were really taken.

    Args:
        x: where to start, (B, ...), float32 or float64; not changed.
        history: the number of pairs (s, y) of steps and differences of gradients that are kept.
        bounds: the least and the greatest value of x, or None.

    Attributes:
        x: the present point, moved in place.
        iterations: the steps taken.

    Raises:
        ValueError: `history` is not positive.
    """

    def __init__(self, x: Tensor, history: int = HISTORY, bounds: tuple[float, float] | None = None):
        if history < 1:
            raise ValueError(f"history must be at least 1; got {history}")
        batch, size = len(x), x[0].numel()
        self.history, self.bounds, self.iterations = history, bounds, 0
        self.x = x.detach().clone(memory_format=torch.contiguous_format)
        self.gradient = x.new_zeros(batch, size)
        self.displacement = x.new_zeros(batch, size)
        self.s = x.new_zeros(batch, history, size)  # a ring; rows of zeros are free
        self.y = x.new_zeros(batch, history, size)
        small = {"dtype": torch.float64, "device": x.device}
        self.sy = torch.zeros(batch, history, history, **small)  # s_i'y_j, up to date where j is not older than i
        self.yy = torch.zeros(batch, history, history, **small)
        self.gamma = torch.ones(batch, 1, **small)  # s'y / y'y of the newest pair
        self.row = torch.zeros(batch, 1, dtype=torch.long, device=x.device)  # of the ring, for the next pair

    @torch.no_grad()
    def step(self, gradient: Tensor) -> None:
        """Move `x` by one step.

        Args:
            gradient: of the B functions at `x`, of its shape.
        """
        gradient = gradient.flatten(1)
        if self.iterations == 0:
            direction = -gradient * (1 / gradient.abs().sum(1, keepdim=True)).clamp(max=1)
        else:
            direction = self._direction(gradient, *self._remember(gradient))
        moved = self.x + direction.view_as(self.x)
        if self.bounds:
            moved.clamp_(*self.bounds)
        self.displacement.copy_((moved - self.x).flatten(1))
        self.x.copy_(moved)
        self.gradient.copy_(gradient)
        self.iterations += 1

    def state(self) -> dict[str, Tensor]:
        """All tensors that the next step depends on, for a checkpoint."""
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        return tensors | {"iterations": torch.tensor(self.iterations)}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take the place of the instance that gave `state`, which had the same shape and history."""
        self.iterations = int(state["iterations"])
        for name in self.state().keys() - {"iterations"}:
            getattr(self, name).copy_(state[name])

    def _remember(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Put the newest pair into the history, if its curvature is positive; returns S'g and Y'g, (B, rows)."""
        rows, batch = self._rows(), torch.arange(len(self.x), device=self.x.device)
        s, y, row = self.displacement, gradient - self.gradient, self.row[:, 0]
        curvature = (s * y).sum(1, keepdim=True)
        fit = curvature > CURVATURE
        self.s[batch, row] = torch.where(fit, s, self.s[batch, row])
        self.y[batch, row] = torch.where(fit, y, self.y[batch, row])
        both = torch.stack((y, gradient), 1).mT
        sy, sg = torch.bmm(self.s[:, :rows], both).double().unbind(2)
        yy, yg = torch.bmm(self.y[:, :rows], both).double().unbind(2)
        for products, new in ((self.sy[:, :rows], sy), (self.yy[:, :rows], yy)):
            products[batch, :, row] = torch.where(fit, new, products[batch, :, row])
        self.yy[batch, row, :rows] = self.yy[batch, :rows, row]
        self.gamma = torch.where(fit, curvature / y.square().sum(1, keepdim=True), self.gamma)
        self.row = torch.where(fit, (self.row + 1) % self.history, self.row)
        return sg, yg

    def _direction(self, gradient: Tensor, sg: Tensor, yg: Tensor) -> Tensor:
        """Minus the inverse Hessian approximation times the gradient (Nocedal and Wright, algorithm 7.4).

        With the pairs from the oldest to the newest and R the upper triangle of S'Y, the first of the two loops solves
        R a = S'g for a, the second R'c = diag(R) a - gamma (Y'g - Y'Y a) for c = a - b, and
        Hg = gamma (g - Y a) + S c.
        """
        rows = self._rows()
        order = (self.row + torch.arange(rows, device=self.row.device)) % rows
        sort = torch.arange(len(order), device=order.device)[:, None, None], order[:, :, None], order[:, None, :]
        r, yy = self.sy[sort].triu(), self.yy[sort]
        diagonal = r.diagonal(dim1=1, dim2=2)[..., None].clone()
        r.diagonal(dim1=1, dim2=2)[r.diagonal(dim1=1, dim2=2) == 0] = 1  # free rows
        sg, yg = (products.gather(1, order)[..., None] for products in (sg, yg))
        a = torch.linalg.solve_triangular(r, sg, upper=True)
        c = diagonal * a - self.gamma[..., None] * (yg - yy @ a)
        c = torch.linalg.solve_triangular(r.mT, c, upper=False)
        a, c = (
            torch.empty_like(order, dtype=gradient.dtype).scatter_(1, order, z[..., 0].to(gradient.dtype))[:, None]
            for z in (a, c)
        )
        q = gradient - torch.bmm(a, self.y[:, :rows])[:, 0]
        return -(self.gamma.to(q) * q + torch.bmm(c, self.s[:, :rows])[:, 0])

    def _rows(self) -> int:
        """The rows of the ring that can be in use."""
        return min(self.iterations, self.history)
