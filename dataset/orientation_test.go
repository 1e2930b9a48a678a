package dataset

import (
	"encoding/binary"
	"hash/crc32"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// exif returns TIFF data with an orientation.
func exif(order binary.AppendByteOrder, orientation uint16) []byte {
	b := []byte("II*\x00")
	if order == binary.AppendByteOrder(binary.BigEndian) {
		b = []byte("MM\x00*")
	}
	b = order.AppendUint32(b, 8)
	b = order.AppendUint16(b, 2)
	for _, entry := range [][2]uint16{{0x0100, 40}, {0x0112, orientation}} {
		b = order.AppendUint16(order.AppendUint16(b, entry[0]), 3)
		b = order.AppendUint16(order.AppendUint16(order.AppendUint32(b, 1), entry[1]), 0)
	}
	return order.AppendUint32(b, 0)
}

func jpegWith(file, exif []byte) []byte {
	segment := append([]byte("Exif\x00\x00"), exif...)
	return slices.Concat(file[:2], []byte{0xff, 0xe1}, binary.BigEndian.AppendUint16(nil, uint16(len(segment)+2)), segment, file[2:])
}

func pngWith(file, exif []byte) []byte {
	const header = 8 + 25
	chunk := append([]byte("eXIf"), exif...)
	return slices.Concat(file[:header], binary.BigEndian.AppendUint32(nil, uint32(len(exif))), chunk, binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(chunk)), file[header:])
}

// The quarters of an image of 40×20 pixels are where the specification of each orientation puts them.
func TestOrientationIsApplied(t *testing.T) {
	levels := map[byte]uint8{'A': 0, 'B': 80, 'C': 160, 'D': 240}
	quarters := func(x, y int) color.Color { return color.Gray{levels["ABCD"[x/20+2*(y/10)]]} }
	for i, want := range []string{"ABCD", "ABCD", "BADC", "DCBA", "CDAB", "ACBD", "CADB", "DBCA", "BDAC", "ABCD"} {
		for name, file := range map[string][]byte{
			"little.jpg": jpegWith(painted(t, 40, 20, asJPEG, quarters), exif(binary.LittleEndian, uint16(i))),
			"big.jpg":    jpegWith(painted(t, 40, 20, asJPEG, quarters), exif(binary.BigEndian, uint16(i))),
			"image.png":  pngWith(painted(t, 40, 20, asPNG, quarters), exif(binary.BigEndian, uint16(i))),
		} {
			path := filepath.Join(t.TempDir(), name)
			require.NoError(t, os.WriteFile(path, file, 0o644))
			img, err := openImage(path)
			require.NoError(t, err)
			wide := i < 5 || i > 8
			assert.Equal(t, wide, img.Bounds().Dx() == 40 && img.Bounds().Dy() == 20, "%s %d", name, i)
			got, err := ReadImage(path, ImageOptions{Height: 8, Width: 8, Ink: InkLight, Fit: FitStretch})
			require.NoError(t, err)
			for k, at := range []int{0, 7, 56, 63} {
				assert.InDelta(t, float32(levels[want[k]])/255, got[at], .03, "%s, orientation %d, corner %d", name, i, k)
			}
		}
	}
}

func TestOrientationOfTIFFAndWebP(t *testing.T) {
	data := exif(binary.LittleEndian, 6)
	assert.Equal(t, 6, orientation(data))
	for _, prefix := range []string{"", "Exif\x00\x00"} {
		body := append([]byte(prefix), data...)
		file := slices.Concat([]byte("RIFF\x00\x00\x00\x00WEBPVP8X\x03\x00\x00\x00abc\x00EXIF"), binary.LittleEndian.AppendUint32(nil, uint32(len(body))), body)
		assert.Equal(t, 6, orientation(file))
	}
	assert.Equal(t, 1, orientation([]byte("RIFF\x00\x00\x00\x00WEBPVP8X\x03\x00\x00\x00abc")))
}

// orientation returns a valid value for any bytes.
func FuzzOrientation(f *testing.F) {
	f.Add(jpegWith([]byte{0xff, 0xd8, 0xff, 0xda, 0, 2}, exif(binary.LittleEndian, 6)))
	f.Add([]byte("\x89PNG\r\n\x1a\n\xff\xff\xff\xffeXIf\x00\x00\x00\x00"))
	f.Add([]byte("\xff\xd8\xff\xff\xff\xe1\x00\x10Exif\x00\x00MM\x00*\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if o := orientation(b); o < 1 || o > 8 {
			t.Errorf("orientation %d", o)
		}
	})
}
