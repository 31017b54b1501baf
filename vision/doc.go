// Package vision turns photos into the input of a network with the pixels that
// Pillow and torchvision would give: decode, EXIF orientation, antialiased
// resize, centre crop, normalise.
//
// Decoding and resizing equal Pillow's bit for bit, lossy JPEG and WebP included.
//
// # What is read
//
// The format is told by a file's content, whatever it is called ([Recognise]).
//
//	JPEG  baseline, extended and progressive, Huffman or arithmetic codes, 8 bits; grey, YCbCr, RGB, CMYK, YCCK
//	PNG   all of it; a file that ends behind its last pixel, too
//	GIF   the first frame
//	WebP  lossy and lossless; the first frame if it is animated
//	BMP   1 to 32 bits, bit masks, run lengths, OS/2's header
//	TIFF  the first picture, in strips or tiles, also BigTIFF: bits, grey, floating point, palette, RGB, CMYK and Lab of
//	      8 and 16 bits; LZW, deflate, zstd, PackBits, JPEG, fax of groups 3 and 4; predictors
//	PNM   PBM, PGM, PPM as bits, bytes or text, and PAM
//
// Of what else is there, an error says that it is intact but not read, and how to
// convert it: HEIC and AVIF, whose decoders in Go are WebAssembly that adds 5 MB
// and two seconds to a program's start; JPEG 2000, JPEG XL, PSD, SVG, PDF, and
// cameras' raw files, whose small copy of the photo is not taken for it.
//
// Pillow's convert("RGB") is followed where one might expect something else: alpha
// is dropped, not blended; grey of 16 bits or floating point is clipped at 255,
// which makes most of a 16-bit picture white, as it was in training; colour
// profiles are not applied.
//
// # What it takes
//
// Photos of up to 250 million pixels are decoded by default, more where
// [DecodeOptions] say so. A decode takes 3 bytes a pixel and some rows, in WebP and
// GIF up to 4.5, and a [Budget] bounds what all decodes of a program take together.
// What a file claims is held against these limits, and against its length, before
// memory is taken; a decode ends with its context.
package vision
