package babi_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/dataset/babi"
)

const two = "1 Mary moved to the bathroom.\n" +
	"2 Sandra journeyed to the Office.\r\n" +
	"3 Where is Mary? \tbathroom\t1\n" +
	"4 Mary took the milk there.\n" +
	"5 What is Mary carrying? \tMilk,football\t4 1\n" +
	"\n"

func TestParse(t *testing.T) {
	got, err := babi.Parse(strings.NewReader(strings.TrimRight(two, "\n")+"\n1 John is tired.\n2 Why did John go?\ttired\n"), "f", 8)
	require.NoError(t, err)
	mary, sandra := strings.Fields("mary moved to the bathroom"), strings.Fields("sandra journeyed to the office")
	took, john := strings.Fields("mary took the milk there"), strings.Fields("john is tired")
	assert.Equal(t, []babi.Question{
		{Task: 8, Facts: [][]string{mary, sandra}, Words: strings.Fields("where is mary"), Answer: "bathroom", Support: []int{0}},
		{Task: 8, Facts: [][]string{mary, sandra, took}, Words: strings.Fields("what is mary carrying"), Answer: "milk,football", Support: []int{2, 0}},
		{Task: 8, Story: 1, Facts: [][]string{john}, Words: strings.Fields("why did john go"), Answer: "tired"},
	}, got)
}

func TestMalformedLinesNameFileAndLine(t *testing.T) {
	const start = "1 Mary moved to the bathroom.\n"
	for text, want := range map[string]string{
		"Mary moved.\n":                    `babi: qa1.txt:1: want a line that begins with its number in the story and a space, got "Mary moved."`,
		"0 Mary moved.\n":                  `babi: qa1.txt:1: want a line that begins with its number`,
		start + "\n":                       `babi: qa1.txt:2: want a line that begins with its number`,
		"2 Mary moved.\n":                  `babi: qa1.txt:1: line 2 of a story follows line 0`,
		start + "3 John ran.\n":            `babi: qa1.txt:2: line 3 of a story follows line 1`,
		start + "2 .\n":                    `babi: qa1.txt:2: there is no sentence after the number`,
		start + "2\n":                      `babi: qa1.txt:2: there is no sentence after the number`,
		start + "2 Where?\n":               `babi: qa1.txt:2: a question without a tab and its answer`,
		start + "2 Where?\t\t1\n":          `babi: qa1.txt:2: a question without an answer`,
		start + "2 W?\ta\t1\tb\n":          `babi: qa1.txt:2: a question has two tabs, before its answer and before its supporting facts, got 3`,
		start + "2 W?\ta\tone\n":           `babi: qa1.txt:2: supporting fact "one" is not the number of an earlier sentence of the story`,
		start + "2 W?\ta\t2\n":             `babi: qa1.txt:2: supporting fact "2" is not the number`,
		start + "2 W?\ta\t1 3\n":           `babi: qa1.txt:2: supporting fact "3" is not the number`,
		strings.Repeat("x", 70_000):        `babi: qa1.txt:1: bufio.Scanner: token too long`,
		start + "2 W?\ta\t1\n3 X?\tb\t2\n": `babi: qa1.txt:3: supporting fact "2" is not the number`, // which is a question's
	} {
		_, err := babi.Parse(strings.NewReader(text), "qa1.txt", 1)
		assert.ErrorContains(t, err, want, "%.60q", text)
	}
}

