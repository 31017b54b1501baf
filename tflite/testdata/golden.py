"""Writes .tflite files as other tools write them, and what LiteRT computes with each.

    python3 tflite/testdata/golden.py        (ai-edge-litert, numpy, pillow, and Go)

float.tflite, half.tflite and same.tflite are written by this project from
checkpoints of torch and transformers in checkpoint/testdata; no TensorFlow is
needed. The others are made of them here with LiteRT's own schema: the same
network in the operators that TensorFlow's converters use, without what the
project's writer says of itself. logits.json has LiteRT's answers, of its default
kernels, and the versions.

The input is not stored: value i of the batch [2][64][64][3] is
((i * 2654435761) >> 13 & 255) / 64 - 2, and where the input is levels, those of
((i * 2654435761) >> 13 & 255).
"""
import glob
import hashlib
import io
import json
import os
import subprocess
import tempfile
import zipfile

import ai_edge_litert
import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as s
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

here = os.path.dirname(os.path.abspath(__file__))
root = os.path.dirname(os.path.dirname(here))
levels = ((np.arange(2 * 64 * 64 * 3, dtype=np.uint64) * 2654435761 >> 13) & 255).astype(np.uint8).reshape(2, 64, 64, 3)
numbers = levels.astype(np.float32) / 64 - 2


def path(name):
    return os.path.join(here, name)


def convert(source, name, *flags):
    subprocess.run(["go", "run", "./cmd/mobilenet", "convert", "--resolution", "64", *flags, source, path(name)],
                   cwd=root, check=True, stdout=subprocess.DEVNULL)


def read(name):
    with open(path(name), "rb") as f:
        return s.ModelT.InitFromPackedBuf(f.read(), 0)


def write(name, m, labels=None):
    """Without entries of our own, as if somebody else had written it."""
    m.metadata = [e for e in m.metadata if not e.name.startswith(b"mobilenet.")]
    b = flatbuffers.Builder(1 << 16)
    b.Finish(m.Pack(b), b"TFL3")
    data = bytes(b.Output())
    if labels:
        archive = io.BytesIO(data)
        archive.seek(0, os.SEEK_END)
        with zipfile.ZipFile(archive, "a") as z:
            z.writestr(zipfile.ZipInfo("labels.txt"), "\n".join(labels))
        data = archive.getvalue()
    with open(path(name), "wb") as f:
        f.write(data)


class Graph:
    """A model's graph, with what is needed to change it."""

    def __init__(self, m):
        self.m, self.g = m, m.subgraphs[0]
        for o in self.g.operators:
            o.inputs, o.outputs = [int(t) for t in o.inputs], [int(t) for t in o.outputs]

    def code(self, o):
        return self.m.operatorCodes[o.opcodeIndex].builtinCode

    def tensor(self, name, shape, kind, data=None, scale=None, zero=None, axis=0):
        t = s.TensorT()
        t.name, t.shape, t.type, t.buffer = name, list(shape), kind, 0
        if scale is not None:
            q = s.QuantizationParametersT()
            q.scale, q.zeroPoint, q.quantizedDimension = list(scale), list(zero), axis
            t.quantization = q
        if data is not None:
            buffer = s.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            self.m.buffers.append(buffer)
            t.buffer = len(self.m.buffers) - 1
        self.g.tensors.append(t)
        return len(self.g.tensors) - 1

    def operator(self, code, version, inputs, outputs, kind=0, options=None):
        for i, c in enumerate(self.m.operatorCodes):
            if (c.builtinCode, c.version) == (code, version):
                break
        else:
            c = s.OperatorCodeT()
            c.builtinCode, c.deprecatedBuiltinCode, c.version = code, min(code, 127), version
            self.m.operatorCodes.append(c)
            i = len(self.m.operatorCodes) - 1
        o = s.OperatorT()
        o.opcodeIndex, o.inputs, o.outputs = i, list(inputs), list(outputs)
        o.builtinOptionsType, o.builtinOptions = kind, options
        return o

    def data(self, t, kind=np.float32):
        t = self.g.tensors[t]
        return np.frombuffer(bytes(self.m.buffers[t.buffer].data), kind).reshape(t.shape)


