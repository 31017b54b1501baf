// Package checkpoint reads and writes MobileNetV2's weights: torch's .pth, in
// both formats, and .safetensors.
//
// [Open] takes the names of torchvision, timm and Hugging Face transformers and
// infers the config from the tensors' shapes; [Save] writes any of them. What
// shapes don't show (preprocessing, padding, labels, strides of an unusual table)
// travels in the metadata of our files. Files of others have none, and get what is
// usual for their names: symmetric padding, an epsilon of 1e-5 and torchvision's
// or timm's preprocessing, or TensorFlow's for the names of Hugging Face.
//
// Files are not trusted. Nothing in a pickle is called, no size is believed
// before the bytes are there, and a file of something else ends in an error that
// says how it differs.
package checkpoint
