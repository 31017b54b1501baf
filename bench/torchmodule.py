"""Writes torchvision's mobilenet_v2 with its loss as TorchScript, for libtorch/Step.java."""
import argparse

import torch
import torchvision


class Loss(torch.nn.Module):
    def __init__(self, layout):
        super().__init__()
        self.net = torchvision.models.mobilenet_v2(weights=None).to(memory_format=layout)
        self.channels_last = layout == torch.channels_last

    def forward(self, x, labels):
        if self.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        return torch.nn.functional.cross_entropy(self.net(x), labels)


p = argparse.ArgumentParser(description=__doc__)
p.add_argument("--channels-last", action="store_true", help="the memory layout oneDNN likes better")
p.add_argument("file")
a = p.parse_args()
torch.manual_seed(0)
torch.jit.script(Loss(torch.channels_last if a.channels_last else torch.contiguous_format).train()).save(a.file)
