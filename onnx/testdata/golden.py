#!/usr/bin/python3
"""Writes torch/*.txt: what torch.onnx.export makes of a tiny mobilenet_v2.

Run with Debian's python3-torch, python3-torchvision and python3-onnx; the
versions are in each file. One line a node, as dump in export_test.go prints it.
"""
import os
import warnings

import numpy
import onnx.numpy_helper
import torch
import torchvision

warnings.simplefilter("ignore")
HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch")
TABLE = [[1, 16, 1, 1], [2, 16, 1, 1]]  # without and with expansion and residual
SIZE, CLASSES = 64, 5
TYPES = {1: "FLOAT", 9: "BOOL"}
DYNAMIC = {
    "": None,
    "batch": {"images": {0: "batch"}, "output": {0: "batch"}},
    "all": {"images": {0: "batch", 2: "height", 3: "width"}, "output": {0: "batch"}},
}


def number(v):
    return str(int(v)) if float(v).is_integer() else str(numpy.float32(v))


def ints(values):
    return "[" + ",".join(str(v) for v in values) + "]"


def tensor(t):
    values = onnx.numpy_helper.to_array(t).reshape(-1)
    return TYPES[t.data_type] + ints(t.dims) + "{" + ",".join(number(v) for v in values) + "}"


def attribute(a):
    kind = {1: lambda: number(a.f), 2: lambda: str(a.i), 4: lambda: tensor(a.t), 7: lambda: ints(a.ints)}
    return a.name + "=" + kind[a.type]()


def value(v):
    t = v.type.tensor_type
    return f"{v.name} {TYPES[t.elem_type]}" + ints(d.dim_param or d.dim_value for d in t.shape.dim)


def dump(p):
    g = p.graph
    yield f"ir {p.ir_version} opset {p.opset_import[0].version} graph {g.name}"
    yield from ("input " + value(v) for v in g.input)
    yield from ("output " + value(v) for v in g.output)
    for n in g.node:
        attrs = " ".join(attribute(a) for a in n.attribute)
        yield f"{n.op_type} {n.name} ({', '.join(n.input)}) -> ({', '.join(n.output)}) {attrs}".rstrip()
    yield from (f"init {t.name} {TYPES[t.data_type]}{ints(t.dims)}" for t in g.initializer)


def export(mode, opset, dynamic):
    torch.manual_seed(0)
    net = torchvision.models.MobileNetV2(num_classes=CLASSES, inverted_residual_setting=TABLE)
    net.train(mode == "train")
    options = {
        "eval": {},
        "train": dict(training=torch.onnx.TrainingMode.TRAINING, do_constant_folding=False),
        "preserve": dict(training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False),
    }[mode]
    path = "/dev/shm/golden.onnx"
    torch.onnx.export(net, torch.zeros(1, 3, SIZE, SIZE), path, opset_version=opset, input_names=["images"],
                      output_names=["output"], dynamic_axes=DYNAMIC[dynamic], **options)
    p = onnx.load(path)
    os.remove(path)
    name = "_".join(filter(None, [mode, str(opset), dynamic])) + ".txt"
    with open(os.path.join(HERE, name), "w") as f:
        print(f"# torch {torch.__version__} torchvision {torchvision.__version__}", file=f)
        print(*dump(p), sep="\n", file=f)


# The opsets at which something changes, and the ends of what torch 1.13 knows.
for mode in "eval", "train", "preserve":
    for opset in 9, 11, 12, 13, 14, 17:
        export(mode, opset, "")
export("eval", 13, "all")
export("train", 17, "batch")
