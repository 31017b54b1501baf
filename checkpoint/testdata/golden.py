"""Writes the golden checkpoints: a small MobileNetV2 of torchvision's modules,
saved by torch in each way that is read, and what torch computes with it.

    /usr/bin/python3 checkpoint/testdata/golden.py

The input is not stored: value i of the batch [2][64][64][3] is
((i * 2654435761) >> 13 & 255) / 64 - 2, exact in float32.
"""
import copy
import json
import os
import struct

import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn.utils import prune
from torchvision.models.mobilenetv2 import MobileNetV2
from torchvision.ops.misc import Conv2dNormActivation

here = os.path.dirname(os.path.abspath(__file__))
torch.manual_seed(1)

TABLE = [[1, 32, 1, 1], [6, 32, 2, 2], [4, 64, 2, 2], [2, 32, 1, 2]]
model = MobileNetV2(num_classes=5, width_mult=0.25, inverted_residual_setting=TABLE)
# 1280 channels would make up most of the files.
model.features[-1] = Conv2dNormActivation(8, 64, kernel_size=1, activation_layer=nn.ReLU6)
model.classifier[1] = nn.Linear(64, 5)
for m in model.modules():
    if isinstance(m, nn.BatchNorm2d):
        nn.init.uniform_(m.weight, 0.5, 1.5)
        nn.init.normal_(m.bias, 0.5)
        nn.init.normal_(m.running_mean, 0, 0.3)
        nn.init.uniform_(m.running_var, 0.5, 2)
        m.num_batches_tracked.fill_(12)
model.eval()
state = model.state_dict()


def path(name):
    return os.path.join(here, name)


torch.save(state, path("zip.pth"))
torch.save(state, path("legacy.pth"), _use_new_zipfile_serialization=False)
# As training scripts save: nested, wrapped in DataParallel, half precision, beside
# an optimiser; the weights as transposed views of one storage's middle.
views = {}
for k, v in state.items():
    if v.dtype == torch.float32:
        v = v.half()
    if v.dim() == 4 and v.shape[2] == 1:
        v = v[:, :, 0, 0].t().contiguous().t()[:, :, None, None]
    if k.endswith("running_mean"):
        v = torch.cat([torch.zeros(3).half(), v, torch.zeros(2).half()])[3:-2]
    views["module." + k] = v
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
torch.save({"epoch": 3, "best": 0.5, "args": {"lr": 0.1, "names": ["a", None, True]},
            "state_dict": views, "optimizer": optimizer.state_dict()}, path("training.pth"))
torch.save({k: v.bfloat16() if v.is_floating_point() else v for k, v in state.items()}, path("bfloat16.pth"))


def save_safetensors(name, tensors):
    header, body = {}, b""
    for k, v in tensors.items():
        raw = v.numpy().tobytes()
        dtype = {torch.float32: "F32", torch.int64: "I64"}[v.dtype]
        header[k] = {"dtype": dtype, "shape": list(v.shape), "data_offsets": [len(body), len(body) + len(raw)]}
        body += raw
    text = json.dumps(header).encode()
    with open(path(name), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + body)


def block_names(n, timm):
    """Maps the modules of torchvision's block n to timm's or Hugging Face's."""
    places = [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (3, 0)]
    if timm:
        p = "blocks.%d.%d." % places[n - 1]
        names = [["conv_pw", "bn1"], ["conv_dw", "bn2"], ["conv_pwl", "bn3"]]
        if n == 1:
            names = [["conv_dw", "bn1"], ["conv_pw", "bn2"]]
    else:
        p = "mobilenet_v2.conv_stem." if n == 1 else "mobilenet_v2.layer.%d." % (n - 2)
        names = [[k + ".convolution", k + ".normalization"] for k in ("expand_1x1", "conv_3x3", "reduce_1x1")]
        if n == 1:
            names = names[1:]
    ours = [["conv.%d.0" % i, "conv.%d.1" % i] for i in range(len(names) - 1)]
    ours.append(["conv.%d" % (len(names) - 1), "conv.%d" % len(names)])
    return {"features.%d.%s" % (n, o): p + t for a, b in zip(ours, names) for o, t in zip(a, b)}


