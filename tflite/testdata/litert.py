"""Runs .tflite files in LiteRT's default kernels, for TestLiteRT.

    python3 litert.py FOLDER

Beside each NAME.tflite lies NAME.bin, one image for its input. NAME.json becomes what
LiteRT computes: the logits, and hashes of the tensors of bytes (see golden.py).
"""
import glob
import hashlib
import json
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter

for path in glob.glob(sys.argv[1] + "/*.tflite"):
    i = Interpreter(path, experimental_preserve_all_tensors=True, num_threads=1)
    i.allocate_tensors()
    x = i.get_input_details()[0]
    i.set_tensor(x["index"], np.fromfile(path[:-6] + "bin", x["dtype"]).reshape(x["shape"]))
    i.invoke()
    ops = i._get_ops_details()
    hashes = []
    for o in ops:
        data = i.get_tensor(int(o["outputs"][0])) if o["op_name"] != "DELEGATE" else np.zeros(0)
        if data.dtype == np.int8 and o["op_name"] in ("CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MEAN", "AVERAGE_POOL_2D"):
            hashes.append(hashlib.sha256((data.astype(np.int16) + 128).astype(np.uint8).tobytes()).hexdigest()[:16])
    last = [o for o in ops if o["op_name"] in ("SOFTMAX", "LOGISTIC")][-1]
    logits = [float(v) for v in i.get_tensor(int(last["inputs"][0])).reshape(-1)]
    with open(path[:-6] + "json", "w") as f:
        json.dump({"logits": logits, "bytes": hashes}, f)
