"""Writes golden checkpoints with the names of other frameworks, after their sources, and
what torch computes with their networks.

    /usr/bin/python3 checkpoint/testdata/golden_names.py

openmmlab.pth has the weights of small.pth under mmpretrain 1.2's names. paddle.pdparams is
what paddle.save writes for PaddleClas' MobileNetV2, whose first block expands, too: a
pickle of numpy arrays, with matrices the other way round. Paddle has not written it: its
wheel is too large for this. paddle2.pdparams is the same in the oldest protocol of the
pickle, paddle5.pdparams in the newest, with float16.

The input is that of golden.py.
"""
import collections
import json
import os
import pickle

import numpy as np
import torch
from torch import nn

here = os.path.dirname(os.path.abspath(__file__))


def path(name):
    return os.path.join(here, name)


small = torch.load(path("small.pth"))
names = {"features.0.0": "conv1.conv", "features.0.1": "conv1.bn", "features.3.0": "conv2.conv", "features.3.1": "conv2.bn",
         "features.1.conv.0.0": "layer1.0.conv.0.conv", "features.1.conv.0.1": "layer1.0.conv.0.bn",
         "features.1.conv.1": "layer1.0.conv.1.conv", "features.1.conv.2": "layer1.0.conv.1.bn",
         "features.2.conv.0.0": "layer2.0.conv.0.conv", "features.2.conv.0.1": "layer2.0.conv.0.bn",
         "features.2.conv.1.0": "layer2.0.conv.1.conv", "features.2.conv.1.1": "layer2.0.conv.1.bn",
         "features.2.conv.2": "layer2.0.conv.2.conv", "features.2.conv.3": "layer2.0.conv.2.bn"}
state = {}
for key, value in small.items():
    module, _, kind = key.rpartition(".")
    state["head.fc." + kind if module == "classifier.1" else "backbone." + names[module] + "." + kind] = value
torch.save({"meta": {"epoch": 1}, "state_dict": state}, path("openmmlab.pth"))

torch.manual_seed(5)


class ConvBN(nn.Module):
    def __init__(self, i, o, k, stride=1, groups=1):
        super().__init__()
        self._conv = nn.Conv2d(i, o, k, stride, k // 2, groups=groups, bias=False)
        self._batch_norm = nn.BatchNorm2d(o)

    def forward(self, x, act=True):
        x = self._batch_norm(self._conv(x))
        return nn.functional.relu6(x) if act else x


class Unit(nn.Module):
    def __init__(self, i, o, t, stride):
        super().__init__()
        self._expand_conv = ConvBN(i, i * t, 1)
        self._bottleneck_conv = ConvBN(i * t, i * t, 3, stride, i * t)
        self._linear_conv = ConvBN(i * t, o, 1)

    def forward(self, x, shortcut):
        y = self._linear_conv(self._bottleneck_conv(self._expand_conv(x)), False)
        return x + y if shortcut else y


class Blocks(nn.Module):
    def __init__(self, i, t, c, n, s, name):
        super().__init__()
        self._first_block = Unit(i, c, t, s)
        self.more = []
        for k in range(1, n):
            self.add_module("%s_%d" % (name, k + 1), Unit(c, c, t, 1))
            self.more.append(getattr(self, "%s_%d" % (name, k + 1)))

    def forward(self, x):
        x = self._first_block(x, False)
        for b in self.more:
            x = b(x, True)
        return x


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = ConvBN(3, 8, 3, 2)
        c = 8
        for k, (t, o, n, s) in enumerate([(1, 4, 1, 1), (2, 6, 2, 2), (2, 8, 1, 2)]):
            self.add_module("conv%d" % (k + 2), Blocks(c, t, o, n, s, "conv%d" % (k + 2)))
            c = o
        self.conv9 = ConvBN(c, 16, 1)
        self.out = nn.Linear(16, 3)

    def forward(self, x):
        return self.out(self.conv9(self.conv4(self.conv3(self.conv2(self.conv1(x))))).mean([2, 3]))


net = Net()
for m in net.modules():
    if isinstance(m, nn.BatchNorm2d):
        nn.init.uniform_(m.weight, 0.5, 1.5)
        nn.init.normal_(m.bias, 0.5)
        nn.init.normal_(m.running_mean, 0, 0.3)
        nn.init.uniform_(m.running_var, 0.5, 2)
net.eval()
arrays = collections.OrderedDict()
for key, value in net.state_dict().items():
    if not key.endswith("num_batches_tracked"):
        key = key.replace("running_mean", "_mean").replace("running_var", "_variance")
        arrays[key] = value.numpy().T if key == "out.weight" else value.numpy()
more = {"StructuredToParameterName@@": {k: "linear_0.w_0" for k in arrays}}
with open(path("paddle.pdparams"), "wb") as f:
    pickle.dump(dict(arrays, **more), f, protocol=4)
with open(path("paddle2.pdparams"), "wb") as f:
    pickle.dump(dict(arrays, **more), f, protocol=2)
with open(path("paddle5.pdparams"), "wb") as f:
    pickle.dump({k: v.astype(np.float16) for k, v in arrays.items()}, f, protocol=5)

i = np.arange(2 * 64 * 64 * 3, dtype=np.uint64)
x = ((i * 2654435761) >> 13 & 255).astype(np.float32) / 64 - 2
x = torch.from_numpy(x.reshape(2, 64, 64, 3)).permute(0, 3, 1, 2).contiguous()
with torch.no_grad():
    y = net(x)

# small.pth on grey: one channel, the first of the input's.
import torchvision
from torchvision.models.mobilenetv2 import MobileNetV2
from torchvision.ops.misc import Conv2dNormActivation

grey = MobileNetV2(num_classes=3, width_mult=0.25, inverted_residual_setting=[[1, 32, 1, 1], [2, 32, 1, 2]])
grey.features[0] = Conv2dNormActivation(1, 8, stride=2, activation_layer=nn.ReLU6)
grey.features[-1] = Conv2dNormActivation(8, 16, kernel_size=1, activation_layer=nn.ReLU6)
grey.classifier[1] = nn.Linear(16, 3)
grey.load_state_dict(dict(small, **{"features.0.0.weight": small["features.0.0.weight"][:, 1:2].clone()}))
torch.save(grey.state_dict(), path("grey.pth"))
with torch.no_grad():
    z = grey.eval()(x[:, :1])
# Four channels, which are not run.
torch.save(dict(small, **{"features.0.0.weight": torch.zeros(8, 4, 3, 3)}), path("four.pth"))
with open(path("golden_names.json"), "w") as f:
    json.dump({"grey": z.flatten().tolist(), "torchvision": torchvision.__version__, "torch": torch.__version__, "numpy": np.__version__, "paddle": y.flatten().tolist()}, f)
