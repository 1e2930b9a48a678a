package schema_test

import (
	"fmt"

	"github.com/engram-go/engram/experiments/schema"
)

type experiment struct {
	Seed   uint64         `yaml:"seed" doc:"the run's seed"`
	Way    int            `yaml:"way" min:"2" doc:"classes per episode"`
	Memory schema.Section `yaml:"memory"`
}

type keyValue struct {
	Slots int `yaml:"slots" min:"1"`
}

func Example() {
	text := []byte("way: 5\nmemory: keyvalue\n")
	set, err := schema.ParseOverride("memory.slots=64")
	if err != nil {
		fmt.Println(err)
		return
	}
	exp := experiment{Seed: 1, Way: 20} // the defaults
	if err := schema.Decode("x.yaml", text, &exp, set); err != nil {
		fmt.Println(err)
		return
	}
	switch exp.Memory.Kind() {
	case "keyvalue":
		kv := keyValue{Slots: 16}
		if err := exp.Memory.Decode(&kv); err != nil {
			fmt.Println(err)
			return
		}
	default:
		fmt.Println(exp.Memory.UnknownKind([]string{"keyvalue"}))
		return
	}
	resolved, err := schema.Encode(exp)
	fmt.Print(string(resolved), err)
	// Output:
	// seed: 1
	// way: 5
	// memory:
	//   kind: keyvalue
	//   slots: 64
	// <nil>
}

func ExampleDecode_problems() {
	exp := experiment{Way: 20}
	fmt.Println(schema.Decode("x.yaml", []byte("way: five\nsed: 3\n"), &exp))
	// Output:
	// x.yaml:1: way: want an integer, got the text "five"
	// x.yaml:2: unknown key "sed"; did you mean "seed"? valid keys: seed, way, memory
}
