package runner

import (
	"encoding/json"
	"io"
	"math"
	"time"
)

// Kinds of [Event].
const (
	EventStarting  = "starting"
	EventStep      = "step"
	EventValidated = "validated"
	EventTesting   = "testing"
	EventTested    = "tested"
	EventNote      = "note"
)

// Event is a progress event as a line of JSON. Scores have the unit named in the first event; omitted numbers are
// zero.
type Event struct {
	Event string `json:"event"` // see the constants

	// Of starting.
	Name       string `json:"name,omitempty"` // also the name of the test of testing
	Folder     string `json:"folder,omitempty"`
	Parameters int64  `json:"parameters,omitempty"`
	Batch      int    `json:"batch,omitempty"`
	ScoreName  string `json:"score_name,omitempty"`
	Unit       string `json:"unit,omitempty"`
	Device     string `json:"device,omitempty"`
	Threads    int    `json:"threads,omitempty"`

	// Of starting, step, validated, testing and tested: the amount done.
	Done int64 `json:"done"`
	All  int64 `json:"all,omitempty"`

	Loss     float64 `json:"loss,omitempty"`
	Score    float64 `json:"score,omitempty"`
	Interval float64 `json:"interval,omitempty"`
	Best     bool    `json:"best,omitempty"`
	Rate     float64 `json:"rate,omitempty"`
	Speed    float64 `json:"examples_per_second,omitempty"`
	Left     float64 `json:"seconds_left,omitempty"`
	Note     string  `json:"note,omitempty"`
}

// EventWriter is a [Reporter] that writes each [Event] as a line of JSON, with a limited rate of steps and test
// examples.
type EventWriter struct {
	w     io.Writer
	every time.Duration
	said  time.Time
	start Start
	tests int64
}

// NewEventWriter makes an EventWriter; every is the minimum time between two reported steps. The first and the last
// are always reported.
func NewEventWriter(w io.Writer, every time.Duration) *EventWriter {
	return &EventWriter{w: w, every: every}
}

// write writes an event. Training continues if the reader is gone.
func (e *EventWriter) write(v Event) {
	for _, f := range []*float64{&v.Loss, &v.Score, &v.Interval, &v.Rate, &v.Speed} {
		if math.IsNaN(*f) || math.IsInf(*f, 0) { // JSON has neither
			*f = 0
		}
	}
	for _, f := range []*float64{&v.Score, &v.Interval} { // remove binary rounding from percentages
		*f = math.Round(*f*1e9) / 1e9
	}
	if line, err := json.Marshal(v); err == nil {
		_, _ = e.w.Write(append(line, '\n'))
	}
}

// due reports whether the next frequent event may be written.
func (e *EventWriter) due(last bool) bool {
	if now := time.Now(); last || now.Sub(e.said) >= e.every {
		e.said = now
		return true
	}
	return false
}

// Starting implements [Reporter].
func (e *EventWriter) Starting(s Start) {
	e.start, e.said = s, time.Time{}
	e.write(Event{
		Event: EventStarting, Name: s.Name, Folder: s.Folder, Parameters: s.Parameters, Batch: s.Batch, ScoreName: s.Measure.Name,
		Unit: s.Measure.Unit, Device: s.Device, Threads: s.Threads, Done: s.Done, All: s.Steps,
	})
}

// Step implements [Reporter].
func (e *EventWriter) Step(s Step) {
	if e.due(s.Step == e.start.Steps) {
		e.write(Event{
			Event: EventStep, Done: s.Step, All: e.start.Steps, Loss: s.Loss, Score: s.Score * e.start.Measure.Factor, Rate: s.Rate,
			Speed: s.Examples, Left: s.Left.Seconds(),
		})
	}
}

// Validated implements [Reporter].
func (e *EventWriter) Validated(v Validated) {
	e.write(Event{
		Event: EventValidated, Done: v.Step, All: e.start.Steps, Score: v.Score * e.start.Measure.Factor,
		Interval: v.Interval * e.start.Measure.Factor, Best: v.Best,
	})
}

// Testing implements [Reporter].
func (e *EventWriter) Testing(name string, examples int) {
	e.tests, e.said = int64(examples), time.Time{}
	e.write(Event{Event: EventTesting, Name: name, All: e.tests})
}

// Tested implements [Reporter].
func (e *EventWriter) Tested(done int) {
	if e.due(int64(done) == e.tests) {
		e.write(Event{Event: EventTested, Done: int64(done), All: e.tests})
	}
}

// Note implements [Reporter].
func (e *EventWriter) Note(line string) { e.write(Event{Event: EventNote, Note: line}) }
