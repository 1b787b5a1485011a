"""Every setting of a training, once: its default, which is the paper's, its unit and its source.

They are the options of the command line, what a network's record holds, and what has to be the same for a stopped run
to go on. `ranges` says which values they take.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from replication.io.ranges import (
    Fit,
    Loss,
    Mode,
    Norm,
    Optimizer,
    Padding,
    Precision,
    RangeError,
    StyleForm,
    Upsampling,
    check,
)

TILE_STYLISED, TILE_ENLARGED = 1024, 256  # pixels a side; larger images are cut into tiles
KERNELS = ((9, 5, 5), (9, 1, 5))  # of SRCNN


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """What every training has; the paper's values are those of section 4.

    Raises:
        RangeError: a value is outside of its range, or two do not go together.
    """

    steps: int
    """iterations"""
    batch_size: int = 4
    """images in a step"""
    flip: bool = False
    """mirror half of the photographs"""
    initial: str | None = None
    """a trained network to start from: a file, or for a style a name out of data/checkpoints/style, or base"""
    optimizer: Optimizer = "adam"
    """muon takes the kernels of convolutions and leaves the rest to Adam"""
    learning_rate: float = 1e-3
    """of Adam"""
    kernel_rate: float = 5e-3
    """of Muon"""
    lr_decay: float = 0.0
    """share of the steps, at the end, over which the learning rates fall linearly to zero"""
    lattice_weight: float = 0.0
    """of a penalty on patterns of 2, 4 or 8 pixels, which the paper has not"""
    precision: Precision = "float32"
    """of the convolutions; fast is bfloat16 where the processor computes in it, else float32"""
    compiled: Mode | None = None
    """by torch.compile, which takes a C++ compiler; graphs: with CUDA graphs"""
    seed: int = 0
    """of the first weights and the batches"""

    def __post_init__(self) -> None:
        """Check, and put values into their canonical form."""
        check(optional=("compiled",), **vars(self))

    @property
    def lasting(self) -> dict[str, Any]:
        """What a stopped run goes on with alone; the initial network is told by its digest, not its name.

        While the learning rates do not fall, a run may have more steps than before.
        """
        free = ("initial",) if self.lr_decay else ("initial", "steps")
        return {name: value for name, value in asdict(self).items() if name not in free}


@dataclass(frozen=True, kw_only=True)
class StyleConfig(TrainingConfig):
    """Training of a style network on one painting (section 4.1); the weights are those of the published code."""

    steps: int = 40_000
    """iterations"""
    size: int = 256
    """pixels a side of the photographs in a step"""
    fit: Fit = "stretch"
    """how a photograph becomes a square: stretch, as in the published code, or crop, at random"""
    style_size: int = 256
    """pixels a side of the painting's largest square, which sets the size of its strokes; the published code keeps the
    whole painting, and makes its longer side 256"""
    content_layer: str = "relu3_3"
    """of the feature reconstruction loss; relu2_2 in arXiv v1"""
    style_layers: Sequence[str] = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
    """of the style reconstruction loss"""
    content_weight: float = 1.0
    """of the feature reconstruction loss"""
    style_weight: float = 5.0
    """of the style reconstruction loss at each layer"""
    tv_weight: float = 1e-6
    """of the total variation, in the paper 1e-6 to 1e-4, chosen by style; of a batch the mean, where the published code
    adds its images up"""
    style_form: StyleForm = "mean"
    """mean of the squared differences of two Gram matrices, as in the published code, or sum, equation 4"""
    warmup: int = 0
    """steps at the start over which the style weight rises from a thousandth; the paper has none"""
    norm: Norm = "batch"
    """of the network; instance is the later default of the published code"""
    padding: Padding = "reflection"
    """reflection of the image, or zero in the blocks, as in arXiv v1"""
    residual: bool = True
    """shortcuts in the blocks (supplement)"""

    def __post_init__(self) -> None:
        """Check, and put values into their canonical form."""
        super().__post_init__()
        object.__setattr__(self, "style_layers", tuple(self.style_layers))
        if self.norm == "batch" and self.batch_size == 1:
            raise RangeError("batch_size must be at least 2 with batch norm, which is that of the batch; got 1")

    @property
    def network(self) -> dict[str, Any]:
        """The arguments of `ImageTransformationNetwork`."""
        return {name: getattr(self, name) for name in ("norm", "padding", "residual")}

    @property
    def objective(self) -> dict[str, Any]:
        """The arguments of `Objective`, and of `gatys`."""
        names = ("content_layer", "style_layers", "content_weight", "style_weight", "tv_weight", "style_form")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True)
class SuperResolutionConfig(TrainingConfig):
    """Training of a network that enlarges (section 4.2), or of SRCNN."""

    steps: int = 200_000
    """iterations"""
    factor: int = 4
    """how many times as large: 4 or 8"""
    loss: Loss = "feature"
    """feature: reconstruction at relu2_2; srcnn: SRCNN with the pixel loss of its luminance"""
    patch: int = 288
    """pixels a side of what is learnt to restore"""
    count: int = 10_000
    """photographs, the first by name, of which those that are too small are left out"""
    blur: float | None = None
    """sigma, in pixels, of the Gaussian before a patch is made smaller; by default 1, for srcnn 0"""
    upsampling: Upsampling = "transposed"
    """of the network: resize, by resizing and a convolution, is not the paper's"""
    kernels: Sequence[int] = (9, 5, 5)
    """of srcnn, or 9 1 5"""

    def __post_init__(self) -> None:
        """Check, and put values into their canonical form."""
        object.__setattr__(self, "kernels", tuple(self.kernels))
        if self.blur is None:
            object.__setattr__(self, "blur", 0.0 if self.loss == "srcnn" else 1.0)
        super().__post_init__()
        if self.kernels not in (KERNELS if self.loss == "srcnn" else KERNELS[:1]):
            wanted = "9 5 5 or 9 1 5" if self.loss == "srcnn" else "left out, since they are srcnn's"
            raise RangeError(f"kernels must be {wanted}; got {' '.join(map(str, self.kernels))}")


PAPER = StyleConfig()  # section 4.1
PAPER_SUPER_RESOLUTION = SuperResolutionConfig()  # section 4.2
QUICK = StyleConfig(  # ours: a new painting on two CPU cores, in minutes or hours
    steps=2500,
    batch_size=1,
    fit="crop",
    flip=True,
    norm="instance",
    initial="base",
    optimizer="muon",
    lr_decay=1.0,
    lattice_weight=600.0,
    precision="fast",
)
RECIPES = {"paper": PAPER, "quick": QUICK}
