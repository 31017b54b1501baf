// Package vision turns photos into the input of a network with the pixels that
// Pillow and torchvision would give: decode, EXIF orientation, antialiased
// resize, centre crop, normalise.
//
// Decoding and resizing equal Pillow's bit for bit, lossy JPEG and WebP included.
package vision
