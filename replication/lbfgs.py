"""L-BFGS without line search, projected onto bounds (section 4.1): B problems at once, with no wait for the device."""

import torch
from torch import Tensor

from replication.io.ranges import check

HISTORY = 100  # curvature pairs, as in the published code's baseline
CURVATURE = 1e-10  # a pair is skipped unless s'y exceeds this, as in torch.optim.LBFGS
BLOCK = 2**15  # values of a row of the history that are multiplied in one go, so that they stay in a CPU's cache


class LBFGS:
    """Minimises B independent functions, given their gradients: `step(gradient at x)` moves `x`.

    The steps are those of torch.optim.LBFGS without line search: the first is min(1, 1/|g|_1) times -g, the others are
    full quasi-Newton steps. With bounds, x is clipped after each step and the history holds the steps really taken.
    (Clipping is all that the paper does; where many values stay at a bound it need not find the bounded minimum.)

    The history is two matrices a problem, S of the steps s and Y of the differences y of gradients, and an iteration
    reads each of them twice: for S'g and Y'g, and for the new direction. Nothing waits for the device.

    Args:
        x: where to start, (B, ...), float32 or float64; not changed. The attribute `x` is the present point.
        history: the number of pairs (s, y) that are kept.
        bounds: the least and the greatest value of x, or None.

    Raises:
        RangeError: `history` is not positive.
        ValueError: `x` has another precision.
    """

    def __init__(self, x: Tensor, history: int = HISTORY, bounds: tuple[float, float] | None = None):
        check(history=history)
        if x.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"L-BFGS takes float32 or float64; got {x.dtype}")
        self.history, self.bounds, self.iterations = history, bounds, 0
        self.x = x.detach().clone(memory_format=torch.contiguous_format)
        batch, size = len(x), x[0].numel()
        width = _width(size)
        rows = history + 1  # a ring, in which the row that comes next is free
        self.s = x.new_zeros(batch, size // width, rows, width)
        self.y = x.new_zeros(batch, size // width, rows, width)
        self.gradient = x.new_zeros(batch, size)
        self.displacement = x.new_zeros(batch, size)
        small = {"dtype": torch.float64, "device": x.device}
        self.sg, self.yg = torch.zeros(batch, rows, **small), torch.zeros(batch, rows, **small)  # S'g, Y'g
        self.sy = torch.zeros(batch, rows, rows, **small)  # s_i'y_j, up to date where j is not older than i
        self.yy = torch.zeros(batch, rows, rows, **small)
        self.gamma = torch.ones(batch, 1, **small)  # s'y / y'y of the newest pair
        self.row = torch.zeros(batch, 1, dtype=torch.long, device=x.device)  # the free one

    @torch.no_grad()
    def step(self, gradient: Tensor) -> None:
        """Move `x` by one step, given the gradient of the B functions there, of its shape."""
        gradient = gradient.flatten(1).clone()
        if self.iterations == 0:
            direction = -gradient * (1 / gradient.abs().sum(1, keepdim=True)).clamp(max=1)
        else:
            self._remember(gradient)
            direction = self._direction(gradient)
        before, self.x = self.x, self.x + direction.view_as(self.x)
        if self.bounds:
            self.x.clamp_(*self.bounds)
        self.displacement = (self.x - before).flatten(1)
        self.gradient = gradient
        self.iterations += 1

    def state(self) -> dict[str, Tensor]:
        """All tensors that the next step depends on, for a checkpoint; it changes them in place, so clone them."""
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        return tensors | {"iterations": torch.tensor(self.iterations)}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore `state` of an instance that had images of the same shape and the same history."""
        self.iterations = int(state["iterations"])
        for name in self.state().keys() - {"iterations"}:
            getattr(self, name).copy_(state[name])

    def _remember(self, gradient: Tensor) -> None:
        """Put the newest pair into the free row, which stays free if the pair's curvature is not positive."""
        rows, batch, row = self._rows(), torch.arange(len(self.x), device=self.x.device), self.row[:, 0]
        s, y = self.displacement, gradient - self.gradient
        self.s[batch, :, row] = s.view(len(s), -1, self.s.shape[3])
        self.y[batch, :, row] = y.view(len(y), -1, self.y.shape[3])
        sg, yg = _products(self.s[:, :, :rows], gradient), _products(self.y[:, :, :rows], gradient)
        sy, yy = sg - self.sg[:, :rows], yg - self.yg[:, :rows]
        sy[batch, row], yy[batch, row] = (s * y).sum(1).double(), y.square().sum(1).double()
        self.sy[batch, :rows, row] = sy
        self.yy[batch, :rows, row] = self.yy[batch, row, :rows] = yy
        self.sg[:, :rows], self.yg[:, :rows] = sg, yg
        curvature = sy.gather(1, self.row)
        fit = curvature > CURVATURE
        self.gamma = torch.where(fit, curvature / yy.gather(1, self.row), self.gamma)
        self.row = torch.where(fit, (self.row + 1) % (self.history + 1), self.row)

    def _direction(self, gradient: Tensor) -> Tensor:
        """Minus the inverse Hessian approximation times the gradient (Nocedal and Wright, algorithm 7.4).

        With the pairs from the oldest to the newest and R the upper triangle of S'Y, the first of the two loops solves
        R a = S'g for a, the second R'c = diag(R) a - gamma (Y'g - Y'Y a) for c = a - b, and
        Hg = gamma (g - Y a) + S c.
        """
        rows = self._rows()
        order = (self.row + torch.arange(rows, device=self.row.device)) % rows
        free = (order == self.row)[..., None]
        sort = torch.arange(len(order), device=order.device)[:, None, None], order[:, :, None], order[:, None, :]
        sy, yy = (products[sort].masked_fill(free | free.mT, 0) for products in (self.sy, self.yy))
        sg, yg = (products.gather(1, order)[..., None].masked_fill(free, 0) for products in (self.sg, self.yg))
        diagonal = sy.diagonal(dim1=1, dim2=2)[..., None]
        r = sy.triu() + torch.diag_embed((diagonal == 0)[..., 0].double())  # a = c = 0 in the free rows
        a = torch.linalg.solve_triangular(r, sg, upper=True)
        rest = yg - yy @ a
        c = torch.linalg.solve_triangular(r.mT, diagonal * a - self.gamma[..., None] * rest, upper=False)
        a, c = (z.new_zeros(order.shape).scatter(1, order, z[..., 0]).to(gradient.dtype) for z in (a, c))
        q = gradient - _combination(a, self.y[:, :, :rows])
        return -(self.gamma.to(q.dtype) * q + _combination(c, self.s[:, :, :rows]))

    def _rows(self) -> int:
        """The rows of the ring that can be in use."""
        return min(self.iterations, self.history + 1)


def _products(matrix: Tensor, vector: Tensor) -> Tensor:
    """The product of each row of (B, blocks, rows, width) with its problem's vector (B, blocks * width), (B, rows)."""
    blocks = vector.view(-1, 1, matrix.shape[3])
    return torch.bmm(blocks, matrix.flatten(0, 1).mT).view(*matrix.shape[:3]).sum(1, dtype=torch.float64)


def _combination(coefficients: Tensor, matrix: Tensor) -> Tensor:
    """The rows of each problem, combined by `coefficients` (B, rows): (B, blocks * width)."""
    repeated = coefficients[:, None, None].expand(-1, matrix.shape[1], -1, -1).flatten(0, 1)
    return torch.bmm(repeated, matrix.flatten(0, 1)).view(len(matrix), -1)


def _width(size: int) -> int:
    """The greatest divisor of `size` up to `BLOCK`; `size` itself where that divisor is too small to be useful."""
    width = next(width for width in range(min(size, BLOCK), 0, -1) if size % width == 0)
    return width if width > BLOCK // 32 else size
