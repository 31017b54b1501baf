"""The service that bentoml_server.py serves. BentoML names files; a photo's bytes come by a route of Starlette's."""
import os

import bentoml
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.routing import Route

import common

run = None


async def predict(request):
    global run
    if run is None:
        run = common.session()
    data = await request.body()
    return JSONResponse({"predictions": await run_in_threadpool(common.classify, run, data)})


app = Starlette(routes=[Route("/predict", predict, methods=["POST"])])


@bentoml.asgi_app(app)
@bentoml.service(workers=os.cpu_count(), resources={"cpu": str(os.cpu_count())})
class Classifier:
    pass
