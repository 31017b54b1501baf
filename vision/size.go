package vision

// Size returns the width and height that [Decode] gives a photo, from what its file
// says at its beginning: turned as its EXIF orientation says, and within the limits of
// o. No pixel is decoded. Errors are those of Decode that this shows.
func Size(data []byte, o DecodeOptions) (w, h int, err error) {
	f := recognise(data)
	if f.open == nil {
		return 0, 0, f.unread(len(data))
	}
	p, err := f.open(data)
	if err == nil {
		err = p.check(o.MaxPixels)
	}
	if err != nil {
		return 0, 0, f.fault(err)
	}
	if !o.IgnoreOrientation && orientation(f.name, data) >= 5 { // a quarter turn
		return p.h, p.w, nil
	}
	return p.w, p.h, nil
}
