"""Trained networks at work, folded for speed."""

import copy
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Network = TypeVar("Network", bound=nn.Module)


def for_inference(network: Network, dtype: torch.dtype = torch.float32) -> Network:
    """A copy that gives the same images faster, in evaluation mode, the convolutions in `dtype`.

    Batch norm is folded into the convolutions before it.
    """
    network = copy.deepcopy(network).eval()
    for module in [*network.modules()]:
        if isinstance(module, nn.Sequential):
            for i in range(len(module) - 1):
                if isinstance(module[i + 1], nn.BatchNorm2d):
                    module[i] = fuse_conv_bn_eval(module[i], module[i + 1], isinstance(module[i], nn.ConvTranspose2d))
                    module[i + 1] = nn.Identity()
    return network.requires_grad_(False).to(dtype, memory_format=torch.channels_last)
