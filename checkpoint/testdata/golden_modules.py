"""Writes modules.zip: whole modules and TorchScript, traced and scripted, of networks that
differ from torchvision's in what no weight shows, and in modules.json what torch computes
with them. Those that are refused have no logits.

    /usr/bin/python3 checkpoint/testdata/golden_modules.py

The input is that of golden.py. Weights are multiples of 1/16, which compress well; the debugging
information of TorchScript is left out.
"""
import copy
import io
import json
import os
import zipfile

import numpy as np
import torch
import torchvision
from torch import nn
from torchvision.models.mobilenetv2 import MobileNetV2
from torchvision.ops.misc import Conv2dNormActivation

here = os.path.dirname(os.path.abspath(__file__))
torch.manual_seed(7)


def network(stride=1):
    table = [[2, 32, 1, stride]]
    m = MobileNetV2(num_classes=3, width_mult=0.25, inverted_residual_setting=table)
    m.features[-1] = Conv2dNormActivation(8, 16, kernel_size=1, activation_layer=nn.ReLU6)
    m.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(16, 3))
    return rounded(m)


def rounded(m):
    with torch.no_grad():
        for p in m.parameters():
            p.copy_((torch.randn(p.shape) * 4).round() / 16 + (1 if p.dim() == 1 else 0))
    return m.eval()


def with_eps():
    m = network()
    for mod in m.modules():
        if isinstance(mod, nn.BatchNorm2d):
            mod.eps = 1e-2
    return m


def with_silu():
    m = network()
    m.features[1].conv[0][2] = nn.SiLU()
    return m


def with_head(*layers):
    m = network()
    m.classifier = rounded(nn.Sequential(*layers))
    return m


def max_pool():
    m = network()
    return nn.Sequential(m.features, nn.AdaptiveMaxPool2d(1), nn.Flatten(), m.classifier)


class Temperature(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = network()
        self.temperature = nn.Parameter(torch.ones(1) * 2)

    def forward(self, x):
        return self.net(x) / self.temperature


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = network().features
        self.fc1, self.fc2 = nn.Linear(16, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.fc2(torch.tanh(self.fc1(self.features(x).mean([2, 3]))))


def without_residual():
    m = network()
    m.features[1].use_res_connect = False
    return m


networks = {
    "eps": with_eps(),
    "stride": network(2),
    "sigmoid": with_head(nn.Linear(16, 3), nn.Sigmoid()),
    "relu": with_head(nn.Linear(16, 4), nn.ReLU(), nn.Linear(4, 3)),
    "silu": with_silu(),
    "tanh": with_head(nn.Linear(16, 4), nn.Tanh(), nn.Linear(4, 3)),
    "linear": with_head(nn.Linear(16, 4), nn.Dropout(0.1), nn.Linear(4, 3)),
    "maxpool": max_pool().eval(),
    "residual": without_residual(),
    "functional": rounded(Functional()),
    "temperature": Temperature().eval(),
}
i = np.arange(2 * 64 * 64 * 3, dtype=np.uint64)
x = ((i * 2654435761) >> 13 & 255).astype(np.float32) / 64 - 2
x = torch.from_numpy(x.reshape(2, 64, 64, 3)).permute(0, 3, 1, 2).contiguous()
logits = {}
with zipfile.ZipFile(os.path.join(here, "modules.zip"), "w", zipfile.ZIP_DEFLATED, compresslevel=9) as z:
    def write(name, save):
        data, small = io.BytesIO(), io.BytesIO()
        save(data)
        with zipfile.ZipFile(data) as full, zipfile.ZipFile(small, "w") as rest:
            for entry in full.namelist():
                if not entry.endswith(".debug_pkl"):  # half of a file
                    rest.writestr(zipfile.ZipInfo(entry), full.read(entry))
        z.writestr(zipfile.ZipInfo(name), small.getvalue(), zipfile.ZIP_DEFLATED)

    for name, m in networks.items():
        write(name + ".whole.pth", lambda f: torch.save(m, f))
        write(name + ".traced.pt", lambda f: torch.jit.save(torch.jit.trace(m, x[:1]), f))
        write(name + ".scripted.pt", lambda f: torch.jit.save(torch.jit.script(copy.deepcopy(m)), f))
        if name in ("eps", "stride", "sigmoid", "relu", "residual"):
            with torch.no_grad():
                y = m(x)
            logits[name] = torch.logit(y.double()).float().tolist() if name == "sigmoid" else y.tolist()
    # A state dict beside the module that it is of.
    for name in "eps", "silu":
        m = networks[name]
        write(name + ".both.pth", lambda f: torch.save({"state_dict": m.state_dict(), "model": m}, f))
with open(os.path.join(here, "modules.json"), "w") as f:
    json.dump({"torch": torch.__version__, "torchvision": torchvision.__version__, "logits": logits}, f)
