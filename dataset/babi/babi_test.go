package babi_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/unicode"

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
		"2 Mary moved.\n":                  `babi: qa1.txt:1: line 2 of a story follows line 0`,
		start + "3 John ran.\n":            `babi: qa1.txt:2: line 3 of a story follows line 1`,
		start + "2 .\n":                    `babi: qa1.txt:2: no sentence after the number`,
		start + "2\n":                      `babi: qa1.txt:2: no sentence after the number`,
		start + "2 Where?\n":               `babi: qa1.txt:2: a question without a tab and an answer`,
		start + "2 Where?\t\t1\n":          `babi: qa1.txt:2: a question without an answer`,
		start + "2 W?\ta\t1\tb\n":          `babi: qa1.txt:2: a question has two tabs, before its answer and before its supporting facts, got 3`,
		start + "2 W?\ta\tone\n":           `babi: qa1.txt:2: supporting fact "one" is not the number of an earlier sentence of the story`,
		start + "2 W?\ta\t2\n":             `babi: qa1.txt:2: supporting fact "2" is not the number`,
		start + "2 W?\ta\t1 3\n":           `babi: qa1.txt:2: supporting fact "3" is not the number`,
		strings.Repeat("x", 70_000):        `babi: qa1.txt:1: bufio.Scanner: token too long`,
		start + "2 W?\ta\t1\n3 X?\tb\t2\n": `babi: qa1.txt:3: supporting fact "2" is not the number`, // line 2 is a question
	} {
		_, err := babi.Parse(strings.NewReader(text), "qa1.txt", 1)
		assert.ErrorContains(t, err, want, "%.60q", text)
	}
}

// Byte order marks, blank lines, UTF-16 and the spacing of answers make no difference.
func TestFormsOfTheSameFile(t *testing.T) {
	const plain = "1 Mary moved.\n2 What?\tmilk,football\t1\n3 How?\tn,e\t1\n"
	want, err := babi.Parse(strings.NewReader(plain), "f", 8)
	require.NoError(t, err)
	assert.Equal(t, "milk,football", want[0].Answer)
	wide, err := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String(plain)
	require.NoError(t, err)
	for _, form := range []string{
		"\ufeff" + plain, wide, "\n" + plain + "\n \r\n", strings.ReplaceAll(plain, "\n", "\r\n\r\n"),
		strings.ReplaceAll(plain, ",", ", "), strings.ReplaceAll(plain, ",", " , "), strings.ReplaceAll(plain, "\t1", ".\t1"),
		strings.ReplaceAll(plain, "milk,football", " Milk ,  football. "), strings.ReplaceAll(plain, "n,e", "n,e,"),
	} {
		got, err := babi.Parse(strings.NewReader(form), "f", 8)
		require.NoError(t, err, "%q", form)
		assert.Equal(t, want, got, "%q", form)
	}
	_, err = babi.Parse(strings.NewReader("\ufeff\n1 Mary moved.\n\n3 John ran.\n"), "f", 8)
	assert.ErrorContains(t, err, "babi: f:4: line 3 of a story follows line 1")
	_, err = babi.Parse(strings.NewReader("1 Mary moved.\n2 W?\t , .\t1\n"), "f", 8)
	assert.ErrorContains(t, err, "a question without an answer")
}

func TestUnseen(t *testing.T) {
	parse := func(text string) []babi.Question {
		q, err := babi.Parse(strings.NewReader(text), "f", 1)
		require.NoError(t, err)
		return q
	}
	train := parse("1 Mary moved to the hall.\n2 Where is Mary?\thall\n")
	test := parse("1 Mary moved to the attic.\n2 Where is Mary?\tattic\n1 Mary moved to the hall.\n2 Where is Mary?\thall\n3 Where is hall?\tmary\n")
	u := babi.NewUnseen(train, test)
	assert.Equal(t, babi.Unseen{Words: []string{"attic"}, Answers: []string{"attic", "mary"}, Questions: 2}, u)
	assert.Equal(t, "test questions with words or answers that never occur in training: 2: words attic; answers attic, mary", u.String())
	assert.Empty(t, babi.NewUnseen(test, train).String())
}

// For any text, Parse returns an error or consistent questions.
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

// The stories' facts, followed word by word, lead to the given answers and supporting facts.
func TestStoriesAreConsistent(t *testing.T) {
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
