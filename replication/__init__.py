"""Perceptual Losses, replicated: the public names, for example `from replication import gram_matrix`.

Each name is imported from its module when it is first asked for.
"""

from importlib import import_module
from typing import Any

MODULES = {
    "config": ("PAPER", "QUICK", "StyleConfig", "SuperResolutionConfig", "TrainingConfig"),
    "loss_network": ("LAYERS", "LossNetwork"),
    "losses": (
        "Objective",
        "Terms",
        "feature_reconstruction_loss",
        "gram_matrix",
        "lattice",
        "style_reconstruction_loss",
        "total_variation",
    ),
    "networks": ("SRCNN", "ImageTransformationNetwork", "SuperResolutionNetwork", "for_inference", "receptive_field"),
    "lbfgs": ("LBFGS",),
    "baseline": ("Adam", "Result", "gatys", "iterations_to", "optimise_image", "white_noise"),
    "style_transfer": (
        "painting_of",
        "style_names",
        "style_network",
        "style_trainer",
        "stylise",
        "stylise_files",
        "train_style",
    ),
    "super_resolution": (
        "SRCNNUpscaler",
        "bicubic",
        "cropped",
        "low_resolution",
        "luminance",
        "pretrained_network",
        "super_resolution_trainer",
        "train_super_resolution",
        "upscale",
        "upscale_files",
    ),
    "export": ("export_network",),
    "training": ("Trainer", "train_network"),
    "optimizers": ("Muon",),
    "histograms": ("histogram_matched",),
    "metrics": (
        "checkerboard_energy",
        "colour_difference",
        "compare",
        "correlation_length",
        "gradient_correlation",
        "lattice_peak",
        "luminance_scores",
        "psnr",
        "repetition",
        "sharpness",
        "spatial_correlation",
        "ssim",
        "without_grid",
    ),
    "evaluation": (
        "heading",
        "methods",
        "network_digests",
        "objective_values",
        "pictures_of",
        "score_rows",
        "style_scores",
    ),
    "io.checkpoints": ("load_network", "save_network", "training_log"),
    "io.files": ("ReplicationError", "kept_folder"),
    "io.ranges": ("RangeError",),
    "io.images": ("jpeg", "load_image", "save_image"),
    "io.photographs": ("ImageDataset", "load_photographs", "training_photographs"),
    "io.pixels": ("from_pixels", "square"),
    "io.pictures": ("content_picture", "stand_ins", "style_picture", "subject_mask", "validation_pictures"),
    "report.claims": ("mean_and_deviation",),
    "report.curves": ("objective_curves",),
    "report.figures": ("Panel", "Plot", "conclude", "panels", "save_figure"),
    "report.enlargements": ("beside_papers", "examples", "measures"),
    "report.profiles": ("start",),
    "report.recipes": ("ENLARGING",),
    "report.differences": ("network_differences",),
    "report.glance": ("distances", "glance"),
    "report.summary": ("judgements", "overview", "scales", "sources", "styled", "summary"),
    "report.tables": ("coloured", "save_table", "table"),
    "report.widgets": ("BlindTest", "TrainingView", "Wipe"),
    "report.works": ("WORKS", "repeated", "work_rows"),
    "report.timing": ("convolution_cost", "interleaved", "peak_memory"),
}
_HOMES = {name: module for module, names in MODULES.items() for name in names}
__all__ = [*_HOMES]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    """Look up a public name in its module, which is imported if necessary."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """The public names, sorted."""
    return sorted(_HOMES)
