"""The settings of a training, each defined once: its default, its unit and its source.

A default is the paper's value, or else the published code's. The settings are the options of the command line, they are
stored in a network's record, and a stopped run resumes only with the same settings. `ranges` defines which values are
allowed.
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
    """Settings that all trainings share; the paper's values are in section 4.

    Raises:
        RangeError: a value is outside of its range, or two do not go together.
    """

    steps: int
    """iterations"""
    batch_size: int = 4
    """images in a step"""
    flip: bool = False
    """mirror a random half of the photographs"""
    initial: str | None = None
    """a trained network to start from: a file; for a style also the name of one in data/checkpoints/style, or base"""
    optimizer: Optimizer = "adam"
    """muon: Muon for the kernels of convolutions, Adam for all other parameters"""
    learning_rate: float = 1e-3
    """learning rate of Adam"""
    kernel_rate: float = 5e-3
    """learning rate of Muon"""
    lr_decay: float = 0.0
    """share of the steps, at the end, over which the learning rates fall linearly to zero"""
    lattice_weight: float = 0.0
    """weight of a penalty on patterns that repeat every 2, 4 or 8 pixels; not in the paper"""
    precision: Precision = "float32"
    """precision of the convolutions; fast is bfloat16 where the processor computes in it, else float32"""
    compiled: Mode | None = None
    """compile the network with torch.compile, which needs a C++ compiler; graphs: with CUDA graphs"""
    seed: int = 0
    """seed of the initial weights and the batches"""

    def __post_init__(self) -> None:
        """Check, and put values into their canonical form."""
        check(optional=("compiled",), **vars(self))

    @property
    def lasting(self) -> dict[str, Any]:
        """The settings that must be unchanged for a stopped run to resume.

        `initial` is not among them: the network's digest is compared instead. Nor is `steps` while the learning rates
        are constant, so that such a run can be extended.
        """
        free = ("initial",) if self.lr_decay else ("initial", "steps")
        return {name: value for name, value in asdict(self).items() if name not in free}


@dataclass(frozen=True, kw_only=True)
class StyleConfig(TrainingConfig):
    """Settings to train a style network on one painting (section 4.1); loss weights as in the published code."""

    steps: int = 40_000
    """iterations"""
    size: int = 256
    """pixels a side of the square training images"""
    fit: Fit = "stretch"
    """how a photograph becomes a square: stretch, as in the published code, or crop, at random"""
    style_size: int = 256
    """pixels a side to which the painting's largest centred square is resized, which sets the size of the strokes; the
    published code keeps the whole painting and resizes its longer side to 256"""
    content_layer: str = "relu3_3"
    """layer of the feature reconstruction loss; relu2_2 in arXiv v1"""
    style_layers: Sequence[str] = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
    """layers of the style reconstruction loss"""
    content_weight: float = 1.0
    """weight of the feature reconstruction loss"""
    style_weight: float = 5.0
    """weight of the style reconstruction loss at each layer"""
    tv_weight: float = 1e-6
    """weight of the total variation, which the paper chooses for each style, from 1e-6 to 1e-4; the term is the mean
    over the batch, in the published code the sum"""
    style_form: StyleForm = "mean"
    """mean: mean squared difference of two Gram matrices, as in the published code; sum: equation 4"""
    warmup: int = 0
    """number of first steps over which the style weight rises from a thousandth of its value; none in the paper"""
    norm: Norm = "batch"
    """normalisation in the network; instance is the later default of the published code"""
    padding: Padding = "reflection"
    """reflection: of the image; zero: inside the residual blocks, as in arXiv v1"""
    residual: bool = True
    """shortcut connections in the residual blocks (supplement)"""

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
    """Settings to train a super-resolution network (section 4.2) or SRCNN."""

    steps: int = 200_000
    """iterations"""
    factor: int = 4
    """how many times as large: 4 or 8"""
    loss: Loss = "feature"
    """feature: feature reconstruction at relu2_2; pixel: pixel loss; srcnn: SRCNN, pixel loss of the luminance"""
    patch: int = 288
    """pixels a side of the high-resolution patches"""
    count: int = 10_000
    """number of photographs, the first by name; of these, any that are too small are left out"""
    blur: float | None = None
    """sigma, in pixels, of the Gaussian blur before a patch is downsampled; by default 1, for srcnn 0"""
    upsampling: Upsampling = "transposed"
    """transposed: transposed convolutions; resize: repeated pixels and a convolution, not in the paper"""
    kernels: Sequence[int] = (9, 5, 5)
    """sides of SRCNN's convolutions: 9 5 5 or 9 1 5"""

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