def slim():
    """As the converter writes Slim's network: an average pool, a 1x1 convolution, labels."""
    x = Graph(read("same.tflite"))
    g, ops = x.g, []
    for o in g.operators:
        if x.code(o) == s.BuiltinOperator.MEAN:
            n, h, w, c = g.tensors[o.inputs[0]].shape
            p = s.Pool2DOptionsT()
            p.padding, p.strideW, p.strideH, p.filterWidth, p.filterHeight = 1, w, h, w, h
            pooled = x.tensor("pool", [1, 1, 1, c], 0)
            ops.append(x.operator(s.BuiltinOperator.AVERAGE_POOL_2D, 1, [o.inputs[0]], [pooled], s.BuiltinOptions.Pool2DOptions, p))
        elif x.code(o) == s.BuiltinOperator.FULLY_CONNECTED:
            weight = g.tensors[o.inputs[1]]
            classes, c = weight.shape
            weight.shape = [classes, 1, 1, c]
            p = s.Conv2DOptionsT()
            p.strideW = p.strideH = 1
            map1 = x.tensor("Conv2d_1c_1x1", [1, 1, 1, classes], 0)
            ops.append(x.operator(s.BuiltinOperator.CONV_2D, 1, [pooled, o.inputs[1], o.inputs[2]], [map1], s.BuiltinOptions.Conv2DOptions, p))
            q = s.SqueezeOptionsT()
            q.squeezeDims = [1, 2]
            ops.append(x.operator(s.BuiltinOperator.SQUEEZE, 1, [map1], [o.outputs[0]], s.BuiltinOptions.SqueezeOptions, q))
        else:
            ops.append(o)
    g.operators = ops
    write("slim.tflite", x.m, ["background", "ant", "bee", "cat", "dog"])


def keras():
    """As the converter writes Keras' network where nothing is fused: ZeroPadding2D, RELU6
    as operators, levels that are rescaled in the graph."""
    x = Graph(read("same.tflite"))
    g, ops = x.g, []
    at = g.inputs[0]
    for code, kind, options, value in (
        (s.BuiltinOperator.MUL, s.BuiltinOptions.MulOptions, s.MulOptionsT(), [1 / 127.5]),
        (s.BuiltinOperator.SUB, s.BuiltinOptions.SubOptions, s.SubOptionsT(), [1, 1, 1]),
    ):
        value = np.array(value, np.float32)
        c, y = x.tensor("constant", value.shape, 0, value), x.tensor("rescaled", [1, 64, 64, 3], 0)
        ops.append(x.operator(code, 1, [at, c], [y], kind, options))
        at = y
    g.operators[0].inputs[0] = at
    for o in g.operators:
        p = o.builtinOptions
        if x.code(o) in (s.BuiltinOperator.CONV_2D, s.BuiltinOperator.DEPTHWISE_CONV_2D):
            n, h, w, c = g.tensors[o.inputs[0]].shape
            if p.strideH == 2:
                p.padding = 1
                around = x.tensor("pads", [4, 2], 2, np.array([[0, 0], [0, 1], [0, 1], [0, 0]], np.int32))
                padded = x.tensor("padded", [1, h + 1, w + 1, c], 0)
                ops.append(x.operator(s.BuiltinOperator.PAD, 1, [o.inputs[0], around], [padded], s.BuiltinOptions.PadOptions, s.PadOptionsT()))
                o.inputs[0] = padded
            ops.append(o)
            if p.fusedActivationFunction == 3:
                p.fusedActivationFunction = 0
                raw = x.tensor("raw", g.tensors[o.outputs[0]].shape, 0)
                ops.append(x.operator(s.BuiltinOperator.RELU6, 1, [raw], [o.outputs[0]]))
                o.outputs = [raw]
        else:
            ops.append(o)
    g.operators = ops
    x.m.metadata = []
    write("keras.tflite", x.m)


