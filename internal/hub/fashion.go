package hub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// fashionPublisher is where Fashion-MNIST's authors publish it. The connection is
// not encrypted; the hashes, which are whole, protect what comes.
const fashionPublisher = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"

// fashionMNIST are the files of Fashion-MNIST (arXiv 1708.07747), with the hashes
// of torchvision (torchvision/prototype/datasets/_builtin/mnist.py).
var fashionMNIST = []Weights{
	{Name: "train images", File: "train-images-idx3-ubyte.gz", Bytes: 26421880, SHA256: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"},
	{Name: "train labels", File: "train-labels-idx1-ubyte.gz", Bytes: 29515, SHA256: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"},
	{Name: "test images", File: "t10k-images-idx3-ubyte.gz", Bytes: 4422102, SHA256: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"},
	{Name: "test labels", File: "t10k-labels-idx1-ubyte.gz", Bytes: 5148, SHA256: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"},
}

// FashionMNIST returns the folder fashion-mnist in the cache with the data set's
// four files, verified, after downloading those that it lacks: 31 MB. A mirror has
// them in fashion-mnist/. What [Client.Pull] says of downloads holds here too.
func (c Client) FashionMNIST(ctx context.Context) (dir string, err error) {
	c.Dir = filepath.Join(c.Dir, "fashion-mnist")
	if c.Mirror != "" {
		c.Mirror = strings.TrimSuffix(c.Mirror, "/") + "/fashion-mnist"
	}
	c.Mirror = cmp.Or(c.Mirror, fashionPublisher)
	for _, f := range fashionMNIST {
		_, err := c.Pull(ctx, f)
		if pull, ok := errors.AsType[*PullError](err); ok {
			return "", fmt.Errorf("Fashion-MNIST: %w; to do it by hand, save %s as %s, or on Debian install dataset-fashion-mnist", pull.Err, pull.URL, pull.Path)
		}
		if wrong, ok := errors.AsType[*HashError](err); ok {
			err = wrong // less Pull's word of weights
		}
		if err != nil {
			return "", fmt.Errorf("Fashion-MNIST: %w", err)
		}
	}
	return c.Dir, nil
}