// Whatever the text, there is an error or there are questions that hold together.
func FuzzParse(f *testing.F) {
	f.Add(strings.TrimRight(two, "\n"))
	f.Add("1 a\n1 b\n2 c?\td\t\n")
	f.Add("1 .\n")
	f.Add("1 a?\tb\t1\n")
	f.Add("18446744073709551617 a.\n")
	f.Fuzz(func(t *testing.T, text string) {
		questions, err := babi.Parse(strings.NewReader(text), "f", 1)
		if err != nil {
			assert.Regexp(t, `^babi: f:\d+: `, err.Error())
			return
		}
		v := babi.NewVocabulary(questions)
		for i, q := range questions {
			assert.NotEmpty(t, q.Words)
			assert.NotEmpty(t, q.Answer)
			for _, s := range q.Support {
				assert.Less(t, s, len(q.Facts))
			}
			if i > 0 && q.Story == questions[i-1].Story {
				assert.GreaterOrEqual(t, len(q.Facts), len(questions[i-1].Facts))
			}
			for _, sentence := range append(slices.Clip(q.Facts), q.Words, []string{q.Answer}) {
				assert.NotContains(t, v.Numbers(sentence), babi.Unknown)
			}
		}
	})
}

func TestVocabulary(t *testing.T) {
	questions, err := babi.Parse(strings.NewReader(strings.TrimRight(two, "\n")), "f", 8)
	require.NoError(t, err)
	v := babi.NewVocabulary(questions)
	var words []string
	for i := range v.Len() {
		words = append(words, v.Word(i))
		assert.Equal(t, i, v.Number(v.Word(i)))
	}
	assert.True(t, slices.IsSorted(words))
	assert.Equal(t, strings.Fields("bathroom carrying is journeyed mary milk milk,football moved office sandra the there to took what where"), words)
	assert.Equal(t, []int{4, babi.Unknown, 0}, v.Numbers([]string{"mary", "elephant", "bathroom"}))
}

// A story of the built-in generator is followed through by its words alone, and leads to the answers and supports given.
func TestStoriesAreRight(t *testing.T) {
	data, err := babi.NewStories(7, babi.StoriesOptions{Train: 300, Test: 100})
	require.NoError(t, err)
	count := map[int]int{}
	for _, q := range slices.Concat(data.Train, data.Test) {
		count[q.Task]++
		var room, holder = map[string]string{}, map[string]string{}
		var came, taken = map[string]int{}, map[string]int{}
		for i, fact := range q.Facts {
			who, thing := fact[0], fact[len(fact)-1]
			switch fact[1] {
			case "took":
				require.Empty(t, holder[thing], "%v", q)
				if room[thing] != "" {
					require.Equal(t, room[thing], room[who], "%v", q)
				}
				require.NotEmpty(t, room[who])
				holder[thing], taken[thing] = who, i
			case "dropped":
				require.Equal(t, who, holder[thing], "%v", q)
				holder[thing], taken[thing], room[thing], came[thing] = "", i, room[who], came[who]
			default:
				room[who], came[who] = thing, i
			}
		}
		subject := q.Words[len(q.Words)-1]
		if q.Task == 1 {
			assert.Equal(t, room[subject], q.Answer)
			assert.Equal(t, []int{came[subject]}, q.Support)
			continue
		}
		who := subject
		if holder[subject] != "" {
			who = holder[subject]
		}
		assert.Equal(t, room[who], q.Answer, "%v", q)
		assert.ElementsMatch(t, []int{came[who], taken[subject]}, q.Support, "%v", q)
	}
	assert.Equal(t, map[int]int{1: 400, 2: 400}, count)

	again, err := babi.NewStories(7, babi.StoriesOptions{Train: 300, Test: 100})
	require.NoError(t, err)
	assert.Equal(t, data, again)
	other, err := babi.NewStories(8, babi.StoriesOptions{Train: 300, Test: 100})
	require.NoError(t, err)
	assert.NotEqual(t, data.Train, other.Train)
	assert.NotEqual(t, data.Train[0].Facts, data.Test[0].Facts)
	_, err = babi.NewStories(1, babi.StoriesOptions{Train: -1})
	assert.ErrorContains(t, err, "-1 training")
}

func TestTaskName(t *testing.T) {
	assert.Equal(t, "path finding", babi.TaskName(19))
	assert.Empty(t, babi.TaskName(0))
	assert.Empty(t, babi.TaskName(21))
}
