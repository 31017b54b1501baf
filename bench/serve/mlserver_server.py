"""MLServer, with a worker for each core and a runtime of our own: its base64 codec, then what the peers share."""
import asyncio
import json
import os
import sys

import common
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.types import InferenceRequest, InferenceResponse, Parameters, ResponseOutput


class Classifier(MLModel):
    async def load(self):
        self.run = common.session()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        data = self.decode(payload.inputs[0])[0]
        best = common.classify(self.run, data)
        return InferenceResponse(model_name=self.name, outputs=[ResponseOutput(
            name="predictions", shape=[1], datatype="BYTES", parameters=Parameters(content_type="str"), data=[json.dumps(best)])])


async def main():
    port = int(os.environ["PORT"])
    server = MLServer(Settings(host="127.0.0.1", http_port=port, grpc_port=port + 1, metrics_port=port + 2,
                               parallel_workers=os.cpu_count(), debug=False, load_models_at_startup=False))
    await server.start([ModelSettings(name="m", implementation="mlserver_server.Classifier")])


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    os.environ["PYTHONPATH"] = sys.path[0] + os.pathsep + os.environ.get("PYTHONPATH", "")
    asyncio.run(main())
