#!/usr/bin/env python3
"""8-bit networks as ONNX Runtime's tools make them of kinds/plain.onnx in many settings, and what
ONNX Runtime computes with them, byte for byte.

    pip install onnx==1.23.2 onnxruntime==1.32.0
    python onnx/testdata/foreign.py

Writes foreign/*.onnx and foreign/bytes.json: of every convolution, sum, pool and classifier in
their order the node's name, how many bytes it puts out for two images, and their CRC-32; and the
output. Extended optimisation, and int8 activations allowed, which on x86 ONNX Runtime otherwise
runs in float32. The input is that of kinds_onnx.py. Run it on a CPU with VNNI: on x86 without,
ONNX Runtime adds pairs of products in 16 bits, which saturate.
"""
import json
import os
import zlib

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper
from onnxruntime import quantization as q

assert "vnni" in open("/proc/cpuinfo").read()
root = os.path.dirname(os.path.abspath(__file__))
plain = os.path.join(root, "kinds", "plain.onnx")
here = os.path.join(root, "foreign")
os.makedirs(here, exist_ok=True)
ort.set_default_logger_severity(4)

i = np.arange(2 * 64 * 64 * 3, dtype=np.uint64)
levels = ((i * 2654435761) >> 13 & 255).astype(np.uint8).reshape(2, 64, 64, 3).transpose(0, 3, 1, 2)
photos = np.ascontiguousarray(levels.astype(np.float32) / 64 - 2)
U8, S8 = q.QuantType.QUInt8, q.QuantType.QInt8


class Reader(q.CalibrationDataReader):
    def __init__(self):
        self.left = [{"input": v[None]} for v in photos]

    def get_next(self):
        return self.left.pop() if self.left else None


def path(name):
    return os.path.join(here, name + ".onnx")


def static(name, form, activations, weights, per_channel=True, source=plain, **k):
    q.quantize_static(source, path(name), Reader(), quant_format=form, activation_type=activations, weight_type=weights,
                      per_channel=per_channel, **k)


QDQ, QOPERATOR = q.QuantFormat.QDQ, q.QuantFormat.QOperator
static("qdq_u8u8_tensor", QDQ, U8, U8, False)
static("qdq_s8s8", QDQ, S8, S8)
static("qdq_symmetric", QDQ, S8, S8, extra_options={"ActivationSymmetric": True})
static("qdq_clips", QDQ, U8, S8, extra_options={"QDQKeepRemovableActivations": True})
static("qdq_float_bias", QDQ, U8, S8, extra_options={"QuantizeBias": False})
static("qdq_contrib", QDQ, U8, S8, extra_options={"UseQDQContribOps": True})
static("qoperator_u8u8", QOPERATOR, U8, U8)
static("qoperator_s8s8_tensor", QOPERATOR, S8, S8, False)
static("average_pool", QOPERATOR, U8, S8, source=os.path.join(root, "kinds", "average_pool.onnx"))
static("head_two", QOPERATOR, U8, S8, source=os.path.join(root, "kinds", "head_two.onnx"))
static("conv_only", QDQ, U8, S8, op_types_to_quantize=["Conv"])
m = onnx.load(plain)
static("float_first", QDQ, U8, S8, nodes_to_exclude=[next(n.name for n in m.graph.node if n.op_type == "Conv")])
static("float_last", QDQ, U8, S8, nodes_to_exclude=[next(n.name for n in m.graph.node if n.op_type == "Gemm")])

# The classifier as a product and a sum, as the ONNX Model Zoo's file has it; sums the other way around.
static("zoo", QOPERATOR, U8, S8)
m = onnx.load(path("zoo"))
tensors = {t.name: t for t in m.graph.initializer}
for n in m.graph.node:
    if n.op_type == "QLinearAdd":
        n.input[0:3], n.input[3:6] = list(n.input[3:6]), list(n.input[0:3])
