#!/usr/bin/env python3
"""What ONNX Runtime computes with files of 8-bit integers that we write.

    python quantised.py

reads qdq.onnx and qoperator.onnx in quantised/, which "go test ./onnx -run
QuantizedFiles -update" writes, and writes quantised/onnxruntime.safetensors: the
output and what every module puts out in uint8, by the module's path, for the input
that input() makes. What another graph, or one with extended optimisation, computes
stands beside it if it differs: "qdq extended /features/features.3". The metadata has
the versions.
"""
import json
import pathlib
import struct

import numpy as np
import onnx
import onnxruntime as ort

HERE = pathlib.Path(__file__).parent / "quantised"
LEVELS = {
    "none": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
}


def input():
    """One image of 32x32 in quarters from -2.5 to 2.25, [1,3,32,32]."""
    i = np.arange(3 * 32 * 32, dtype=np.uint64)
    return (((i * 2654435761 >> 13) % 20).astype(np.float32) / 4 - 2.5).reshape(1, 3, 32, 32)


def tensors(path, level):
    """The output, and what modules put out in uint8: their last operators."""
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    made = {n.name.rsplit("/", 1)[0]: n.output[0] for n in model.graph.node
            if n.op_type in ("QuantizeLinear", "QLinearConv", "QLinearAdd", "QLinearGlobalAveragePool", "Clip")}
    for name in made.values():
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, None))
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options)
    results = session.run(["output", *made.values()], {"images": input()})
    return dict(zip(["output", *made], results))


def save(path, arrays, metadata):
    """The format of safetensors."""
    types = {"float32": "F32", "uint8": "U8"}
    header, body = {"__metadata__": metadata}, b""
    for name, a in sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0])):
        header[name] = {"dtype": types[a.dtype.name], "shape": a.shape, "data_offsets": [len(body), len(body) + a.nbytes]}
        body += a.tobytes()
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def main():
    arrays = {}
    for form in ("qoperator", "qdq"):
        for level in LEVELS:
            for name, a in tensors(HERE / f"{form}.onnx", LEVELS[level]).items():
                a = np.ascontiguousarray(a)
                first = arrays.setdefault(name, a)
                if not np.array_equal(first, a):
                    print(form, level, name, np.sum(first != a), "of", a.size, "differ")
                    arrays[f"{form} {level} {name}"] = a
    save(HERE / "onnxruntime.safetensors", arrays, {"onnx": onnx.__version__, "onnxruntime": ort.__version__})


if __name__ == "__main__":
    main()
