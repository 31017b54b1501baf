"""Exports the small network of checkpoint/testdata/golden.py with torch, in each
mode, for the importer's tests.

    /usr/bin/python3 onnx/testdata/import_torch.py
"""
import os

import torch
from torch import nn
from torchvision.models.mobilenetv2 import MobileNetV2
from torchvision.ops.misc import Conv2dNormActivation

here = os.path.dirname(os.path.abspath(__file__))
TABLE = [[1, 32, 1, 1], [6, 32, 2, 2], [4, 64, 2, 2], [2, 32, 1, 2]]
model = MobileNetV2(num_classes=5, width_mult=0.25, inverted_residual_setting=TABLE)
model.features[-1] = Conv2dNormActivation(8, 64, kernel_size=1, activation_layer=nn.ReLU6)
model.classifier[1] = nn.Linear(64, 5)
model.load_state_dict(torch.load(os.path.join(here, "../../checkpoint/testdata/zip.pth")))
x = torch.zeros(1, 3, 64, 64)


def export(name, **options):
    torch.onnx.export(model, x, os.path.join(here, "import", name), input_names=["images"],
                      output_names=["output"], **options)


model.eval()
export("torch_eval9.onnx", opset_version=9)
export("torch_eval17_dynamic.onnx", opset_version=17,
       dynamic_axes={"images": {0: "batch", 2: "height", 3: "width"}, "output": {0: "batch"}})
export("torch_preserve13.onnx", opset_version=13, do_constant_folding=False,
       training=torch.onnx.TrainingMode.PRESERVE)
for m in model.modules():
    if isinstance(m, nn.BatchNorm2d):
        m.momentum = 0.0  # tracing runs the network, and would move the statistics
export("torch_train13.onnx", opset_version=13, do_constant_folding=False,
       training=torch.onnx.TrainingMode.TRAINING)
export("torch_train17.onnx", opset_version=17, do_constant_folding=False,
       training=torch.onnx.TrainingMode.TRAINING)
