#!/usr/bin/env python3
"""Every byte that ONNX Runtime computes with the ONNX Model Zoo's mobilenetv2-12-int8.onnx for ten photos.

    pip install onnx==1.23.2 onnxruntime==1.32.0 pillow
    python onnx/testdata/zoo.py mobilenetv2-12-int8.onnx images/nips17

Writes zoo.json: of every layer in order the node's name, how many bytes it puts out for all photos, and their CRC-32.
The photos are every 16th of images.csv. Run it on a CPU with VNNI: on x86 without, ONNX Runtime adds pairs of products
in 16 bits, which saturate.
"""
import csv
import json
import os
import sys
import zlib

import numpy as np
import onnx
import onnxruntime as ort
from PIL import Image

assert "vnni" in open("/proc/cpuinfo").read()


def prepared(path):
    """[1,3,224,224] float32 as torchvision prepares a photo."""
    im = Image.open(path).convert("RGB")
    w, h = im.size
    k = 256 / min(w, h)
    im = im.resize((int(w * k) if w > h else 256, int(h * k) if h > w else 256), Image.BILINEAR)
    left, top = round((im.width - 224) / 2), round((im.height - 224) / 2)
    x = np.asarray(im.crop((left, top, left + 224, top + 224)), np.float32) / 255
    x = (x - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
    return np.ascontiguousarray(x.transpose(2, 0, 1)[None])


model, photos = sys.argv[1:]
with open(os.path.join(photos, "images.csv")) as f:
    names = [row[0] for row in list(csv.reader(f))[1:]][::16]
m = onnx.load(model)
nodes = [n for n in m.graph.node if n.op_type in ("QLinearConv", "QLinearAdd", "QLinearGlobalAveragePool")]
for n in nodes:
    m.graph.output.append(onnx.helper.make_empty_tensor_value_info(n.output[0]))
o = ort.SessionOptions()
o.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
s = ort.InferenceSession(m.SerializeToString(), o, providers=["CPUExecutionProvider"])
sums, counts = [0] * len(nodes), [0] * len(nodes)
for name in names:
    for i, v in enumerate(s.run([n.output[0] for n in nodes], {m.graph.input[0].name: prepared(os.path.join(photos, name))})):
        sums[i] = zlib.crc32(v.tobytes(), sums[i])
        counts[i] += v.size
layers = [[n.name, c, x] for n, c, x in zip(nodes, counts, sums)]
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "zoo.json"), "w") as f:
    json.dump({"onnx": onnx.__version__, "onnxruntime": ort.__version__, "layers": layers}, f)
