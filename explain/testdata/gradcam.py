"""Writes gradcam.json: what pytorch-grad-cam (PyPI grad-cam) makes of photos.

    python3 explain/testdata/gradcam.py ../shared

It wants torch, torchvision, grad-cam, ttach, opencv-python-headless and matplotlib; made with those that
gradcam.json names. Of each map, [224][224] from 0 to 1, there are the values of rows and columns 8, 24, 40, ...,
[14][14]. The networks are the small one of checkpoint/testdata/golden.py, on testdata/shapes.png, and torchvision's with
the shared ImageNet weights, on shared photos. Grad-CAM at the last convolution is CAM, up to a factor, which the
scaling takes out.
"""
import csv
import json
import pathlib
import sys
from importlib.metadata import version

import torch
import torchvision
from PIL import Image
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn
from torchvision.models.mobilenetv2 import MobileNetV2
from torchvision.ops.misc import Conv2dNormActivation
from torchvision.transforms import CenterCrop, Compose, Normalize, Resize, ToTensor

here = pathlib.Path(__file__).resolve().parent
root = here.parent.parent
shared = pathlib.Path(sys.argv[1])
prepare = Compose([Resize(256), CenterCrop(224), ToTensor(), Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])


def small():
    table = [[1, 32, 1, 1], [6, 32, 2, 2], [4, 64, 2, 2], [2, 32, 1, 2]]
    model = MobileNetV2(num_classes=5, width_mult=0.25, inverted_residual_setting=table)
    model.features[-1] = Conv2dNormActivation(8, 64, kernel_size=1, activation_layer=nn.ReLU6)
    model.classifier[1] = nn.Linear(64, 5)
    model.load_state_dict(torch.load(root / "checkpoint" / "testdata" / "zip.pth"))
    return model.eval()


def imagenet():
    model = torchvision.models.mobilenet_v2()
    model.load_state_dict(torch.load(shared / "weights" / "mobilenet_v2_imagenet.pth"))
    return model.eval()


maps = []


def explain(model, weights, photo, path, layers, classes):
    x = prepare(Image.open(path).convert("RGB"))[None]
    for k in layers:
        with GradCAM(model=model, target_layers=[model.features[k]]) as cam:
            for c in classes:
                heat = cam(input_tensor=x, targets=[ClassifierOutputTarget(c)])[0]
                values = [round(float(v), 5) for v in heat[8::16, 8::16].flatten()]
                maps.append({"weights": weights, "photo": photo, "layer": f"features.{k}", "class": c, "values": values})


explain(small(), "", "testdata/shapes.png", root / "testdata" / "shapes.png", [7, 5, 2], [0, 3])
rows = list(csv.reader(open(shared / "images" / "nips17" / "images.csv")))[1:]
network = imagenet()
for row in rows[3:6]:
    explain(network, "weights/mobilenet_v2_imagenet.pth", "images/nips17/" + row[0], shared / "images" / "nips17" / row[0],
            [18, 14, 7], [int(row[1]), 207])
versions = {p: version(p) for p in ["torch", "torchvision", "grad-cam", "opencv-python-headless", "numpy"]}
with open(here / "gradcam.json", "w") as f:
    json.dump({"versions": versions, "maps": maps}, f, separators=(",", ":"))
    f.write("\n")
