package dataset

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/engram-go/engram/stream"
)

// NameRequests is the kind of the invented requests.
const NameRequests = "requests"

// RequestsOptions are the numbers of [NewRequests].
type RequestsOptions struct {
	Train, Val, Test int // classes; at most MostRequests together
	Instances        int // texts per class, at least 2
}

// request is a word of a class and the ways to say it.
type request struct {
	name string
	ways []string
}

// requestActions are what is asked for.
func requestActions() []request {
	return []request{
		{"cancel", []string{"cancel", "call off", "stop", "get rid of", "drop"}},
		{"change", []string{"change", "modify", "alter", "edit", "update"}},
		{"book", []string{"book", "reserve", "arrange", "set up", "schedule"}},
		{"find", []string{"find", "locate", "look up", "search for", "track down"}},
		{"pay", []string{"pay for", "settle", "pay off", "transfer money for", "cover the cost of"}},
		{"explain", []string{"explain", "tell me about", "describe", "clarify", "give me details on"}},
		{"send", []string{"send", "forward", "mail", "deliver", "ship"}},
		{"complain", []string{"complain about", "report a problem with", "raise an issue with", "object to", "dispute"}},
		{"confirm", []string{"confirm", "verify", "double check", "make sure of", "validate"}},
		{"share", []string{"share", "show everyone", "pass around", "publish", "make public"}},
		{"remind", []string{"remind me of", "do not let me forget", "ping me about", "alert me to", "notify me about"}},
		{"rate", []string{"rate", "review", "grade", "score", "leave feedback on"}},
	}
}

// requestObjects are what it is about.
func requestObjects() []request {
	return []request{
		{"flight", []string{"flight", "plane ticket", "airline trip"}},
		{"hotel", []string{"hotel", "room", "overnight stay"}},
		{"card", []string{"card", "debit card", "plastic"}},
		{"bill", []string{"bill", "invoice", "statement"}},
		{"meeting", []string{"meeting", "appointment", "call with my boss"}},
		{"order", []string{"order", "parcel", "package"}},
		{"song", []string{"song", "track", "playlist"}},
		{"recipe", []string{"recipe", "dish", "meal"}},
		{"insurance", []string{"insurance", "policy", "coverage"}},
		{"car", []string{"car", "vehicle", "automobile"}},
		{"doctor", []string{"doctor", "physician", "clinic visit"}},
		{"subscription", []string{"subscription", "membership", "plan"}},
		{"photo", []string{"photo", "picture", "snapshot"}},
		{"loan", []string{"loan", "mortgage", "credit"}},
		{"table", []string{"table", "restaurant seat", "dinner reservation"}},
		{"phone", []string{"phone", "mobile", "handset"}},
	}
}

// MostRequests is the most classes that there are.
func MostRequests() int { return len(requestActions()) * len(requestObjects()) }

// NewRequests invents requests to an assistant: a class is an action and what it is about, such as cancel/flight, and a text says
// both in one of several ways among other words. Classes share actions and objects, so that what the words mean can be learned
// from some of them for the others. They depend on the seed and the options alone. The split is that of the options.
func NewRequests(seed uint64, o RequestsOptions) (*Texts, Split, error) {
	split := Split{Name: NameRequests}
	if all := o.Train + o.Val + o.Test; o.Train < 0 || o.Val < 0 || o.Test < 0 || all < 1 || all > MostRequests() {
		return nil, split, fmt.Errorf("dataset: requests of %d training, %d validation and %d test classes: there are %d classes in all", o.Train, o.Val, o.Test, MostRequests())
	}
	if o.Instances < 2 || o.Instances > 1000 {
		return nil, split, fmt.Errorf("dataset: %d requests per class: use 2 to 1000", o.Instances)
	}
	type pair struct{ action, object request }
	var pairs []pair
	for _, a := range requestActions() {
		for _, b := range requestObjects() {
			pairs = append(pairs, pair{a, b})
		}
	}
	stream.New(seed, "requests/classes").Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
	out := &Texts{}
	for _, p := range pairs[:o.Train+o.Val+o.Test] {
		name := p.action.name + "/" + p.object.name
		r := stream.New(seed, "requests/"+name)
		texts := make([]string, o.Instances)
		for k := range texts {
			texts[k] = sayRequest(r, p.action, p.object)
		}
		out.names, out.texts = append(out.names, name), append(out.texts, texts)
	}
	val, test := o.Train, o.Train+o.Val
	split.Train, split.Val, split.Test = out.names[:val:val], out.names[val:test:test], out.names[test:]
	return out, split, nil
}

// sayRequest says a request in one of its ways.
func sayRequest(r *rand.Rand, action, object request) string {
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	words := []string{
		pick("", "", "hi", "hello there", "hey", "good morning", "excuse me"),
		pick("can you", "could you please", "i want to", "i need to", "i would like to", "please", "help me to", "is it possible to", "how do i", ""),
		pick(action.ways...),
		pick("the", "my", "this", "that", "our", "another"),
		pick("", "", "", "new", "old", "last", "next", "second"),
		pick(object.ways...),
		pick("", "", "from last week", "for tomorrow", "as soon as possible", "before friday", "in london", "for two people", "for my mother", "again"),
	}
	text := strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), " ")
	return text + pick("", "", "?", ".", "!", " thanks")
}
