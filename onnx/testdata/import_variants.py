"""Rewrites the small network's export as other tools write such graphs, and
records what ONNX Runtime computes with each file.

    pip install onnx onnxruntime onnxsim
    python onnx/testdata/import_variants.py

The input is that of checkpoint/testdata/golden.py.
"""
import json
import os

import numpy as np
import onnx
import onnxruntime
import onnxsim
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization

here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "import")


def path(name):
    return os.path.join(here, name)


i = np.arange(2 * 64 * 64 * 3, dtype=np.uint64)
x = (((i * 2654435761) >> 13 & 255).astype(np.float32) / 64 - 2).reshape(2, 64, 64, 3)
NCHW = x.transpose(0, 3, 1, 2).copy()


def save(name, nodes, init, opset, nhwc=False, classes=5, elem=TensorProto.FLOAT, **options):
    shape = ["n", 64, 64, 3] if nhwc else ["n", 3, 64, 64]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("in", elem, shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", classes])],
        [numpy_helper.from_array(np.ascontiguousarray(v), k) for k, v in init.items()])
    m = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(m)
    onnx.save(m, path(name), **options)


# The convolutions of the folded network in the order they run: weight, bias,
# stride, groups, ReLU6, and the index of the convolution whose output is added.
base = onnx.load(path("torch_eval17_dynamic.onnx"))
weights = {t.name: numpy_helper.to_array(t) for t in base.graph.initializer}
convs = [n for n in base.graph.node if n.op_type == "Conv"]
gemm = [n for n in base.graph.node if n.op_type == "Gemm"][0]
head, head_bias = weights[gemm.input[1]], weights[gemm.input[2]]
makers = {o: n for n in base.graph.node for o in n.output}
takers = {}
for n in base.graph.node:
    for k in n.input:
        takers.setdefault(k, []).append(n)


def conv_before(value):
    n = makers[value]
    return convs.index(n) if n.op_type == "Conv" else conv_before(n.input[0])


layers = []
for c in convs:
    a = {k.name: helper.get_attribute_value(k) for k in c.attribute}
    t = takers[c.output[0]]
    adds = [n for n in t if n.op_type == "Add" and n.input[1] == c.output[0]]
    layers.append(dict(w=weights[c.input[1]], b=weights[c.input[2]], stride=a["strides"][0], group=a["group"],
                       relu=any(n.op_type == "Clip" for n in t),
                       add=conv_before(adds[0].input[0]) if adds else None))


class Graph:
    def __init__(self):
        self.nodes, self.init, self.count = [], {}, 0

    def value(self):
        self.count += 1
        return "v%d" % self.count

    def const(self, v, dtype=np.float32):
        name = "c%d" % len(self.init)
        self.init[name] = np.array(v, dtype)
        return name

    def op(self, kind, *inputs, out=None, **attrs):
        out = out or self.value()
        self.nodes.append(helper.make_node(kind, list(inputs), [out], **attrs))
        return out


def network(g, at, conv, relu, head):
    outs = []
    for l in layers:
        at = conv(g, at, l)
        if l["add"] is not None:
            at = g.op("Add", at, outs[l["add"]])
        if l["relu"]:
            at = relu(g, at)
        outs.append(at)
    head(g, at)


