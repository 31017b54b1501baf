"""LitServe, with a worker for each core."""
import os

import litserve

import common


class API(litserve.LitAPI):
    def setup(self, device):
        self.session = common.session()

    async def decode_request(self, request):
        return await request.body()

    def predict(self, data):
        return common.classify(self.session, data)

    def encode_response(self, output):
        return {"predictions": output}


if __name__ == "__main__":
    litserve.LitServer(API(), accelerator="cpu", workers_per_device=os.cpu_count()).run(
        host="127.0.0.1", port=int(os.environ["PORT"]), generate_client_file=False, log_level="error")
