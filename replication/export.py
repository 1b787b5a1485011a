"""A trained network as ONNX, for programs without torch."""

import logging
from pathlib import Path

import numpy as np
import onnx
import torch
from torch.export import Dim

from replication.io.checkpoints import NETWORKS, load_network, network_file
from replication.io.files import ReplicationError, check_writable, sha256, write_atomically
from replication.networks import ImageTransformationNetwork, SuperResolutionNetwork, for_inference

OPSET = 18  # of ONNX, which runtimes of 2023 and later know
SIDE = 64  # pixels, of the image that is traced; the file takes others
MOST = 1 << 14  # pixels a side


def export_network(name: Path | str, out: Path | str) -> None:
    """Write a network as ONNX: `image` (1, 3, H, W), RGB in [0, 1], to `result` in [0, 1], both float32.

    A style network accepts any height and width from 44 pixels on and keeps them. A super-resolution network accepts
    any from 2 pixels on and multiplies them by 4 or 8. The file contains the weights, kernels in float16 where that is
    exact, and metadata that say where they come from.

    Args:
        name: a .safetensors file, or the name of a network in data/checkpoints, for example "x4_feature".
        out: the file, .onnx.

    Raises:
        ReplicationError: there is no such network, it is damaged or SRCNN, `out` has another suffix or cannot be
            written, or onnxscript is not installed.
    """
    out, path = Path(out), network_file(name, NETWORKS)
    if out.suffix != ".onnx":
        raise ReplicationError(f"{out} must end in .onnx")
    check_writable(out)
    network, record = load_network(path, (ImageTransformationNetwork, SuperResolutionNetwork))
    try:
        import onnxscript  # noqa: F401, which torch's exporter imports when it is too late for one clear error
    except ImportError:
        raise ReplicationError("export needs onnxscript; pip install onnxscript") from None
    least = getattr(network, "smallest", 2)
    sides = {2: Dim("height", min=least, max=MOST), 3: Dim("width", min=least, max=MOST)}
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        program = torch.onnx.export(
            for_inference(network).to(memory_format=torch.contiguous_format),
            (torch.zeros(1, 3, SIDE, SIDE + 4),),
            input_names=["image"],
            output_names=["result"],
            dynamic_shapes={"image": sides},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    finally:
        logger.setLevel(level)
    model = program.model_proto
    about = {
        "network": path.stem,
        "sha256": sha256(path.read_bytes()),
        "commit": record.get("provenance", {}).get("commit", ""),
    }
    onnx.helper.set_model_props(model, about)
    _without_traces(model.graph)
    _with_halves(model.graph)
    write_atomically(out, model.SerializeToString())


def _without_traces(graph: onnx.GraphProto) -> None:
    """Remove the exporter's notes on each operation: lines of code, with paths of this machine."""
    for each in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del each.metadata_props[:]


def _with_halves(graph: onnx.GraphProto) -> None:
    """Store kernels that float16 represents exactly as float16, as the networks' own files do, each with a cast."""
    casts = []
    for stored in graph.initializer:
        kernel = onnx.numpy_helper.to_array(stored)
        half = kernel.astype(np.float16)
        if kernel.dtype == np.float32 and kernel.ndim == 4 and np.array_equal(half, kernel):
            name = f"{stored.name}.half"
            casts.append(onnx.helper.make_node("Cast", [name], [stored.name], to=onnx.TensorProto.FLOAT))
            stored.CopyFrom(onnx.numpy_helper.from_array(half, name))
    for i, cast in enumerate(casts):
        graph.node.insert(i, cast)
