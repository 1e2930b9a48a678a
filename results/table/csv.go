package table

import (
	"bytes"
	"encoding/csv"
	"fmt"
)

// CSV is the table as comma-separated values (RFC 4180, except that lines end in line feeds), with the headings in the first line.
func (t *Table) CSV() ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	line := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		line[i] = c.Name
	}
	_ = w.Write(line) // writing to a buffer does not fail; Flush reports other errors
	for _, row := range t.Rows {
		line = line[:0]
		for _, cell := range row {
			line = append(line, cell.String())
		}
		_ = w.Write(line)
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return nil, fmt.Errorf("table: %s: %w", t.Name, err)
	}
	return b.Bytes(), nil
}
