//go:build linux

// Command serve measures mobilenet serve, and beside it other servers of the same
// network: latency, throughput, and what becomes of them under overload.
//
//	bash bench/serve/run mobilenet_v2.pth photos/
//
// Load comes from vegeta with Poisson arrivals, from the same machine. What it takes of
// the cores is told, and where that would be the result, server and load have cores of
// their own. Servers take turns, as a machine's mood changes.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"
)

var (
	binary   = flag.String("mobilenet", "mobilenet", "the program")
	model    = flag.String("model", "", "float32 weights")
	int8     = flag.String("int8", "", "the same in 8 bits")
	onnx     = flag.String("onnx", "", "the float32 weights as ONNX, for the peers")
	pythons  = flag.String("pythons", "", "interpreters, with commas: the first that has a peer runs it")
	scripts  = flag.String("scripts", "bench/serve", "the folder of the peers' programs")
	photoDir = flag.String("photos", "", "a folder of JPEG files")
	each     = flag.Duration("each", 3*time.Second, "how long one measurement takes")
	rounds   = flag.Int("rounds", 3, "of what is measured in turns")
	rate     = flag.Float64("rate", 0, "so many requests a second, of our servers, and nothing else; 0.7 and other numbers below 10 are of the capacity")
	alone    = flag.Bool("alone", false, "where the time of a single client's requests goes, and nothing else")
	bare     = flag.String("bare", "", "be the bare server of -model, at this address")
	least    = flag.String("least", "", "be the least net/http server of -model, at this address")
	verbose  = flag.Bool("v", false, "show what servers log")
	skip     = flag.String("skip", "", "leave out: targets, peers")
)

func main() {
	log.SetFlags(0)
	flag.Parse()
	if *bare != "" {
		log.Fatal(serveBare(*bare, *model))
	}
	if *least != "" {
		log.Fatal(serveLeast(*least, *model))
	}
	for _, path := range []*string{binary, model, int8, onnx, scripts} { // servers have a folder of their own
		if *path != "" {
			*path, _ = filepath.Abs(*path)
		}
	}
	endTogether()
	photos, err := readPhotos(*photoDir)
	if err != nil {
		log.Fatal(err)
	}
	var own []*ours
	for name, weights := range map[string]string{"float32": *model, "int8": *int8} {
		if weights != "" {
			own = append(own, newOurs(name, weights, photos))
		}
	}
	if len(own) == 2 && own[0].name > own[1].name {
		own[0], own[1] = own[1], own[0]
	}
	if *rate > 0 || *alone {
		for _, o := range own {
			one := o.singly
			if *rate > 0 {
				one = func() error { return o.at(*rate) }
			}
			if err := one(); err != nil {
				log.Fatal(err)
			}
		}
		return
	}
	if *skip != "targets" {
		if err := measure(own); err != nil {
			log.Fatal(err)
		}
	}
	if *skip != "peers" {
		if err := compare(own, peers(photos)); err != nil {
			log.Fatal(err)
		}
	}
}

func readPhotos(dir string) ([][]byte, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.jpg"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("no *.jpg in %q", dir)
	}
	var photos [][]byte
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		photos = append(photos, data)
	}
	return photos, nil
}

// row prints a line of a table.
func row(name string, cells ...string) {
	fmt.Printf("%-60s", name)
	for _, c := range cells {
		fmt.Printf(" %22s", c)
	}
	fmt.Println()
}
