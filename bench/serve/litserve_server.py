"""LitServe, with a worker for each core."""
import os
from typing import Annotated

import litserve
from fastapi import Body

import common


class API(litserve.LitAPI):
    def setup(self, device):
        self.session = common.session()

    # Without the annotation LitServe takes every body for JSON, a photo's too.
    def decode_request(self, request: Annotated[bytes, Body(media_type="image/jpeg")]):
        return request

    def predict(self, data):
        return common.classify(self.session, data)

    def encode_response(self, output):
        return {"predictions": output}


if __name__ == "__main__":
    litserve.LitServer(API(), accelerator="cpu", workers_per_device=os.cpu_count()).run(
        host="127.0.0.1", port=int(os.environ["PORT"]), generate_client_file=False, log_level="error")
