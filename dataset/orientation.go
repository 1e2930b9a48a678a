package dataset

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
)

// orientation returns the tag Orientation of a TIFF file, or of the EXIF data of a JPEG, PNG or WebP file: 1 to 8 as
// in the TIFF 6.0 specification, or 1 if it is missing or unreadable.
func orientation(file []byte) int {
	if bytes.HasPrefix(file, []byte("\x89PNG\r\n\x1a\n")) {
		return tiffOrientation(pngEXIF(file[8:]))
	}
	if bytes.HasPrefix(file, []byte{0xff, 0xd8}) {
		return tiffOrientation(jpegEXIF(file[2:]))
	}
	if len(file) >= 12 && string(file[:4]) == "RIFF" && string(file[8:12]) == "WEBP" {
		return tiffOrientation(webpEXIF(file[12:]))
	}
	return tiffOrientation(file)
}

// jpegEXIF returns the EXIF data from the segments before the image data.
func jpegEXIF(b []byte) []byte {
	for len(b) >= 4 && b[0] == 0xff {
		marker := b[1]
		if marker == 0xff { // a fill byte
			b = b[1:]
			continue
		}
		n := int(binary.BigEndian.Uint16(b[2:]))
		if marker == 0xda || n < 2 || len(b) < 2+n {
			return nil
		}
		if exif, ok := bytes.CutPrefix(b[4:2+n], []byte("Exif\x00\x00")); marker == 0xe1 && ok {
			return exif
		}
		b = b[2+n:]
	}
	return nil
}

// pngEXIF returns the chunk eXIf.
func pngEXIF(b []byte) []byte {
	for len(b) >= 12 {
		n := uint64(binary.BigEndian.Uint32(b))
		if uint64(len(b)) < 12+n {
			return nil
		}
		if string(b[4:8]) == "eXIf" {
			return b[8 : 8+n]
		}
		b = b[12+n:]
	}
	return nil
}

// webpEXIF returns the chunk EXIF.
func webpEXIF(b []byte) []byte {
	for len(b) >= 8 {
		n := uint64(binary.LittleEndian.Uint32(b[4:]))
		if uint64(len(b)) < 8+n {
			return nil
		}
		if string(b[:4]) == "EXIF" {
			return bytes.TrimPrefix(b[8:8+n], []byte("Exif\x00\x00"))
		}
		b = b[min(uint64(len(b)), 8+n+n%2):] // chunks are padded to even sizes
	}
	return nil
}

// tiffOrientation returns the tag from the first directory of TIFF data.
func tiffOrientation(b []byte) int {
	var order binary.ByteOrder = binary.LittleEndian
	switch {
	case len(b) < 8:
		return 1
	case string(b[:4]) == "MM\x00*":
		order = binary.BigEndian
	case string(b[:4]) != "II*\x00":
		return 1
	}
	at := uint64(order.Uint32(b[4:]))
	if at+2 > uint64(len(b)) {
		return 1
	}
	const tag, short, entryBytes = 0x0112, 3, 12
	entries := b[at+2:]
	for range order.Uint16(b[at:]) {
		if len(entries) < entryBytes {
			return 1
		}
		if order.Uint16(entries) == tag && order.Uint16(entries[2:]) == short {
			if v := int(order.Uint16(entries[8:])); v >= 1 && v <= 8 {
				return v
			}
			return 1
		}
		entries = entries[entryBytes:]
	}
	return 1
}

// oriented is an image transformed by an orientation from 2 to 8.
type oriented struct {
	image.Image
	orientation int
}

// Bounds implements [image.Image].
func (o oriented) Bounds() image.Rectangle {
	size := o.Image.Bounds().Size()
	if o.orientation >= 5 {
		size.X, size.Y = size.Y, size.X
	}
	return image.Rectangle{Max: size}
}

// At implements [image.Image].
func (o oriented) At(x, y int) color.Color {
	from := o.Image.Bounds()
	right, bottom := from.Dx()-1, from.Dy()-1
	switch o.orientation {
	case 2:
		x = right - x
	case 3:
		x, y = right-x, bottom-y
	case 4:
		y = bottom - y
	case 5:
		x, y = y, x
	case 6:
		x, y = y, bottom-x
	case 7:
		x, y = right-y, bottom-x
	case 8:
		x, y = right-y, x
	}
	return o.Image.At(from.Min.X+x, from.Min.Y+y)
}
