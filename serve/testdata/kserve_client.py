"""KServe's own clients against a server: kserve_client.py HOST:PORT MODEL PHOTO BEST CA

They are unmodified: pip install kserve. CA is the file of the server's certificate, ""
for cleartext. Prints what REST and gRPC answer of the photo, of which the test knows
what it is.
"""
import asyncio
import base64
import json
import sys

import grpc
import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

address, model, photo, label, ca = sys.argv[1:6]
url = ("https://" if ca else "http://") + address
NAMES = ("logits", "probabilities", "embedding")
with open(photo, "rb") as f:
    data = f.read()


def tensor(name, value, kind, binary=True):
    t = InferInput(name, list(value.shape), kind)
    t.set_data_from_numpy(value, binary_data=binary)
    return t


def files():
    return np.array([[data]] * 3, dtype=object)


def request(*inputs, name=model, **more):
    return InferRequest(name, list(inputs), **more)


def same(answer, n, want=None):
    got = {name: answer.get_output_by_name(name).as_numpy() for name in NAMES}
    for name, v in got.items():
        assert v.shape[0] == n and (v == v[0]).all(), name
        assert want is None or (v[0] == want[name][0]).all(), name
    return got


async def rest():
    client = InferenceRESTClient(RESTConfig(protocol="v2", verify=ca or True))
    assert await client.is_server_live(url) and await client.is_server_ready(url) and await client.is_model_ready(url, model)
    assert not await client.is_model_ready(url, "none")
    text = InferInput("image", [3, 1], "BYTES", [base64.b64encode(data).decode()] * 3)
    got = same(await client.infer(url, request(text, request_id="seven"), model_name=model), 3)
    answer = await client.infer(url, request(tensor("image", files(), "BYTES"), parameters={"binary_data_output": True}), model_name=model)
    same(answer, 3, got)
    cam = request(tensor("image", files(), "BYTES"), request_outputs=[RequestedOutput("cam")], parameters={"cam_top": 2})
    answer = await client.infer(url, cam, model_name=model)
    assert answer.outputs[0].as_numpy().shape[:2] == (3, 2)
    best = RequestedOutput("probabilities", parameters={"classification": 2})
    answer = await client.infer(url, request(tensor("image", files(), "BYTES"), request_outputs=[best]), model_name=model)
    assert answer.outputs[0].as_numpy()[0, 0].endswith(":" + label)
    plain = json.dumps({"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(data).decode()]}]})
    same(await client.infer(url, json.loads(plain), model_name=model), 1, got)
    for binary in (True, False):
        zeros = tensor("pixels", np.zeros((2, 40, 50, 3), np.uint8), "UINT8", binary)
        same(await client.infer(url, request(zeros), model_name=model), 2)
    for name, value, code in ((model, b"no photo", 415), ("none", data, 404)):
        try:
            await client.infer(url, request(tensor("image", np.array([value], dtype=object), "BYTES"), name=name), model_name=name)
            raise SystemExit("no error of " + name)
        except httpx.HTTPStatusError as e:
            assert e.response.status_code == code and e.response.json()["error"], e
    return got


async def rpc(want):
    client = InferenceGRPCClient(address, use_ssl=bool(ca), root_certificates=ca or None)
    assert await client.is_server_live() and await client.is_server_ready() and await client.is_model_ready(model)
    answer = await client.infer(request(tensor("image", files(), "BYTES"), request_id="seven"))
    assert answer.id == "seven"
    same(answer, 3, want)
    contents = InferInput("image", [3, 1], "BYTES", [data] * 3)  # as typed contents, not raw
    same(await client.infer(request(contents)), 3, want)
    zeros = InferInput("pixels", [1, 2, 2, 3], "UINT8", [0] * 12)
    same(await client.infer(request(zeros)), 1)
    for name, value, code in ((model, b"no photo", "INVALID_ARGUMENT"), ("none", data, "NOT_FOUND")):
        try:
            await client.infer(request(tensor("image", np.array([value], dtype=object), "BYTES"), name=name))
            raise SystemExit("no error of " + name)
        except grpc.RpcError as e:
            assert e.code().name == code and e.details(), e
    await client.close()


async def main():
    got = await rest()
    await rpc(got)
    print(json.dumps({name: [float(x) for x in v[0]] for name, v in got.items()}))


asyncio.run(main())