def plain_conv(g, at, l):
    k = l["w"].shape[2]
    return g.op("Conv", at, g.const(l["w"]), g.const(l["b"]), kernel_shape=[k, k], strides=[l["stride"]] * 2,
                pads=[k // 2] * 4, group=l["group"])


def clip(g, at):
    return g.op("Clip", at, g.const(0), g.const(6))


def gap_gemm(g, at):
    at = g.op("Flatten", g.op("GlobalAveragePool", at), axis=1)
    g.op("Gemm", at, g.const(head), g.const(head_bias), transB=1, out="out")


# As torch 2's dynamo exporter: constants as initialisers, ReduceMean with axes as
# input, Reshape, Gemm.
def dynamo_head(g, at):
    at = g.op("ReduceMean", at, g.const([-1, -2], np.int64), keepdims=1, noop_with_empty_axes=0)
    at = g.op("Reshape", at, g.const([-1, 64], np.int64), allowzero=1)
    g.op("Gemm", at, g.const(head), g.const(head_bias), transB=1, alpha=1.0, beta=1.0, out="out")


g = Graph()
network(g, "in", plain_conv, clip, dynamo_head)
save("dynamo18.onnx", g.nodes, g.init, 18)


# As hand-written converters: Max and Min, Constant nodes, MatMul and Add, two
# means, Softmax left out.
def max_min(g, at):
    return g.op("Min", g.const(6), g.op("Max", at, g.const(0)))


def matmul_head(g, at):
    at = g.op("ReduceMean", g.op("ReduceMean", at, axes=[2], keepdims=0), axes=[2], keepdims=0)
    g.op("Add", g.const(head_bias), g.op("MatMul", at, g.const(head.T)), out="out")


g = Graph()
network(g, "in", plain_conv, max_min, matmul_head)
constants = [helper.make_node("Constant", [], [k], value=numpy_helper.from_array(np.ascontiguousarray(v))) for k, v in g.init.items()]
save("constants13.onnx", constants + g.nodes, {}, 13)


# As tf2onnx: channels last outside, TensorFlow's padding (a Pad node, or
# auto_pad), the norm as Mul and Add, transposed weights, a 1x1 convolution as
# the classifier.
def tf_conv(g, at, l):
    k, w = l["w"].shape[2], l["w"]
    scale = np.linspace(0.5, 2, w.shape[0]).astype(np.float32)
    w = g.op("Transpose", g.const((w / scale[:, None, None, None]).transpose(2, 3, 1, 0)), perm=[3, 2, 0, 1])
    attrs = dict(kernel_shape=[k, k], strides=[l["stride"]] * 2, group=l["group"])
    if l["stride"] == 2 and g.count % 2 == 0:
        at = g.op("Pad", at, g.const([0, 0, 0, 0, 0, 0, 1, 1], np.int64))
        at = g.op("Conv", at, w, **attrs)
    else:
        at = g.op("Conv", at, w, auto_pad="SAME_UPPER", **attrs)
    at = g.op("Mul", at, g.const(scale.reshape(1, -1, 1, 1)))
    return g.op("Add", at, g.const(l["b"].reshape(1, -1, 1, 1)))


def conv_head(g, at):
    at = g.op("GlobalAveragePool", at)
    at = g.op("Conv", at, g.const(head[:, :, None, None]), g.const(head_bias))
    g.op("Squeeze", at, g.const([2, 3], np.int64), out="out")


g = Graph()
network(g, g.op("Transpose", "in", perm=[0, 3, 1, 2]), tf_conv, lambda g, at: g.op("Min", g.op("Relu", at), g.const(6)), conv_head)
save("tf2onnx15.onnx", g.nodes, g.init, 15, nhwc=True)

# Half precision with casts around, and weights in a file of their own.
g = Graph()
half = g.op("Cast", "in", to=TensorProto.FLOAT16)


def half_const(g, v):
    return g.const(v, np.float16)


network(g, half,
        lambda g, at, l: g.op("Conv", at, half_const(g, l["w"]), half_const(g, l["b"]), strides=[l["stride"]] * 2,
                              pads=[l["w"].shape[2] // 2] * 4, group=l["group"], kernel_shape=list(l["w"].shape[2:])),
        lambda g, at: g.op("Clip", at, half_const(g, 0), half_const(g, 6)),
        lambda g, at: g.op("Cast", g.op("Gemm", g.op("Flatten", g.op("GlobalAveragePool", at)), half_const(g, head),
                                        half_const(g, head_bias), transB=1), to=TensorProto.FLOAT, out="out"))
save("half13.onnx", g.nodes, g.init, 13)
g = Graph()
network(g, "in", plain_conv, clip, gap_gemm)
if os.path.exists(path("external13.bin")):
    os.remove(path("external13.bin"))
save("external13.onnx", g.nodes, g.init, 13, save_as_external_data=True, location="external13.bin", size_threshold=64)

simplified, ok = onnxsim.simplify(onnx.load(path("torch_preserve13.onnx")))
assert ok
onnx.save(simplified, path("onnxsim13.onnx"))


class Reader(quantization.CalibrationDataReader):
    def __init__(self, name):
        self.left = [{name: v[None]} for v in NCHW]

    def get_next(self):
        return self.left.pop() if self.left else None


for name, kind in (("qdq13.onnx", quantization.QuantFormat.QDQ), ("qoperator13.onnx", quantization.QuantFormat.QOperator)):
    quantization.quantize_static(path("torch_eval17_dynamic.onnx"), path(name), Reader("images"), quant_format=kind,
                                 per_channel=True, weight_type=quantization.QuantType.QInt8)

logits = {}
for name in sorted(os.listdir(here)):
    if not name.endswith(".onnx") or "train" in name:
        continue
    session = onnxruntime.InferenceSession(path(name), providers=["CPUExecutionProvider"])
    feed = session.get_inputs()[0]
    images = x if name.startswith("tf") else NCHW
    logits[name] = [session.run(None, {feed.name: v[None]})[0].reshape(-1).tolist() for v in images]
with open(path("logits.json"), "w") as f:
    json.dump({"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__, "onnxsim": onnxsim.__version__,
               "logits": logits}, f)