at, gemm = next((k, n) for k, n in enumerate(m.graph.node) if n.op_type == "QGemm")
w, scale = numpy_helper.to_array(tensors[gemm.input[3]]), numpy_helper.to_array(tensors[gemm.input[4]])
bias = numpy_helper.to_array(tensors[gemm.input[6]]) * scale * numpy_helper.to_array(tensors[gemm.input[1]])
step = np.float32(np.abs(bias).max() / 100)
m.graph.initializer.extend([
    numpy_helper.from_array(np.ascontiguousarray(w.T), "columns"),
    numpy_helper.from_array(np.rint(bias / step + 110).astype(np.uint8), "bias"),
    numpy_helper.from_array(step, "bias_scale"), numpy_helper.from_array(np.array(110, np.uint8), "bias_zero"),
    numpy_helper.from_array(np.float32(numpy_helper.to_array(tensors[gemm.input[7]]) * 0.9), "product_scale"),
])
nodes = list(m.graph.node)
nodes[at:at + 1] = [
    helper.make_node("QLinearMatMul", [*gemm.input[:3], "columns", *gemm.input[4:6], "product_scale", gemm.input[8]], ["product"], "product"),
    helper.make_node("QLinearAdd", ["product", "product_scale", gemm.input[8], "bias", "bias_scale", "bias_zero", *gemm.input[7:9]],
                     list(gemm.output), "sum", domain="com.microsoft"),
]
del m.graph.node[:]
m.graph.node.extend(nodes)
onnx.save(m, path("zoo"))

# An input of bytes, whose scale the first convolution says.
static("bytes_in", QOPERATOR, U8, S8)
m = onnx.load(path("bytes_in"))
first = m.graph.node[next(k for k, n in enumerate(m.graph.node) if n.op_type == "QuantizeLinear")]
for t in m.graph.initializer:
    if t.name == first.input[1]:
        t.CopyFrom(numpy_helper.from_array(np.array(1 / 64, np.float32), t.name))
    if t.name == first.input[2]:
        t.CopyFrom(numpy_helper.from_array(np.array(128, np.uint8), t.name))
for n in m.graph.node:
    n.input[:] = ["input" if name == first.output[0] else name for name in n.input]
m.graph.node.remove(first)
m.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
onnx.save(m, path("bytes_in"))


def taps(m):
    """What layers put out as bytes, at the end of what folds into them: pairs of a node's name and a value."""
    takers = {}
    for n in m.graph.node:
        for name in n.input:
            takers.setdefault(name, []).append(n)
    found = []
    for n in m.graph.node:
        if n.op_type not in ("Conv", "Add", "GlobalAveragePool", "Gemm", "QLinearConv", "QLinearAdd", "QLinearGlobalAveragePool", "QLinearAveragePool", "QGemm"):
            continue
        value, end = n.output[0], n.output[0] if n.op_type.startswith("Q") else None
        while True:
            last = next((t for t in takers.get(value, []) if t.op_type in ("QuantizeLinear", "DequantizeLinear", "Clip")), None)
            if last is None:
                break
            value = last.output[0]
            if last.op_type == "QuantizeLinear":
                end = value
        if end is not None:  # without there are numbers
            found.append((n.name, end))
    return found


results = {}
for file in sorted(os.listdir(here)):
    if not file.endswith(".onnx") or file[:-5] in ("conv_only", "float_first", "head_two"):
        continue
    m = onnx.load(os.path.join(here, file))
    found = taps(m)
    output = m.graph.output[0].name
    for name in dict.fromkeys(v for _, v in found):
        m.graph.output.append(helper.make_empty_tensor_value_info(name))
    o = ort.SessionOptions()
    o.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    o.add_session_config_entry("session.qdqisint8allowed", "1")
    s = ort.InferenceSession(m.SerializeToString(), o, providers=["CPUExecutionProvider"])
    rows = []
    for k in range(2):
        x = levels[k:k + 1] if file == "bytes_in.onnx" else photos[k:k + 1]
        names = [v.name for v in s.get_outputs()]
        rows.append(dict(zip(names, s.run(None, {"input": np.ascontiguousarray(x)}))))
    layers = []
    for node, value in found:
        both = np.concatenate([r[value].reshape(1, -1) for r in rows])
        assert both.dtype in (np.uint8, np.int8), (file, node)
        layers.append([node, int(both.size), zlib.crc32(both.tobytes())])
    results[file[:-5]] = dict(layers=layers, output=[[float(v) for v in r[output].ravel()] for r in rows])
with open(os.path.join(here, "bytes.json"), "w") as f:
    json.dump({"onnx": onnx.__version__, "onnxruntime": ort.__version__, "files": results}, f)
