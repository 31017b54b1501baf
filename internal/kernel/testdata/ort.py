"""Writes ort.json: what ONNX Runtime makes of quantised operators.

    pip install onnxruntime onnx numpy && python3 ort.py

Run it on a CPU with VNNI: on x86 without, ONNX Runtime adds pairs of products in
16 bits, which saturates. Half of the cases have scales of powers of two, so that
ties come up.
"""
import base64
import json
import os
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

if "vnni" not in open("/proc/cpuinfo").read():
    sys.exit("this CPU has no VNNI")
rng = np.random.default_rng(16)


def run(op, inputs, dtype, domain="", **attributes):
    """Runs one node, whose inputs but the first are constants."""
    node = helper.make_node(op, list(inputs), ["y"], domain=domain, **attributes)
    return model([node], inputs, dtype)


def model(nodes, inputs, dtype):
    first, *rest = inputs
    x = inputs[first]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(first, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)],
        [helper.make_tensor_value_info("y", dtype, None)],
        [numpy_helper.from_array(inputs[name], name) for name in rest])
    m = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13), helper.make_opsetid("com.microsoft", 1)])
    m.ir_version = 10
    session = onnxruntime.InferenceSession(m.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {first: x})[0]


def scale(ties, low, high):
    if ties:
        return np.float32(2.0 ** rng.integers(np.floor(np.log2(low)), np.ceil(np.log2(high))))
    return np.float32(rng.uniform(low, high))


def u8(*shape):
    return rng.integers(0, 256, shape).astype(np.uint8)


def data(a):
    return base64.b64encode(np.ascontiguousarray(a).tobytes()).decode()


cases = []


def add(op, **fields):
    for name, v in fields.items():
        if isinstance(v, np.ndarray):
            fields[name] = data(v)
        elif isinstance(v, np.generic):
            fields[name] = v.item()
    cases.append(dict(op=op, **fields))


def layer(ties, shape, k):
    """Scales, zero points and a bias that bring most outputs into their range."""
    n = shape[0]
    sx = scale(ties, 0.01, 0.1)
    sy = scale(ties, 0.01, 0.1)
    sw = np.array([scale(ties, 0.2, 1) for _ in range(n)], np.float32) * sy / sx / np.float32(2 ** round(np.log2(k)) / 4)
    sw = sw.astype(np.float32)
    return sx, sw, sy, *rng.integers(0, 256, 2).astype(np.uint8), rng.integers(-3000, 3000, n).astype(np.int32)


def convolution(kind, ties, shape, size, stride=1, group=1, wide=False):
    """wide: uint8 weights of one scale and one zero point."""
    n, c, kh, kw = shape
    sx, sw, sy, zx, zy, bias = layer(ties, shape, c * kh * kw)
    if wide:
        sw, zw, w = sw[0], np.uint8(rng.integers(0, 256)), u8(*shape)
    else:
        zw, w = np.zeros(n, np.int8), rng.integers(-127, 128, shape).astype(np.int8)
    x = u8(1, c * group, *size)
    pads = [1, 1, 1, 1] if kh == 3 else [0] * 4
    y = run("QLinearConv", dict(x=x, sx=sx, zx=np.array(zx), w=w, sw=np.array(sw), zw=np.array(zw), sy=sy, zy=np.array(zy), b=bias),
            TensorProto.UINT8, group=group, strides=[stride] * 2, pads=pads, kernel_shape=[kh, kw])
    m = (sx * np.atleast_1d(sw).astype(np.float32)).astype(np.float32) / sy
    add(kind, n=n, k=c * kh * kw, h=size[0], w=size[1], stride=stride, x=x, weights=w, zw=int(zw) if wide else None,
        bias=bias, m=np.broadcast_to(m.astype(np.float32), (n,)), zx=zx, zy=zy, y=y)


