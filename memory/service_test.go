package memory_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sync"

	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// A service keeps the state of a memory between requests. Requests that only read run concurrently; one that writes
// makes the next state and replaces the current one.
type service struct {
	memory *memory.Prototype
	lock   sync.RWMutex
	state  memory.State
}

// learn writes examples with one-hot values, which may have columns for new classes.
func (s *service) learn(keys, values []float32, examples, classes int64) error {
	s.lock.Lock()
	defer s.lock.Unlock()
	return tensor.Do(func() error {
		width := int64(len(keys)) / examples
		next := s.memory.Write(&nn.Pass{}, s.state, tensor.New(keys, 1, examples, width), tensor.New(values, 1, examples, classes))
		memory.Own(next)
		memory.Free(s.state, next)
		s.state = next
		return nil
	})
}

// classify returns the class of a query.
func (s *service) classify(query []float32) (class int64, err error) {
	s.lock.RLock()
	defer s.lock.RUnlock()
	err = tensor.Do(func() error {
		logp := memory.LogRead(s.memory, &nn.Pass{}, s.state, tensor.New(query, 1, 1, int64(len(query))))
		class = tensor.Values[int64](logp.Argmax(-1))[0]
		return nil
	})
	return class, err
}

func (s *service) save(path string) error {
	s.lock.RLock()
	defer s.lock.RUnlock()
	return tensor.Do(func() error { return nn.Save(path, s.state.Tensors(), nil) })
}

func (s *service) load(path string) error {
	s.lock.Lock()
	defer s.lock.Unlock()
	return tensor.Do(func() error {
		file, err := nn.Open(path)
		if err != nil {
			return err
		}
		ts, err := file.Tensors(tensor.CPU)
		if err != nil {
			return err
		}
		state, err := s.memory.Restore(ts)
		if err != nil {
			return err
		}
		memory.Free(s.state, nil)
		s.state = memory.Own(state)
		return nil
	})
}

func newService() *service {
	m := memory.NewPrototype(memory.PrototypeConfig{Metric: metric.SquaredEuclidean{}})
	return &service{memory: m, state: m.Init(1)}
}

// A service writes a support set once, answers queries from many goroutines, learns a new class, and continues after
// a restart.
func Example_service() {
	must := func(err error) {
		if err != nil {
			log.Fatal(err)
		}
	}
	s := newService()
	must(s.learn([]float32{0, 0, 0, 1, 5, 5, 5, 6}, []float32{1, 0, 1, 0, 0, 1, 0, 1}, 4, 2))

	answers := make([]int64, 200)
	var clients sync.WaitGroup
	for i := range answers {
		clients.Go(func() {
			at := float32(i%2) * 5
			class, err := s.classify([]float32{at, at})
			must(err)
			answers[i] = class
		})
	}
	clients.Wait()
	fmt.Println("answers", answers[:4])

	must(s.learn([]float32{-5, 5}, []float32{0, 0, 1}, 1, 3)) // one example of a third class
	dir, err := os.MkdirTemp("", "service")
	must(err)
	defer func() { must(os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "state.safetensors")
	must(s.save(path))

	again := newService()
	must(again.load(path))
	class, err := again.classify([]float32{-4, 4})
	must(err)
	fmt.Println("after a restart", class)

	memory.Free(s.state, nil)
	memory.Free(again.state, nil)
	// Output:
	// answers [0 1 0 1]
	// after a restart 2
}
