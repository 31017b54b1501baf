"""BentoML, with a worker for each core."""
import os
import sys


if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    os.chdir(here)
    os.execv(sys.executable, [sys.executable, "-m", "bentoml", "serve", "bentoml_service:Classifier",
                              "--host", "127.0.0.1", "--port", os.environ["PORT"], "--quiet"])
