package serve

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// What the parameters of a request to infer may be called. Another name is refused: who
// misspells one would get another answer than was asked for.
var (
	requestParameters = []string{"binary_data_output", "cam_class", "cam_top"}
	inputParameters   = []string{"binary_data_size"}
	outputParameters  = []string{"binary_data", "classification"}

	// idleParameters are what clients of Triton, KServe and MLServer send besides, and
	// have no effect here; so have all that begin with tritonPrefix.
	idleParameters = []string{"sequence_id", "sequence_start", "sequence_end", "priority", "timeout", "content_type", "headers"}
)

const tritonPrefix = "triton_"

// check refuses what a request wants that means nothing here.
func (in *inferRequest) check() error {
	if err := checkParameters("", in.Parameters, requestParameters); err != nil {
		return err
	}
	for _, t := range in.Inputs {
		if err := checkParameters(fmt.Sprintf("input %.40q: ", t.Name), t.Parameters, inputParameters); err != nil {
			return err
		}
	}
	cam := false
	for _, o := range in.Outputs {
		if o == nil {
			return badRequest("an output that is null")
		}
		cam = cam || o.Name == camOutput
		if err := checkParameters(fmt.Sprintf("output %.40q: ", o.Name), o.Parameters, outputParameters); err != nil {
			return err
		}
	}
	for _, name := range []string{"cam_class", "cam_top"} {
		if _, given := in.Parameters[name]; given && !cam {
			return badRequest(fmt.Sprintf("parameter %q is of the output %q, which is not among those wanted", name, camOutput))
		}
	}
	return nil
}

// checkParameters refuses the first parameter, by name, that is not known at its place, which ends
// in a space, and flags that are neither true nor false.
func checkParameters(place string, given map[string]any, known []string) error {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		switch _, flag := given[name].(bool); {
		case strings.HasPrefix(name, "shared_memory_"):
			return &failure{http.StatusNotImplemented, fmt.Sprintf("%sparameter %.40q: %s", place, name, noSharedMemory)}
		case slices.Contains(idleParameters, name) || strings.HasPrefix(name, tritonPrefix):
		case !slices.Contains(known, name):
			return badRequest(fmt.Sprintf("%sno parameter %.40q: want %s", place, name, strings.Join(known, ", ")))
		case (name == "binary_data" || name == "binary_data_output") && !flag:
			return badRequest(fmt.Sprintf("%sparameter %q: want true or false", place, name))
		}
	}
	return nil
}
