"""Writes modules.json: what torchvision's modules put out for the small network
of checkpoint/testdata/golden.py.

    /usr/bin/python3 engine/testdata/modules.py

The input is not stored: value i of the batch [2][65][47][3] is
((i * 2654435761) >> 13 & 255) / 64 - 2, exact in float32. Of each module's output
[2][C][H][W] there are the shape, the mean, and values number k * 7919 for k < 24,
counted around the end.
"""
import json
import os

import numpy as np
import torch
import torchvision
from torch import nn
from torchvision.models.mobilenetv2 import InvertedResidual, MobileNetV2
from torchvision.ops.misc import Conv2dNormActivation

here = os.path.dirname(os.path.abspath(__file__))
TABLE = [[1, 32, 1, 1], [6, 32, 2, 2], [4, 64, 2, 2], [2, 32, 1, 2]]
model = MobileNetV2(num_classes=5, width_mult=0.25, inverted_residual_setting=TABLE)
model.features[-1] = Conv2dNormActivation(8, 64, kernel_size=1, activation_layer=nn.ReLU6)
model.classifier[1] = nn.Linear(64, 5)
model.load_state_dict(torch.load(os.path.join(here, "..", "..", "checkpoint", "testdata", "zip.pth")))
model.eval()

i = np.arange(2 * 65 * 47 * 3, dtype=np.uint64)
x = ((i * 2654435761) >> 13 & 255).astype(np.float32) / 64 - 2
x = torch.from_numpy(x.reshape(2, 65, 47, 3)).permute(0, 3, 1, 2).contiguous()

modules = []


def record(name):
    def hook(module, inputs, output):
        values = output.double().flatten()
        picked = [values[k * 7919 % len(values)].item() for k in range(24)]
        modules.append({"name": name, "shape": list(output.shape), "mean": values.mean().item(), "values": picked})
    return hook


for name, m in model.named_modules():
    if isinstance(m, (Conv2dNormActivation, InvertedResidual)):
        m.register_forward_hook(record(name))
    if isinstance(m, InvertedResidual):
        m.conv.register_forward_hook(record(name + ".conv"))
with torch.no_grad():
    model(x)
with open(os.path.join(here, "modules.json"), "w") as f:
    json.dump({"torch": torch.__version__, "torchvision": torchvision.__version__, "modules": modules}, f, indent=0)
    f.write("\n")
