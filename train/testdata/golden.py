"""Writes step.safetensors: training steps of a narrow MobileNetV2 by PyTorch.

    /usr/bin/python3 train/testdata/golden.py

The network has every kind of layer: strides 1 and 2, expand ratios 1 to 6, with and
without residual. In the file, NAME being a key of torchvision's state dict:

    before.NAME       parameters and buffers at the start
    x, labels, mask   [8,3,40,40], [8], [8,last]: one batch; dropout multiplies the pooled
                      features by mask/(1-p)
    logits, loss, grad.NAME   of that batch
    after.NAME        running statistics after it
    sgd.NAME, rmsprop.NAME, adamw.NAME       parameters after one step from the start
    sgd20, rmsprop20, adamw20                losses before each of 20 steps from the
                      start, without dropout; step i has torch.roll(x, i, 0) for a batch

The hyperparameters are in the metadata. Everything is float32 (labels and
num_batches_tracked int64). Float64 must agree, and float64 with the input moved by
1e-6: a seed with an activation within rounding of ReLU6's corners is refused, since
another order of summation would then differ rightly.

The gradient of a linear bottleneck's BatchNorm bias is zero but for rounding: up to the
next BatchNorm, which subtracts the mean, there are only residuals and 1x1 convolutions.
The metadata names these ("zero_gradients"); compare them absolutely. AdamW would make
steps out of their noise with its usual epsilon of 1e-8, hence 1e-5.
"""
import copy
import json
import os
import struct

import torch
import torchvision
from torch import nn
from torchvision.models import MobileNetV2
from torchvision.ops import Conv2dNormActivation

SEED = 14
TABLE = [[1, 16, 1, 1], [6, 24, 2, 2], [4, 32, 1, 2], [2, 40, 2, 1]]
LAST = 32
DROPOUT = 0.2
STEPS = 20
ONE_STEP = {
    "sgd": {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4, "nesterov": False},
    "rmsprop": {"lr": 0.045, "alpha": 0.9, "momentum": 0.9, "eps": 0.0316, "weight_decay": 0},
    "adamw": {"lr": 1e-3, "betas": [0.9, 0.999], "eps": 1e-5, "weight_decay": 0.05},
}
CURVE = {
    "sgd": {**ONE_STEP["sgd"], "lr": 0.003},
    "rmsprop": {**ONE_STEP["rmsprop"], "lr": 0.0005},
    "adamw": ONE_STEP["adamw"],
}
OPTIMIZERS = {"sgd": torch.optim.SGD, "rmsprop": torch.optim.RMSprop, "adamw": torch.optim.AdamW}


class FixedDropout(nn.Module):
    """Dropout with a given mask; without one, the identity."""

    mask = None

    def forward(self, x):
        return x if self.mask is None else x * self.mask / (1 - DROPOUT)


def network():
    net = MobileNetV2(num_classes=5, width_mult=0.25, inverted_residual_setting=TABLE)
    channels = net.features[-1][0].in_channels
    net.features[-1] = Conv2dNormActivation(channels, LAST, kernel_size=1, norm_layer=nn.BatchNorm2d, activation_layer=nn.ReLU6)
    net.classifier = nn.Sequential(FixedDropout(), nn.Linear(LAST, 5))
    # As initialised, every BatchNorm is the identity and hides mistakes in it.
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            nn.init.uniform_(m.weight, 0.5, 2.5)
            nn.init.normal_(m.bias, 0.5, 0.5)
            nn.init.normal_(m.running_mean, 0, 0.5)
            nn.init.uniform_(m.running_var, 0.5, 2)
        elif isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out")
        elif isinstance(m, nn.Linear):
            nn.init.normal_(m.weight, 0, 0.1)
            nn.init.normal_(m.bias, 0, 0.1)
    return net.train()


def optimizer(kind, net, settings):
    """Weight decay is for weights of convolutions and the classifier only."""
    decayed = [p for p in net.parameters() if p.dim() > 1]
    other = [p for p in net.parameters() if p.dim() == 1]
    return OPTIMIZERS[kind]([{"params": decayed}, {"params": other, "weight_decay": 0}], **settings)


