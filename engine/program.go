package engine

import "github.com/mobilenet-go/mobilenet/model"

// A program is what an engine runs: the weights of a model, packed for one set of
// kernels, and the plans that compute with them. Engine, plan and team know
// nothing of the type of weights and activations; a program for another one
// brings its own steps.
type program struct {
	config    model.Config
	precision string // of weights and activations
	cpu       string // the kernel set
	weights   arena

	// plan lays out the steps for some size, images and outputs.
	plan func(k planKey, threads int) *plan
	// peak multiplies and adds as fast as a core can.
	peak func(iterations int) (flops int)
}
