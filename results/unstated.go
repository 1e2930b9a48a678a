package results

import (
	_ "embed"
	"sync"

	"gopkg.in/yaml.v3"
)

//go:embed unstated.yaml
var unstatedText []byte

// NotResized is the value of [Protocol.Resize] for images in their own size.
const NotResized = "not at all"

// unstatedResizing is how the images of a data set were resized in results of versions that do not say so.
type unstatedResizing struct {
	Dataset, Resize string
	Side            int // of images that were not resized
}

// unstated is the content of unstated.yaml, which is parsed once and never changed.
var unstated = sync.OnceValue(func() (all []unstatedResizing) {
	if err := yaml.Unmarshal(unstatedText, &all); err != nil {
		panic("results: unstated.yaml: " + err.Error())
	}
	return all
})

// state adds the way of resizing to the sections of a configuration that lack it, and reports whether there were any and the side
// of the images of one of them.
func (u unstatedResizing) state(value any) (side int, lacked bool) {
	each := func(v any) {
		if s, ok := u.state(v); ok {
			side, lacked = s, true
		}
	}
	switch value := value.(type) {
	case map[string]any:
		for _, v := range value {
			each(v)
		}
		if value["kind"] == u.Dataset && value["resize"] == nil {
			value["resize"] = u.Resize
			side, _ = value["size"].(int)
			lacked = true
		}
	case []any:
		for _, v := range value {
			each(v)
		}
	}
	return side, lacked
}

// stateResizing fills in how images were resized where the result is of a version that does not say so.
func (r *Result) stateResizing() {
	var config map[string]any
	if yaml.Unmarshal([]byte(r.Config), &config) != nil {
		return // which is reported where the configuration is used
	}
	for _, u := range unstated() {
		side, lacked := u.state(config)
		if !lacked {
			continue
		}
		how := u.Resize
		if side == u.Side {
			how = NotResized
		}
		for i := range r.Figures {
			if p := &r.Figures[i].Protocol; p.Dataset == u.Dataset && p.Resize == "" {
				p.Resize = how
			}
		}
	}
}