for timm in (True, False):
    names = {"features.0.0": "conv_stem", "features.0.1": "bn1", "features.7.0": "conv_head",
             "features.7.1": "bn2", "classifier.1": "classifier"}
    if not timm:
        names = {"features.0.0": "mobilenet_v2.conv_stem.first_conv.convolution",
                 "features.0.1": "mobilenet_v2.conv_stem.first_conv.normalization",
                 "features.7.0": "mobilenet_v2.conv_1x1.convolution",
                 "features.7.1": "mobilenet_v2.conv_1x1.normalization", "classifier.1": "classifier"}
    for n in range(1, 7):
        names.update(block_names(n, timm))
    renamed = {}
    for k, v in state.items():
        module, _, leaf = k.rpartition(".")
        renamed[names[module] + "." + leaf] = v
    save_safetensors("timm.safetensors" if timm else "huggingface.safetensors", renamed)

i = np.arange(2 * 64 * 64 * 3, dtype=np.uint64)
x = ((i * 2654435761) >> 13 & 255).astype(np.float32) / 64 - 2
x = torch.from_numpy(x.reshape(2, 64, 64, 3)).permute(0, 3, 1, 2).contiguous()
with torch.no_grad():
    features = model.features(x).mean([2, 3])
    logits = model(x)
with open(path("golden.json"), "w") as f:
    json.dump({"torch": torch.__version__, "torchvision": torchvision.__version__,
               "features": features.tolist(), "logits": logits.tolist()}, f)

resnet = torchvision.models.resnet18()
# A checkpoint of another network: the names and shapes, with one value each.
torch.save({k: torch.zeros([]).expand(v.shape) for k, v in resnet.state_dict().items()}, path("resnet18.pth"))
torch.save(nn.Linear(2, 2), path("module.pth"))

# The same weights in everything that people save beside a state dict. One block and few
# channels keep the files small.
torch.manual_seed(2)
small = MobileNetV2(num_classes=3, width_mult=0.25, inverted_residual_setting=[[1, 32, 1, 1], [2, 32, 1, 2]])
small.features[-1] = Conv2dNormActivation(8, 16, kernel_size=1, activation_layer=nn.ReLU6)
small.classifier[1] = nn.Linear(16, 3)
small.eval()
torch.save(small.state_dict(), path("small.pth"))


def flat(last, classifier):
    """The names of implementations whose blocks are a single nn.Sequential."""
    names = {"features.0.0": "features.0.0", "features.0.1": "features.0.1", "features.3.0": last + ".0",
             "features.3.1": last + ".1", "classifier.1": classifier}
    for block, convs in ((1, ["0.0", "1"]), (2, ["0.0", "1.0", "2"])):
        for n, conv in enumerate(convs):
            norm = conv[:-1] + "1" if "." in conv else str(int(conv) + 1)
            names["features.%d.conv.%s" % (block, conv)] = "features.%d.conv.%d" % (block, 3 * n)
            names["features.%d.conv.%s" % (block, norm)] = "features.%d.conv.%d" % (block, 3 * n + 1)
    return {names[k.rpartition(".")[0]] + "." + k.rpartition(".")[2]: v for k, v in small.state_dict().items()}


torch.save(flat("features.3", "classifier.1"), path("tonylins.pth"))
torch.save(flat("conv", "classifier"), path("d-li14.pth"))


class Net(nn.Module):
    """A user's class: the network is an attribute, and the head another one."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.ModuleDict({"features": small.features})
        self.head = nn.Sequential(nn.Dropout(0.5), small.classifier[1])


torch.save(small, path("whole.pth"))
torch.save(small, path("whole_legacy.pth"), _use_new_zipfile_serialization=False)
torch.save({"epoch": 1, "net": Net(), "optimizer": torch.optim.SGD(small.parameters(), lr=0.1)}, path("whole_user.pth"))
torch.jit.save(torch.jit.script(small), path("script.pt"))
torch.jit.save(torch.jit.trace(small, torch.zeros(1, 3, 32, 32)), path("traced.pt"))
pruned = copy.deepcopy(small)
for m in pruned.modules():
    if isinstance(m, (nn.Conv2d, nn.Linear)):
        prune.l1_unstructured(m, "weight", amount=0.25)
torch.save(pruned.state_dict(), path("pruned.pth"))
for m in pruned.modules():
    if isinstance(m, (nn.Conv2d, nn.Linear)):
        prune.remove(m, "weight")
torch.save({k: v for k, v in pruned.state_dict().items() if v.dim() > 1}, path("pruned_want.pth"))
quantised = torch.quantization.quantize_dynamic(small, {nn.Linear}, dtype=torch.qint8)
torch.save(quantised.state_dict(), path("quantised.pth"))
