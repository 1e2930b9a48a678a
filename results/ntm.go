package results

import (
	"bytes"
	"fmt"
	"math"
	"slices"

	"gopkg.in/yaml.v3"
)

// The metrics of sequences of bits. Those that are not in bits a sequence are shares in percent.
const (
	Bits         = "bits"               // cross-entropy of a sequence's scored outputs
	WrongBits    = "wrong bits"         // outputs on the wrong side of 1/2
	Slipped      = "slipped"            // sequences in which a vector was duplicated or dropped, so that the rest is out of step
	WrongAligned = "wrong bits aligned" // as wrong bits, once the rest is moved back into step
	OptimalBits  = "optimal bits"       // what the optimal estimator pays for the same sequences
	ExcessBits   = "excess bits"        // bits beyond that, sequence by sequence
)

// Unit returns what a figure's value is in: "bits", of a sequence, or "%".
func (f *Figure) Unit() string {
	switch f.Metric {
	case Bits, OptimalBits, ExcessBits:
		return "bits"
	}
	return "%"
}

// NTM returns results/ntm.md: what the runs on sequence tasks came to, a row a run, so that seeds that fail are seen.
func NTM(runs []Run) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(generated + `
# Neural Turing Machine

Cost of a sequence in bits (cross-entropy of the scored outputs), and the share of outputs on the wrong side of 1/2, on
fresh sequences of each size, with the 95 % interval of the mean; training sizes are in the experiment file. The model is
the best on validation sequences of all training sizes; its validation cost and the sequences that it had seen by then
stand first.
`)
	var names []string
	for _, r := range runs {
		if r.sequences() && !slices.Contains(names, r.Name) {
			names = append(names, r.Name)
		}
	}
	for _, name := range names {
		if err := ntmTable(&b, name, runs); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

func (r *Result) sequences() bool { return len(r.Figures) > 0 && r.Figures[0].Protocol.Sequences > 0 }

func ntmTable(b *bytes.Buffer, name string, runs []Run) error {
	first := true
	solved, all := 0, 0
	for _, r := range runs {
		if r.Name != name {
			continue
		}
		if first {
			fmt.Fprintf(b, "\n## %s\n\n%s. `engram run experiments/%s.yaml --seed N`\n\n| seed | validation | at sequences |", name, r.About, name)
			line := "\n|---|---|---|"
			for _, f := range r.Figures {
				fmt.Fprintf(b, " %s: %s |", f.Name, f.Metric)
				line += "---|"
			}
			b.WriteString(" training | commit, machine |" + line + "---|---|\n")
			first = false
		}
		var config struct{ Train struct{ Batch int64 } }
		if err := yaml.Unmarshal([]byte(r.Config), &config); err != nil {
			return fmt.Errorf("results: %s: its config: %w", r.Path, err)
		}
		if all++; r.Training.Validation < 1 {
			solved++
		}
		fmt.Fprintf(b, "| [%d](%s) | %.3f bits | %d |", r.Seed, r.Path, r.Training.Validation, r.Training.BestStep*config.Train.Batch)
		for _, f := range r.Figures {
			unit := ""
			if f.Metric != "bits" {
				unit = " %"
			}
			fmt.Fprintf(b, " %s |", within(f.Value, f.Interval)+unit)
		}
		fmt.Fprintf(b, " %d sequences, %.0f min | %.12s, %s |\n", r.Training.Steps*config.Train.Batch, r.Training.Seconds/60, commit(r.Build), machine(r.Machine))
	}
	fmt.Fprintf(b, "\nUnder 1 bit on validation: %d of %d seeds.\n", solved, all)
	return nil
}

// within writes a value and its interval with as many digits as say something.
func within(v, half float64) string {
	digits := 2
	if math.Abs(v) >= 10 {
		digits = 1
	}
	return fmt.Sprintf("%.*f ± %.*f", digits, v, digits, half)
}
