// Package vision turns photos into the input of a network with the pixels that
// Pillow and torchvision would give: decode, EXIF orientation, antialiased
// resize, centre crop, normalise.
//
// Resizing equals Pillow's bit for bit. So does decoding, lossy WebP included, but
// for JPEG: there the chroma upsampling and the colour conversion are libjpeg's,
// and what remains is the rounding of the inverse DCT, at most a few levels.
package vision
