"""Triton's HTTP client against a server: triton.py HOST:PORT MODEL PHOTO BEST COUNT

It is unmodified: pip install "tritonclient[http]". Prints the logits of the photo, of
which the test knows what they are.
"""
import json
import sys

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

url, model, photo, label = sys.argv[1:5]
client = triton.InferenceServerClient(url, network_timeout=60, connection_timeout=60)
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(model)
assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
assert [i["name"] for i in client.get_model_metadata(model)["inputs"]] == ["image", "pixels"]
assert client.get_model_config(model)["backend"] == "mobilenet"


def tensor(name, value, kind, binary=True):
    t = triton.InferInput(name, list(value.shape), kind)
    t.set_data_from_numpy(value, binary_data=binary)
    return t


with open(photo, "rb") as f:
    files = np.array([[f.read()]] * 3, dtype=object)
image = tensor("image", files, "BYTES")
answers = [client.infer(model, [image], request_compression_algorithm=c, response_compression_algorithm=c) for c in (None, "gzip", "deflate")]
answers.append(client.infer(model, [image], outputs=[triton.InferRequestedOutput(n, binary_data=False) for n in ("logits", "probabilities", "embedding")]))
for a in answers:
    for name in ("logits", "probabilities", "embedding"):
        v = a.as_numpy(name)
        assert v.shape[0] == 3 and (v == answers[0].as_numpy(name)[0]).all(), name

best = client.infer(model, [image], outputs=[triton.InferRequestedOutput("probabilities", class_count=2)], request_id="seven")
assert best.get_response()["id"] == "seven"
assert best.as_numpy("probabilities").shape == (3, 2)
assert best.as_numpy("probabilities")[0, 0].decode().endswith(":" + label)

shape = client.get_model_metadata(model + "-tensor")["inputs"][0]["shape"]
values = np.linspace(-1, 1, 2 * np.prod(shape[1:]), dtype=np.float32).reshape([2] + shape[1:])
binary = client.infer(model + "-tensor", [tensor("input", values, "FP32")]).as_numpy("logits")
text = client.infer(model + "-tensor", [tensor("input", values, "FP32", binary=False)]).as_numpy("logits")
assert binary.shape[0] == 2 and (binary == text).all()
pixels = np.zeros((1, 40, 50, 3), np.uint8)
assert client.infer(model, [tensor("pixels", pixels, "UINT8")]).as_numpy("logits").shape[0] == 1

for name, value in ((model, np.array([[b"no photo"]], dtype=object)), ("none", files)):
    try:
        client.infer(name, [tensor("image", value, "BYTES")])
        raise SystemExit("no error of " + name)
    except InferenceServerException as e:
        assert e.message(), e
assert client.get_inference_statistics(model)["model_stats"][0]["inference_stats"]["success"]["count"] >= 5
assert {"name": model, "version": "1", "state": "READY"} in client.get_model_repository_index()
client.unload_model(model)
assert not client.is_model_ready(model)
client.load_model(model)
assert client.is_model_ready(model)
print(json.dumps([float(v) for v in answers[0].as_numpy("logits")[0]]))
