"""Triton's HTTP client against a server: triton.py HOST:PORT MODEL PHOTO BEST CA

It is unmodified: pip install "tritonclient[http]". CA is the file of the server's
certificate, "" for cleartext. Prints what is answered of the photo, of which the test
knows what it is.
"""
import json
import ssl
import sys

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

url, model, photo, label, ca = sys.argv[1:6]
client = triton.InferenceServerClient(
    url, network_timeout=60, connection_timeout=60, ssl=bool(ca), ssl_context_factory=(lambda: ssl.create_default_context(cafile=ca)) if ca else None
)
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

raw = client.infer(model, [image], outputs=[triton.InferRequestedOutput("logits", binary_data=True)])
assert (raw.as_numpy("logits") == answers[0].as_numpy("logits")).all() and raw.as_numpy("embedding") is None
later = [client.async_infer(model, [image]) for _ in range(4)]
assert all((r.get_result().as_numpy("logits") == answers[0].as_numpy("logits")).all() for r in later)

maps = client.infer(model, [image], outputs=[triton.InferRequestedOutput("cam")], parameters={"cam_class": label}).as_numpy("cam")
assert maps.ndim == 4 and maps.shape[:2] == (3, 1) and (maps == maps[0]).all()
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

for name, value, status in ((model, np.array([[b"no photo"]], dtype=object), "415"), ("none", files, "404")):
    try:
        client.infer(name, [tensor("image", value, "BYTES")])
        raise SystemExit("no error of " + name)
    except InferenceServerException as e:
        assert e.message() and e.status() == status, (e.message(), e.status())
for ask in (lambda: client.get_model_metadata("none"), lambda: client.load_model("none"), client.get_system_shared_memory_status):
    try:
        ask()
        raise SystemExit("no error")
    except InferenceServerException as e:
        assert e.message(), e
for stats in (client.get_inference_statistics(model), client.get_inference_statistics()):
    stats = stats["model_stats"][0]
    success = stats["inference_stats"]["success"]
    assert stats["name"] == model and success["count"] >= 5 and success["ns"] > 0 and stats["inference_stats"]["fail"]["count"] >= 1
    assert stats["inference_count"] > stats["execution_count"] >= 5 and stats["last_inference"] > 1e12
assert {"name": model, "version": "1", "state": "READY"} in client.get_model_repository_index()
client.unload_model(model)
assert not client.is_model_ready(model)
client.load_model(model)
assert client.is_model_ready(model)
client.close()
print(json.dumps({name: [float(v) for v in answers[0].as_numpy(name)[0]] for name in ("logits", "probabilities", "embedding")}))
