// Package checkpoint reads and writes MobileNetV2's weights: torch's .pth, in
// both formats, .safetensors, and Keras' .keras and .h5.
//
// # What is read
//
// [Open] takes what people have:
//
//   - the names of torchvision, timm, Hugging Face transformers, mmpretrain, and of two
//     widely used repositories: see [Naming];
//   - a state dict alone, under any keys, or with any prefix before all its names, as
//     DataParallel, Lightning and one's own classes put there;
//   - whole modules, torch.save(model), and TorchScript: the tensors are found in the
//     objects' attributes, and nothing in the file is run;
//   - a classifier of any name, with or without a bias, of one output, of several linear
//     layers, or none; pruned tensors; the counters that thop leaves;
//   - a zip or tar archive with one such file in it;
//   - Keras' files, of a whole model or of weights alone;
//   - pickles of numpy's arrays, as Paddle's .pdparams are, with PaddleClas' names.
//
// The one network that fits is the model. What was found, and what was left out, such
// as the weights of a loss, is in the model's Notes, and so is what had to be assumed of a
// classifier: ReLU between linear layers. Of two networks of the same shapes, one of them
// the moving average of the other (EMA), it is the average; [ParsePart] reads any by its
// name. Other files of two networks, and those of more than this module runs, end in an
// error that says so: there is no answer of another network than the file's.
//
// # Keras
//
// Arrays of an HDF5 file get the names of keras.applications and the shapes of torch, and
// are then weights as any others. A config, where there is one, says the order of the
// layers, whatever they are called, and everything that shapes don't show: padding,
// epsilon, the head's activations, the preprocessing within the model. It must be that
// of a MobileNetV2, layer by layer.
//
// # What a file doesn't say
//
// The config is inferred from the tensors' shapes: [InferConfig]. What shapes don't show
// (preprocessing, padding, labels, strides of an unusual table) travels in the metadata
// of our files, which [Save] writes. For those of transformers and timm it lies in files
// beside the weights: [ReadSidecars]. Other files get what is usual for their names:
// symmetric padding, an epsilon of 1e-5 and torchvision's or timm's preprocessing, or
// TensorFlow's for the names of Hugging Face. The model's Assumed lists what was taken
// for granted.
//
// # Networks of 8-bit integers
//
// [SaveQuantized] keeps one in a .safetensors file of its own, a byte a weight, about 3.6
// MB at width 1, and [ParseQuantized] reads it back. Whoever reads a model from such a
// file gets its float32 form, whose Dequantized says so.
//
// # Trust
//
// Files are not trusted. Nothing in a pickle is called, no size is believed before the
// bytes are there, and a file of something else ends in an error that says how it
// differs. Errors are *[fault.Error].
package checkpoint
