"""Holds a job definition of AWS Batch against botocore's description of the service:
check_batch.py FILE."""
import json
import sys

import botocore.session
import botocore.validate

service = botocore.session.get_session().get_service_model("batch")
with open(sys.argv[1]) as f:
    definition = json.load(f)
shape = service.operation_model("RegisterJobDefinition").input_shape
report = botocore.validate.ParamValidator().validate(definition, shape).generate_report()
if report:
    raise SystemExit(f"{sys.argv[1]}: {report}")
print(f"{sys.argv[1]}: a request of RegisterJobDefinition")
