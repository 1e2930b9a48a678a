package files

import (
	"bytes"
	"errors"
	"io"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// Decoder decodes a text file like [Text], without its check for zero bytes.
func Decoder(r io.Reader) io.Reader {
	return transform.NewReader(r, unicode.BOMOverride(transform.Nop))
}

// Text decodes a text file to UTF-8: UTF-8 with or without a byte order mark, or UTF-16 with one. Bytes of other
// encodings are preserved, because file names can contain them. A zero byte is an error.
func Text(b []byte) (string, error) {
	b, _, err := transform.Bytes(unicode.BOMOverride(transform.Nop), b)
	if err != nil {
		return "", err
	}
	if bytes.IndexByte(b, 0) >= 0 {
		return "", errors.New("it is not a text file in UTF-8, or in UTF-16 with a byte order mark: save it as UTF-8")
	}
	return string(b), nil
}
