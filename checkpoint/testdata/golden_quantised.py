"""Writes golden checkpoints of torchvision's quantised MobileNetV2, and the bytes that torch
computes with them.

    /usr/bin/python3 checkpoint/testdata/golden_quantised.py

Debian's torch has the engine QNNPACK. channels.pth has a scale for each output channel, as
the engine FBGEMM has them by default, tensors.pth one a tensor.

The input is that of golden.py. crc32 has the checksums of the bytes, [N][C][H][W], that each
module puts out for twelve images of 232x272, made like it in more levels: roundings are seen in the
few bytes that are next to a tie. In ties.pth scales and biases are where these are many.
"""
import gzip
import io
import json
import os
import re
import warnings
import zlib

import numpy as np
import torch
import torchvision
from torch import nn
from torchvision.models.quantization.mobilenetv2 import QuantizableInvertedResidual, QuantizableMobileNetV2
from torchvision.ops.misc import Conv2dNormActivation

warnings.filterwarnings("ignore")
here = os.path.dirname(os.path.abspath(__file__))
torch.manual_seed(4)
torch.backends.quantized.engine = "qnnpack"


def images(n, h, w, bits=8):
    i = np.arange(n * h * w * 3, dtype=np.uint64)
    x = ((i * 2654435761) >> 13 & (1 << bits) - 1).astype(np.float32) / (1 << bits - 2) - 2
    return torch.from_numpy(x.reshape(n, h, w, 3)).permute(0, 3, 1, 2).contiguous()


def checksums(m, x):
    """The crc32 of the bytes of each module that the engine can show, and of the logits."""
    sums = {}

    def hook(name):
        def keep(module, x, y):
            sums[name] = zlib.crc32(y.int_repr().contiguous().numpy().tobytes())
        return keep

    def pooled(module, x):
        sums["avgpool"] = zlib.crc32(x[0].int_repr().contiguous().numpy().tobytes())

    hooks = [m.classifier.register_forward_pre_hook(pooled)]
    hooks += [k.register_forward_hook(hook(name)) for name, k in m.named_modules()
              if re.fullmatch(r"features\.\d+(\.conv(\.\d)?)?|classifier", name)]
    with torch.no_grad():
        m(x)
    for h in hooks:
        h.remove()
    return sums


def near_ties(m):
    """Moves scales and biases of m to where roundings show: multipliers that depend on how they
    are computed, biases halfway between two integers, sums whose halves are many."""
    f = np.float32
    scale = f(15 / 512)  # of which many pixels are an odd number of halves
    m.quant.scale = torch.tensor([scale])

    def conv(c, scale):
        w, b = c.weight(), c.bias().detach().numpy()
        sums = scale * f(w.q_scale())
        y = f(c.scale)
        while sums / y == sums * (f(1) / y) or f(np.float64(sums) / y) == sums * (f(1) / y):
            y = np.nextafter(y, f(9))
        c.scale = float(y)
        b = ((np.floor(b / sums) + f(0.5)) * sums).astype(np.float32)
        c.set_weight_bias(w, torch.from_numpy(b))
        return y

    residuals = iter([(0.75, 0.7), (0.5, 0.5), (0.3, 1.4)])
    for block in m.features:
        before = scale
        for k in block.modules():
            if isinstance(k, torch.nn.quantized.Conv2d):
                scale = conv(k, scale)
        if getattr(block, "use_res_connect", False):
            a, b = next(residuals)
            total = f(float(before) / a)
            k = block.conv[-2] if isinstance(block.conv[-1], nn.Identity) else block.conv[-1]
            k.scale = float(f(b) * total)
            block.skip_add.scale = float(total)
            scale = total


x = images(2, 64, 64)
want = {"torch": torch.__version__, "torchvision": torchvision.__version__}

for name, engine in [("channels", "fbgemm"), ("tensors", "qnnpack"), ("ties", "qnnpack")]:
    m = QuantizableMobileNetV2(num_classes=6, width_mult=0.25, block=QuantizableInvertedResidual,
                               inverted_residual_setting=[[1, 32, 1, 1], [2, 48, 2, 2], [2, 32, 1 if name != "ties" else 3, 2]])
    # The first block has no residual in nearly all networks; here it would have one.
    m.features[0] = Conv2dNormActivation(3, 16, stride=2, activation_layer=nn.ReLU)
    m.features[1] = QuantizableInvertedResidual(16, 8, 1, 1, nn.BatchNorm2d)
    m.features[-1] = Conv2dNormActivation(8, 32, kernel_size=1, activation_layer=nn.ReLU)
    m.classifier[1] = nn.Linear(32, 6)
    nn.init.normal_(m.classifier[1].weight, 0, 0.3)
    for k in m.modules():
        if isinstance(k, nn.BatchNorm2d):
            nn.init.uniform_(k.weight, 0.5, 1.4)
            nn.init.normal_(k.bias, 0.4)
            nn.init.normal_(k.running_mean, 0, 0.1)
            nn.init.uniform_(k.running_var, 0.4, 1.2)
    torchvision.models.quantization.mobilenetv2._replace_relu(m)
    m.eval()
    m.fuse_model(is_qat=False)
    with torch.no_grad():
        want[name + "_float"] = m(x).flatten().tolist()
    m.qconfig = torch.quantization.get_default_qconfig(engine)
    torch.quantization.prepare(m, inplace=True)
    with torch.no_grad():
        m(x)
    torch.quantization.convert(m, inplace=True)
    if name == "ties":
        near_ties(m)
    else:
        script_of = m
    with torch.no_grad():
        y = m(x)
    print(y, want[name + "_float"], m.classifier[1].scale)
    torch.save(m.state_dict(), os.path.join(here, "torchvision_int8_" + name + ".pth"))
    want[name] = {"logits": y.flatten().tolist(), "scale": m.classifier[1].scale, "crc32": checksums(m, images(12, 232, 272, bits=16))}

script = io.BytesIO()
torch.jit.save(torch.jit.trace(script_of, x[:1]), script)
with open(os.path.join(here, "torchvision_int8_script.pt.gz"), "wb") as f, gzip.GzipFile(fileobj=f, mode="wb", filename="", mtime=0) as z:
    z.write(script.getvalue())
with open(os.path.join(here, "golden_quantised.json"), "w") as f:
    json.dump(want, f, indent=1)
