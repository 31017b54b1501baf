"""Writes golden checkpoints of torchvision's quantised MobileNetV2, and the bytes that torch
computes with them.

    /usr/bin/python3 checkpoint/testdata/golden_quantised.py

Debian's torch has the engine QNNPACK. channels.pth has a scale for each output channel, as
the engine FBGEMM has them by default, tensors.pth one a tensor.

The input is that of golden.py.
"""
import gzip
import io
import json
import os
import warnings

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
i = np.arange(2 * 64 * 64 * 3, dtype=np.uint64)
x = ((i * 2654435761) >> 13 & 255).astype(np.float32) / 64 - 2
x = torch.from_numpy(x.reshape(2, 64, 64, 3)).permute(0, 3, 1, 2).contiguous()
want = {"torch": torch.__version__, "torchvision": torchvision.__version__}

for name, engine in [("channels", "fbgemm"), ("tensors", "qnnpack")]:
    m = QuantizableMobileNetV2(num_classes=6, width_mult=0.25, block=QuantizableInvertedResidual,
                               inverted_residual_setting=[[1, 32, 1, 1], [2, 48, 2, 2], [2, 32, 1, 2]])
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
    with torch.no_grad():
        y = m(x)
    print(y, want[name + "_float"], m.classifier[1].scale)
    torch.save(m.state_dict(), os.path.join(here, "torchvision_int8_" + name + ".pth"))
    want[name] = {"logits": y.flatten().tolist(), "scale": m.classifier[1].scale}

script = io.BytesIO()
torch.jit.save(torch.jit.trace(m, x[:1]), script)
with open(os.path.join(here, "torchvision_int8_script.pt.gz"), "wb") as f, gzip.GzipFile(fileobj=f, mode="wb", filename="", mtime=0) as z:
    z.write(script.getvalue())
with open(os.path.join(here, "golden_quantised.json"), "w") as f:
    json.dump(want, f, indent=1)