def per_channel(w, axis):
    """Weights as int8 with a scale for each index of an axis."""
    others = tuple(i for i in range(w.ndim) if i != axis)
    scale = np.maximum(np.abs(w).max(axis=others), 1e-6) / 127
    shape = [-1 if i == axis else 1 for i in range(w.ndim)]
    return np.clip(np.rint(w / scale.reshape(shape)), -127, 127).astype(np.int8), scale.astype(np.float32)


def weights(name, hybrid):
    """Weights of int8 in a network of float32: dynamic range quantisation has them in the
    operators, weight only quantisation behind DEQUANTIZE."""
    x = Graph(read("float.tflite"))
    g, ops = x.g, []
    for o in g.operators:
        code = x.code(o)
        if code in (s.BuiltinOperator.CONV_2D, s.BuiltinOperator.DEPTHWISE_CONV_2D, s.BuiltinOperator.FULLY_CONNECTED):
            axis = 3 if code == s.BuiltinOperator.DEPTHWISE_CONV_2D else 0
            w, scale = per_channel(x.data(o.inputs[1]), axis)
            t = x.tensor("w8", w.shape, s.TensorType.INT8, w, scale, [0] * len(scale), axis)
            x.m.buffers[g.tensors[o.inputs[1]].buffer].data = None
            g.tensors[o.inputs[1]].buffer = 0
            if hybrid:
                o.inputs[1] = t
                version = {s.BuiltinOperator.CONV_2D: 5, s.BuiltinOperator.DEPTHWISE_CONV_2D: 6, s.BuiltinOperator.FULLY_CONNECTED: 12}[code]
                o = x.operator(code, version, o.inputs, o.outputs, o.builtinOptionsType, o.builtinOptions)
            else:
                y = x.tensor("w", w.shape, 0)
                ops.append(x.operator(s.BuiltinOperator.DEQUANTIZE, 2, [t], [y]))
                o.inputs[1] = y
        ops.append(o)
    g.operators = ops
    write(name, x.m)


def nchw():
    """As converters of PyTorch's networks write them: an input with its channels first."""
    x = Graph(read("float.tflite"))
    g = x.g
    first = x.tensor("args_0", [1, 3, 64, 64], 0)
    perm = x.tensor("perm", [4], 2, np.array([0, 2, 3, 1], np.int32))
    g.operators.insert(0, x.operator(s.BuiltinOperator.TRANSPOSE, 1, [first, perm], [g.inputs[0]], s.BuiltinOptions.TransposeOptions, s.TransposeOptionsT()))
    g.inputs = [first]
    x.m.signatureDefs, x.m.metadata = None, []
    write("nchw.tflite", x.m)


