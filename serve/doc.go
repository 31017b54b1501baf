// Package serve answers requests for what a model says of photos, over HTTP: the Open
// Inference Protocol version 2 as KServe and Triton have it, REST and gRPC, a plain route for who has
// a photo and wants its classes, and a page to try a model in a browser.
//
//	server, err := serve.New(ctx, serve.Options{Models: []serve.Model{{Name: "flowers", Open: open}}})
//	http.ListenAndServe("127.0.0.1:8000", server) // or server.Run, which also drains
//
// A request's way through the package:
//
//	server.go     routes, and what every request goes through: log, metrics, limits
//	body.go       its body, within bounds: gate.go
//	classify.go   the plain route: photos to classes
//	infer.go      the protocol's route: tensor.go; grpc.go has it over gRPC, packing.go packed
//	cam.go        maps of where a class is seen
//	neighbours.go photos of an index that are alike; thumbnail.go shows them
//	answer.go     photos and tensors become jobs, and their results answers
//	scheduler.go  the queue, and a worker for each core; threads_linux.go: its priority
//	models.go     models, loaded and loaded anew
//	run.go        listening, draining
//
// Nothing waits for a batch to fill: at these sizes a batch gains a few percent, and
// costs its delay. What can't be done in time is refused at once (429, Retry-After).
package serve
