"""Adds what ONNX Runtime's tools make of kinds/plain.onnx, and records what ONNX Runtime
computes with every file.

    pip install onnx==1.23.2 onnxruntime==1.32.0
    python onnx/testdata/kinds_onnx.py

The input is that of checkpoint/testdata/golden.py, in levels from 0 to 255 for the files
that want these, and with blue first for those that want that.
"""
import glob
import json
import os

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime import quantization as q

here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "kinds")
ort.set_default_logger_severity(4)


def path(name):
    return os.path.join(here, name + ".onnx")


i = np.arange(2 * 64 * 64 * 3, dtype=np.uint64)
byte = ((i * 2654435761) >> 13 & 255).astype(np.float32).reshape(2, 64, 64, 3).transpose(0, 3, 1, 2)


class Reader(q.CalibrationDataReader):
    def __init__(self):
        self.left = [{"input": np.ascontiguousarray(v[None] / 64 - 2)} for v in byte]

    def get_next(self):
        return self.left.pop() if self.left else None


def static(name, form, **k):
    q.quantize_static(path("plain"), path(name), Reader(), quant_format=form, activation_type=q.QuantType.QUInt8,
                      weight_type=q.QuantType.QInt8, per_channel=True, **k)


q.quantize_dynamic(path("plain"), path("dynamic"), weight_type=q.QuantType.QUInt8)
static("qdq", q.QuantFormat.QDQ)
static("qoperator", q.QuantFormat.QOperator)
static("qdq_float_weights", q.QuantFormat.QDQ, reduce_range=True, extra_options={"AddQDQPairToWeight": True})
o = ort.SessionOptions()
o.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
o.optimized_model_filepath = path("ort_extended")
ort.InferenceSession(path("plain"), o, providers=["CPUExecutionProvider"])
for name, change in (("ir14", lambda m: setattr(m, "ir_version", 14)),
                     ("opset28", lambda m: setattr(m.opset_import[0], "version", 28))):
    m = onnx.load(path("plain"))
    change(m)
    onnx.save(m, path(name))

outputs = {}
for file in sorted(glob.glob(os.path.join(here, "*.onnx"))):
    name = os.path.basename(file)[:-5]
    try:
        s = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    except Exception as e:  # an opset that ONNX Runtime does not know yet
        print(name, str(e)[-200:])
        continue
    shape = s.get_inputs()[0].shape
    rows = []
    for v in byte:
        x = v if "levels" in name else v / 64 - 2
        if "bgr" in name or "flip" in name:
            x = x[::-1]
        x = np.ascontiguousarray(x[: shape[1], : shape[2], : shape[3]])[None]
        y = s.run(None, {"input": x})
        y = y[0] if name != "features_only" else y[0].mean((2, 3))
        rows.append([float("%.7g" % f) for f in y.reshape(-1)])
    outputs[name] = rows
with open(os.path.join(here, "outputs.json"), "w") as f:
    json.dump({"onnx": onnx.__version__, "onnxruntime": ort.__version__, "outputs": outputs}, f)