def gradients(net, x, labels, mask):
    net.zero_grad()
    net.classifier[0].mask = mask
    logits = net(x)
    loss = nn.functional.cross_entropy(logits, labels)
    loss.backward()
    return logits.detach(), loss.detach()


def record(start, x, labels, mask):
    out = {"before." + k: v.clone() for k, v in start.state_dict().items()}
    out.update({"x": x, "labels": labels, "mask": mask})

    net = copy.deepcopy(start)
    out["logits"], out["loss"] = gradients(net, x, labels, mask)
    for k, p in net.named_parameters():
        out["grad." + k] = p.grad
    for k, b in net.named_buffers():
        out["after." + k] = b

    for kind, settings in ONE_STEP.items():
        net = copy.deepcopy(start)
        gradients(net, x, labels, mask)
        optimizer(kind, net, settings).step()
        for k, p in net.named_parameters():
            out["%s.%s" % (kind, k)] = p.detach()

    for kind, settings in CURVE.items():
        net = copy.deepcopy(start)
        steps, losses = optimizer(kind, net, settings), []
        for i in range(STEPS):
            losses.append(gradients(net, x.roll(i, 0), labels.roll(i), None)[1])
            steps.step()
        out[kind + "20"] = torch.stack(losses)
    return out


def zero_gradients(exact):
    """The names of parameters that the loss doesn't depend on, from float64 gradients."""
    return [k[len("grad."):] for k, v in exact.items() if k.startswith("grad.") and v.abs().max() < 1e-12]


def worst(a, b):
    """The largest error relative to the largest magnitude of the tensor, and its name."""
    def error(k):
        want = b[k]
        return ((a[k] - want).abs().max() / want.abs().max()).item()
    return max((error(k), k) for k in b if b[k].is_floating_point())


def main():
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    net = network()
    x = torch.randn(8, 3, 40, 40)
    labels = torch.randint(0, 5, (8,))
    mask = (torch.rand(8, LAST) >= DROPOUT).float()
    got = record(net, x, labels, mask)
    net = net.double()
    want = record(net, x.double(), labels, mask.double())
    moved = record(net, x.double() * (1 + 1e-6 * torch.randn(x.shape).double()), labels, mask.double())

    zero = zero_gradients(want)
    for k in zero:
        assert got["grad." + k].abs().max() < 1e-7, k
        del want["grad." + k]
    del want["x"]
    for what, other in (("float32", got), ("input moved", moved)):
        for bound, part in ((2e-5, {k: v for k, v in want.items() if not k.endswith("20")}),
                            (1e-4, {k: v for k, v in want.items() if k.endswith("20")})):
            error, name = worst(other, part)
            print("%s: %.1e, %s" % (what, error, name))
            assert error < bound, "ill-conditioned: choose another SEED"

    metadata = {
        "torch": torch.__version__, "torchvision": torchvision.__version__, "seed": SEED,
        "width": 0.25, "table": TABLE, "last_channels": LAST, "classes": 5, "dropout": DROPOUT,
        "bn_eps": 1e-5, "bn_momentum": 0.1, "label_smoothing": 0,
        "weight_decay_on": "parameters of more than one dimension",
        "zero_gradients": zero, "one_step": ONE_STEP, "curve": CURVE,
    }
    save(os.path.join(os.path.dirname(os.path.abspath(__file__)), "step.safetensors"), got, metadata)


def save(path, tensors, metadata):
    header = {"__metadata__": {k: v if isinstance(v, str) else json.dumps(v) for k, v in metadata.items()}}
    data = b""
    for k, t in tensors.items():
        raw = t.contiguous().numpy().tobytes()
        header[k] = {"dtype": {torch.float32: "F32", torch.int64: "I64"}[t.dtype], "shape": list(t.shape),
                     "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)
    print("%s: %d tensors, %d bytes" % (os.path.basename(path), len(tensors), 8 + len(text) + len(data)))


if __name__ == "__main__":
    main()
