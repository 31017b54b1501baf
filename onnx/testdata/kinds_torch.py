"""Exports a narrow MobileNetV2 with the heads and wrappers that people put on it, for
the importer's tests. kinds_onnx.py adds what other tools make of the plain one, and what
ONNX Runtime computes.

    /usr/bin/python3 onnx/testdata/kinds_torch.py      Debian's torch 1.13, torchvision 0.14.1
"""
import copy
import os
import warnings

import torch
from torch import nn
from torchvision.models.mobilenetv2 import MobileNetV2
from torchvision.ops.misc import Conv2dNormActivation

here = os.path.dirname(os.path.abspath(__file__))
warnings.simplefilter("ignore")
torch.manual_seed(1)
SIZE, FEATURES = 64, 32

base = MobileNetV2(num_classes=5, width_mult=0.25, inverted_residual_setting=[[1, 32, 1, 1], [2, 32, 2, 2]])
base.features[-1] = Conv2dNormActivation(8, FEATURES, kernel_size=1, activation_layer=nn.ReLU6)
base.classifier[1] = nn.Linear(FEATURES, 5)
for m in base.modules():
    if isinstance(m, nn.BatchNorm2d):
        nn.init.uniform_(m.weight, 0.5, 1.5)
        nn.init.normal_(m.bias, 0.5)
        nn.init.normal_(m.running_mean, 0, 0.3)
        nn.init.uniform_(m.running_var, 0.5, 2)
base.eval()


def export(name, m, shape=(1, 3, SIZE, SIZE), **options):
    options = dict({"opset_version": 13}, **options)
    torch.onnx.export(m.eval(), torch.zeros(shape), os.path.join(here, "kinds", name + ".onnx"),
                      input_names=["input"], output_names=["output"], **options)


class Around(nn.Module):
    def __init__(self, m, f):
        super().__init__()
        self.m, self.f = m, f

    def forward(self, x):
        return self.f(self.m, x)


def around(name, f, change=None, **options):
    m = copy.deepcopy(base)
    if change:
        change(m)
    export(name, Around(m, f), **options)


def head(name, *layers):
    torch.manual_seed(2)
    m = copy.deepcopy(base)
    m.classifier = nn.Sequential(*layers)
    for b in m.classifier:
        if isinstance(b, nn.BatchNorm1d):
            nn.init.uniform_(b.weight, 0.5, 1.5)
            nn.init.normal_(b.bias)
            nn.init.normal_(b.running_mean)
            nn.init.uniform_(b.running_var, 0.5, 2)
    export(name, m)


export("plain", base)
head("head_sigmoid", nn.Linear(FEATURES, 5), nn.Sigmoid())
head("head_log_softmax", nn.Linear(FEATURES, 5), nn.LogSoftmax(1))
head("head_one", nn.Linear(FEATURES, 1))
head("head_two", nn.Dropout(), nn.Linear(FEATURES, 16), nn.ReLU(), nn.Linear(16, 5))
head("head_norm", nn.Linear(FEATURES, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 5))
head("head_norm_first", nn.BatchNorm1d(FEATURES), nn.Linear(FEATURES, 5))
head("head_no_relu", nn.Linear(FEATURES, 16), nn.Linear(16, 5))
head("head_identity", nn.Identity())
head("head_softmax_of_one", nn.Linear(FEATURES, 1), nn.Softmax(1))
export("features_only", copy.deepcopy(base).features)
around("wrap_argmax", lambda m, x: m(x).argmax(1))
around("wrap_topk", lambda m, x: torch.topk(m(x).softmax(1), 3))
around("wrap_bgr", lambda m, x: m(x[:, [2, 1, 0]]))
around("wrap_flip", lambda m, x: m(x.flip(1)))
around("wrap_part", lambda m, x: m(x[:, :, 1:-1]))
around("average_pool", lambda m, x: m.classifier(nn.functional.avg_pool2d(m.features(x), 16).flatten(1)))
around("average_part", lambda m, x: m.classifier(nn.functional.avg_pool2d(m.features(x), 15).flatten(1)))
around("one_minus", lambda m, x: 1 - m(x))
MEAN, STD = torch.tensor([123.675, 116.28, 103.53])[:, None, None], torch.tensor([58.395, 57.12, 57.375])[:, None, None]
around("levels", lambda m, x: m((x - MEAN) / STD))
around("levels_bgr", lambda m, x: m(((x - MEAN.flip(0)) / STD.flip(0))[:, [2, 1, 0]]))
around("rectangle", lambda m, x: m(x), shape=(1, 3, 48, 64))


class ConvClassifier(nn.Module):
    def __init__(self, m):
        super().__init__()
        self.features, self.conv = m.features, nn.Conv2d(FEATURES, 5, 1)
        self.conv.weight.data = m.classifier[1].weight.data[:, :, None, None].clone()
        self.conv.bias.data = m.classifier[1].bias.data.clone()

    def forward(self, x):
        return self.conv(nn.functional.adaptive_avg_pool2d(self.features(x), 1)).flatten(1).softmax(1)


export("conv_classifier", ConvClassifier(copy.deepcopy(base)))


def extra(m):
    conv = m.features[1].conv
    c = conv[0][0].in_channels
    expand = nn.Sequential(nn.Conv2d(c, c, 1, bias=False), nn.BatchNorm2d(c), nn.ReLU6())
    nn.init.normal_(expand[0].weight, 0, 0.5)
    m.features[1].conv = nn.Sequential(expand, *conv)


def grey(m):
    first = m.features[0][0]
    conv = nn.Conv2d(1, first.out_channels, 3, 2, 1, bias=False)
    conv.weight.data = first.weight.data.sum(1, keepdim=True)
    m.features[0][0] = conv


def no_stem_residual(m):
    m.features[1].use_res_connect = False


around("extra_1x1", lambda m, x: m(x), extra)
around("no_stem_residual", lambda m, x: m(x), no_stem_residual)
around("one_channel", lambda m, x: m(x), grey, shape=(1, 1, SIZE, SIZE))


class FakeQuantized(nn.Module):
    """A convolution whose weights and input pass Quantize/Dequantize, float weights kept."""

    def __init__(self, conv):
        super().__init__()
        self.conv = conv
        self.register_buffer("scale", conv.weight.data.abs().amax((1, 2, 3)) / 127)
        self.register_buffer("zero", torch.zeros(conv.out_channels, dtype=torch.int32))

    def forward(self, x):
        c = self.conv
        w = torch.fake_quantize_per_channel_affine(c.weight, self.scale, self.zero, 0, -128, 127)
        x = torch.fake_quantize_per_tensor_affine(x, torch.tensor(0.05), torch.tensor(0, dtype=torch.int32), -128, 127)
        return nn.functional.conv2d(x, w, c.bias, c.stride, c.padding, c.dilation, c.groups)


def fake_quantize(m):
    for name, child in m.named_children():
        if isinstance(child, nn.Conv2d):
            setattr(m, name, FakeQuantized(child))
        else:
            fake_quantize(child)


around("fake_quant", lambda m, x: m(x), fake_quantize)
