// Package tfevents writes scalars in the format that TensorBoard reads: TFRecord records, each an Event of TensorFlow's event.proto. The
// output depends only on the arguments, so that a file can be reproduced byte for byte.
package tfevents

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// FileName is the name of a file of events. TensorBoard looks for names that contain tfevents.
const FileName = "events.out.tfevents.engram"

// version is the content of the first record of a file.
const version = "brain.Event:2"

// Scalar is a number with its name. TensorBoard groups names by their part before a slash.
type Scalar struct {
	Tag   string
	Value float32
}

// The numbers of the fields in event.proto and summary.proto.
const (
	eventWallTime, eventStep, eventFileVersion, eventSummary = 1, 2, 3, 5

	summaryValue = 1

	valueTag, valueSimple = 1, 2
)

// AppendHeader appends the first record of a file.
func AppendHeader(b []byte, at time.Time) []byte {
	event := appendTime(nil, at)
	event = protowire.AppendTag(event, eventFileVersion, protowire.BytesType)
	event = protowire.AppendString(event, version)
	return appendRecord(b, event)
}

// Append appends a record with the scalars of a step.
func Append(b []byte, at time.Time, step int64, scalars ...Scalar) []byte {
	var summary []byte
	for _, s := range scalars {
		var value []byte
		value = protowire.AppendTag(value, valueTag, protowire.BytesType)
		value = protowire.AppendString(value, s.Tag)
		value = protowire.AppendTag(value, valueSimple, protowire.Fixed32Type)
		value = protowire.AppendFixed32(value, math.Float32bits(s.Value))
		summary = protowire.AppendTag(summary, summaryValue, protowire.BytesType)
		summary = protowire.AppendBytes(summary, value)
	}
	event := appendTime(nil, at)
	event = protowire.AppendTag(event, eventStep, protowire.VarintType)
	event = protowire.AppendVarint(event, uint64(step))
	event = protowire.AppendTag(event, eventSummary, protowire.BytesType)
	event = protowire.AppendBytes(event, summary)
	return appendRecord(b, event)
}

func appendTime(event []byte, at time.Time) []byte {
	event = protowire.AppendTag(event, eventWallTime, protowire.Fixed64Type)
	return protowire.AppendFixed64(event, math.Float64bits(float64(at.UnixMicro())/1e6))
}

// appendRecord appends a length and the data, each followed by its checksum.
func appendRecord(b, data []byte) []byte {
	from := len(b)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(data)))
	b = binary.LittleEndian.AppendUint32(b, checksum(b[from:]))
	b = append(b, data...)
	return binary.LittleEndian.AppendUint32(b, checksum(data))
}

// checksum is CRC-32C, masked as in TFRecord, so that it also works for data that contain checksums.
func checksum(data []byte) uint32 {
	c := crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))
	return (c>>15 | c<<17) + 0xa282ead8
}
