"""Networks as ONNX, by onnxruntime against torch."""

import os

import onnx
import pytest
import torch

from replication.export import export_network
from replication.io.files import ROOT, ReplicationError, sha256
from replication.io.pictures import content_picture
from replication.io.pixels import square
from replication.style_transfer import PRETRAINED, style_network, stylise
from replication.super_resolution import pretrained_network, upscale

onnxruntime = pytest.importorskip("onnxruntime")


def difference(path, sizes, compute):
    """The largest one between the file's result and `compute`'s, over images of these sizes."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    photograph, found = square(content_picture("chelsea").image, 160), []
    for height, width in sizes:
        image = photograph[..., :height, :width].contiguous()
        (result,) = session.run(["result"], {"image": image.numpy()})
        found.append((torch.from_numpy(result) - compute(image)).abs().max().item())
    return max(found)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "norms", "bytes_a_weight"), [("great_wave", 0, 4), ("great_wave_instance", 15, 2)])
def test_a_style_network_gives_what_stylise_gives_at_any_size(tmp_path, name, norms, bytes_a_weight):
    """Batch norm is folded, into kernels that float16 does not hold then; instance norm is one operation."""
    export_network(name, tmp_path / "style.onnx")
    network, record = style_network(name)
    assert difference(tmp_path / "style.onnx", [(44, 45), (97, 131), (160, 64)], lambda x: stylise(network, x)) < 1e-4
    model, content = onnx.load(tmp_path / "style.onnx"), (tmp_path / "style.onnx").read_bytes()
    about = {each.key: each.value for each in model.metadata_props}
    assert (about["network"], about["commit"]) == (name, record["provenance"]["commit"])
    assert about["sha256"] == sha256((PRETRAINED / f"{name}.safetensors").read_bytes())
    assert os.fsencode(ROOT) not in content
    operations = [node.op_type for node in model.graph.node]
    assert (operations.count("InstanceNormalization"), operations.count("BatchNormalization")) == (norms, 0)
    weights = sum(parameter.numel() for parameter in network.parameters())
    assert len(content) == pytest.approx(bytes_a_weight * weights, rel=0.05)


@pytest.mark.slow
def test_a_network_of_super_resolution_gives_what_upscale_gives(tmp_path):
    export_network("x4_feature", tmp_path / "large.onnx")
    network, _ = pretrained_network(4, "feature")
    assert difference(tmp_path / "large.onnx", [(2, 3), (33, 21), (40, 64)], lambda x: upscale(network, x)) < 1e-4


def test_what_cannot_be_exported_is_refused(tmp_path):
    with pytest.raises(ReplicationError, match=r"there is no network 'waves': give a .safetensors file or one of comp"):
        export_network("waves", tmp_path / "a.onnx")
    with pytest.raises(ReplicationError, match=r"a.pb must end in .onnx"):
        export_network("great_wave", tmp_path / "a.pb")
    with pytest.raises(ReplicationError, match="holds another kind of network, SRCNN"):
        export_network("srcnn_x4", tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())