for ties in (False, True):
    for c, n, size in ((3, 8, (1, 1)), (16, 24, (3, 5)), (33, 12, (2, 8)), (96, 10, (1, 3))):
        convolution("pointwise", ties, (n, c, 1, 1), size)
    convolution("pointwise", ties, (16, 12, 1, 1), (3, 5), wide=True)
    for stride, size in ((1, (2, 6)), (2, (3, 5)), (2, (4, 4))):
        convolution("depthwise", ties, (32, 1, 3, 3), size, stride, group=32)
    convolution("depthwise", ties, (32, 1, 3, 3), (2, 3), group=32, wide=True)
    convolution("first", ties, (10, 3, 3, 3), (4, 14), 2)

    # The classifier, with logits as bytes and as float32.
    n, k = 12, 70
    sx, sw, sy, zx, zy, bias = layer(ties, (n,), k)
    x, w = u8(2, k), rng.integers(-127, 128, (n, k)).astype(np.int8)
    inputs = dict(x=x, sx=sx, zx=np.array(zx), w=w, sw=sw, zw=np.zeros(n, np.int8), b=bias)
    bytes_ = run("QGemm", dict(inputs, sy=sy, zy=np.array(zy)), TensorProto.UINT8, "com.microsoft", transB=1)
    floats = run("QGemm", inputs, TensorProto.FLOAT, "com.microsoft", transB=1)
    products = (sx * sw).astype(np.float32)
    add("classifier", n=n, k=k, h=1, w=2, x=x, weights=w, bias=bias, m=(products / sy).astype(np.float32),
        products=products, zx=zx, zy=zy, y=bytes_, floats=floats)
    nobias = run("QLinearMatMul", dict(x=x, sx=sx, zx=np.array(zx), w=np.ascontiguousarray(w.T), sw=sw, zw=np.zeros(n, np.int8), sy=sy, zy=np.array(zy)), TensorProto.UINT8)
    add("classifier", n=n, k=k, h=1, w=2, x=x, weights=w, bias=np.zeros(n, np.int32), m=(products / sy).astype(np.float32),
        zx=zx, zy=zy, y=nobias)

    for n in (32, 96):
        a, b = u8(1, n, 1, 1), u8(1, n, 1, 1)
        if ties:  # close to ties
            sa, sb, sc = (np.float32(rng.integers(1, 20) / 10), np.float32(rng.integers(1, 20) / 10), np.float32(rng.integers(1, 4)))
        else:
            sa, sb, sc = scale(False, 0.01, 0.1), scale(False, 0.01, 0.1), scale(False, 0.02, 0.2)
        za, zb, zc = rng.integers(0, 256, 3).astype(np.uint8)
        y = run("QLinearAdd", dict(a=a, sa=sa, za=np.array(za), b=b, sb=sb, zb=np.array(zb), sc=sc, zc=np.array(zc)), TensorProto.UINT8, "com.microsoft")
        add("add", x=a, b=b, sa=sa, sb=sb, sc=sc, za=za, zb=zb, zc=zc, y=y)

    for h, w in ((1, 1), (5, 5)):
        x, sx, sy = u8(1, 32, h, w), scale(ties, 0.01, 0.1), scale(ties, 0.01, 0.1)
        zx, zy = rng.integers(0, 256, 2).astype(np.uint8)
        y = run("QLinearGlobalAveragePool", dict(x=x, sx=sx, zx=np.array(zx), sy=sy, zy=np.array(zy)), TensorProto.UINT8, "com.microsoft", channels_last=0)
        qdq = model([helper.make_node("DequantizeLinear", ["x", "sx", "zx"], ["f"]), helper.make_node("GlobalAveragePool", ["f"], ["g"]),
                     helper.make_node("QuantizeLinear", ["g", "sy", "zy"], ["y"])], dict(x=x, sx=sx, zx=np.array(zx), sy=sy, zy=np.array(zy)), TensorProto.UINT8)
        assert (y == qdq).all(), "the optimised pool isn't the operator"
        add("pool", h=h, w=w, x=x, sx=sx, sy=sy, zx=zx, zy=zy, y=y)

    # x*(1/scale) is x/scale where the scale is a power of two.
    s, z = np.float32(0.25), np.uint8(rng.integers(0, 256))
    x = (rng.integers(-300, 300, 70) / 8 if ties else rng.uniform(-40, 40, 70)).astype(np.float32)
    add("quantize", x=x, sx=s, zy=z, y=run("QuantizeLinear", dict(x=x, s=s, z=np.array(z)), TensorProto.UINT8))


def added(dtype, move, a, b, sa, sb, sc, za, zb, zc):
    """QLinearAdd of bytes of a type, which are a and b less move."""
    zero = lambda z: np.array(z - move, dtype)
    inputs = dict(a=(a - move).astype(dtype), sa=sa, za=zero(za), b=(b - move).astype(dtype), sb=sb, zb=zero(zb), sc=sc, zc=zero(zc))
    return run("QLinearAdd", inputs, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), "com.microsoft").astype(int) + move


# Signed bytes round at other places than the same ones plus 128 do: two values of a million.
every_a, every_b = (v.ravel().reshape(1, -1, 1, 1) for v in np.meshgrid(np.arange(256), np.arange(256)))
found = 0
while found < 2:
    sa, sb, sc = scale(False, 0.01, 0.2), scale(False, 0.01, 0.2), scale(False, 0.01, 0.2)
    za, zb, zc = (int(z) for z in rng.integers(0, 256, 3))
    y = added(np.int8, 128, every_a, every_b, sa, sb, sc, za, zb, zc)
    differ = np.flatnonzero(y != added(np.uint8, 0, every_a, every_b, sa, sb, sc, za, zb, zc))
    if len(differ):
        at = np.concatenate([differ[:8], rng.choice(every_a.size, 64, replace=False)])[:64]
        pick = lambda v: v.ravel()[at].reshape(1, -1, 1, 1).astype(np.uint8)
        add("add", x=pick(every_a), b=pick(every_b), sa=sa, sb=sb, sc=sc, za=za, zb=zb, zc=zc, origin=128, y=pick(y))
        found += 1

versions = dict(onnxruntime=onnxruntime.__version__, onnx=onnx.__version__, numpy=np.__version__)
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "ort.json"), "w") as f:
    f.write('{"versions": %s, "cases": [\n' % json.dumps(versions))
    f.write(",\n".join(json.dumps(c) for c in cases))
    f.write("\n]}\n")