def quantize(source, name):
    """Our calibration, on noise: 8 photos of it."""
    with tempfile.TemporaryDirectory() as folder:
        for k in range(8):
            noise = np.random.default_rng(k).integers(0, 256, (8, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
            with open(os.path.join(folder, f"{k}.ppm"), "wb") as f:
                f.write(b"P6 64 64 255\n" + noise.tobytes())
        subprocess.run(["go", "run", "./cmd/mobilenet", "quantize", "-m", path(source), "-d", folder, "-o", path(name)],
                       cwd=root, check=True, stdout=subprocess.DEVNULL)


MULTIPLIED = (s.BuiltinOperator.CONV_2D, s.BuiltinOperator.DEPTHWISE_CONV_2D, s.BuiltinOperator.FULLY_CONNECTED)


def unsigned():
    """As TensorFlow wrote quantised networks before 2020: uint8 with one scale and zero
    point for all weights of a layer, an input of pixels, SOFTMAX of bytes."""
    x = Graph(read("same8.tflite"))
    g, ops = x.g, []
    for o in g.operators:
        code = x.code(o)
        if code in MULTIPLIED:
            t, b = g.tensors[o.inputs[1]], g.tensors[o.inputs[2]]
            shape = [1, 1, 1, -1] if code == s.BuiltinOperator.DEPTHWISE_CONV_2D else [-1, 1, 1, 1]
            w = x.data(o.inputs[1], np.int8) * np.array(t.quantization.scale, np.float32).reshape(shape)
            bias = x.data(o.inputs[2], np.int32) * np.array(b.quantization.scale, np.float64)
            low, high = min(w.min(), 0), max(w.max(), 0)
            scale = np.float32((high - low) / 254)
            zero = int(np.rint(1 - low / scale))
            w8 = np.clip(np.rint(w / scale) + zero, 1, 255).astype(np.uint8)
            sx = np.float32(g.tensors[o.inputs[0]].quantization.scale[0])
            bias = np.rint(bias / (sx * scale)).astype(np.int32)
            for t, data, sc, zp in ((t, w8, scale, zero), (b, bias, sx * scale, 0)):
                t.type = s.TensorType.UINT8 if data.dtype == np.uint8 else t.type
                t.quantization.scale, t.quantization.zeroPoint, t.quantization.quantizedDimension = [sc], [zp], 0
                x.m.buffers[t.buffer].data = np.frombuffer(data.tobytes(), np.uint8)
        if code == s.BuiltinOperator.QUANTIZE:
            g.inputs = [o.outputs[0]]
            continue
        if code == s.BuiltinOperator.DEQUANTIZE:
            logits = o.inputs[0]
            continue
        if code == s.BuiltinOperator.SOFTMAX:
            g.outputs = [x.tensor("softmax", [1, 5], s.TensorType.UINT8, None, [1 / 256], [0])]
            o = x.operator(code, 1, [logits], g.outputs, o.builtinOptionsType, o.builtinOptions)
        ops.append(x.operator(code, 1, o.inputs, o.outputs, o.builtinOptionsType, o.builtinOptions))
    for t in g.tensors:
        if t.type == s.TensorType.INT8:
            t.type, t.quantization.zeroPoint = s.TensorType.UINT8, [z + 128 for z in t.quantization.zeroPoint]
    g.operators = ops
    x.m.signatureDefs, x.m.metadata = None, []
    write("uint8.tflite", x.m)


def edge():
    """As TensorFlow's converter writes int8 for devices without numbers: pixels in and
    uint8 out, with QUANTIZE at both ends, and AVERAGE_POOL_2D."""
    x = Graph(read("same8.tflite"))
    g, ops = x.g, []
    for o in g.operators:
        code = x.code(o)
        if code == s.BuiltinOperator.QUANTIZE:
            q = g.tensors[o.outputs[0]].quantization
            g.inputs = [x.tensor("pixels", [1, 64, 64, 3], s.TensorType.UINT8, None, q.scale, [q.zeroPoint[0] + 128])]
            o.inputs = g.inputs
        if code == s.BuiltinOperator.MEAN:
            n, h, w, c = g.tensors[o.inputs[0]].shape
            p = s.Pool2DOptionsT()
            p.padding, p.strideW, p.strideH, p.filterWidth, p.filterHeight = 1, 1, 1, w, h
            pooled = g.tensors[o.outputs[0]].quantization
            rescaled = np.float32(g.tensors[o.inputs[0]].quantization.scale[0]) / np.float32(pooled.scale[0])
            g.tensors[o.outputs[0]].quantization = g.tensors[o.inputs[0]].quantization
            o = x.operator(s.BuiltinOperator.AVERAGE_POOL_2D, 2, o.inputs[:1], o.outputs, s.BuiltinOptions.Pool2DOptions, p)
        if code == s.BuiltinOperator.CONV_2D and list(g.tensors[o.outputs[0]].shape) == [1, 1, 1, 5]:
            b = g.tensors[o.inputs[2]]
            bias = np.rint(x.data(o.inputs[2], np.int32) / np.float64(rescaled)).astype(np.int32)
            b.quantization.scale = [np.float32(v * rescaled) for v in b.quantization.scale]
            x.m.buffers[b.buffer].data = np.frombuffer(bias.tobytes(), np.uint8)
        if code == s.BuiltinOperator.DEQUANTIZE:
            logits = o.inputs[0]
            continue
        if code == s.BuiltinOperator.SOFTMAX:
            y = x.tensor("softmax", [1, 5], s.TensorType.INT8, None, [1 / 256], [-128])
            g.outputs = [x.tensor("out", [1, 5], s.TensorType.UINT8, None, [1 / 256], [0])]
            ops.append(x.operator(code, 2, [logits], [y], o.builtinOptionsType, o.builtinOptions))
            o = x.operator(s.BuiltinOperator.QUANTIZE, 1, [y], g.outputs)
        ops.append(o)
    g.operators = ops
    x.m.signatureDefs = None
    write("edge.tflite", x.m)


def hashes(name, images=levels):
    """The bytes that LiteRT's default kernels make: of every tensor that a convolution, a
    sum or the pool puts out, all images in a row, plus 128 where they are int8."""
    i = Interpreter(path(name), experimental_preserve_all_tensors=True)
    i.allocate_tensors()
    kind = i.get_input_details()[0]["dtype"]
    sums = {}
    for k in range(len(images)):
        image = images[k:k + 1]
        if kind == np.float32:
            image = image.astype(np.float32) / np.float32(255)
            image = (image - MEANS[name]) / STDS[name]
        i.set_tensor(i.get_input_details()[0]["index"], image)
        i.invoke()
        for o in i._get_ops_details():
            if o["op_name"] in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "MEAN", "AVERAGE_POOL_2D"):
                t = int(o["outputs"][0])
                data = i.get_tensor(t)
                if data.dtype == np.int8:
                    data = (data.astype(np.int16) + 128).astype(np.uint8)
                sums.setdefault(t, hashlib.sha256()).update(data.tobytes())
    return [h.hexdigest()[:16] for h in sums.values()]


MEANS = {"int8.tflite": np.array([0.485, 0.456, 0.406], np.float32), "same8.tflite": np.float32(0.5)}
STDS = {"int8.tflite": np.array([0.229, 0.224, 0.225], np.float32), "same8.tflite": np.float32(0.5)}


def run(name):
    """What LiteRT computes: the tensor that SOFTMAX takes, of each image."""
    i = Interpreter(path(name), experimental_preserve_all_tensors=True)
    i.allocate_tensors()
    x = i.get_input_details()[0]
    rows = []
    for k in range(2):
        image = levels[k:k + 1].astype(np.float32) if name == "keras.tflite" else numbers[k:k + 1]
        if name == "nchw.tflite":
            image = image.transpose(0, 3, 1, 2)
        i.set_tensor(x["index"], np.ascontiguousarray(image))
        i.invoke()
        softmax = [o for o in i._get_ops_details() if o["op_name"] == "SOFTMAX"][0]
        rows.append([float(v) for v in i.get_tensor(softmax["inputs"][0]).reshape(-1)])
    return rows


convert("checkpoint/testdata/zip.pth", "float.tflite")
convert("checkpoint/testdata/zip.pth", "half.tflite", "--half")
convert("checkpoint/testdata/huggingface.safetensors", "same.tflite")
slim()
keras()
weights("hybrid.tflite", True)
weights("weights8.tflite", False)
nchw()
def coral():
    """The same of a file that TensorFlow's converter wrote, and of the middles of ten photos,
    where they are beside the project."""
    shared = os.path.join(root, "..", "shared")
    photos = sorted(glob.glob(os.path.join(shared, "images/nips17/*.png")))[:10]
    if not photos:
        return
    middles = [np.asarray(Image.open(p).convert("RGB"))[37:261, 37:261] for p in photos]
    with open(path("coral.json"), "w") as f:
        json.dump(hashes(os.path.join(shared, "weights/tf2_mobilenet_v2_1.0_224_ptq.tflite"), np.stack(middles)), f, indent=1)
        f.write("\n")


quantize("float.tflite", "int8.tflite")
quantize("same.tflite", "same8.tflite")
unsigned()
edge()
coral()
eight = ["edge.tflite", "int8.tflite", "same8.tflite", "uint8.tflite"]
names = sorted(n for n in os.listdir(here) if n.endswith(".tflite") and n not in eight)
with open(path("logits.json"), "w") as f:
    json.dump({
        "ai-edge-litert": ai_edge_litert.__version__, "numpy": np.__version__,
        "logits": {n: run(n) for n in names}, "bytes": {n: hashes(n) for n in eight},
    }, f, indent=1)
    f.write("\n")
