"""Writes qat.safetensors: a step of training for 8 bits by PyTorch, with its
fake_quantize_per_tensor_affine and fake_quantize_per_channel_affine.

    /usr/bin/python3 train/testdata/qat.py

The network has every kind of layer: strides 1 and 2, with and without expansion and
residual; norms are folded. In the file, NAME being a key of torchvision's state dict:

    NAME              weights, and biases in place of those of norms
    grad.NAME         their gradients
    x, labels         [2,3,32,32], [2]: the batch
    logits, loss

and in the metadata the ranges, [scale, zero] of the input, of every convolution, of
residual sums (null where there is none), and of the pool. Some of every tensor is cut
off. Everything is computed in float64, where rounding is what it is; a seed with a
number closer than MARGIN to where it would be rounded otherwise is refused. Biases are
integers times the scales of input and weights, as in an 8-bit network.
"""
import json
import os

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import MobileNetV2
from torchvision.ops import Conv2dNormActivation

import golden

TABLE = [[1, 32, 1, 1], [2, 32, 1, 2], [6, 32, 1, 1], [2, 64, 2, 2]]
WIDTH, LAST, CLASSES, SIDE = 0.25, 16, 3, 32
MARGIN = 5e-5  # of a byte


def network():
    net = MobileNetV2(num_classes=CLASSES, width_mult=WIDTH, inverted_residual_setting=TABLE)
    channels = net.features[-1][0].in_channels
    net.features[-1] = Conv2dNormActivation(channels, LAST, kernel_size=1, norm_layer=nn.BatchNorm2d, activation_layer=nn.ReLU6)
    net.classifier = nn.Sequential(nn.Identity(), nn.Linear(LAST, CLASSES))
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            nn.init.normal_(m.bias, 0.3, 0.3)
        elif isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out")
        elif isinstance(m, nn.Linear):
            nn.init.normal_(m.weight, 0, 0.3)
            nn.init.normal_(m.bias, 0, 0.1)
    return net


class Steps:
    """The network's forward pass. Without ranges it finds some."""

    def __init__(self, net, ranges=None):
        self.ranges, self.at, self.found = ranges, 0, []
        self.near = 1.0
        self.parameters = {}
        self.layers = []  # (convolution or linear, norm or None, names)
        names = {m: k for k, m in net.named_modules()}
        self.names, self.net = names, net
        self.clipped = []

    def param(self, name, value):
        if name not in self.parameters:
            self.parameters[name] = value.detach().double().requires_grad_()
        return self.parameters[name]

    def quantise(self, x, relu6=False):
        if self.ranges is None:
            low, high = (0.0, 6.0) if relu6 else (0.75 * x.min().item(), 0.75 * x.max().item())
            if relu6:
                high = min(6.0, 0.75 * x.max().item())
            low, high = min(low, 0.0), max(high, 1e-3)
            zero = round(-low / (high - low) * 255)
            scale = torch.tensor((high - low) / 255, dtype=torch.float32).item()
            self.found.append([scale, zero])
        else:
            scale, zero = self.ranges[self.at]
        self.at += 1
        v = x.detach() / scale
        self.near = min(self.near, ((v - v.floor()) - 0.5).abs().min().item())
        self.clipped.append(((v.round() + zero < 0) | (v.round() + zero > 255)).double().mean().item())
        return torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, 255), scale

    def weights(self, name, value):
        w = self.param(name, value)
        scale = (w.detach().abs().flatten(1).max(1)[0] / 127).float()
        self.near = min(self.near, self.distance(w.detach().flatten(1) / scale.double()[:, None]))
        return torch.fake_quantize_per_channel_affine(w, scale, torch.zeros(len(scale), dtype=torch.int32), 0, -127, 127), scale

    def distance(self, v):
        return ((v - v.floor()) - 0.5).abs().min().item()

    def bias(self, name, value, scale):
        unit = (scale * torch.ones(1)).double()
        return self.param(name, (value.detach().double() / unit).round() * unit)

    def conv(self, conv, norm, x, relu6):
        x, sx = x
        w, sw = self.weights(self.names[conv] + ".weight", conv.weight)
        b = self.bias(self.names[norm] + ".bias", norm.bias, torch.tensor(sx, dtype=torch.float32) * sw)
        return self.quantise(F.conv2d(x, w, b, conv.stride, conv.padding, 1, conv.groups), relu6)

    def run(self, x):
        f = self.net.features
        x = self.quantise(x.double())
        x = self.conv(f[0][0], f[0][1], x, True)
        sums = []
        for block in list(f)[1:-1]:
            y = x
            for part in list(block.conv)[:-2]:
                y = self.conv(part[0], part[1], y, True)
            y = self.conv(block.conv[-2], block.conv[-1], y, False)
            sums.append(None)
            if block.use_res_connect:
                sums[-1] = self.at
                y = self.quantise(x[0] + y[0])
            x = y
        x = self.conv(f[-1][0], f[-1][1], x, True)
        x, s = self.quantise(x[0].mean((2, 3)), True)
        linear = self.net.classifier[1]
        w, sw = self.weights("classifier.1.weight", linear.weight)
        self.sums = sums
        return F.linear(x, w, self.bias("classifier.1.bias", linear.bias, torch.tensor(s, dtype=torch.float32) * sw))


def main():
    torch.set_num_threads(1)
    for seed in range(2000):
        torch.manual_seed(seed)
        net = network()
        x = torch.randn(2, 3, SIDE, SIDE)
        labels = torch.tensor([0, 2])
        first = Steps(net)
        first.run(x)
        steps = Steps(net, first.found)
        logits = steps.run(x)
        if steps.near > MARGIN:
            break
    else:
        raise SystemExit("no seed")
    loss = F.cross_entropy(logits, labels)
    loss.backward()
    out = {"x": x, "labels": labels, "logits": logits.detach().float(), "loss": loss.detach().float()}
    for name, p in steps.parameters.items():
        out[name] = p.detach().float()
        out["grad." + name] = p.grad.float()
    ranges = first.found
    sums = [None if at is None else ranges[at] for at in steps.sums]
    convs = [r for i, r in enumerate(ranges) if i not in steps.sums][1:-1]
    print("seed", seed, "margin", steps.near, "cut off", min(steps.clipped), "to", max(steps.clipped))
    golden.save(os.path.join(os.path.dirname(os.path.abspath(__file__)), "qat.safetensors"), out, {
        "torch": torch.__version__, "seed": seed, "width": WIDTH, "table": TABLE, "last_channels": LAST,
        "input": ranges[0], "convs": convs, "sums": sums, "pool": ranges[-1],
    })


main()
