"""What the peers share: a photo's bytes to the best classes, by Pillow and ONNX Runtime."""
import io
import os

import numpy as np
import onnxruntime
from PIL import Image

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


def session():
    """One thread a worker, as there is a worker for each core."""
    o = onnxruntime.SessionOptions()
    o.intra_op_num_threads = 1
    o.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(os.environ["MODEL"], o, providers=["CPUExecutionProvider"])


def classify(run, data):
    image = Image.open(io.BytesIO(data)).convert("RGB")
    w, h = image.size
    size = (256, int(256 * h / w)) if w <= h else (int(256 * w / h), 256)
    image = image.resize(size, Image.BILINEAR)
    x, y = round((size[0] - 224) / 2), round((size[1] - 224) / 2)
    pixels = np.asarray(image.crop((x, y, x + 224, y + 224)), np.float32) / 255
    batch = ((pixels - MEAN) / STD).transpose(2, 0, 1)[None]
    logits = run.run(None, {run.get_inputs()[0].name: batch})[0][0]
    e = np.exp(logits - logits.max())
    best = np.argsort(-logits)[:5]
    return [{"index": int(i), "probability": float(e[i] / e.sum())} for i in best]
