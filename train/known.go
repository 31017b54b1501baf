package train

import "context"

// What frozen modules make of an image is computed once and kept, where the image
// is the same in every epoch. A frozen backbone leaves features (see features); of
// fewer modules, the activation of the last one is kept.

// maxKnown bounds the bytes that are kept. Beyond it frozen modules are computed
// in every step, with the same results.
const maxKnown = 2 << 30

// knownBytes is what keeping the frozen modules' output of images that are not
// augmented takes; 0 where it is not kept.
func (n *network) knownBytes(images int) int64 {
	if n.frozen == 0 || n.frozen == len(n.layers) {
		return 0
	}
	end := n.layers[n.frozen-1]
	bytes := int64(images) * int64(end.imageSize()) * 4
	if !end.ends || n.layers[n.frozen].Depthwise() || bytes > maxKnown {
		return 0
	}
	return bytes
}

// unchanged reports whether every epoch has the same images.
func (o *Options) unchanged() bool {
	return !o.Augment.Changes() && o.Mixup == 0 && o.CutMix == 0
}

// activations computes what the frozen modules put out for every training image.
func (t *trainer) activations(ctx context.Context) ([]float32, error) {
	n := t.network
	end := n.layers[n.frozen-1]
	var all []int
	for i := range t.Train.Items {
		all = append(all, i)
	}
	size := end.imageSize()
	known := make([]float32, len(all)*size)
	t.missing = map[int]bool{}
	for _, i := range all {
		t.missing[i] = true
	}
	for b, err := range t.loader(ctx, 0, t.cut(all)) {
		if err != nil {
			return nil, err
		}
		if len(b.items) == 0 {
			continue
		}
		n.images, n.input = len(b.items), b.input
		if err := n.forwardLayers(n.layers[:n.frozen]); err != nil {
			return nil, err
		}
		for i, item := range b.items {
			copy(known[item*size:][:size], end.x[i*size:])
			delete(t.missing, item)
		}
		n.release()
	}
	return known, nil
}

// forwardKnown is forward for the given images of what activations returned.
func (n *network) forwardKnown(known []float32, items []int, mask []float32) ([]float32, error) {
	n.images = len(items)
	end := n.layers[n.frozen-1]
	size := end.imageSize()
	end.x = n.buffers.take(len(items) * size)
	for i, item := range items {
		copy(end.x[i*size:][:size], known[item*size:])
	}
	if err := n.forwardLayers(n.layers[n.frozen:]); err != nil {
		return nil, err
	}
	n.pool()
	return n.head.forward(len(items), mask), nil
}
