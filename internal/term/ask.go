package term

import (
	"bufio"
	"io"
	"slices"
	"strings"
)

// Ask asks on stderr until the answer is one of those given, or the first letter of only one. An
// empty line is an answer if "" is one. ok is false at the end of the input (Ctrl-D) and after an
// interrupt.
func (o *Output) Ask(question string, interrupted <-chan struct{}, answers ...string) (answer string, ok bool) {
	if o.lines == nil {
		o.lines = readLines(o.options.Stdin)
	}
	question = o.clean(question) + " "
	last := strings.LastIndexByte(question, '\n') + 1 // the line that is answered stays whole: an offset may be long
	question = fold(question[:last], o.Err.columns()) + question[last:]
	for {
		o.writeLines(question)
		select {
		case line, more := <-o.lines:
			if !strings.HasSuffix(line, "\n") {
				o.Err.Linef("")
			}
			if !more {
				return "", false
			}
			if answer, ok := match(strings.ToLower(strings.TrimSpace(line)), answers); ok {
				return answer, true
			}
			o.Err.Linef("%q is not one of the answers.", strings.TrimSpace(line))
		case <-interrupted:
			o.Err.Linef("")
			return "", false
		}
	}
}

func match(typed string, answers []string) (string, bool) {
	if slices.Contains(answers, typed) {
		return typed, true
	}
	found, n := "", 0
	for _, answer := range answers {
		if len(typed) == 1 && typed >= "a" && strings.HasPrefix(answer, typed) { // a digit is no short form of a number
			found, n = answer, n+1
		}
	}
	return found, n == 1
}

// readLines sends the lines of the input, to its end. Its goroutine ends with the process at the
// latest: a read of a terminal cannot be cancelled.
func readLines(from io.Reader) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		in := bufio.NewReader(from)
		for {
			line, err := in.ReadString('\n')
			if line != "" {
				lines <- line
			}
			if err != nil {
				return
			}
		}
	}()
	return lines
}
