"""Triton's gRPC client against a server: triton_grpc.py HOST:PORT MODEL PHOTO BEST CA

It is unmodified: pip install "tritonclient[grpc]". CA is the file of the server's
certificate, "" for cleartext. Prints what is answered of the photo, of which the test
knows what it is.
"""
import json
import queue
import sys

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

url, model, photo, label, ca = sys.argv[1:6]
client = triton.InferenceServerClient(url, ssl=bool(ca), root_certificates=ca or None)
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(model)
assert "classification" in client.get_server_metadata().extensions
assert [i.name for i in client.get_model_metadata(model).inputs] == ["image", "pixels"]
assert client.get_model_config(model).config.backend == "mobilenet"


def tensor(name, value, kind):
    t = triton.InferInput(name, list(value.shape), kind)
    t.set_data_from_numpy(value)
    return t


with open(photo, "rb") as f:
    files = np.array([[f.read()]] * 3, dtype=object)
image = tensor("image", files, "BYTES")
answers = [client.infer(model, [image], compression_algorithm=c) for c in (None, "gzip", "deflate")]
for a in answers:
    for name in ("logits", "probabilities", "embedding"):
        v = a.as_numpy(name)
        assert v.shape[0] == 3 and (v == answers[0].as_numpy(name)[0]).all(), name
maps = client.infer(model, [image], outputs=[triton.InferRequestedOutput("cam")], parameters={"cam_class": label}).as_numpy("cam")
assert maps.ndim == 4 and maps.shape[:2] == (3, 1) and (maps == maps[0]).all()
best = client.infer(model, [image], outputs=[triton.InferRequestedOutput("probabilities", class_count=2)], request_id="seven")
assert best.get_response().id == "seven"
assert best.as_numpy("probabilities")[0, 0].decode().endswith(":" + label)
shape = list(client.get_model_metadata(model + "-tensor").inputs[0].shape)
values = np.linspace(-1, 1, 2 * np.prod(shape[1:]), dtype=np.float32).reshape([2] + shape[1:])
assert client.infer(model + "-tensor", [tensor("input", values, "FP32")]).as_numpy("logits").shape[0] == 2
pixels = np.zeros((1, 40, 50, 3), np.uint8)
assert client.infer(model, [tensor("pixels", pixels, "UINT8")]).as_numpy("logits").shape[0] == 1

for name, value, status in ((model, np.array([[b"no photo"]], dtype=object), "INVALID_ARGUMENT"), ("none", files, "NOT_FOUND")):
    try:
        client.infer(name, [tensor("image", value, "BYTES")])
        raise SystemExit("no error of " + name)
    except InferenceServerException as e:
        assert e.message() and status in e.status(), e

came = queue.Queue()
client.start_stream(lambda result, error: came.put((result, error)))
client.async_stream_infer(model, [image], request_id="first")
client.async_stream_infer(model, [tensor("image", np.array([[b"no photo"]], dtype=object), "BYTES")])
client.async_stream_infer(model, [image], request_id="third")
results = [came.get(timeout=60) for _ in range(3)]
client.stop_stream()
assert results[0][0].get_response().id == "first" and results[1][1] is not None and results[2][0].get_response().id == "third"

assert client.get_inference_statistics(model).model_stats[0].inference_stats.success.count >= 4
assert any(m.name == model and m.state == "READY" for m in client.get_model_repository_index().models)
client.unload_model(model)
assert not client.is_model_ready(model)
client.load_model(model)
assert client.is_model_ready(model)
client.close()
print(json.dumps({name: [float(v) for v in answers[0].as_numpy(name)[0]] for name in ("logits", "probabilities", "embedding")}))
