package results

// The metrics of figures. A metric that is in neither bits nor tasks is a share in percent.
const (
	Accuracy = "accuracy" // correct answers

	// Of sequences of bits.
	Bits         = "bits"               // cross-entropy of a sequence's scored outputs
	WrongBits    = "wrong bits"         // outputs on the wrong side of 1/2
	Slipped      = "slipped"            // sequences in which a vector was duplicated or dropped, which shifts the rest
	WrongAligned = "wrong bits aligned" // wrong bits after that shift is undone
	OptimalBits  = "optimal bits"       // cost of the optimal estimator on the same sequences
	ExcessBits   = "excess bits"        // bits above the optimal estimator's, sequence by sequence

	// Of questions about stories.
	Error     = "error"     // wrong answers
	Attention = "attention" // questions for which the sentence with the largest weight supports the answer
	Failed    = "failed"    // tasks with more than 5 % errors
)

// Names of figures that are not of one test task.
const (
	LakeRuns     = "Lake's runs"        // Lake's 20 one-shot runs together
	Verification = "verification"       // pairs told to be of one class or of two
	AllTasks     = "all tasks"          // the mean over tasks of questions
	OnTraining   = "training questions" // on the training set
)

// unit returns the unit of a metric: "bits" per sequence, "tasks", or "%".
func unit(metric string) string {
	switch metric {
	case Bits, OptimalBits, ExcessBits:
		return "bits"
	case Failed:
		return "tasks"
	}
	return "%"
}

// lowerIsBetter reports whether a smaller value of the metric is a better result.
func lowerIsBetter(metric string) bool {
	switch metric {
	case Bits, WrongBits, Slipped, WrongAligned, ExcessBits, Error, Failed:
		return true
	}
	return false
}

// Unit returns the unit of the figure's value: "bits" per sequence, "tasks", or "%".
func (f *Figure) Unit() string { return unit(f.Metric) }
